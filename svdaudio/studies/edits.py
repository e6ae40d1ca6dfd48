"""The 72 ordered edits: each of nine animals is replaced by each of the other eight, next to a third that is kept.

Pictures are held-out composites (held-out backgrounds, a separate seed). The original and its edit are composed with
the same random numbers, so the background and the kept animal are the same in both, and the added animal stands where
the removed one was. Clicks are the deepest points of the known masks. Each edit goes through the real
workflow; its sound is compared with plain SSV2A of the original picture.

Controls show what the method contributes: (a) plain SSV2A of the edited picture; (b) the mix with
`mix.direct` alone, without the decomposition; and, optionally, (c) the method with both factors 1, which
mixes in the regions unscaled.

"Removed", "added" and "kept" are the classes of the three animals.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svdaudio.figures import Figure, at_least, at_most, mean_figure
from svdaudio.files import write_bytes
from svdaudio.mini import farm
from svdaudio.mini.composites import Composite, compose, depth_within
from svdaudio.studies.pairs import Row
from svdaudio.svd.images import png_bytes

EDITS_SEED = 90_072
SIZE_PX = 448
LEAST_SHARE = 0.03
"""Least share of a picture that each animal in it covers: about eight of the 256 patches."""

N_TRIES = 400
RISE, STAYED = at_least(0.90), at_most(0.15)

METHOD, PLAIN, DIRECT, UNSCALED = "method", "plain SSV2A of the edit", "direct_mix alone", "regions unscaled"
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    METHOD: {},
    DIRECT: {"mix.alpha": 0.0, "mix.beta": 0.0, "mix.gamma": 0.0, "mix.direct": 1.0},
    UNSCALED: {"svd.alpha": 1.0, "svd.beta": 1.0},
}
"""The parameters of each variant; every run also makes plain SSV2A of both pictures."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One edit: two composed pictures, and a click in each."""

    removed: str
    added: str
    kept: str
    original: Composite
    edited: Composite

    @property
    def name(self) -> str:
        """Its name in the table."""
        return f"{self.removed}-to-{self.added}-beside-{self.kept}"

    @property
    def remove(self) -> tuple[int, int]:
        """The click (x, y) on the animal to remove."""
        return deepest(self.original.mask(1))

    @property
    def add(self) -> tuple[int, int]:
        """The click (x, y) on the added animal."""
        return deepest(self.edited.mask(1))


def ordered_pairs() -> list[tuple[str, str]]:
    """The animal removed and the animal added, for all 72 edits."""
    return list(itertools.permutations(farm.CLASSES, 2))


def draw_edit(removed: str, added: str, *, seed: int = EDITS_SEED) -> Edit:
    """Compose one edit: the first random draw in which every animal is clearly visible.

    Args:
        removed: class of the animal that is only in the original.
        added: class of the animal that is only in the edited picture.
        seed: of every draw.
    """
    number = ordered_pairs().index((removed, added))
    others = [name for name in farm.CLASSES if name not in (removed, added)]
    kept = others[int(np.random.default_rng((seed, number)).integers(len(others)))]
    kept_index, classes = farm.CLASSES.index(kept), {name: farm.CLASSES.index(name) for name in (removed, added)}
    for attempt in range(N_TRIES):
        original, edited = (_compose((seed, number, attempt), (kept_index, classes[name])) for name in (removed, added))
        shares = [float(picture.mask(i).mean()) for picture in (original, edited) for i in range(2)]
        if min(shares) >= LEAST_SHARE:
            return Edit(removed=removed, added=added, kept=kept, original=original, edited=edited)
    raise RuntimeError(f"no draw of {removed} to {added} beside {kept} shows every animal")


def _compose(seed: tuple[int, int, int], classes: tuple[int, int]) -> Composite:
    # The random numbers do not depend on the animals, so the two pictures differ only in the second animal.
    return compose(
        np.random.default_rng(seed),
        size=SIZE_PX,
        classes=classes,
        backgrounds=farm.HELD_OUT_BACKGROUNDS,
        invented_backgrounds=0.0,
    )


def deepest(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """The pixel (x, y) of a mask that is farthest from its rim."""
    depth = depth_within(mask)
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(column), int(row)


def write_picture(path: Path, picture: Composite) -> Path:
    """Write a scene as PNG, unless the file already has that content.

    Raises:
        StoreError: the file cannot be written.
    """
    data = png_bytes(picture.pixels)
    if not path.is_file() or path.read_bytes() != data:
        write_bytes(path, data)
    return path


def write_edits(folder: Path, edits: Sequence[Edit], variants: Sequence[str]) -> list[Row]:
    """Write the pictures of edits as PNG, and return the pairs of every variant of each.

    Raises:
        StoreError: the folder cannot be written.
    """
    pairs: list[Row] = []
    for edit in edits:
        paths: dict[str, Path] = {}
        for side, picture in (("original", edit.original), ("edited", edit.edited)):
            paths[side] = write_picture(folder / f"{edit.name}.{side}.png", picture)
        clicks = {"remove": [list(edit.remove)], "add": [list(edit.add)]}
        pairs += [
            Row(
                name=pair_name(edit, variant),
                files=dict(paths),
                parameters={**clicks, **VARIANTS[variant]},
                where=pair_name(edit, variant),
            )
            for variant in variants
        ]
    return pairs


def pair_name(edit: Edit, variant: str) -> str:
    """The name of one variant of an edit in the batch."""
    return edit.name if variant == METHOD else f"{edit.name}, {variant}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of one edit: class scores of the sounds, each 0 to 1."""

    removed: str
    added: str
    kept: str
    original: Mapping[str, float]
    """Class → score in the sound of the original picture, by plain SSV2A."""
    sounds: Mapping[str, Mapping[str, float]]
    """Variant ("method", each control) → class → score."""

    def change(self, variant: str, name: str) -> float:
        """How much the score of a class rose against the original's sound."""
        return self.sounds[variant][name] - self.original[name]


def outcome(edit: Edit, scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Outcome:
    """The outcome of an edit.

    Args:
        edit: the edit.
        scores: variant → sound ("original", "edited", "manipulated") → class → score.
    """
    sounds = {METHOD: scores[METHOD]["manipulated"], PLAIN: scores[METHOD]["edited"]}
    sounds.update({variant: found["manipulated"] for variant, found in scores.items() if variant != METHOD})
    return Outcome(
        removed=edit.removed, added=edit.added, kept=edit.kept, original=scores[METHOD]["original"], sounds=sounds
    )


def figures(outcomes: Sequence[Outcome], variant: str) -> tuple[Figure, ...]:
    """The figures of a variant over all edits, with 95 % bootstrap intervals over the edits."""
    rises = [float(o.change(variant, o.added) > 0) for o in outcomes]
    falls = [float(o.change(variant, o.removed) < 0) for o in outcomes]
    both = [rise * fall for rise, fall in zip(rises, falls, strict=True)]
    stayed = [abs(o.change(variant, o.kept)) for o in outcomes]
    return (
        mean_figure("added class rises", rises, goal=RISE),
        mean_figure("removed class falls", falls, goal=RISE),
        mean_figure("both", both, goal=RISE),
        mean_figure("mean rise of the added class", [o.change(variant, o.added) for o in outcomes]),
        mean_figure("mean fall of the removed class", [-o.change(variant, o.removed) for o in outcomes]),
        mean_figure("mean absolute change of the kept class", stayed, goal=STAYED),
    )


MARGINS: Mapping[str, Callable[[Outcome, str], float]] = {
    "rise of the added class": lambda o, variant: o.change(variant, o.added),
    "fall of the removed class": lambda o, variant: -o.change(variant, o.removed),
    "absolute change of the kept class": lambda o, variant: abs(o.change(variant, o.kept)),
}
"""Name → function of an outcome and a variant, for comparisons edit by edit."""


def differences(outcomes: Sequence[Outcome], control: str, variant: str = METHOD) -> tuple[Figure, ...]:
    """Differences of a variant from a control, edit by edit. An interval that contains 0 shows no difference."""
    return tuple(
        mean_figure(f"{name}, {variant} less {control}", [of(o, variant) - of(o, control) for o in outcomes])
        for name, of in MARGINS.items()
    )


def rows(outcomes: Sequence[Outcome]) -> Iterator[dict[str, Any]]:
    """One row per edit and variant, for a table."""
    for o in outcomes:
        for variant, scores in o.sounds.items():
            row: dict[str, Any] = {"removed": o.removed, "added": o.added, "kept": o.kept, "variant": variant}
            for role, name in (("removed", o.removed), ("added", o.added), ("kept", o.kept)):
                row[f"{role}.before"], row[f"{role}.after"] = o.original[name], scores[name]
            yield row


def markdown(outcomes: Sequence[Outcome], *, command: str, bundle: str) -> str:
    """The figures as a page of Markdown: the command, the table, the differences from the controls."""
    variants = list(outcomes[0].sounds)
    columns = {variant: figures(outcomes, variant) for variant in variants}
    lines = [
        f"`{command}`: {len(outcomes)} edits, bundle {bundle}, means with 95 % bootstrap intervals over the edits.",
        "",
        f"| against the sound of the original picture | {' | '.join(variants)} | goal of the method |",
        f"|---|{'---|' * len(variants)}---|",
    ]
    for place, figure in enumerate(columns[METHOD]):
        cells = " | ".join(str(columns[variant][place]) for variant in variants)
        lines.append(f"| {figure.name} | {cells} | {figure.goal or ''} |")
    lines += ["", "| difference, edit by edit | mean |", "|---|---|"]
    for control in variants[1:]:
        lines += [f"| {figure.name} | {figure} |" for figure in differences(outcomes, control)]
    if DIRECT in variants and all(o.sounds[DIRECT] == o.sounds[PLAIN] for o in outcomes):
        same = f'"{DIRECT}" is identical to "{PLAIN}", sound by sound'
        lines += ["", f"{same}: with `mix.direct` alone the mix is the edited picture's own embedding."]
    return "\n".join(lines) + "\n"
