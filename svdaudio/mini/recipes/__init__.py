"""One module a model: `train(folder=…, out=…, seed=…, n_steps=…)` trains it and writes weights and card."""

ORDER = (
    "image_encoder", "segmenter", "detector",  # from pictures alone
    "audio_encoder", "tagger", "autoencoder",  # from sounds alone
    "vocoder", "diffuser", "ssv2a",  # from what the ones above give
)  # fmt: skip
"""The recipes, each after those whose weights it reads."""
