"""Labels that a sound is compared with, and the texts that an encoder gets for them.

"dog, rain"                              # ("dog", "rain")
prompts(("dog",), "the sound of a {}")   # ("the sound of a dog",)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BeforeValidator

from svdaudio.errors import ConfigError

LABELS_EXPECTED = "labels separated by commas"
PLACEHOLDER = "{}"


def _split(value: Any) -> Any:
    """Split labels that are written as one text; strip those of a list."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list | tuple):
        return tuple(one.strip() if isinstance(one, str) else one for one in cast("Sequence[Any]", value))
    return value


def _checked(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse empty labels, and labels given twice, whose scores would be indistinguishable."""
    if not all(labels):
        raise ConfigError("a label is empty", expected=LABELS_EXPECTED, got=", ".join(map(repr, labels)))
    if twice := [one for number, one in enumerate(labels) if one in labels[:number]]:
        raise ConfigError(f"the label '{twice[0]}' is given twice", fix="give each label once")
    return labels


def _with_placeholder(template: str) -> str:
    if template and PLACEHOLDER not in template:
        raise ConfigError(
            "the template has no placeholder for the label", expected=f"a text with {PLACEHOLDER}", got=repr(template)
        )
    return template


Labels = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_checked)]
Template = Annotated[str, AfterValidator(_with_placeholder)]
"""A text with `{}` where the label goes; empty for the label alone."""


def prompts(labels: Sequence[str], template: str) -> tuple[str, ...]:
    """The text of each label."""
    return tuple(template.replace(PLACEHOLDER, label) if template else label for label in labels)
