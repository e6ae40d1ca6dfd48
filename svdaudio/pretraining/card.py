"""The model card of a network that a user has trained."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from svdaudio.pretraining.checks import Checked
from svdaudio.pretraining.data_sets import Split
from svdaudio.pretraining.retrieval import Recall

_N_LABELS = 20


def card(
    *,
    title: str,
    command: str,
    data: Checked,
    layout: str,
    n_bad: int,
    split: Split,
    settings: Mapping[str, Any],
    base: str,
    trained: str,
    figures: Sequence[Recall],
) -> str:
    """A card, as Markdown.

    Args:
        title: its heading.
        command: that trained it.
        data: all items.
        layout: name of the data's layout.
        n_bad: items and files that were left out.
        split: which items were held out.
        settings: by dotted name.
        base: what the frozen side is.
        trained: how long, and which weights were kept.
        figures: on the held-out items.
    """
    rows = "\n".join(f"| `{name}` | {_text(value)} |" for name, value in settings.items())
    return (
        f"# {title}\n\n"
        f"**Data.** {describe_data(data, layout=layout, n_bad=n_bad, split=split)}\n\n"
        f"**Frozen side.** {base}\n\n"
        f"**Training.** `{command}`: {trained} ({platform.machine()}, torch {torch.__version__.partition('+')[0]}).\n\n"
        f"{figures_table(figures)}\n\n"
        "**Licence.** That of the data decides: weights trained on pictures and sounds may be passed on only as their "
        "licences allow. This project's own licence covers its code alone.\n\n"
        f"| setting | value |\n|---|---|\n{rows}\n"
    )


def describe_data(data: Checked, *, layout: str, n_bad: int, split: Split) -> str:
    """How many items, groups and labels there are."""
    items = data.items
    labels = Counter(label for item in items for label in item.labels)
    groups = {"trained on": split.training, "held out": split.held_out}
    parts = ", ".join(
        f"{len(chosen)} {name} ({len({items[index].group for index in chosen})} groups)"
        for name, chosen in groups.items()
    )
    shown = ", ".join(f"{label} ({n})" for label, n in labels.most_common(_N_LABELS))
    more = f", and {len(labels) - _N_LABELS} more" if len(labels) > _N_LABELS else ""
    return (
        f"{len(items)} items in the layout {layout}: {parts}; {sum(item.picture is not None for item in items)} with "
        f"pictures; {n_bad} left out because something was wrong with them. "
        + (f"{len(labels)} labels: {shown}{more}." if labels else "No labels.")
    )


def figures_table(figures: Sequence[Recall]) -> str:
    """Figures as a table, chance beside each."""
    if not figures:
        return "**Figures.** None: nothing was held out."
    rows = [
        "| on held-out items | value [95 % interval, bootstrap over groups] | chance | items | groups |",
        "|---|---|---|---|---|",
    ]
    rows += [f"| {one.name} | {one} | {one.chance:.3f} | {one.n} | {one.n_groups} |" for one in figures]
    return "\n".join(rows)


def _text(value: object) -> str:
    """A value in a cell of a table."""
    return str(value).replace("|", "\\|").replace("\n", " ") if value != "" else ""
