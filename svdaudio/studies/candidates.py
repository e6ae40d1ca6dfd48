"""The candidates of a run: every sound that was generated, not only the one that was kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from svdaudio.engine.journal import Progress, no_progress
from svdaudio.engine.request import Request
from svdaudio.engine.stage import group_of
from svdaudio.errors import RunError
from svdaudio.session import Session
from svdaudio.store.runs import RunRecord

PICK = "generate.pick"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One candidate for a sound."""

    sound: str
    number: int
    """From 1."""
    similarity: float
    """Cosine of its CLAP embedding with the target embedding."""
    kept: bool
    """Whether it is the run's sound."""
    scores: Mapping[str, float]
    """Class → score, 0 to 1."""
    waveform: NDArray[Any]
    """[1, sample] at 22 050 Hz, finished like the run's sound."""


def candidates(session: Session, run: RunRecord, *, progress: Progress = no_progress) -> Iterator[Candidate]:
    """Yield every candidate for every sound of a run, with its scores. Only stages after the choice are computed.

    Raises:
        RunError: the method generates no candidates, or a file of the run has changed.
    """
    config = check_has_candidates(session, run)
    for number in range(1, config.generate.candidates + 1):
        request = session.request_like(run, {PICK: number})
        ranked = tuple(name for name in request.table if name.endswith(".choose") and _is_made(name, request))
        request = replace(request, targets=(*request.targets, *ranked))
        arrays = session.arrays(session.run(request, progress=progress, record=False).run)
        waveforms, scores = arrays.sounds(), arrays.scores()
        for sound, node in arrays.sounds_done().items():
            if not arrays.has(f"{group_of(node)}.choose"):  # the sum of other sounds
                continue
            choose = arrays[f"{group_of(node)}.choose"]
            kept = int(choose["choice"]) + 1 if config.generate.pick == "best" else config.generate.pick
            yield Candidate(
                sound=sound,
                number=number,
                similarity=float(choose["similarity"][number - 1]),
                kept=number == kept,
                scores=scores[sound],
                waveform=waveforms[sound],
            )


def _is_made(choose: str, request: Request) -> bool:
    """Whether a request computes the candidates that a node ranks."""
    return any(node.name in request.table[choose].upstream for node in request.nodes)


def check_has_candidates(session: Session, run: RunRecord) -> Any:
    """The configuration of a run whose method generates candidates.

    Raises:
        RunError: the method generates none.
    """
    if PICK not in session.method_of(run).config.parameters():
        raise RunError(
            f"run {run.id} has no candidates", got=f"a run of {run.kind}", fix="choose a run that generates sound"
        )
    return session.request_of(run).config
