"""Gains in dB, levels, and how far each object is faded.

A gain is an amplitude, a = 10^(dB/20), and -inf dB is silence. In one embedding only ratios matter, so the objects and
the rest of the picture are faded by their level, a divided by the highest a: 1 unchanged, 0 gone. A gain above 0 dB
therefore fades everything else.

The fade of several objects is the Lovász extension of their absence's effect: with levels t₁ ≥ t₂ ≥ … ≥ tₙ it is the
mean of nested pictures, f = (1 - t₁) f(∅) + Σ (tₖ - tₖ₊₁) f({1 … k}), where f(S) is the picture with the objects of S
alone. It is symmetric in the objects, equals f(S) where all levels are 0 or 1, is linear in each level in between, and
takes n + 1 pictures at most, where interpolating between all subsets would take 2ⁿ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from svdaudio.errors import ConfigError

SILENCE = "-inf"
LOWEST_DB, HIGHEST_DB = -60.0, 24.0
GAIN_EXPECTED = f"a gain from {LOWEST_DB:g} to {HIGHEST_DB:g} dB, or {SILENCE}"
REST = "rest"
"""Name of the part of a picture that is in no object."""


def _gain(value: object) -> object:
    """Accept a gain as "+3", "-6 dB" or "-inf", and TOML's -inf."""
    if isinstance(value, str):
        text = value.strip().lower().removesuffix("db").strip()
        try:
            value = float(text)
        except ValueError:
            raise ConfigError("a gain cannot be read", expected=GAIN_EXPECTED, got=repr(value)) from None
    return SILENCE if value == -math.inf else value


Decibels = Annotated[float, Field(ge=LOWEST_DB, le=HIGHEST_DB, allow_inf_nan=False)]
Gain = Annotated[Decibels | Literal["-inf"], BeforeValidator(_gain)]
"""A gain in dB; silence is the text "-inf", since keys and records hold no infinite numbers."""


def amplitude(gain_db: float | str) -> float:
    """The factor of a gain: 10^(dB/20), 0 for "-inf"."""
    return 0.0 if gain_db == SILENCE else 10.0 ** (float(gain_db) / 20)


def gain_text(gain_db: float | str) -> str:
    """A gain as text: "+3 dB", "-inf dB"."""
    return f"{SILENCE} dB" if gain_db == SILENCE else f"{float(gain_db):+g} dB"


def levels(gains_db: Mapping[str, float | str]) -> dict[str, float]:
    """Level of each object, 0 (gone) to 1 (unchanged), relative to the loudest one.

    Raises:
        ConfigError: every gain is -inf.
    """
    amplitudes = {name: amplitude(gain) for name, gain in gains_db.items()}
    highest = max(amplitudes.values(), default=0.0)
    if not highest:
        raise ConfigError("everything is silenced", expected=f"a gain above {SILENCE}", got=SILENCE)
    return {name: one / highest for name, one in amplitudes.items()}


@dataclass(frozen=True, kw_only=True)
class Vertex:
    """A picture without some of its objects, and its weight in a fade."""

    absent: tuple[str, ...]
    """Names of the objects that it lacks, sorted."""
    weight: float

    @property
    def label(self) -> str:
        """Part of the names of nodes and inputs: "all" or "cat+dog"."""
        return "+".join(self.absent) or "all"


def vertices(gains_db: Mapping[str, float | str]) -> list[Vertex]:
    """The nested pictures that a fade is the mean of, the whole one first; those of weight 0 are omitted.

    Args:
        gains_db: gains of every object and of the rest.

    Raises:
        ConfigError: every gain is -inf.
    """
    level = levels(gains_db)
    lowest_last = sorted(level, key=lambda name: (-level[name], name))
    found: list[Vertex] = []
    for n_present in range(len(lowest_last), 0, -1):  # the loudest has level 1, so the empty picture has weight 0
        below = level[lowest_last[n_present]] if n_present < len(lowest_last) else 0.0
        weight = level[lowest_last[n_present - 1]] - below
        if weight > 0:
            found.append(Vertex(absent=tuple(sorted(lowest_last[n_present:])), weight=weight))
    return found
