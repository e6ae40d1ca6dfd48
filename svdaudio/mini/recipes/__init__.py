"""One module per model: `RECIPE` describes it, `train(Training(…))` trains it and writes weights and card."""

from collections.abc import Mapping

NEEDS: Mapping[str, tuple[str, ...]] = {
    "image_encoder": (),
    "audio_encoder": (),
    "autoencoder": (),
    "diffuser": ("audio_encoder", "autoencoder"),
    "vocoder": ("autoencoder",),
    "segmenter": (),
    "ssv2a": ("image_encoder", "audio_encoder"),
    "detector": (),
    "tagger": (),
    "domain": ("image_encoder", "detector"),
}
"""Recipe → those whose weights it reads; long ones, and those that many others need, first."""
