"""The arrays of a run by node, each read once, for views, measures and reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from svdaudio.engine.method import Method
from svdaudio.engine.request import recorded_config
from svdaudio.engine.stage import Nodes
from svdaudio.store.runs import RunRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from svdaudio.store.base import Store

Read = Callable[[str], "dict[str, NDArray[Any]]"]
"""Returns the arrays of a node by its name."""
ClassNames = Callable[[str], "tuple[str, ...]"]
"""Returns the class names of a role's model, in the order of its indices."""


class RunArrays:
    """The arrays of one run.

    Args:
        run: the record of the run, with the status of each node.
        method: the method of the run.
        read: returns the arrays of a node that is done.
        classes: returns the class names of a tagger or detector of the run's bundle.
        judged: sound → class → score, 0 to 1, by another tagger; replaces the scores of the run.

    Raises:
        RunError: the record holds a configuration from an incompatible version.
    """

    def __init__(
        self,
        run: RunRecord,
        method: Method,
        read: Read,
        classes: ClassNames,
        judged: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        self.run = run
        self.method = method
        self.config: Any = recorded_config(run, method)
        self.classes = classes
        self._read = read
        self._loaded: dict[str, dict[str, NDArray[Any]]] = {}
        self._judged = judged

    @classmethod
    def in_store(cls, run: RunRecord, method: Method, store: Store, classes: ClassNames) -> RunArrays:
        """The arrays as they are in the store; a missing or damaged one raises an error."""

        def read(node: str) -> dict[str, NDArray[Any]]:
            entry = run.stage(node)
            if entry is None or entry.key is None:
                raise KeyError(node)
            return store.load(entry.key)

        return cls(run, method, read, classes)

    def judged(self, scores: Mapping[str, Mapping[str, float]]) -> RunArrays:
        """The same run with the scores of another tagger.

        Args:
            scores: sound → class → score, 0 to 1.
        """
        return RunArrays(self.run, self.method, self.__getitem__, self.classes, judged=scores)

    @cached_property
    def nodes(self) -> Nodes:
        """The workflow of the run."""
        return self.method.nodes(self.config)

    def key(self, node: str) -> str | None:
        """The key of a node's artifact, or None if the run did not reach it."""
        entry = self.run.stage(node)
        done = entry is not None and entry.status in ("cached", "computed")
        return entry.key if entry is not None and done else None

    def has(self, *nodes: str) -> bool:
        """Whether every one of `nodes` is part of the run, and done."""
        return all(self.key(node) is not None for node in nodes)

    def parameters(self, node: str) -> Mapping[str, Any]:
        """The parameters of a node, by their local names."""
        entry = self.run.stage(node)
        return {} if entry is None or entry.action is None else entry.action.parameters

    def __getitem__(self, node: str) -> dict[str, NDArray[Any]]:
        """The arrays of a node that is done."""
        if node not in self._loaded:
            self._loaded[node] = self._read(node)
        return self._loaded[node]

    def output(self, source: str) -> NDArray[Any]:
        """One array by `node.output`."""
        node, _, name = source.rpartition(".")
        return self[node][name]

    def sounds(self) -> dict[str, NDArray[Any]]:
        """Waveform of each finished sound, by name."""
        done = self.sounds_done()
        sources = self.method.sounds(self.config)
        return {name: self.output(sources[name]) for name in done}

    def scores(self) -> dict[str, dict[str, float]]:
        """Sound → class → score, 0 to 1, in the order of `score_names`."""
        if self._judged is not None:
            return {name: dict(row) for name, row in self._judged.items()}
        found: dict[str, dict[str, float]] = {}
        sources = self.method.scores(self.config)
        for name in self.scores_done():
            pairs = zip(self.score_names(), self.output(sources[name]).ravel(), strict=True)
            found[name] = {one: round(float(value), 6) for one, value in pairs}
        return found

    def score_names(self) -> tuple[str, ...]:
        """Names of the class scores, in order."""
        return self.method.score_names(self.config, self.classes)

    def sounds_done(self) -> dict[str, str]:
        """Sound → the node that produced it, for finished sounds."""
        return self._done(self.method.sounds)

    def heard(self) -> dict[str, NDArray[Any]]:
        """Waveform of each sound as it was scored, by name: unfinished in level and ends, and a stem at 0 dB."""
        nodes = self.scores_done()
        sources = {name: self.nodes[node].inputs.get("waveform") for name, node in nodes.items()}
        return {name: self.output(source) for name, source in sources.items() if source is not None}

    def scores_done(self) -> dict[str, str]:
        """Sound → the node that scored it, for sounds that are scored."""
        return self._done(self.method.scores)

    def _done(self, outputs: Callable[[Any], Mapping[str, str]]) -> dict[str, str]:
        nodes = {name: source.rpartition(".")[0] for name, source in outputs(self.config).items()}
        return {name: node for name, node in nodes.items() if self.has(node)}
