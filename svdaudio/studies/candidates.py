"""The candidates of a run: every sound that was drawn, beside the one that was kept. Candidates are counted from 1."""

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
    """Cosine of its CLAP embedding with the wanted one."""
    kept: bool
    """Whether it is the run's sound."""
    scores: Mapping[str, float]
    """Class → score, 0 to 1."""
    waveform: NDArray[Any]
    """[1, sample] at 22 050 Hz, finished as the run's sound is."""


def candidates(session: Session, run: RunRecord, *, progress: Progress = no_progress) -> Iterator[Candidate]:
    """Every candidate for every sound of a run, scored; of the stages, only those below the choice are computed.

    Raises:
        RunError: a run of a method that draws no candidates, or one of its files has changed.
    """
    config = check_has_candidates(session, run)
    for number in range(1, config.generate.candidates + 1):
        request = session.request_like(run, {PICK: number})
        ranked = tuple(name for name in request.table if name.endswith(".choose") and _made(name, request))
        request = replace(request, targets=(*request.targets, *ranked))
        arrays = session.arrays(session.run(request, progress=progress, record=False).run)
        waveforms, scores = arrays.sounds(), arrays.scores()
        for sound, node in arrays.sounds_done().items():
            if not arrays.has(f"{group_of(node)}.choose"):  # a sum of others
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


def _made(choose: str, request: Request) -> bool:
    """Whether the candidates that a node ranks are made for a request."""
    return any(node.name in request.table[choose].upstream for node in request.nodes)


def check_has_candidates(session: Session, run: RunRecord) -> Any:
    """The configuration of a run, if its method draws candidates.

    Raises:
        RunError: it does not.
    """
    if PICK not in session.method_of(run).config.parameters():
        raise RunError(f"run {run.id} has no candidates", got=f"a run of {run.kind}", fix="name a run that makes sound")
    return session.request_of(run).config
