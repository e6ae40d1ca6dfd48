"""Requests: a method with files, a configuration, a bundle and targets.

    request = Request(method=BASELINE, files={"original": path}, resolved=resolved, bundle=bundle)
    check(request, store)
    run = new_run(request)

Nothing here imports torch, numpy, zarr or prefect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import ValidationError

from svdaudio.config import Resolved, RunConfig, flatten, nested, remarks
from svdaudio.engine.method import FileKind, Method
from svdaudio.engine.stage import Node, Nodes, ancestors, in_order
from svdaudio.errors import ConfigError, InputError, RunError
from svdaudio.store.base import Store
from svdaudio.store.keys import Action, digest_file
from svdaudio.store.runs import FileUse, RunRecord, StageEntry, new_run_id

if TYPE_CHECKING:
    from svdaudio.models.domain import Domain


class BundleFacts(Protocol):
    """The part of a checkpoint bundle that requests use (`svdaudio.checkpoints.bundle.Bundle`). Reads no weights."""

    @property
    def name(self) -> str:
        """The bundle's name."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """Dotted configuration name → value recommended for these models."""
        ...

    def classes(self, role: str) -> tuple[str, ...]:
        """Class names of a detector or tagger, in the order of their indices."""
        ...

    def digests(self, role: str) -> str:
        """sha256 of the weights of a role.

        Raises:
            CheckpointError: the bundle has no such model.
        """
        ...

    def check_domain(self) -> str | None:
        """sha256 of the description of the inputs that the models were trained on; None if the bundle has none.

        Raises:
            CheckpointError: the file is missing or has changed.
        """
        ...

    def load_domain(self) -> Domain:
        """The description of the inputs that the models were trained on."""
        ...


class FileCache:
    """Digests of files, and the kinds that they were checked for; requests may share a cache."""

    def __init__(self) -> None:
        self._digests: dict[Path, str] = {}
        self._checked: set[tuple[str, Path]] = set()

    def digest(self, path: Path, description: str) -> str:
        """sha256 of a file.

        Raises:
            InputError: the file is missing or cannot be read.
        """
        if path not in self._digests:
            self._digests[path] = digest_file(path, name=description)
        return self._digests[path]

    def check(self, kind: FileKind, path: Path, *, known: bool) -> None:
        """Check, once, that a file has a kind.

        Args:
            kind: the expected kind.
            path: the file.
            known: whether the file is already known to have this kind.

        Raises:
            InputError: the file does not have this kind.
        """
        if (kind.name, path) not in self._checked and not known:
            kind.check(path)
        self._checked.add((kind.name, path))


@dataclass(frozen=True, kw_only=True)
class Request:
    """A computation to be done. Files are hashed once, when their digests are first needed."""

    method: Method
    files: Mapping[str, Path]
    """Name of the file in the workflow → path."""
    resolved: Resolved[Any]
    """The configuration, with the source of each value."""
    bundle: BundleFacts
    targets: tuple[str, ...] = ()
    """Nodes to compute; those of the method if empty."""
    cache: FileCache = field(default_factory=FileCache, compare=False)

    def __post_init__(self) -> None:
        if not self.targets:
            object.__setattr__(self, "targets", self.method.default_targets(self.config))

    @property
    def kind(self) -> str:
        """The kind of the run, which is the method's name."""
        return self.method.name

    @property
    def config(self) -> Any:
        """The configuration, of the method's type."""
        return self.resolved.config

    @cached_property
    def table(self) -> Nodes:
        """The method's workflow under this configuration."""
        return self.method.nodes(self.config)

    @cached_property
    def nodes(self) -> list[Node]:
        """Every node that the targets need, in the order of execution.

        Raises:
            ConfigError: a target does not exist.
        """
        return in_order(ancestors(self.targets, self.table))

    @cached_property
    def file_digests(self) -> dict[str, str]:
        """sha256 of every file that a node reads, by its name in the workflow.

        Raises:
            InputError: a file is missing or cannot be read.
        """
        names = dict.fromkeys(name for node in self.nodes for name in node.files)
        return {name: self.cache.digest(self.files[name], self.description(name)) for name in names}

    def file_kind(self, name: str) -> FileKind:
        """The kind of a file of the method, or of a file that a parameter names."""
        return self.method.files.get(name) or self.method.configured_files(self.config)[name].kind

    def description(self, name: str) -> str:
        """The name of a file in errors: "original picture", "remove.cat mask"."""
        kind = self.file_kind(name).name
        return name if kind == name else f"{name} {kind}"

    def parameters(self, node: Node) -> dict[str, Any]:
        """A node's parameters by their local names, as plain JSON data."""
        return {name: self.config.value(dotted) for name, dotted in node.bindings.items()}

    def models(self, node: Node) -> dict[str, str]:
        """Digests of the models that a node uses, by role."""
        return {role: self.bundle.digests(role) for role in node.stage.models}

    def action(self, node: Node, inputs: Mapping[str, str]) -> Action:
        """The computation of a node with these digests as inputs."""
        return Action(
            stage=node.stage.name,
            version=node.stage.version,
            parameters=self.parameters(node),
            inputs=dict(inputs),
            models=self.models(node),
        )

    def input_digests(self, node: Node, outputs: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        """Digest of each input of a node.

        Args:
            node: the node.
            outputs: node name → output name → digest, for at least the nodes upstream.
        """
        return node.input_values(self.file_digests if node.files else {}, outputs)

    def known_shape(self, name: str, store: Store | None) -> tuple[int, ...] | None:
        """Shape of the first array that a stage read from a file; None unless the store has it.

        A file with a known shape is valid.

        Args:
            name: the file's name.
            store: where artifacts are.
        """
        for node in self.nodes:
            if store is not None and name in node.files and not node.upstream:
                record = store.find(self.action(node, self.input_digests(node, {})).key)
                if record is not None:
                    return record.outputs[node.stage.outputs[0]].shape
        return None


def check(request: Request, store: Store | None = None) -> Request:
    """Return the request if everything that it needs is available, so that errors occur before the work starts.

    Files are checked by the checker of their kind, unless the store already has the result of reading them.

    Args:
        request: the request to check.
        store: where artifacts are.

    Raises:
        CheckpointError: the bundle lacks a model that is needed, or the description of its training inputs is damaged.
        InputError: a file does not have its kind, or a check of the method fails.
        ConfigError: a target or a combination of parameters does not exist.
    """
    for role in dict.fromkeys(role for node in request.nodes for role in node.stage.models):
        request.bundle.digests(role)
    request.bundle.check_domain()
    for name in request.file_digests:
        known = request.known_shape(name, store) is not None
        request.cache.check(request.file_kind(name), request.files[name], known=known)
    for method_check in request.method.checks:
        method_check(request, store)
    return request


def files_of(
    method: Method, paths: Mapping[str, Path] | list[Path], configured: Mapping[str, Path] | None = None
) -> dict[str, Path]:
    """The user's files by the names of a method.

    Args:
        method: the method that takes the files.
        paths: by name, or in the order in which the method lists them.
        configured: files that parameters name; a path given under the same name replaces one of them.

    Raises:
        InputError: there are too few or too many files, or one with an unknown name.
    """
    names, others = list(method.files), dict(configured or {})
    given = dict(zip(names, paths, strict=False)) if isinstance(paths, list) else dict(paths)
    others |= {name: given.pop(name) for name in others if name in given}
    n_given = len(paths) if isinstance(paths, list) else len(given)
    if n_given != len(names) or set(given) != set(names):
        kinds = " ".join(name.upper() for name in names)
        raise InputError(
            f"{method.name} takes {len(names)} file{'s' if len(names) != 1 else ''}",
            expected=kinds,
            got=" ".join(str(path) for path in (paths if isinstance(paths, list) else paths.values())) or "none",
        )
    return {**given, **others}


def resumed_request(run: RunRecord, method: Method, bundle: BundleFacts) -> Request:
    """The request of an earlier run, to continue it.

    Raises:
        RunError: a file is missing or has changed, or the configuration can no longer be read.
    """
    config = recorded_config(run, method)
    request = Request(
        method=method,
        files={name: Path(use.path) for name, use in run.files.items()},
        resolved=Resolved(config=config, sources=run.sources, remarks=run.remarks),
        bundle=bundle,
        targets=run.targets,
    )
    for name, use in run.files.items():
        try:
            now = digest_file(Path(use.path), name=request.description(name))
        except InputError as error:
            raise RunError(
                f"run {run.id} cannot be resumed because its file '{name}' cannot be read",
                got=use.path,
                fix="restore it, or start a new run",
            ) from error
        if now != use.digest:
            raise RunError(
                f"run {run.id} cannot be resumed because its file '{name}' has changed",
                expected=f"sha256 {use.digest[:12]}",
                got=f"{now[:12]} in {use.path}",
                fix="restore its earlier contents, or start a new run",
            )
    return request


def recorded_config(run: RunRecord, method: Method) -> RunConfig:
    """The configuration in the record of a run.

    A record that is older than a parameter is completed with the value that such runs used in effect, which need not be
    today's default.

    Raises:
        RunError: the record was written by an incompatible version of svdaudio.
    """
    gone = method.former_parameters
    kept = {
        name: value
        for name, value in flatten(run.config).items()
        if name not in gone and name.partition(".")[0] not in gone
    }
    for name, parameter in method.config.parameters().items():
        if parameter.former is not None:
            kept.setdefault(name, parameter.former)
    try:
        return method.config.model_validate(nested(kept))
    except (ValidationError, ConfigError) as error:
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            got = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        else:
            got = error.line()
        raise RunError(
            f"run {run.id} has a configuration from another version of svdaudio", got=got, fix="start a new run"
        ) from error


def new_run(request: Request, *, runner: str = "in-process", run_id: str | None = None) -> RunRecord:
    """The record of a run that is about to start; nothing is written yet.

    Args:
        request: the request of the run.
        runner: name of the runner ("in-process", "prefect", ...).
        run_id: the run's id, if it is already known elsewhere.

    Raises:
        InputError: a file is missing or cannot be read.
    """
    now = datetime.now(UTC)
    return RunRecord(
        id=run_id or new_run_id(now),
        kind=request.kind,
        created_at=now.isoformat(timespec="milliseconds"),
        files={
            name: FileUse(path=str(request.files[name].absolute()), digest=digest)
            for name, digest in request.file_digests.items()
        },
        config=request.config.tables(),
        sources=dict(request.resolved.sources),
        remarks=tuple(request.resolved.remarks),
        bundle=request.bundle.name,
        targets=request.targets,
        runner=runner,
        stages=tuple(StageEntry(node=node.name, stage=node.stage.name) for node in request.nodes),
        code_version=code_version(),
        host=gethostname(),
    )


def with_sources(config: RunConfig, sources: Mapping[str, str]) -> Resolved[Any]:
    """A known configuration together with the source of each value."""
    return Resolved(config=config, sources=dict(sources), remarks=remarks(config))


@cache
def code_version() -> str:
    """The version of svdaudio, for records."""
    try:
        return version("svdaudio")
    except PackageNotFoundError:
        return "unknown"
