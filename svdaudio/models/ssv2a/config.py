"""The architecture of SSV2A: every width, from `ssv2a.json` or from the header of a weight file.

Fields have the names in the published `ssv2a.json`; the defaults are the published values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, cast

from svdaudio.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class MLPConfig:
    """A stack of residual blocks: its widths, the first being that of the projected input."""

    layers: tuple[int, ...]
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if not self.layers:
            raise ConfigError("an MLP of SSV2A has no layers", expected="at least one width", got=self.layers)
        for width in self.layers:
            _check_count("layers", width)
        _check_fraction("dropout", self.dropout)


@dataclass(frozen=True, kw_only=True)
class StylerConfig:
    """The transformer that reads the slots. It has one layer, and its feed-forward is `embed_dim` wide."""

    embed_dim: int = 768
    num_layers: int = 1
    nhead: int = 8
    dropout: float = 0.2

    def __post_init__(self) -> None:
        _check_count("embed_dim", self.embed_dim)
        _check_count("nhead", self.nhead)
        _check_fraction("dropout", self.dropout)
        if self.num_layers != 1:
            raise ConfigError("SSV2A's styler has one layer", expected="num_layers 1", got=self.num_layers)
        if self.embed_dim % self.nhead:
            raise ConfigError(
                "the heads of the styler do not divide its width",
                expected=f"a divisor of {self.embed_dim}",
                got=self.nhead,
            )


@dataclass(frozen=True, kw_only=True)
class RemixerConfig:
    """The remixer: number of slots, guidance and styler. `cfg` only affects training."""

    slot: int = 64
    cfg: float = 0.2
    guidance: str = "manifold"
    styler: StylerConfig = field(default_factory=StylerConfig)

    def __post_init__(self) -> None:
        _check_count("slot", self.slot)
        _check_fraction("cfg", self.cfg)
        if self.slot < 2:
            raise ConfigError("the remixer needs slots to compare", expected="at least 2 slots", got=self.slot)
        if self.guidance != "manifold":
            raise ConfigError("unsupported guidance of the remixer", expected="manifold", got=self.guidance)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The whole architecture of SSV2A. `Config()` is the published full size."""

    clip_dim: int = 768
    clap_dim: int = 512
    manifold_dim: int = 768
    manifold: MLPConfig = field(default_factory=lambda: MLPConfig(layers=(768, 768, 1536, 1536, 3072, 3072)))
    generator: MLPConfig = field(default_factory=lambda: MLPConfig(layers=(768, 768, 896, 896, 1024, 1024, 2048, 2048)))
    remixer: RemixerConfig = field(default_factory=RemixerConfig)

    def __post_init__(self) -> None:
        for name in ("clip_dim", "clap_dim", "manifold_dim"):
            _check_count(name, getattr(self, name))

    def to_dict(self) -> dict[str, Any]:
        """As nested plain values, for the header of a weight file."""
        plain = asdict(self)
        for part in ("manifold", "generator"):
            plain[part]["layers"] = list(plain[part]["layers"])
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """The inverse of `to_dict`; missing fields take their published values.

        Raises:
            ConfigError: an unknown field, or an invalid value.
        """
        given = _checked(cls, "", values)
        for part in ("manifold", "generator"):
            if part in given:
                given[part] = _mlp(_checked(MLPConfig, f"{part}.", given[part]), part)
        if "remixer" in given:
            remixer = _checked(RemixerConfig, "remixer.", given["remixer"])
            if "styler" in remixer:
                remixer["styler"] = StylerConfig(**_checked(StylerConfig, "remixer.styler.", remixer["styler"]))
            given["remixer"] = RemixerConfig(**remixer)
        return cls(**given)

    @classmethod
    def from_published(cls, document: Mapping[str, Any]) -> Config:
        """Read the published `ssv2a.json`: the fields that shape the network, at any depth of their section.

        The file also holds the settings of training, detection and generation, which are ignored here.
        Every field that shapes the network must be present.

        Raises:
            ConfigError: a field is missing, has two different values, or is not supported.
        """
        manifold, generator = (_section(document, name) for name in ("manifold", "generator"))
        remixer, styler = (_section(document, name) for name in ("remixer", "styler"))
        for name, section in (("manifold", manifold), ("generator", generator), ("styler", styler)):
            for flag in ("variational", "resnet"):
                if _find(section, flag, default=True) is not True:
                    raise ConfigError(f"unsupported {name} of SSV2A", expected=f"{flag} true", got="false")
        return cls(
            **{name: _find(document, name) for name in ("clip_dim", "clap_dim", "manifold_dim")},
            manifold=_mlp({name: _find(manifold, name) for name in ("layers", "dropout")}, "manifold"),
            generator=_mlp({name: _find(generator, name) for name in ("layers", "dropout")}, "generator"),
            remixer=RemixerConfig(
                slot=_find(remixer, "slot"),
                cfg=_find(remixer, "cfg", default=0.2),
                guidance=_find(remixer, "guidance"),
                styler=StylerConfig(
                    **{name: _find(styler, name) for name in ("embed_dim", "num_layers", "nhead", "dropout")}
                ),
            ),
        )


_MISSING = object()


def _find(section: Mapping[str, Any], name: str, *, default: Any = _MISSING) -> Any:
    """The value of `name` in `section` or, level by level, in nested sections."""
    level: list[Mapping[str, Any]] = [section]
    while level:
        found = [mapping[name] for mapping in level if name in mapping]
        if any(value != found[0] for value in found):
            raise ConfigError(f"SSV2A's configuration has two different values for '{name}'", got=found)
        if found:
            return found[0]
        level = [
            cast("Mapping[str, Any]", value)
            for mapping in level
            for value in mapping.values()
            if isinstance(value, Mapping)
        ]
    if default is _MISSING:
        raise ConfigError(
            f"SSV2A's configuration lacks '{name}'", fix="use the ssv2a.json that belongs to the checkpoint"
        )
    return default


def _section(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The mapping called `name`."""
    section = _find(document, name)
    if not isinstance(section, Mapping):
        raise ConfigError(f"'{name}' in SSV2A's configuration is not a section", got=section)
    return cast("Mapping[str, Any]", section)


def _checked(kind: type, where: str, values: object) -> dict[str, Any]:
    """`values` as a dict, after checking that every name is a field of `kind`."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"'{where.rstrip('.') or 'config'}' of SSV2A is not a section", got=values)
    given = dict(cast("Mapping[str, Any]", values))
    names = {f.name for f in fields(kind)}
    unknown = sorted(set(given) - names)
    if unknown:
        raise ConfigError(
            f"unknown field '{where}{unknown[0]}' of SSV2A", expected=f"one of {', '.join(sorted(names))}"
        )
    return given


def _mlp(values: Mapping[str, Any], where: str) -> MLPConfig:
    layers = values.get("layers")
    if not isinstance(layers, Sequence) or isinstance(layers, str):
        raise ConfigError(f"'{where}.layers' of SSV2A is not a list of widths", got=layers)
    return MLPConfig(layers=tuple(cast("Sequence[int]", layers)), dropout=values.get("dropout", 0.2))


def _check_count(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"'{name}' of SSV2A is not a valid width", expected="a whole number, at least 1", got=value)


def _check_fraction(name: str, value: object) -> None:
    if not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ConfigError(f"'{name}' of SSV2A is not a valid fraction", expected="0 up to 1", got=value)
