"""The dependencies, bundles and commands of the recipes."""

from __future__ import annotations

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
    "ciap_image_encoder": ("audio_encoder",),
    "sound_encoder": ("image_encoder",),
    "guide": ("image_encoder",),
    "mapper": ("image_encoder", "audio_encoder"),
}
"""Recipe → the recipes whose weights it reads. Long recipes, and those that many others need, come first."""

PRETRAINED = ("ciap_image_encoder", "sound_encoder", "guide", "mapper")
"""Recipes of the bundle for image-audio pretraining, whose base is the mini bundle."""

COMMANDS: Mapping[str, str] = {
    "ciap_image_encoder": "mini-ciap", "sound_encoder": "mini-sound-encoder", "guide": "mini-guide",
    "mapper": "mini-mapper",
}  # fmt: skip
"""Recipe → its command, if the names differ: `train ciap` trains on the user's own pairs."""
