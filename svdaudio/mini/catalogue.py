"""The recipes by name: what each needs, the bundle that it belongs to, and the command that runs it."""

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
"""Recipe → those whose weights it reads; long ones, and those that many others need, first."""

PRETRAINED = ("ciap_image_encoder", "sound_encoder", "guide", "mapper")
"""Recipes of the bundle for image-audio pretraining, whose base is the mini bundle."""

COMMANDS: Mapping[str, str] = {
    "ciap_image_encoder": "mini-ciap", "sound_encoder": "mini-sound-encoder", "guide": "mini-guide",
    "mapper": "mini-mapper",
}  # fmt: skip
"""Recipe → the name of its command, if that is another: `train ciap` takes the user's own pairs."""
