"""The parts of a workflow: stages, which are kinds of computation, and nodes, each of which uses a stage.

The source of an input is `node.output`, or `file:<name>` for a file of the user. A parameter is a local name bound to a
place in the configuration (`svd.k`). Keys, plans, runners and diagrams are derived from these rows alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from svdaudio.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE_PREFIX = "file:"

OfFile = TypeVar("OfFile")
OfOutput = TypeVar("OfOutput")


class Body(Protocol):
    """The code of a stage: a function of keyword arguments, one for each input, parameter and model of its row.

    Inputs are arrays or paths of files; parameters are plain JSON data; models are loaded. A body that takes `note` may
    call it with a text, which is kept in the artifact's record.
    """

    def __call__(self, **arguments: Any) -> Mapping[str, NDArray[Any]]:
        """Compute the outputs of the row, by name."""
        ...


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A kind of computation. Raise `version` whenever the same inputs would yield other outputs."""

    name: str
    version: int = 1
    inputs: tuple[str, ...]
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    """Local name → dotted name in the configuration."""
    models: tuple[str, ...] = ()
    """Roles of the bundle."""
    outputs: tuple[str, ...]
    body: str
    """`module:function`, imported when the stage is first computed."""
    summary: str

    def load_body(self) -> Body:
        """Import the body.

        Raises:
            ImportError, AttributeError: the row names a body that does not exist.
        """
        module, _, function = self.body.partition(":")
        return cast("Body", getattr(import_module(module), function))


@dataclass(frozen=True, kw_only=True)
class Node:
    """A use of a stage: the sources of its inputs, and parameters bound to other places in the configuration."""

    name: str
    stage: Stage
    inputs: Mapping[str, str]
    """Input of the stage → `node.output` or `file:<name>`. An input that takes any number of arrays has one entry
    `input.<name>` for each."""
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def bindings(self) -> dict[str, str]:
        """Local parameter name → dotted name in the configuration."""
        return {**self.stage.parameters, **self.parameters}

    @property
    def upstream(self) -> tuple[str, ...]:
        """Names of the nodes that this one reads from, each once, in order."""
        sources = (source for source in self.inputs.values() if not source.startswith(FILE_PREFIX))
        return tuple(dict.fromkeys(source.rpartition(".")[0] for source in sources))

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the user's files that this node reads, each once."""
        sources = (source for source in self.inputs.values() if source.startswith(FILE_PREFIX))
        return tuple(dict.fromkeys(source.removeprefix(FILE_PREFIX) for source in sources))

    def input_values(
        self, files: Mapping[str, OfFile], outputs: Mapping[str, Mapping[str, OfOutput]]
    ) -> dict[str, OfFile | OfOutput]:
        """The value of each input, such as an array or a digest.

        Args:
            files: name of a file → value, for at least the files that this node reads.
            outputs: node → output → value, for at least the nodes upstream.
        """
        values: dict[str, OfFile | OfOutput] = {}
        for name, source in self.inputs.items():
            if source.startswith(FILE_PREFIX):
                values[name] = files[source.removeprefix(FILE_PREFIX)]
            else:
                producer, _, output = source.rpartition(".")
                values[name] = outputs[producer][output]
        return values


def arguments_of(stage: Stage, values: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a stage as its body takes them: `waveforms.cat` is the entry "cat" of the mapping `waveforms`."""
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        group, dot, entry = name.partition(".")
        if dot:
            arguments.setdefault(group, {})[entry] = value
        else:
            arguments[name] = value
    return {**{name: {} for name in stage.inputs if name not in arguments}, **arguments}


Nodes = Mapping[str, Node]
"""A workflow: nodes by name, in reading order."""


def by_name(nodes: Iterable[Node]) -> dict[str, Node]:
    """Nodes as a workflow.

    Raises:
        ConfigError: two nodes have the same name.
    """
    table: dict[str, Node] = {}
    for node in nodes:
        if node.name in table:
            raise ConfigError(f"the workflow has two nodes '{node.name}'", fix="give each its own name")
        table[node.name] = node
    return table


def ancestors(targets: Iterable[str], nodes: Nodes) -> list[Node]:
    """The nodes that `targets` need, themselves included, each after those it reads from.

    Raises:
        ConfigError: a target does not exist.
    """
    found: dict[str, Node] = {}

    def visit(name: str) -> None:
        if name not in nodes:
            raise ConfigError(f"unknown stage '{name}'", expected=f"one of {', '.join(nodes)}")
        if name not in found:
            for source in nodes[name].upstream:
                visit(source)
            found[name] = nodes[name]

    for target in targets:
        visit(target)
    return list(found.values())


def in_order(nodes: Iterable[Node]) -> list[Node]:
    """Nodes in an order that loads few models: nodes without models first, then those that use the loaded models.

    Otherwise the given order is kept.

    Args:
        nodes: closed under `upstream`.

    Raises:
        ConfigError: the workflow has a cycle.
    """
    table = {node.name: node for node in nodes}
    rank = {name: place for place, name in enumerate(table)}
    sorter = TopologicalSorter({name: node.upstream for name, node in table.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        raise ConfigError("the workflow has a cycle", got=" → ".join(error.args[1])) from error
    order: list[Node] = []
    ready: set[str] = set()
    resident: frozenset[str] = frozenset()
    while sorter.is_active():
        ready.update(sorter.get_ready())
        chosen = table[min(ready, key=lambda name: (_reload_cost(table[name], resident), rank[name]))]
        ready.remove(chosen.name)
        resident = frozenset(chosen.stage.models) or resident
        order.append(chosen)
        sorter.done(chosen.name)
    return order


def _reload_cost(node: Node, resident: frozenset[str]) -> int:
    models = frozenset(node.stage.models)
    if not models:
        return 0
    return 1 if models == resident else 2


def group_of(node: str) -> str:
    """The group of a node by its name: "original" for "original.tokens", or an empty text."""
    return node.rpartition(".")[0]


OnNote = Callable[[str], None]
"""Receives a note of a body."""
