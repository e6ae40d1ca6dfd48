"""Sounds as samples: reading files, the rates in use, and the finish of a sound. Imports the errors and files.

The names below are imported from their modules; `svdaudio.sounds.finish` has what a run does to a chosen sound.
"""

from __future__ import annotations

from svdaudio.sounds.rates import OUTPUT_RATE_HZ, VOCODER_RATE_HZ
from svdaudio.sounds.reading import SoundFacts, read_sound, sound_facts

__all__ = ["OUTPUT_RATE_HZ", "VOCODER_RATE_HZ", "SoundFacts", "read_sound", "sound_facts"]
