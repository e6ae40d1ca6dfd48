"""The licence of a checkpoint, from the registry for published models, else from the model card."""

from __future__ import annotations

from svdaudio.checkpoints.bundle import Entry
from svdaudio.checkpoints.registry import of_format, registry

_CARD_LINE = "**Licence.** "


def licence_of(entry: Entry) -> str:
    """The licence of a checkpoint; "unknown" if neither the registry nor its model card states one."""
    published = next((one for one in registry() if one.name == entry.published), None) or of_format(entry.format)
    if published is not None:
        return published.licence
    try:
        lines = entry.path.with_suffix(".md").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return "unknown"
    return next((line.removeprefix(_CARD_LINE) for line in lines if line.startswith(_CARD_LINE)), "unknown")
