"""SSV2A (arXiv 2411.15447): from CLIP embeddings of a picture and its objects to one CLAP embedding of sound.

An independent implementation of the published algorithm: state-dict keys and shapes are the published ones, so the
published checkpoint loads unchanged, and every width comes from the configuration, so the same modules train at
any size.
"""

from svdaudio.models.ssv2a.config import Config, MLPConfig, RemixerConfig, StylerConfig
from svdaudio.models.ssv2a.load import load, load_ssv2a
from svdaudio.models.ssv2a.model import SSV2A

__all__ = ["SSV2A", "Config", "MLPConfig", "RemixerConfig", "StylerConfig", "load", "load_ssv2a"]
