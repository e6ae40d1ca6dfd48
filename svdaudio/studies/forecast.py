"""A forecast for many requests: the number of computations, how many are cached, and about how long they take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from svdaudio.engine.request import Request
from svdaudio.store.base import Store


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The work of several requests. Computations that they share count once."""

    n_runs: int
    n_computations: int
    n_cached: int
    left: Mapping[str, int]
    """Stage → upper bound of its computations that are not in the store: some may turn out to be cached."""

    def seconds(self, expected: Mapping[str, float], n_workers: int = 1) -> float | None:
        """An estimate of the remaining time; None if a stage has never been timed.

        Args:
            expected: from `svdaudio.engine.batch.expected_seconds`.
            n_workers: parallel processes.
        """
        if any(stage not in expected for stage in self.left):
            return None
        return sum(n * expected[stage] for stage, n in self.left.items()) / n_workers


def forecast(requests: Iterable[Request], store: Store) -> Forecast:
    """Look up the computations of some requests in the store. Nothing is computed.

    A computation whose inputs do not exist yet is identified by the computations that lead to it.

    Raises:
        InputError: a file cannot be read.
        CheckpointError: the bundle lacks a model.
    """
    outputs_of: dict[str, Mapping[str, str] | None] = {}
    stages: dict[str, str] = {}
    n_runs = 0
    for request in requests:
        n_runs += 1
        outputs: dict[str, dict[str, str]] = {}
        made: set[str] = set()
        for node in request.nodes:
            key = request.action(node, request.input_digests(node, outputs)).key
            if key not in stages:
                stages[key] = node.stage.name
                record = store.find(key) if made.issuperset(node.upstream) else None
                outputs_of[key] = None if record is None else {n: one.digest for n, one in record.outputs.items()}
            known = outputs_of[key]
            if known is not None:
                made.add(node.name)
            outputs[node.name] = dict(known) if known is not None else {n: f"{key}.{n}" for n in node.stage.outputs}
    left = Counter(stages[key] for key, known in outputs_of.items() if known is None)
    return Forecast(n_runs=n_runs, n_computations=len(stages), n_cached=len(stages) - left.total(), left=dict(left))
