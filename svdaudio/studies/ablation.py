"""The settings that an ablation compares: the published method with parts switched off, swept or replaced.

The embedding of every setting is measured over all edits, and the sound of settings that may differ audibly. A part of
the method is the difference between two settings: `PARTS` compares their sounds edit by edit and mute by mute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from svdaudio.svd.centred import Centre

ORIGINAL = "original, plain SSV2A"
PLAIN = "edited, plain SSV2A"
FOUR_WAY = "four-way mix, the default"
DIRECT = "direct only"
THREE_WAY = "three-way mix"
WITHOUT_BOOSTED = "without the boosted region"
UNSCALED = "four-way, both factors 1"
EXTREME = "four-way, K = 1, α = 0, β = 3"
FADE, CLAP = "form fade", "form clap"
PLAIN_DROPPED = "direct only, objects dropped"
FOUR_DROPPED = "four-way, objects dropped"
THREE_DROPPED = "three-way, objects dropped"
EXTREME_DROPPED = "three-way, K = 1, α = 0, β = 3, objects dropped"

_DIRECT = {"mix.alpha": 0.0, "mix.beta": 0.0, "mix.gamma": 0.0, "mix.direct": 1.0}
_THREE = {"mix.direct": 0.0}
_EXTREME = {"svd.k": 1, "svd.alpha": 0.0, "svd.beta": 3.0}
_DROPPED = {"edit.locals": "dropped"}

KS = tuple(range(1, 16))
ALPHAS = tuple(round(0.1 * step, 1) for step in range(11))
BETAS = (1.0, 1.1, 1.25, 1.5, 2.0, 2.5, 3.0, 5.0, 10.0, 100.0)
"""The whole recommended range of β, and far beyond it."""
CURVE_KS = (1, 5)
"""The K at which α and β are swept."""

Group = Literal["parts", "K", "α", "β"]
SWEPT_PARAMETERS = {"K": "svd.k", "α": "svd.alpha", "β": "svd.beta"}
"""Group → the parameter that is swept in it."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One row of the ablation."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Dotted name → value of parameters that differ from the defaults of the published method."""
    group: Group = "parts"
    """The group of rows that it belongs to."""
    sound: bool = False
    """Whether sounds of edits and mutes are made with it, and scored."""
    centre: Centre | None = None
    """How the tokens are centred before the factorisation, which no run does; None if they are not."""

    @property
    def form(self) -> str:
        """The form of the edit."""
        return str(self.parameters.get("edit.form", "svd"))

    @property
    def drops(self) -> bool:
        """Whether detected objects are dropped from SSV2A's slots."""
        return self.parameters.get("edit.locals") == "dropped"

    @property
    def mixing(self) -> dict[str, Any]:
        """The parameters of the mix alone."""
        return {name: value for name, value in self.parameters.items() if not name.startswith("edit.")}


_FACTORS: tuple[tuple[Group, tuple[float, ...]], ...] = (("α", ALPHAS), ("β", BETAS))


def _rows() -> tuple[Setting, ...]:
    parts = (
        Setting(name=FOUR_WAY, sound=True),
        Setting(name=DIRECT, parameters=_DIRECT, sound=True),
        Setting(name=THREE_WAY, parameters=_THREE, sound=True),
        Setting(name="without the suppressed region", parameters={"mix.alpha": 0.0}),
        Setting(name=WITHOUT_BOOSTED, parameters={"mix.beta": 0.0}),
        Setting(name="without the background", parameters={"mix.gamma": 0.0}),
        Setting(name="without suppression, α = 1", parameters={"svd.alpha": 1.0}),
        Setting(name="without boost, β = 1", parameters={"svd.beta": 1.0}),
        Setting(name=UNSCALED, parameters={"svd.alpha": 1.0, "svd.beta": 1.0}, sound=True),
        Setting(name=EXTREME, parameters=_EXTREME),
        Setting(name="centred SVD, mean of CLS and patches", centre="rows"),
        Setting(name="centred SVD, mean of the patches", centre="patches"),
        Setting(name="centred SVD, mean of the patches, K = 15, α = 0", parameters={"svd.k": 15, "svd.alpha": 0.0},
                centre="patches"),
        Setting(name=FADE, parameters={"edit.form": "fade"}, sound=True),
        Setting(name=CLAP, parameters={"edit.form": "clap"}, sound=True),
        Setting(name=PLAIN_DROPPED, parameters={**_DIRECT, **_DROPPED}, sound=True),
        Setting(name=FOUR_DROPPED, parameters=_DROPPED, sound=True),
        Setting(name=THREE_DROPPED, parameters={**_THREE, **_DROPPED}, sound=True),
        Setting(name=EXTREME_DROPPED, parameters={**_THREE, **_EXTREME, **_DROPPED}, sound=True),
    )  # fmt: skip
    ks = [Setting(name=f"K = {k}", parameters={"svd.k": k}, group="K") for k in KS]
    swept = [
        Setting(
            name=f"{group} = {value:g}, K = {k}", parameters={SWEPT_PARAMETERS[group]: value, "svd.k": k}, group=group
        )
        for group, values in _FACTORS
        for k in CURVE_KS
        for value in values
    ]
    return (*parts, *ks, *swept)


SETTINGS = _rows()
"""Every row except the plain sounds of the two pictures, which every run makes."""
WITH_SOUND = tuple(one for one in SETTINGS if one.sound)
"""Settings whose sounds are scored."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the method: two settings that differ in it alone."""

    name: str
    with_it: str
    without: str


PARTS = (
    Part(name="the whole mix", with_it=FOUR_WAY, without=PLAIN),
    Part(name="α and β at their defaults", with_it=FOUR_WAY, without=UNSCALED),
    Part(name="the edited picture in the mix", with_it=FOUR_WAY, without=THREE_WAY),
    Part(name="the detected objects", with_it=FOUR_WAY, without=FOUR_DROPPED),
    Part(name="the whole mix, objects dropped", with_it=FOUR_DROPPED, without=PLAIN_DROPPED),
    Part(name="the edited picture in the mix, objects dropped", with_it=FOUR_DROPPED, without=THREE_DROPPED),
    Part(name="α = 0 and β = 3 at K = 1, three-way, objects dropped", with_it=EXTREME_DROPPED, without=THREE_DROPPED),
    Part(name="form fade", with_it=FADE, without=PLAIN),
    Part(name="form clap", with_it=CLAP, without=PLAIN),
)
"""The parts whose sounds are compared."""
