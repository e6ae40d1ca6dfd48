"""Builds small models of the installed `audioldm` package offline, for parity tests.

The package fetches RoBERTa's files when it is imported and when its text branch is built. Neither is needed here:
the text branch has made-up weights of the sizes of roberta-base (with fewer layers), and tokens are numbers.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from made_up import made_up_tensor

from svdaudio.models.audioldm.architecture import Architecture, autoencoder_config, unet_config, vocoder_config

BASE = 32
N_TEXT_LAYERS = 2
VOCODER_CHANNELS = 64
SMALL = Architecture(
    unet=unet_config(BASE),
    autoencoder=autoencoder_config(BASE),
    vocoder=vocoder_config(VOCODER_CHANNELS),
    text={"layer_norm_eps": 1e-5, "num_hidden_layers": N_TEXT_LAYERS, "vocab_size": 50},
    audio={},
)
SCALE_FACTOR = 0.9227914


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow the package to be imported and built without RoBERTa's files."""
    import transformers

    sizes = transformers.RobertaConfig(
        vocab_size=50, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5,
        num_hidden_layers=N_TEXT_LAYERS,
    )  # fmt: skip
    monkeypatch.setattr(transformers.RobertaTokenizer, "from_pretrained", classmethod(lambda cls, *a, **k: None))
    monkeypatch.setattr(
        transformers.RobertaModel, "from_pretrained", classmethod(lambda cls, *a, **k: transformers.RobertaModel(sizes))
    )


def package_config(base: int = BASE) -> dict[str, Any]:
    """The package's own configuration of AudioLDM-s-full-v2, with other widths."""
    from audioldm.utils import default_audioldm_config

    params = copy.deepcopy(default_audioldm_config("audioldm-s-full-v2")["model"]["params"])
    params["device"] = "cpu"
    params["unet_config"]["params"]["model_channels"] = base
    params["first_stage_config"]["params"]["ddconfig"]["ch"] = base
    return params


def build_package_model(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A small, complete `LatentDiffusion` of the package with made-up weights."""
    offline(monkeypatch)
    import audioldm
    from audioldm.hifigan import utilities

    monkeypatch.setitem(utilities.HIFIGAN_16K_64, "upsample_initial_channel", VOCODER_CHANNELS)
    model = audioldm.LatentDiffusion(**package_config())
    made_up = {
        name: made_up_value(name, tensor) for name, tensor in model.state_dict().items() if is_learnt(name, tensor)
    }
    model.load_state_dict({**model.state_dict(), **made_up})
    return model.eval()


def is_learnt(name: str, tensor: torch.Tensor) -> bool:
    """Whether a tensor is a weight and not a derived constant."""
    prefixes = ("model.diffusion_model.", "model_ema.", "first_stage_model.", "cond_stage_model.")
    constants = ("_extractor.", "attn_mask", "relative_position_index", "position_ids", "token_type_ids", "num_batches")
    bookkeeping = ("model_ema.decay", "model_ema.num_updates")
    return (
        name.startswith(prefixes)
        and tensor.is_floating_point()
        and name not in bookkeeping
        and not any(part in name for part in constants)
    )


def made_up_value(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Normally distributed numbers; variances are positive."""
    numbers = made_up_tensor(name, tensor.shape)
    return 1 + numbers.abs() if name.endswith("running_var") else numbers


def save_checkpoint(model: Any, path: Path) -> Path:
    """Save a checkpoint as the authors' training script does."""
    torch.save({"state_dict": {**model.state_dict(), "scale_factor": torch.tensor(SCALE_FACTOR)}}, path)
    return path
