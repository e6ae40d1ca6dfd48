"""A method as a value: its files, parameters, workflow, results and views, which is all that the engine needs.

    METHOD = Method(name="baseline", files={"original": PICTURE}, config=BaselineConfig, nodes=nodes, ...)

A method and its functions are defined at module level, so that it can be sent to other processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svdaudio.config import RunConfig
from svdaudio.engine.stage import Nodes
from svdaudio.verdicts import Finding

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class FileKind:
    """A kind of user file ("picture", "sound") with the function that checks a file before anything is computed."""

    name: str
    checker: str
    """`module:function`, called with the path; raises `InputError` if the file does not have this kind."""

    def check(self, path: Path) -> None:
        """Check a file.

        Raises:
            InputError: the file does not have this kind, or cannot be read.
        """
        module, _, function = self.checker.partition(":")
        getattr(import_module(module), function)(path)


@dataclass(frozen=True, kw_only=True)
class ConfiguredFile:
    """A file that a parameter names."""

    kind: FileKind
    path: Path


@dataclass(frozen=True, kw_only=True)
class View:
    """A plot of some arrays of a run."""

    name: str
    """Name of the plot: "removed.mask"."""
    nodes: tuple[str, ...]
    """The nodes that it shows; it belongs to the first, unless `of_run`."""
    draw: Callable[[], Figure]
    of_run: bool = False
    """Whether it shows the run as a whole and belongs to no node."""
    in_report: bool = False
    """Whether it is drawn for every run, and not only when its node is inspected."""
    on_page: bool = False
    """Whether Prefect's page of a flow run shows it."""
    of_artifacts: bool = False
    """Whether it depends only on the artifacts of its nodes, so that it can be copied from another run."""


def no_sounds(config: Any) -> Mapping[str, str]:
    """The sounds of a method that makes none."""
    del config
    return {}


def tagger_classes(config: Any, classes: Callable[[str], tuple[str, ...]]) -> tuple[str, ...]:
    """The names of class scores by the bundle's tagger."""
    del config
    return classes("tagger")


def no_configured_files(config: Any) -> Mapping[str, ConfiguredFile]:
    """No files: the default for a method whose parameters name none."""
    del config
    return {}


def no_views(arrays: Any) -> Iterator[View]:
    """The views of a method that draws nothing."""
    del arrays
    return iter(())


def no_measures(arrays: Any) -> Mapping[str, Mapping[str, float]]:
    """The measures of a method that has none."""
    del arrays
    return {}


def no_verdict(arrays: Any) -> Sequence[Finding]:
    """The verdict of a method that has none."""
    del arrays
    return ()


def no_notes(arrays: Any) -> Sequence[str]:
    """The notes of a method that has none."""
    del arrays
    return ()


Check = Callable[[Any, Any], None]
"""Checks a `Request` before it runs, given the store or None; raises a `SvdAudioError` if the request cannot work."""


Targets = tuple[str, ...] | Callable[[Any], tuple[str, ...]]
"""Names of nodes, or configuration → names of nodes."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A workflow that users can run."""

    name: str
    """The `kind` of its runs, and its name for `--method`."""
    summary: str
    files: Mapping[str, FileKind]
    """The user's files by name, in the order in which a command line takes them."""
    config: type[RunConfig]
    """Its parameters."""
    nodes: Callable[[Any], Nodes]
    """Its workflow, which may depend on the configuration."""
    targets: Targets
    """Nodes that a run computes by default: those of its sounds and scores. Nodes that may fail early come first."""
    configured_files: Callable[[Any], Mapping[str, ConfiguredFile]] = no_configured_files
    """Configuration → name of a file in the workflow → the file, for files that parameters name."""
    variants: Mapping[str, Targets] = field(default_factory=dict[str, Targets])
    """Other sets of targets by name."""
    figures: tuple[str, ...] = ()
    """Targets that only measure the outputs of others; they do not count when batches or files are compared."""
    sounds: Callable[[Any], Mapping[str, str]] = no_sounds
    """Configuration → name of each sound → `node.output` that holds its waveform."""
    scores: Callable[[Any], Mapping[str, str]] = no_sounds
    """Configuration → name of each sound → `node.output` that holds its class scores."""
    score_names: Callable[[Any, Callable[[str], tuple[str, ...]]], tuple[str, ...]] = tagger_classes
    """Configuration, and role of the bundle → its classes → names of the class scores, in order."""
    result: str | Callable[[Any], str] = ""
    """Name of the main sound, which `--out` copies; or configuration → that name."""
    stems: Callable[[Any], tuple[str, ...]] | None = None
    """Configuration → names of the sounds that add up to the main sound; None for a method without stems."""
    checks: tuple[Check, ...] = ()
    views: Callable[[Any], Iterable[View]] = no_views
    """`RunArrays` of a run → its views."""
    measures: Callable[[Any], Mapping[str, Mapping[str, float]]] = no_measures
    """`RunArrays` of a finished run → figures for its record, by group and name: {"cosines": {"edited": 0.9}}."""
    verdict: Callable[[Any], Sequence[Finding]] = no_verdict
    """`RunArrays` of a finished run → the intended effect on each object, and whether it was achieved."""
    notes: Callable[[Any], Sequence[str]] = no_notes
    """`RunArrays` of a finished run → notes for users, one sentence each."""
    regions: Mapping[str, str] = field(default_factory=dict[str, str])
    """Parameter that points at regions of a picture → the file of that picture."""
    regions_optional: bool = False
    """Whether it also accepts pictures without any region."""
    label: str = ""
    """Its name on buttons and tabs; the capitalised name if empty."""
    former_parameters: tuple[str, ...] = ()
    """Dotted names or sections that only records of earlier versions contain."""

    def result_of(self, config: Any) -> str:
        """The main sound of a run of this configuration."""
        return self.result(config) if callable(self.result) else self.result

    def default_targets(self, config: Any, variant: str | None = None) -> tuple[str, ...]:
        """The nodes that a run of this configuration computes, by default or in a variant."""
        targets = self.targets if variant is None else self.variants[variant]
        return targets(config) if callable(targets) else targets
