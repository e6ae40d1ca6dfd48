"""Held-out figures of every epoch, and the weights of the best epoch."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from torch import Tensor, nn

from svdaudio.errors import RunError
from svdaudio.files import write_bytes
from svdaudio.pretraining.retrieval import Recall


class History:
    """Figures by epoch, as a table on disk and in a training's checkpoint.

    The best epoch has the highest mean of all recalls; the latest of several equal ones counts.

    Args:
        folder: of the table and the best weights.
        name: of both files.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._table, self._weights = folder / f"{name}.epochs.csv", folder / f"{name}.best.safetensors"
        self._rows: list[dict[str, float]] = []
        self.best_epoch: int | None = None

    def state_dict(self) -> dict[str, Any]:
        """The rows and the best epoch."""
        return {"rows": [dict(row) for row in self._rows], "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the rows and the best epoch."""
        self._rows, self.best_epoch = [dict(row) for row in state["rows"]], state["best_epoch"]

    def add(self, epoch: int, step: int, figures: Sequence[Recall], model: nn.Module) -> bool:
        """Add an epoch's figures; if they are the best so far, save the model's weights and return True.

        Raises:
            StoreError: the files cannot be written.
        """
        row: dict[str, float] = {"epoch": epoch, "step": step, **{one.name: one.value for one in figures}}
        earlier = max((_score(one) for one in self._rows), default=-1.0)
        self._rows.append(row)
        self._write()
        is_best = _score(row) >= earlier
        if is_best:
            self.best_epoch = epoch
            state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
            write_bytes(self._weights, save(state))
        return is_best

    def best_weights(self) -> dict[str, Tensor]:
        """The weights of the best epoch.

        Raises:
            RunError: their file no longer exists.
        """
        if not self._weights.is_file():
            raise RunError(
                f"file not found: {self._weights}, the weights of the best epoch", fix="train again, in another --work"
            )
        return load_file(self._weights)

    def _write(self) -> None:
        text = io.StringIO()
        columns = list(dict.fromkeys(name for row in self._rows for name in row))
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in self._rows)
        write_bytes(self._table, text.getvalue().encode())


def _score(row: dict[str, float]) -> float:
    values = [value for name, value in row.items() if name not in ("epoch", "step")]
    return sum(values) / len(values)
