"""The methods: one file for each workflow. They import the engine, the configuration and the views.

A method of another package is found by its entry point in the group `svdaudio.methods`, or by `SVDAUDIO_METHODS`, which
lists `module:NAME` of method values, separated by commas.
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
"""Name → where the method is."""
VARIABLE = "SVDAUDIO_METHODS"
GROUP = "svdaudio.methods"


def find_method(name: str) -> Method:
    """A method by its name.

    Raises:
        ConfigError: there is no such method, or it cannot be imported.
    """
    if name in BUILT_IN:
        return _load(BUILT_IN[name])
    for place in _elsewhere():
        method = _load(place)
        if method.name == name:
            return method
    raise ConfigError("there is no such method", expected=" or ".join(method_names()), got=name)


def method_names() -> list[str]:
    """Names of all methods."""
    return [*BUILT_IN, *(_load(place).name for place in _elsewhere())]


def other_parameters(method: Method) -> frozenset[str]:
    """Names of parameters that built-in methods have and this one has not."""
    every = {name for place in BUILT_IN.values() for name in _load(place).config.parameters()}
    return frozenset(every - set(method.config.parameters()))


def _elsewhere() -> list[str]:
    from importlib.metadata import entry_points  # 20 ms, which built-in methods do without

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
