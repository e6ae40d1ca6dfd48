"""Zero-shot evaluation of a sound encoder: each sound gets the label whose text is nearest to it.

    study = ZeroShotStudy(dataset="esc50", root=Path("ESC-50-master"), folder=Path("out"))
    prepare(session, study.rows(), method, common) …          # a batch like any other
    found = study.found(embeddings, texts, failed)
    found.write(command="…", bundle="mini")

The protocol is that of Sound-Guided Semantic Image Manipulation (Lee et al. 2022) and its authors' snippet (issue 11 of
kuai-lab/sound-guided-semantic-image-manipulation): sounds longer or shorter than 10 s are centred, a label is its bare
name without a template, and the nearest one by cosine is the prediction. Nothing is trained on the data set, so its
folds are five or ten test sets whose mean is reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.engine.batches import write_table
from svdaudio.errors import InputError
from svdaudio.evaluation.zero_shot import (
    Confusion,
    Predictions,
    accuracies,
    average_precisions,
    confusions,
    mean_average_precision,
    recalls,
)
from svdaudio.figures import Figure, markdown_table
from svdaudio.files import write_bytes
from svdaudio.models.sound_clip.matching import cosines
from svdaudio.pretraining.items import DataSet, Item
from svdaudio.studies.pairs import Row
from svdaudio.studies.zero_shot_data import FARM, PROTOCOLS, Protocol, choose, item_facts, read_data, readable

if TYPE_CHECKING:
    from svdaudio.engine.request import Request
    from svdaudio.session import Session

KIND = "zero-shot"
"""Kind of study in records of batches."""
TEXT_NODE = "labels.say"
"""Its output `vectors` is a unit vector for each label, [class, dim]."""
N_LISTED = 20
"""Most confusions and missing rows that are listed."""


@dataclass(frozen=True, kw_only=True)
class ZeroShotStudy:
    """A zero-shot evaluation of a data set."""

    dataset: str
    root: Path | None
    folder: Path
    """Folder for results."""
    folds: tuple[str, ...] = ()
    """Folds to evaluate; if empty, those of the protocol."""
    limit: int | None = None

    @property
    def protocol(self) -> Protocol:
        """How the data set is evaluated."""
        return PROTOCOLS[self.dataset]

    @cached_property
    def data(self) -> DataSet:
        """The whole data set.

        Raises:
            InputError: the folder does not contain the data set, or a table cannot be read.
        """
        return read_data(self.dataset, self.root, folder=self.folder / "sounds", limit=self.limit)

    @cached_property
    def readable(self) -> tuple[list[Item], dict[str, str]]:
        """The chosen items whose sounds can be opened, and name → reason of the others.

        Raises:
            InputError: a fold is unknown, or no sound can be opened.
        """
        limit = None if self.dataset == FARM else self.limit  # only so many were made
        return readable(choose(self.data, self.folds or self.protocol.folds, limit))

    def rows(self) -> list[Row]:
        """The sounds as rows of a batch."""
        items, _ = self.readable
        return [Row(name=item.name, files={"sound": item.sound}, where=item.name) for item in items]

    def text_request(self, session: Session, bundle: str) -> Request:
        """A request of method `hear` that only computes `TEXT_NODE`, the vectors of the labels.

        Args:
            session: runs the request.
            bundle: the bundle whose guide embeds the labels.

        Raises:
            CheckpointError: the bundle has no guide.
            ConfigError: its guide only knows certain texts, and a label is not one of them.
        """
        items, _ = self.readable
        settings = {"bundle": bundle, "hear.labels": list(self.data.classes)}
        return session.request("hear", [items[0].sound], settings, targets=(TEXT_NODE,), source=self.dataset)

    def found(
        self,
        embeddings: Mapping[str, Float[NDArray[np.float32], " sound_dim"]],
        texts: Float[NDArray[np.float32], "class dim"],
        failed: Mapping[str, str],
    ) -> ZeroShot:
        """The evaluation of embeddings.

        Args:
            embeddings: name of the item → unit vector of its sound.
            texts: unit vectors of the labels, in the order of the data set's classes.
            failed: name → reason for items without an embedding.

        Raises:
            CheckpointError: sounds and texts are in different spaces.
            InputError: no sound could be embedded.
        """
        items, bad = self.readable
        items = [item for item in items if item.name in embeddings]
        if not items:
            raise InputError("no sound could be embedded", got=next(iter(failed.values()), "no sound"))
        classes = self.data.classes
        predictions = Predictions(
            cosines=np.stack([cosines(embeddings[item.name], texts) for item in items]),
            truth=np.array([[name in item.labels for name in classes] for item in items]),
            classes=classes,
            folds=tuple(item.fold or "" for item in items),
            groups=tuple(item.group for item in items),
        )
        return ZeroShot(study=self, items=tuple(items), predictions=predictions, bad={**bad, **failed})

    def kept(self, command: str) -> dict[str, Any]:
        """Itself and its command as JSON data, for the record of its batch."""
        return {
            "kind": KIND,
            "dataset": self.dataset,
            "root": None if self.root is None else str(self.root.absolute()),
            "folder": str(self.folder.absolute()),
            "folds": list(self.folds),
            "limit": self.limit,
            "command": command,
        }

    @classmethod
    def of_record(cls, kept: Mapping[str, Any]) -> tuple[Self, str]:
        """The study and its command, from the result of `kept`."""
        study = cls(
            dataset=kept["dataset"],
            root=None if kept["root"] is None else Path(kept["root"]),
            folder=Path(kept["folder"]),
            folds=tuple(kept["folds"]),
            limit=kept["limit"],
        )
        return study, str(kept["command"])


@dataclass(frozen=True, kw_only=True)
class ZeroShot:
    """Answers of a sound encoder and a guide for the sounds of a data set."""

    study: ZeroShotStudy
    items: tuple[Item, ...]
    predictions: Predictions
    """Of the items."""
    bad: Mapping[str, str] = field(default_factory=dict[str, str])
    """Name → reason, for sounds without a prediction."""

    @property
    def ranks(self) -> bool:
        """Whether the measure is mean average precision."""
        return self.study.protocol.measure == "ranks"

    @cached_property
    def figures(self) -> tuple[Figure, ...]:
        """The figures of the protocol, with intervals over recordings."""
        if self.ranks:
            return (mean_average_precision(self.predictions),)
        return accuracies(self.predictions, goals=self.study.protocol.goals)

    @cached_property
    def per_class(self) -> list[Figure]:
        """Recall of each class, or its average precision, the worst first."""
        found = average_precisions(self.predictions) if self.ranks else recalls(self.predictions)
        return sorted(found, key=lambda one: (one.value, one.name))

    @property
    def _class_rows(self) -> list[dict[str, Any]]:
        return [{"name": one.name, "n": one.n, "value": one.value} for one in self.per_class]

    @cached_property
    def confusions(self) -> list[Confusion]:
        """Labels that are mistaken for others, the most frequent first; empty if sounds are ranked."""
        return [] if self.ranks else confusions(self.predictions)

    @property
    def chance(self) -> float:
        """The figure that guessing reaches."""
        return self.predictions.chance_of_ranks if self.ranks else self.predictions.chance

    def rows(self) -> list[dict[str, Any]]:
        """A row for each sound, those without a prediction last."""
        rows = [
            {
                **item_facts(item),
                "heard": heard,
                "cosine": round(float(near.max()), 6),
                "cosine of the label": round(float(near[truth].max()), 6),
                "right": int(heard in item.labels if self.ranks else right),
                "error": None,
            }
            for item, heard, near, truth, right in zip(
                self.items,
                self.predictions.predicted,
                self.predictions.cosines,
                self.predictions.truth,
                self.predictions.correct,
                strict=True,
            )
        ]
        empty = dict.fromkeys(("heard", "cosine", "cosine of the label", "right"))
        known = {item.name: item for item in self.study.data.items}
        return rows + [{**item_facts(known[name]), **empty, "error": reason} for name, reason in self.bad.items()]

    def results(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "dataset": self.study.dataset,
            "measure": "mean average precision" if self.ranks else "accuracy",
            "sounds": len(self.items),
            "groups": len(set(self.predictions.groups)),
            "classes": len(self.predictions.classes),
            "chance": self.chance,
            "figures": [
                {
                    "name": one.name,
                    "value": one.value,
                    "low": one.low,
                    "high": one.high,
                    "n": one.n,
                    "goal": None if one.goal is None else str(one.goal),
                    "reached": one.reached,
                }
                for one in self.figures
            ],
            "per_class": self._class_rows,
            "confusions": [asdict(one) for one in self.confusions[:N_LISTED]],
            "bad_sounds": [{"name": name, "reason": reason} for name, reason in self.bad.items()],
            "rows_without_file": len(self.study.data.missing),
            "first_rows_without_file": list(self.study.data.missing[:N_LISTED]),
        }

    def write(self, *, command: str, bundle: str) -> dict[str, Path]:
        """Write the tables and the page; return name → path.

        Raises:
            StoreError: the folder cannot be written.
        """
        folder = self.study.folder
        files = {
            "every sound": write_table(folder / "sounds.csv", self.rows()),
            "every class": write_table(folder / "classes.csv", self._class_rows),
        }
        if self.confusions:
            rows = [asdict(one) for one in self.confusions]
            files["confusions"] = write_table(folder / "confusions.csv", rows)
        files["page"] = folder / "zero-shot.md"
        write_bytes(files["page"], self.markdown(command=command, bundle=bundle).encode())
        return files

    def markdown(self, *, command: str, bundle: str) -> str:
        """The figures as a page of Markdown."""
        measure = "average precision" if self.ranks else "recall"
        lines = [
            f"`{command}`: bundle {bundle}, {self.summary}",
            "",
            markdown_table(self.figures),
            "",
            f"| class | {measure} | sounds |",
            "|---|---|---|",
            *(f"| {one.name} | {one.value:.3f} | {one.n} |" for one in self.per_class),
        ]
        if self.confusions:
            lines += ["", "| label | heard instead | sounds | share |", "|---|---|---|---|"]
            lines += [
                f"| {one.label} | {one.heard} | {one.n} | {one.share:.2f} |" for one in self.confusions[:N_LISTED]
            ]
        if self.bad:
            lines += ["", "| sound without an answer | reason |", "|---|---|"]
            lines += [f"| {name} | {reason} |" for name, reason in self.bad.items()]
        return "\n".join(lines) + "\n"

    @property
    def missing_text(self) -> str:
        """The number of rows without a file, in words."""
        n_missing, n_found = len(self.study.data.missing), len(self.study.data.items)
        return f"{n_missing} of {n_missing + n_found} rows have no file"

    @property
    def summary(self) -> str:
        """The evaluated data, in one sentence."""
        n_missing, n_bad = len(self.study.data.missing), len(self.bad)
        parts = [
            f"{len(self.items)} sounds of {len(set(self.predictions.groups))} recordings",
            f"{len(self.predictions.classes)} classes",
            f"chance level {self.chance:.3f}",
            *([f"{n_bad} of {len(self.items) + n_bad} sounds could not be read"] if n_bad else []),
            *([self.missing_text] if n_missing else []),
        ]
        return f"{', '.join(parts)}; intervals are 95 % bootstrap intervals over recordings."
