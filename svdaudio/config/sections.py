"""Sections of a configuration that methods share: each parameter once, with its default, meaning and ranges.

Defaults and recommended ranges are those of the method's parameter table (docs/method.md). A value outside its
recommended range runs, with a note; an invalid one is a `ConfigError`.
"""

from __future__ import annotations

import contextlib
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator

from svdaudio.errors import ConfigError


def _whole(value: object) -> object:
    """Convert 5.0 to 5: spreadsheets often write whole numbers this way."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: object) -> object:
    """Read a number in a notation that TOML does not allow, such as .5."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def _switch(value: object) -> object:
    """Read true and false as spreadsheets and pandas write them."""
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


Whole = Annotated[int, BeforeValidator(_whole), Strict()]
Number = Annotated[float, BeforeValidator(_number), Strict(), Field(allow_inf_nan=False)]
Switch = Annotated[bool, BeforeValidator(_switch), Strict()]


def check_steps(scheduler: str, n_steps: int, n_train_steps: int = 1000) -> None:
    """Refuse a number of steps that AudioLDM's DDIM cannot spread evenly from the first step to the last.

    Raises:
        ConfigError: it does not divide the number of training steps, or equals it.
    """
    if scheduler != "ddim" or (1 <= n_steps <= n_train_steps // 2 and n_train_steps % n_steps == 0):
        return
    fitting = [n for n in range(1, n_train_steps // 2 + 1) if n_train_steps % n == 0]
    nearest = min(fitting, key=lambda n: abs(n - n_steps))
    raise ConfigError(
        f"ddim does not reach all noise levels in {n_steps} steps",
        expected=f"generate.steps that divides {n_train_steps}, at most {n_train_steps // 2}",
        got=n_steps,
        fix=f"use --set generate.steps={nearest}, or another generate.scheduler",
    )


def parameter(
    default: Any,
    meaning: str,
    expected: str,
    recommended: tuple[float, float] | None = None,
    *,
    is_table: bool = False,
    paths: Literal["objects", "files"] | None = None,
    former: Any = None,
    **bounds: float,
) -> Any:
    """One parameter of a section.

    Args:
        default: its value unless given.
        meaning: a short phrase for help texts.
        expected: description of a valid value, for errors.
        recommended: lowest and highest value that runs without a note.
        is_table: whether it may hold values by name.
        paths: the paths that its values contain: mask files of objects, or each value; None for no paths.
        former: the value for runs from before the parameter existed; None if it has always existed.
        bounds: pydantic's: ge, gt, le, lt.
    """
    extra: dict[str, Any] = {"expected": expected}
    if recommended:
        extra["recommended"] = list(recommended)
    if is_table:
        extra["is_table"] = True
    if paths is not None:
        extra["paths"] = paths
    if former is not None:
        extra["former"] = former
    return Field(default=default, description=meaning, json_schema_extra=extra, **cast("dict[str, Any]", bounds))


class Section(BaseModel):
    """Part of a configuration: frozen, and without undeclared parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)  # most commands validate one schema


class AlignConfig(Section):
    """Mask to patch grid (step 3)."""

    threshold: Number = parameter(
        0.5, "coverage that counts as inside", "a number above 0, at most 1", (0.4, 0.6), gt=0, le=1
    )


class EditConfig(Section):
    """How the edit is made."""

    form: Literal["svd", "fade", "clap"] = parameter(
        "svd",
        "as published, by fading objects of the edited picture, or by mixing the objects' own embeddings",
        '"svd", "fade" or "clap"',
        former="svd",
    )
    locals: Literal["kept", "dropped"] = parameter(
        "kept",
        "whether the edited picture's detected objects fill SSV2A's other slots next to the mix, in form svd",
        '"kept" or "dropped"',
        former="kept",
    )

    @model_validator(mode="after")
    def _locals_of_the_published_form(self) -> EditConfig:
        if self.locals == "dropped" and self.form != "svd":
            raise ConfigError(
                f"edit.locals = dropped has no effect in form {self.form}, which picks its objects itself",
                expected="edit.form = svd",
                got=self.form,
                fix="omit one of them",
            )
        return self


class SvdConfig(Section):
    """Scaling of the singular values (step 5)."""

    k: Whole = parameter(
        5, "number of leading singular values modified", "a whole number from 1 to 10000", (1, 15), ge=1, le=10_000
    )
    alpha: Number = parameter(
        0.3, "factor on them in the removed region", "a number from 0 to 1000", (0.1, 0.5), ge=0, le=1000
    )
    beta: Number = parameter(
        1.5, "factor on them in the added region", "a number from 0 to 1000", (1.1, 3.0), ge=0, le=1000
    )


class MixConfig(Section):
    """Weights of the mix (step 7)."""

    alpha: Number = parameter(
        0.1, "weight of the suppressed embedding", "a number from 0 to 1000", (0.0, 0.3), ge=0, le=1000
    )
    beta: Number = parameter(
        0.4, "weight of the boosted embedding", "a number from 0 to 1000", (0.2, 0.6), ge=0, le=1000
    )
    gamma: Number = parameter(
        0.1, "weight of the background embedding", "a number from 0 to 1000", (0.0, 0.3), ge=0, le=1000
    )
    direct: Number = parameter(
        0.4, "weight of the edited picture's own embedding", "a number from 0 to 1000", (0.2, 0.6), ge=0, le=1000
    )

    @model_validator(mode="after")
    def _some_weight(self) -> MixConfig:
        if self.alpha + self.beta + self.gamma + self.direct == 0:
            raise ConfigError(
                "every mixing weight is 0",
                expected="one above 0",
                fix="give mix.alpha, beta, gamma or direct a weight",
            )
        return self


class LocalsConfig(Section):
    """Objects for SSV2A's local slots (step 8)."""

    confidence: Number = parameter(
        0.25, "confidence below which objects are dropped", "a number from 0 to 1", ge=0, le=1
    )
    iou: Number = parameter(
        0.0, "overlap above which the less confident of two boxes is dropped", "a number from 0 to 1", ge=0, le=1
    )
    max_detections: Whole = parameter(
        64, "largest number of objects that the detector returns", "a whole number from 1 to 10000", ge=1, le=10_000
    )
    top_k: Whole = parameter(16, "largest number of objects kept", "a whole number from 1 to 63", ge=1, le=63)
    augment: Switch = parameter(True, "also detect in flipped and scaled copies", "true or false")


class RemixConfig(Section):
    """SSV2A's cycle mix (step 8)."""

    cycle_its: Whole = parameter(64, "iterations of cycle_mix", "a whole number from 1 to 10000", ge=1, le=10_000)
    cycle_samples: Whole = parameter(
        64, "samples per iteration of cycle_mix", "a whole number from 1 to 1000", ge=1, le=1000
    )
    var_samples: Whole = parameter(
        64, "samples of the variational fold", "a whole number from 1 to 1000", ge=1, le=1000
    )


class GenerateConfig(Section):
    """Latent diffusion (step 8)."""

    backend: Literal["diffusers", "audioldm"] = parameter(
        "diffusers", "code that generates: ours, or the authors' package", '"diffusers" or "audioldm"'
    )
    scheduler: Literal["ddim", "dpm-solver++", "ddpm"] = parameter(
        "ddim", "diffusion scheduler", '"ddim", "dpm-solver++" or "ddpm"'
    )
    steps: Whole = parameter(200, "diffusion steps", "a whole number from 1 to 1000", ge=1, le=1000)
    guidance_scale: Number = parameter(2.5, "classifier-free guidance", "a number of at least 0", ge=0)
    candidates: Whole = parameter(3, "waveforms to choose from", "a whole number from 1 to 100", ge=1, le=100)
    pick: Literal["best"] | Annotated[Whole, Field(ge=1, le=100)] = parameter(
        "best",
        "number of the candidate to keep, from 1, or the one nearest to the target embedding",
        '"best", or the number of a candidate, from 1',
        former="best",
    )
    noise: Literal["own", "joint"] = parameter(
        "own",
        "whether a candidate's noise depends on its number alone, or, as in early versions, also on their count",
        '"own" or "joint"',
        former="joint",
    )
    precision: Literal["float32", "bfloat16"] = parameter(
        "float32", "number format of the noise network", '"float32" or "bfloat16"'
    )
    duration_s: Number = parameter(
        10.0, "length of the sound in seconds", "a number from 0.5 to 600", (2.5, 10.0), ge=0.5, le=600
    )

    @model_validator(mode="after")
    def _steps_of_the_scheduler(self) -> GenerateConfig:
        check_steps(self.scheduler, self.steps)
        return self

    @model_validator(mode="after")
    def _pick_is_a_candidate(self) -> GenerateConfig:
        if self.pick != "best" and self.pick > self.candidates:
            raise ConfigError(
                f"candidate {self.pick} does not exist",
                expected=f"a number from 1 to {self.candidates}",
                got=self.pick,
                fix=f"pick another, or use --set generate.candidates={self.pick}",
            )
        return self


class FinishConfig(Section):
    """Finish of the chosen sound (step 8)."""

    form: Literal["clean", "none"] = parameter(
        "clean",
        "remove the offset, fade both ends and set the loudness; or leave the sound unchanged",
        '"clean" or "none"',
        former="none",
    )
    loudness_lufs: Number = parameter(
        -23.0,
        "integrated loudness by ITU-R BS.1770, in LUFS",
        "a number from -70 to 0",
        (-36.0, -16.0),
        former=-23.0,
        ge=-70,
        le=0,
    )
    true_peak_db: Number = parameter(
        -1.0,
        "highest true peak, in dB relative to full scale",
        "a number from -60 to 0",
        (-6.0, -0.5),
        former=-1.0,
        ge=-60,
        le=0,
    )


class ExecutionConfig(Section):
    """How to compute. None of it is part of a key, although device, threads and compilation change the last bits."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = parameter(
        "auto", "where models run", '"auto", "cpu", "cuda" or "cuda:N"'
    )
    threads: Whole | None = parameter(
        None,
        "CPU threads (default the number of cores); results differ by rounding",
        "a whole number from 1 to 1024",
        ge=1,
        le=1024,
    )
    keep_models: Switch = parameter(False, "keep every model in memory, not one at a time", "true or false")
    compile: Switch = parameter(False, "let torch compile the noise network", "true or false")
