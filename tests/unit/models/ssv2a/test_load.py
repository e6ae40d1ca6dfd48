"""Strict loading of the published pair and of this project's own files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from svdaudio.errors import CheckpointError, ConfigError
from svdaudio.models.ssv2a import SSV2A, load, load_ssv2a
from svdaudio.weights.own import Header, save_weights


@pytest.fixture
def pair(model: SSV2A, tmp_path: Path) -> tuple[Path, Path]:
    """ssv2a.pth and ssv2a.json of the small model."""
    contents: dict[str, Any] = {"timestamp": "2024-01-01"}
    for part in ("manifold", "generator", "remixer"):
        contents[f"{part}_state"] = getattr(model, part).state_dict()
    torch.save(contents, tmp_path / "ssv2a.pth")
    (tmp_path / "ssv2a.json").write_text(json.dumps(model.config.to_dict() | {"audioldm_version": "x"}))
    return tmp_path / "ssv2a.pth", tmp_path / "ssv2a.json"


def same(one: SSV2A, other: SSV2A) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_the_published_pair(model: SSV2A, pair: tuple[Path, Path]) -> None:
    loaded = load(*pair)
    assert same(loaded, model)
    assert not loaded.training
    assert same(load(str(pair[0]), model.config), model)


def test_the_old_file_format(model: SSV2A, pair: tuple[Path, Path]) -> None:
    contents = torch.load(pair[0], weights_only=True)
    torch.save(contents, pair[0], _use_new_zipfile_serialization=False)
    assert same(load(*pair), model)


def test_half_precision_is_converted_to_float32(pair: tuple[Path, Path]) -> None:
    contents = torch.load(pair[0], weights_only=True)
    contents["generator_state"] = {key: value.half() for key, value in contents["generator_state"].items()}
    torch.save(contents, pair[0])
    assert {parameter.dtype for parameter in load(*pair).parameters()} == {torch.float32}


def test_training_a_loaded_model_does_not_change_the_file(pair: tuple[Path, Path]) -> None:
    before = pair[0].read_bytes()
    model = load(*pair).train()
    model.encode_clips(torch.ones(1, 12))[0].sum().backward()
    with torch.no_grad():
        model.manifold.clip_encoder.out_mu.bias.add_(1)
    assert pair[0].read_bytes() == before


def lacking(contents: dict[str, Any]) -> None:
    del contents["generator_state"]["out_mu.bias"]


def too_many(contents: dict[str, Any]) -> None:
    contents["remixer_state"]["styler.extra"] = torch.ones(1)


def another_shape(contents: dict[str, Any]) -> None:
    contents["manifold_state"]["clip_encoder.out_mu.bias"] = torch.ones(11)


def no_tensor(contents: dict[str, Any]) -> None:
    contents["manifold_state"]["logit_scale"] = 3.0


def another_kind(contents: dict[str, Any]) -> None:
    del contents["manifold_state"]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lacking, r"lacks entry generator\.out_mu\.bias"),
        (too_many, r"unknown entry remixer\.styler\.extra"),
        (another_shape, r"wrong shape for manifold\.clip_encoder\.out_mu\.bias: expected \[10\], got \[11\]"),
        (no_tensor, r"got float"),
        (
            another_kind,
            r"is not an SSV2A checkpoint: expected 'manifold_state' in it, got generator_state, remixer_state, time",
        ),
    ],
)
def test_mismatched_tensors_are_refused(
    pair: tuple[Path, Path], damage: Callable[[dict[str, Any]], None], says: str
) -> None:
    contents = torch.load(pair[0], weights_only=True)
    damage(contents)
    torch.save(contents, pair[0])
    with pytest.raises(CheckpointError, match=says) as refused:
        load(*pair)
    assert "\n" not in str(refused.value)


def test_missing_files_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="file not found:"):
        load(tmp_path / "none.pth", pair[1])
    with pytest.raises(CheckpointError, match="file not found"):
        load(pair[0], tmp_path / "none.json")


@pytest.mark.parametrize("n_bytes", [0, 100, 5000])
def test_truncated_files(pair: tuple[Path, Path], n_bytes: int) -> None:
    pair[0].write_bytes(pair[0].read_bytes()[:n_bytes])
    with pytest.raises(CheckpointError, match="cannot be read") as refused:
        load(*pair)
    assert "\n" not in str(refused.value)


class Payload:
    """An object that runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


@pytest.mark.parametrize("contents", [{"manifold_state": Payload()}, Payload()])
def test_pickled_code_never_runs(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contents: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(contents, pair[0])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load(*pair)
    assert not (tmp_path / "ran").exists()


def test_a_bare_tensor_is_not_a_checkpoint(pair: tuple[Path, Path]) -> None:
    torch.save(torch.ones(3), pair[0])
    with pytest.raises(CheckpointError, match="got Tensor"):
        load(*pair)


@pytest.mark.parametrize(("text", "says"), [("{", "cannot be read"), ("[]", "is not an SSV2A configuration")])
def test_a_configuration_of_another_kind(pair: tuple[Path, Path], text: str, says: str) -> None:
    pair[1].write_text(text)
    with pytest.raises(CheckpointError, match=says):
        load(*pair)


def test_an_incomplete_configuration_is_refused(pair: tuple[Path, Path]) -> None:
    pair[1].write_text("{}")
    with pytest.raises(ConfigError, match="lacks"):
        load(*pair)


def header(model: SSV2A, **changes: Any) -> Header:
    values = {"role": "ssv2a", "config": model.config.to_dict()} | changes
    return Header(architecture="svdaudio.ssv2a.SSV2A", recipe="test", recipe_version=1, **values)


def test_our_own_format(model: SSV2A, tmp_path: Path) -> None:
    save_weights(tmp_path / "ssv2a.safetensors", model.state_dict(), header(model))
    loaded = load_ssv2a(tmp_path / "ssv2a.safetensors")
    assert loaded.config == model.config
    assert not loaded.training
    for key, value in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[key], value, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"role": "tagger"}, "another role: expected ssv2a, got tagger"),
        ({"config": {"clap": 3}}, "is not a valid SSV2A header"),
        ({"config": {}}, "lacks entry"),
    ],
)
def test_our_own_format_is_read_strictly(model: SSV2A, tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    save_weights(tmp_path / "ssv2a.safetensors", model.state_dict(), header(model, **changes))
    with pytest.raises(CheckpointError, match=says):
        load_ssv2a(tmp_path / "ssv2a.safetensors")
