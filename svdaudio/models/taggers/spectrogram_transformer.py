"""The Audio Spectrogram Transformer (Gong et al. 2021, arXiv 2104.01778) from a local folder, through transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torchaudio.functional import resample

from svdaudio.errors import CheckpointError
from svdaudio.files import read_text
from svdaudio.memory_layout import canonical, canonicalize_network
from svdaudio.models.taggers.audioset import score_names
from svdaudio.models.taggers.scores import Hearing
from svdaudio.process_state import kept_process_state
from svdaudio.weights.reading import unreadable

with kept_process_state():
    from transformers import ASTFeatureExtractor, ASTForAudioClassification

MODEL_TYPE = "audio-spectrogram-transformer"
CONFIG = "config.json"


class SpectrogramTransformerTagger:
    """Scores sounds at any sample rate for the classes in the folder's configuration."""

    def __init__(
        self, network: ASTForAudioClassification, extractor: ASTFeatureExtractor, classes: tuple[str, ...]
    ) -> None:
        self._network: Any = network
        self._extractor: Any = extractor
        self.classes = classes

    @torch.inference_mode()
    def scores(self, waveforms: Float[Tensor, "batch sample"], sample_rate_hz: int) -> Float[Tensor, "batch class"]:
        """Score of each class in the first 10.24 s, independently 0..1; the network was trained on that length."""
        logits: Tensor = self._network(self._prepared(waveforms, sample_rate_hz)).logits
        return logits.float().sigmoid().cpu()

    @torch.inference_mode()
    def hear(self, waveforms: Float[Tensor, "batch sample"], sample_rate_hz: int) -> Hearing:
        """Logits, and the 768 features that they are computed from: the mean of the class and distillation tokens."""
        prepared = self._prepared(waveforms, sample_rate_hz)
        embedding: Tensor = self._network.audio_spectrogram_transformer(prepared).pooler_output
        logits: Tensor = self._network.classifier(embedding)
        return Hearing(logits=logits.float().cpu(), embedding=embedding.float().cpu())

    def _prepared(self, waveforms: Tensor, sample_rate_hz: int) -> Tensor:
        rate: int = self._extractor.sampling_rate
        sound = resample(waveforms.float(), sample_rate_hz, rate).cpu().numpy()
        features = self._extractor(list(sound), sampling_rate=rate, return_tensors="pt")["input_values"]
        return canonical(features).to(self._network.device)


def read_classes(folder: Path) -> tuple[str, ...]:
    """Read the score names from the folder's configuration, in the order of the network's outputs. Reads no weights.

    Raises:
        CheckpointError: the configuration is missing, or belongs to another network.
    """
    path = folder / CONFIG
    try:
        config = json.loads(read_text(path))
        labels = cast("Mapping[str, str]", config["id2label"])
        if config["model_type"] != MODEL_TYPE:
            raise CheckpointError(
                f"the checkpoint {folder} is of another kind", expected=MODEL_TYPE, got=config["model_type"]
            )
        return score_names([labels[str(index)] for index in range(len(labels))])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"the configuration {path} cannot be read", expected="model_type and id2label", got=repr(error)
        ) from error


def load_tagger(
    path: Path, device: str | torch.device = "cpu", *, digest: str | None = None
) -> SpectrogramTransformerTagger:
    """Load the published tagger.

    Args:
        path: folder with config.json, preprocessor_config.json and model.safetensors.
        device: target device.
        digest: not needed: safetensors are mapped directly.

    Raises:
        CheckpointError: a file is missing or damaged, lacks an entry or has an extra one.
    """
    del digest
    classes = read_classes(path)
    for name in ("preprocessor_config.json", "model.safetensors"):
        if not (path / name).is_file():
            raise CheckpointError(
                f"file not found: {path / name}", fix="run `svdaudio checkpoints fetch ast-audioset --trust`"
            )
    with unreadable(path, "an Audio Spectrogram Transformer of transformers"):
        extractor = ASTFeatureExtractor.from_pretrained(path, local_files_only=True)
        loaded: Any = ASTForAudioClassification.from_pretrained(
            path, local_files_only=True, output_loading_info=True, use_safetensors=True, dtype=torch.float32
        )
    network, report = loaded
    for what, key in (("lacks", "missing_keys"), ("has an unknown", "unexpected_keys"), ("misfits", "mismatched_keys")):
        if report.get(key):
            first = min(str(entry) for entry in report[key])
            raise CheckpointError(f"the checkpoint {path} {what} entry {first}", fix="fetch it again")
    canonicalize_network(network)
    return SpectrogramTransformerTagger(network.eval().requires_grad_(False).to(device), extractor, classes)
