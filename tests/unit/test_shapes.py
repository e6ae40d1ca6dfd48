"""Shapes are checked wherever they are annotated."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


def test_every_module_with_shapes_is_checked():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["addopts"]
    (listed,) = (one.partition("=")[2].split(",") for one in options if one.startswith("--jaxtyping-packages="))
    package = ROOT / "svdaudio"
    for child in package.iterdir():
        files = child.rglob("*.py") if child.is_dir() else [child] if child.suffix == ".py" else []
        if any("from jaxtyping import" in file.read_text() for file in files):
            assert f"svdaudio.{child.stem}" in listed


def test_a_wrong_shape_is_an_error():
    from svdaudio.tasks.sound.scores import run

    with pytest.raises(Exception, match="waveform"):
        run(waveform=np.zeros((2, 3, 4), np.float32), tagger=None)
