"""The methods, one file each. May import views, engine and lower layers.

Other packages provide methods through entry points in the group `svdaudio.methods`, or through the environment variable
`SVDAUDIO_METHODS`, a comma-separated list of `module:NAME`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from importlib import import_module

from svdaudio.engine.method import Method
from svdaudio.errors import ConfigError

BUILT_IN: Mapping[str, str] = {
    "manipulate": "svdaudio.methods.manipulate:METHOD",
    "baseline": "svdaudio.methods.baseline:METHOD",
    "mixer": "svdaudio.methods.mixer:METHOD",
    "ciap": "svdaudio.methods.ciap:METHOD",
    "mapper": "svdaudio.methods.mapper:METHOD",
    "hear": "svdaudio.methods.hear:METHOD",
    "see": "svdaudio.methods.see:METHOD",
    "mask": "svdaudio.methods.mask:METHOD",
    "embed-sound": "svdaudio.methods.embed_sound:METHOD",
}
"""Name of a method → `module:NAME` of its value."""
VARIABLE = "SVDAUDIO_METHODS"
GROUP = "svdaudio.methods"


def find_method(name: str) -> Method:
    """Returns a method by its name.

    Raises:
        ConfigError: the method is unknown or cannot be imported.
    """
    if name in BUILT_IN:
        return _load(BUILT_IN[name])
    for place in _external():
        method = _load(place)
        if method.name == name:
            return method
    raise ConfigError("unknown method", expected=" or ".join(method_names()), got=name)


def method_names() -> list[str]:
    """Returns the names of all methods."""
    return [*BUILT_IN, *(_load(place).name for place in _external())]


def other_parameters(method: Method) -> frozenset[str]:
    """Returns the names of parameters that other built-in methods have but this one does not."""
    known = {name for place in BUILT_IN.values() for name in _load(place).config.parameters()}
    return frozenset(known - set(method.config.parameters()))


def _external() -> list[str]:
    from importlib.metadata import entry_points  # takes 20 ms, which built-in methods do not need

    listed = [place.strip() for place in os.environ.get(VARIABLE, "").split(",") if place.strip()]
    return [*listed, *(entry.value for entry in entry_points(group=GROUP))]


@cache
def _load(place: str) -> Method:
    module, _, name = place.partition(":")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the method {place} cannot be imported", got=error, fix=f"check {VARIABLE}") from error
    if not isinstance(found, Method):
        raise ConfigError(
            f"{place} is not a method", expected="a svdaudio.engine.method.Method", got=type(found).__name__
        )
    return found
