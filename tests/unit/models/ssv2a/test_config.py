"""The architecture, from a weight file's header and from ssv2a.json."""

from __future__ import annotations

import json
from typing import Any

import pytest

from svdaudio.errors import ConfigError
from svdaudio.models.ssv2a import Config, MLPConfig, StylerConfig

PUBLISHED: dict[str, Any] = {
    "clip_dim": 768,
    "clap_dim": 512,
    "manifold_dim": 768,
    "audioldm_version": "audioldm-s-full-v2",
    "detector": {"crop": True, "conf": 0.25, "iou": 0, "max_det": 64, "top_k": 16},
    "manifold": {
        "variational": True,
        "encoder": "mlp",
        "layers": [768, 768, 1536, 1536, 3072, 3072],
        "dropout": 0.2,
        "resnet": True,
    },
    "generator": {
        "variational": True,
        "arch": {"layers": [768, 768, 896, 896, 1024, 1024, 2048, 2048], "dropout": 0.2, "resnet": True},
    },
    "remixer": {
        "slot": 64,
        "cfg": 0.2,
        "guidance": "manifold",
        "styler": {"variational": True, "embed_dim": 768, "num_layers": 1, "nhead": 8, "dropout": 0.2},
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The published document with one entry replaced or removed."""
    document = json.loads(json.dumps(PUBLISHED))
    *sections, leaf = path.split(".")
    at = document
    for section in sections:
        at = at[section]
    if value is None:
        del at[leaf]
    else:
        at[leaf] = value
    return document


def test_the_published_document_gives_the_defaults() -> None:
    assert Config.from_published(PUBLISHED) == Config()


def test_a_configuration_round_trips_through_a_dict() -> None:
    config = Config(manifold_dim=128, manifold=MLPConfig(layers=(128, 192), dropout=0))
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert Config.from_dict({}) == Config()


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("clap_dim", None, "lacks 'clap_dim'"),
        ("generator.arch.layers", None, "lacks 'layers'"),
        ("manifold.resnet", False, "resnet true"),
        ("remixer.styler.variational", False, "variational true"),
        ("remixer.guidance", "clip", "guidance"),
        ("remixer.styler.num_layers", 2, "one layer"),
        ("remixer.styler.nhead", 7, "divisor of 768"),
        ("manifold", 3, "not a section"),
        ("manifold.layers", "768", "not a list of widths"),
        ("manifold.layers", [768, 0], "not a valid width"),
        ("manifold.dropout", 1.5, "not a valid fraction"),
    ],
)
def test_unsupported_settings_are_refused(path: str, value: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Config.from_published(changed(path, value))


def test_contradictory_fields_are_refused() -> None:
    generator = {"one": {"layers": [8]}, "other": {"layers": [9]}, "dropout": 0.2}
    with pytest.raises(ConfigError, match="two different values for 'layers'"):
        Config.from_published(changed("generator", generator))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"clap": 512}, "unknown field 'clap'"),
        ({"manifold": {"widths": [8]}}, r"unknown field 'manifold\.widths'"),
        ({"remixer": {"styler": {"heads": 8}}}, r"unknown field 'remixer\.styler\.heads'"),
        ({"remixer": 64}, "not a section"),
        ({"manifold": {"layers": []}}, "no layers"),
        ({"manifold": {"dropout": 0.1}}, "not a list of widths"),
        ({"clip_dim": True}, "not a valid width"),
    ],
)
def test_a_header_is_read_strictly(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Config.from_dict(values)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match="divisor of 100"):
        StylerConfig(embed_dim=100, nhead=8)
