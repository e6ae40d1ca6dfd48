"""The configuration of a run: every parameter once, with its default, its meaning and its recommended range.

A value comes from, lowest first: the defaults here, the bundle's own settings, a TOML file, the command line
(options and `--set name=value` alike). `resolve` merges them and says where each value came from. A value
outside its recommended range runs and is remarked on; one without a meaning is a `ConfigError`.

Defaults and ranges are those of the method's parameter table (docs/method.md).
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, ValidationError, model_validator

from svdaudio.errors import ConfigError

EXECUTION_PREFIX = "execution."
"""Parameters under this name say how to compute, not what: they never enter a key."""

Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Switch = Annotated[bool, Strict()]


def check_steps(scheduler: str, n_steps: int, n_train_steps: int = 1000) -> None:
    """Refuse a number of steps that AudioLDM's DDIM cannot spread evenly from the first step to the last.

    Raises:
        ConfigError: it does not divide the steps of the training, or is all of them.
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


class Point(NamedTuple):
    """A click in pixels of the upright image: x to the right, y down, label 1 (in the region) or 0 (out of it)."""

    x: Number
    y: Number
    label: Literal[0, 1] = 1


def parse_point(text: str) -> Point:
    """A point written as `X,Y` or `X,Y,LABEL`.

    Raises:
        ConfigError: it is neither.
    """
    parts = [part.strip() for part in text.split(",")]
    try:
        numbers = [float(part) for part in parts]
        if len(numbers) not in (2, 3) or (len(numbers) == 3 and numbers[2] not in (0, 1)):
            raise ValueError
    except ValueError:
        raise ConfigError(
            "a point cannot be read",
            expected="X,Y or X,Y,LABEL with label 1 or 0",
            got=repr(text),
            fix="write it like 120,80",
        ) from None
    return Point(numbers[0], numbers[1], 1 if len(numbers) == 2 or numbers[2] == 1 else 0)


def _points(value: object) -> object:
    """Let points be written as text: "120,80", "120,80;30,40,0" or a list of such."""
    if isinstance(value, str):
        value = [part for part in value.split(";") if part.strip()]
    if isinstance(value, list | tuple):
        entries = cast("Sequence[object]", value)
        if len(entries) in (2, 3) and all(isinstance(entry, int | float) for entry in entries):
            return (tuple(entries),)
        return tuple(parse_point(entry) if isinstance(entry, str) else entry for entry in entries)
    return value


Points = Annotated[tuple[Point, ...], BeforeValidator(_points)]
_POINTS = "points such as 120,80 or [[120, 80, 1], [30, 40, 0]]"


def _field(
    default: Any, meaning: str, expected: str, recommended: tuple[float, float] | None = None, **bounds: float
) -> Any:
    extra: dict[str, Any] = {"expected": expected}
    if recommended:
        extra["recommended"] = list(recommended)
    return Field(default=default, description=meaning, json_schema_extra=extra, **cast("dict[str, Any]", bounds))


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AlignConfig(_Section):
    """Mask to patch grid (step 3)."""

    threshold: Number = _field(
        0.5, "coverage that counts as inside", "a number above 0, at most 1", (0.4, 0.6), gt=0, le=1
    )


class SvdConfig(_Section):
    """What happens to the singular values (step 5)."""

    k: Whole = _field(
        5, "number of leading singular values modified", "a whole number from 1 to 10000", (1, 15), ge=1, le=10_000
    )
    alpha: Number = _field(
        0.3, "factor on them in the region that goes", "a number from 0 to 1000", (0.1, 0.5), ge=0, le=1000
    )
    beta: Number = _field(
        1.5, "factor on them in the region that comes", "a number from 0 to 1000", (1.1, 3.0), ge=0, le=1000
    )


class MixConfig(_Section):
    """Weights of the mix (step 7)."""

    alpha: Number = _field(
        0.1, "weight of the suppressed embedding", "a number from 0 to 1000", (0.0, 0.3), ge=0, le=1000
    )
    beta: Number = _field(0.4, "weight of the boosted embedding", "a number from 0 to 1000", (0.2, 0.6), ge=0, le=1000)
    gamma: Number = _field(
        0.1, "weight of the background embedding", "a number from 0 to 1000", (0.0, 0.3), ge=0, le=1000
    )
    direct: Number = _field(
        0.4, "weight of the edited image's own embedding", "a number from 0 to 1000", (0.2, 0.6), ge=0, le=1000
    )

    @model_validator(mode="after")
    def _some_weight(self) -> MixConfig:
        if self.alpha + self.beta + self.gamma + self.direct == 0:
            raise ValueError("every mixing weight is 0")
        return self


class LocalsConfig(_Section):
    """Objects for SSV2A's local slots (step 8)."""

    confidence: Number = _field(0.25, "least confidence of an object", "a number from 0 to 1", ge=0, le=1)
    iou: Number = _field(
        0.0, "overlap above which the lesser of two boxes is dropped", "a number from 0 to 1", ge=0, le=1
    )
    max_detections: Whole = _field(
        64, "most objects the detector returns", "a whole number from 1 to 10000", ge=1, le=10_000
    )
    top_k: Whole = _field(16, "most objects kept", "a whole number from 1 to 63", ge=1, le=63)
    augment: Switch = _field(True, "look at flipped and scaled copies too", "true or false")


class RemixConfig(_Section):
    """SSV2A's cycle mix (step 8)."""

    cycle_its: Whole = _field(64, "iterations", "a whole number from 1 to 10000", ge=1, le=10_000)
    cycle_samples: Whole = _field(64, "samples of an iteration", "a whole number from 1 to 1000", ge=1, le=1000)
    var_samples: Whole = _field(64, "samples of the variational fold", "a whole number from 1 to 1000", ge=1, le=1000)


class GenerateConfig(_Section):
    """Latent diffusion (step 8)."""

    backend: Literal["diffusers", "audioldm"] = _field(
        "diffusers", "whose code generates: ours, or the authors' package", '"diffusers" or "audioldm"'
    )
    scheduler: Literal["ddim", "dpm-solver++"] = _field("ddim", "diffusion scheduler", '"ddim" or "dpm-solver++"')
    steps: Whole = _field(200, "diffusion steps", "a whole number from 1 to 999", ge=1, le=999)
    guidance_scale: Number = _field(2.5, "classifier-free guidance", "a number of at least 0", ge=0)
    candidates: Whole = _field(3, "waveforms to choose from", "a whole number from 1 to 100", ge=1, le=100)
    precision: Literal["float32", "bfloat16"] = _field(
        "float32", "what the noise network computes in", '"float32" or "bfloat16"'
    )
    duration_s: Number = _field(
        10.0, "length of the audio in seconds", "a number from 0.5 to 600", (2.5, 10.0), ge=0.5, le=600
    )

    @model_validator(mode="after")
    def _steps_of_the_scheduler(self) -> GenerateConfig:
        check_steps(self.scheduler, self.steps)
        return self


class ExecutionConfig(_Section):
    """How to compute. None of it enters a key, although device, threads and compilation change the last bits."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = _field(
        "auto", "where models run", '"auto", "cpu", "cuda" or "cuda:N"'
    )
    threads: Whole | None = _field(
        None,
        "CPU threads, as many as there are cores if not given; results differ by rounding",
        "a whole number from 1 to 1024",
        ge=1,
        le=1024,
    )
    keep_models: Switch = _field(False, "keep every model in memory, not one at a time", "true or false")
    compile: Switch = _field(False, "let torch compile the noise network", "true or false")


class RunConfig(_Section):
    """Every parameter of a run."""

    remove: Points = _field((), "clicks on what goes, in the original image", _POINTS)
    add: Points = _field((), "clicks on what comes, in the edited image", _POINTS)
    geometry: Literal["squash", "crop"] = _field(
        "squash", "how image and mask become 224 x 224 px", '"squash" or "crop"'
    )
    seed: Whole = _field(42, "seed of every random draw", "a whole number from 0 to 2^63 - 1", ge=0, lt=2**63)
    bundle: Annotated[str, Field(min_length=1)] = _field("mini", "checkpoint bundle", "the name of a bundle")
    align: AlignConfig = AlignConfig()
    svd: SvdConfig = SvdConfig()
    mix: MixConfig = MixConfig()
    locals: LocalsConfig = LocalsConfig()
    remix: RemixConfig = RemixConfig()
    generate: GenerateConfig = GenerateConfig()
    execution: ExecutionConfig = ExecutionConfig()

    def value(self, dotted: str) -> Any:
        """One value by its dotted name, as plain JSON data: points as lists of [x, y, label].

        Raises:
            ConfigError: there is no such parameter.
        """
        found: Any = self
        for part in dotted.split("."):
            if not isinstance(found, BaseModel) or part not in type(found).model_fields:
                raise unknown_parameter(dotted)
            found = getattr(found, part)
        if isinstance(found, BaseModel):
            raise unknown_parameter(dotted)
        return [list(point) for point in cast("tuple[Point, ...]", found)] if isinstance(found, tuple) else found

    def flat(self) -> dict[str, Any]:
        """Every parameter by its dotted name, as plain JSON data, in the order of definition."""
        return {name: self.value(name) for name in PARAMETERS}


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """What is known about one parameter: for help texts, checks and remarks."""

    name: str
    default: Any
    meaning: str
    expected: str
    recommended: tuple[float, float] | None

    @property
    def execution_only(self) -> bool:
        """Whether it changes how fast results come and at most how they are rounded, and so enters no key."""
        return self.name.startswith(EXECUTION_PREFIX)


def _parameters(model: type[BaseModel], prefix: str = "") -> Iterable[Parameter]:
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _parameters(info.annotation, f"{prefix}{name}.")
        else:
            extra = cast("dict[str, Any]", info.json_schema_extra)
            recommended = extra.get("recommended")
            yield Parameter(
                name=prefix + name,
                default=info.default,
                meaning=info.description or "",
                expected=extra["expected"],
                recommended=(recommended[0], recommended[1]) if recommended else None,
            )


PARAMETERS: dict[str, Parameter] = {parameter.name: parameter for parameter in _parameters(RunConfig)}
"""Every parameter by its dotted name."""


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A configuration, where each value of it came from, and what is unusual about it."""

    config: RunConfig
    sources: dict[str, str]
    """Dotted name → "default", "bundle mini", "run.toml", "command line" or "--set"."""
    remarks: list[str]
    """Values outside their recommended range, one sentence each."""


def nearest_parameter(name: str) -> str | None:
    """The parameter whose name is nearest to `name`, if any is near."""
    tail = name.rpartition(".")[2].lower()
    same_tail = [known for known in PARAMETERS if known.rpartition(".")[2] == tail]
    if same_tail:
        return max(same_tail, key=lambda known: difflib.SequenceMatcher(None, name.lower(), known).ratio())
    near = difflib.get_close_matches(name.lower(), list(PARAMETERS), n=1, cutoff=0.5)
    if near:
        return near[0]
    tails = difflib.get_close_matches(tail, [known.rpartition(".")[2] for known in PARAMETERS], n=1, cutoff=0.6)
    return next((known for known in PARAMETERS if tails and known.rpartition(".")[2] == tails[0]), None)


def unknown_parameter(name: str, source: str | None = None) -> ConfigError:
    """The error for a parameter that does not exist, with the nearest one that does."""
    near = nearest_parameter(name)
    return ConfigError(
        f"there is no parameter '{name}'" + (f" (from {source})" if source else ""),
        fix=f"perhaps you mean '{near}'" if near else "`svdaudio run --help` lists them",
    )


def parse_override(text: str) -> tuple[str, Any]:
    """`svd.k=7` → ("svd.k", 7). The value is read as TOML; what is not TOML is taken as text.

    Raises:
        ConfigError: there is no `=`, or no such parameter.
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not name:
        raise ConfigError(
            "an override cannot be read", expected="name=value", got=repr(text), fix="write it like svd.k=7"
        )
    if name not in PARAMETERS:
        raise unknown_parameter(name, "--set")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):  # no TOML, or more digits or brackets than can be read
        return name, value
    return name, parsed["value"] if parsed.keys() == {"value"} else value


def read_config_file(path: Path) -> dict[str, Any]:
    """A TOML file as dotted name → value; names are checked, values are not.

    Raises:
        ConfigError: the file is missing, no TOML, or names a parameter that does not exist.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"the configuration {path} cannot be read", got=error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the configuration {path} is not TOML", got=str(error)) from error
    return _checked_names(flatten(tables), path.name)


def flatten(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted name → value."""
    flat: dict[str, Any] = {}
    for name, value in tables.items():
        if isinstance(value, Mapping):
            flat.update(flatten(cast("Mapping[str, Any]", value), f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def _checked_names(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    for name in values:
        if name not in PARAMETERS:
            raise unknown_parameter(name, source)
    return dict(values)


def no_settings(bundle: str) -> Mapping[str, Any]:
    """The settings of a bundle that has none."""
    del bundle
    return {}


def resolve(
    *,
    config_file: Path | None = None,
    overrides: Sequence[str] = (),
    given: Mapping[str, Any] | None = None,
    given_source: str = "command line",
    bundle_settings: Callable[[str], Mapping[str, Any]] = no_settings,
) -> Resolved:
    """Merge every source into one configuration.

    Args:
        config_file: TOML with the same names (`[svd]`, `k = 7`).
        overrides: texts such as `svd.k=7`.
        given: dotted name → value from command line options; None means not given.
        given_source: where `given` comes from, if not from the command line.
        bundle_settings: gives the bundle's own dotted settings by its name; called once the name is known.

    Raises:
        ConfigError: an unknown name (with the nearest one), a value without a meaning, or the same parameter
            twice with different values.
    """
    chosen: dict[str, Any] = {}
    sources = dict.fromkeys(PARAMETERS, "default")

    def take(values: Mapping[str, Any], source: str) -> None:
        for name, value in values.items():
            chosen[name] = value
            sources[name] = source

    if config_file is not None:
        take(read_config_file(config_file), config_file.name)
    options = {name: value for name, value in (given or {}).items() if value is not None}
    take(_checked_names(options, given_source), given_source)
    for text in overrides:
        name, value = parse_override(text)
        if sources[name] in (given_source, "--set") and chosen[name] != value:
            raise ConfigError(
                f"'{name}' is given twice", got=f"{_text(chosen[name])} and {_text(value)}", fix="keep one of them"
            )
        take({name: value}, "--set")

    bundle = _validated({"bundle": chosen.get("bundle", PARAMETERS["bundle"].default)}, sources).bundle
    source = f"bundle {bundle}"
    for name, value in _checked_names(bundle_settings(bundle), source).items():
        if name not in chosen:
            take({name: value}, source)
    config = _validated(chosen, sources)
    return Resolved(config=config, sources=sources, remarks=remarks(config))


def remarks(config: RunConfig) -> list[str]:
    """One sentence for each value outside its recommended range."""
    found: list[str] = []
    for name, parameter in PARAMETERS.items():
        if parameter.recommended is None:
            continue
        low, high = parameter.recommended
        value = config.value(name)
        if not low <= value <= high:
            found.append(f"{name} = {value:g} is outside the recommended {low:g} to {high:g}")
    return found


def _validated(values: Mapping[str, Any], sources: Mapping[str, str]) -> RunConfig:
    nested: dict[str, Any] = {}
    for name, value in values.items():
        section, _, field = name.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[field] = value
    try:
        return RunConfig.model_validate(nested)
    except ValidationError as error:
        raise _config_error(error, values, sources) from None


def _config_error(error: ValidationError, values: Mapping[str, Any], sources: Mapping[str, str]) -> ConfigError:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    name = next((n for n in (".".join(location[:2]), location[0] if location else "") if n in PARAMETERS), None)
    if name is None:
        return ConfigError(
            str(first.get("ctx", {}).get("error", first["msg"])),
            expected="one above 0",
            fix="give mix.alpha, beta, gamma or direct a weight",
        )
    source = sources.get(name, "default")
    return ConfigError(
        f"{name} has no meaning with this value" + (f" (from {source})" if source != "default" else ""),
        expected=PARAMETERS[name].expected,
        got=_text(values.get(name)),
    )


def _text(value: object) -> str:
    return repr(value) if isinstance(value, str) else str(value)
