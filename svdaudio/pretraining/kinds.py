"""The networks that can be trained on a user's folder."""

from __future__ import annotations

from dataclasses import dataclass

from svdaudio.places import PRETRAINED_BUNDLE
from svdaudio.pretraining.settings import CiapSettings, SoundEncoderSettings, TrainSettings


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One of the networks that can be trained."""

    command: str
    role: str
    """Role of the trained network."""
    frozen: str
    """Role of the frozen network that provides its targets."""
    schema: type[TrainSettings]
    base: str
    """The default bundle for the frozen network and all other roles."""
    title: str
    architecture: str


CIAP = Kind(
    command="ciap",
    role="ciap_image_encoder",
    frozen="audio_encoder",
    schema=CiapSettings,
    base="mini",
    title="CIAP image encoder",
    architecture="svdaudio.models.ciap.CiapNetwork",
)
SOUND_ENCODER = Kind(
    command="sound-encoder",
    role="sound_encoder",
    frozen="guide",
    schema=SoundEncoderSettings,
    base=PRETRAINED_BUNDLE,
    title="Sound encoder",
    architecture="svdaudio.models.sound_clip.SoundEncoderNetwork",
)
KINDS = {kind.command: kind for kind in (CIAP, SOUND_ENCODER)}
"""Command → network."""
