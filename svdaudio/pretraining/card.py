"""Writes the model card of a network trained by a user."""

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
    """The card as Markdown.

    Args:
        title: heading of the card.
        command: the command that trained the network.
        data: all items.
        layout: name of the data's layout.
        n_bad: number of items and files that were skipped as faulty.
        split: the items that were trained on and held out.
        settings: by dotted name.
        base: description of the frozen network.
        trained: how long the training took, and which weights were kept.
        figures: on the held-out items.
    """
    rows = "\n".join(f"| `{name}` | {_text(value)} |" for name, value in settings.items())
    return (
        f"# {title}\n\n"
        f"**Data.** {describe_data(data, layout=layout, n_bad=n_bad, split=split)}\n\n"
        f"**Frozen network.** {base}\n\n"
        f"**Training.** `{command}`: {trained} ({platform.machine()}, torch {torch.__version__.partition('+')[0]}).\n\n"
        f"{figures_table(figures)}\n\n"
        "**Licence.** The licences of the data decide whether these weights may be distributed. This project's own "
        "licence covers only its code.\n\n"
        f"| setting | value |\n|---|---|\n{rows}\n"
    )


def describe_data(data: Checked, *, layout: str, n_bad: int, split: Split) -> str:
    """A sentence with the numbers of items, groups and labels."""
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
        f"pictures; {n_bad} skipped as faulty. " + (f"{len(labels)} labels: {shown}{more}." if labels else "No labels.")
    )


def figures_table(figures: Sequence[Recall]) -> str:
    """Figures as a table, each with its chance level."""
    if not figures:
        return "**Figures.** None: nothing was held out."
    rows = [
        "| on held-out items | value [95 % interval, bootstrap over groups] | chance | items | groups |",
        "|---|---|---|---|---|",
    ]
    rows += [f"| {one.name} | {one} | {one.chance:.3f} | {one.n} | {one.n_groups} |" for one in figures]
    return "\n".join(rows)


def _text(value: object) -> str:
    """A value as the text of a table cell."""
    return str(value).replace("|", "\\|").replace("\n", " ") if value != "" else ""
