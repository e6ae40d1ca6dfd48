"""A bundle: one checkpoint for each role, with digests, class names and recommended settings.

`checkpoints/<name>/bundle.json` describes it; opening it imports no torch and reads no weights. Only the loaders in
`roles.LOADERS` may depend on which bundle is used. `mini` comes with svdaudio and has weights in this project's own
format; `svdaudio checkpoints fetch` and `import` fill `full` with published files. A bundle with a base has only some
models itself, such as one that its user has trained, and takes all others from its base.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svdaudio.checkpoints.description import MANIFEST, ModelDescription, read_description
from svdaudio.checkpoints.roles import DOMAIN, JUDGE, LOADERS, OPTIONAL_ROLES, OWN_FORMAT
from svdaudio.errors import CheckpointError
from svdaudio.places import checkpoints_roots, restore_advice
from svdaudio.weights.digests import hash_unchanged, known_digest

if TYPE_CHECKING:
    import torch

    from svdaudio.models.domain import Domain

FULL = "full"
"""The bundle for published weights."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file of a checkpoint."""

    path: Path
    sha256: str
    n_bytes: int


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One checkpoint of a bundle."""

    role: str
    bundle: str
    """Name of the bundle whose folder has the files: this one, or one of its bases."""
    format: str
    """Selects the loader."""
    path: Path
    """Passed to the loader: a file, or a folder."""
    sha256: str
    """Digest of the file; for several files, of the list of their names and digests."""
    n_bytes: int
    """Of all files."""
    published: str | None
    """Name of the published model, for `svdaudio checkpoints fetch`."""
    parts: tuple[Part, ...]
    """The files; usually one."""
    classes: tuple[str, ...]
    """Class names by index, for a detector or tagger; the texts of a text encoder or guide with a fixed list; else
    empty."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """The checkpoints of one name."""

    name: str
    """Name of its folder, by which it is reopened."""
    title: str
    settings: Mapping[str, Any]
    """Dotted configuration name → value recommended with these models; anything the user sets takes precedence."""
    entries: Mapping[str, Entry]
    bases: tuple[str, ...] = ()
    """Names of the bundles that fill the roles that it lacks, its own base first."""

    @staticmethod
    def open(name: str, root: Path | None = None) -> Bundle:
        """Read the description of the bundle `name`, below `root` or the first of `places.checkpoints_roots()` with it.

        Raises:
            CheckpointError: the bundle or its base does not exist, its description is damaged, or it is its own base.
        """
        return _open(name, checkpoints_roots() if root is None else (root,), above=())

    @staticmethod
    def names() -> list[str]:
        """Names of all bundles that can be opened."""
        return sorted({path.parent.name for root in checkpoints_roots() for path in root.glob(f"*/{MANIFEST}")})

    def here(self) -> Bundle:
        """The same bundle with this machine's files, if it was opened on another machine.

        The digests are kept: different weights are rejected when they are loaded.
        """

        def mine(path: Path, bundle: str) -> Path:
            _, below, name = path.as_posix().rpartition(f"/{bundle}/")
            here = bundle_folder(bundle, checkpoints_roots()) / (name if below else path.name)
            return path if path.exists() or not here.exists() else here

        def entry(there: Entry) -> Entry:
            parts = tuple(replace(part, path=mine(part.path, there.bundle)) for part in there.parts)
            return replace(there, path=mine(there.path, there.bundle), parts=parts)

        return replace(self, entries={role: entry(there) for role, there in self.entries.items()})

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles that the bundle or its base fills."""
        return tuple(self.entries)

    @property
    def own_roles(self) -> tuple[str, ...]:
        """Roles whose weights are in the bundle's own folder."""
        return tuple(role for role, entry in self.entries.items() if entry.bundle == self.name)

    @property
    def judges(self) -> tuple[str, ...]:
        """Roles of the bundle's taggers; the first one scores runs."""
        return tuple(role for role in ("tagger", JUDGE) if role in self.entries)

    @property
    def missing_roles(self) -> tuple[str, ...]:
        """Required roles without a checkpoint: published weights are installed one by one."""
        return tuple(role for role in LOADERS if role not in (*self.entries, *OPTIONAL_ROLES))

    def entry(self, role: str) -> Entry:
        """The checkpoint of a role.

        Raises:
            CheckpointError: the bundle has no such role.
        """
        try:
            return self.entries[role]
        except KeyError:
            raise CheckpointError(
                f"the bundle '{self.name}' has no {role}",
                expected=f"one of {', '.join(self.roles)}" if self.roles else None,
                fix=self._fix(role),
            ) from None

    def _fix(self, role: str) -> str | None:
        """How to get a model for a role that the bundle lacks."""
        if FULL in (self.name, *self.bases) and role in LOADERS:
            return f"run `{_fetch_command(role)}`"
        able = [name for name in Bundle.names() if role in _described_roles(name)]
        return f"use --bundle {able[0]}" if able else None

    def digests(self, role: str) -> str:
        """sha256 of the weights of a role, from the description; `check` compares it with the file."""
        return self.entry(role).sha256

    def classes(self, role: str) -> tuple[str, ...]:
        """Classes of a detector or tagger by index; texts of a text encoder or guide with a fixed list."""
        return self.entry(role).classes

    def check_domain(self) -> str | None:
        """sha256 of the description of the pictures that the models were trained on; None if the bundle has none.

        Raises:
            CheckpointError: the file is missing or differs.
        """
        if DOMAIN not in self.entries:
            return None
        self.check(DOMAIN)
        return self.digests(DOMAIN)

    def load_domain(self) -> Domain:
        """The description of the pictures that the models were trained on.

        Raises:
            CheckpointError: the bundle has none, or the file is missing or damaged.
        """
        import torch

        self.check(DOMAIN)
        return load_entry(self.entry(DOMAIN), torch.device("cpu"))

    def check(self, role: str, *, rehash: bool = False) -> None:
        """Compare the files of a role with the description.

        Args:
            role: role to check.
            rehash: hash published files even if they are unmodified since they were last hashed. Files of this
                project's own format are small, and always hashed.

        Raises:
            CheckpointError: a file is missing or differs.
        """
        entry = self.entry(role)
        published = entry.format != OWN_FORMAT
        fix = f"run `{_fetch_command(role, entry.published)}`" if published else restore_advice()
        for part in entry.parts:
            if not part.path.is_file():
                raise CheckpointError(f"the {role} of the bundle '{self.name}' is missing", expected=part.path, fix=fix)
            digest = known_digest(part.path, rehash=rehash) if published else hash_unchanged(part.path).sha256
            if digest != part.sha256:
                raise CheckpointError(
                    f"the {role} {part.path} does not match the description of the bundle '{self.name}'",
                    expected=f"sha256 {part.sha256[:12]}… ({part.n_bytes} bytes)",
                    got=f"{digest[:12]}… ({part.path.stat().st_size} bytes)",
                    fix=f"delete it and {fix}"
                    if published
                    else f"{fix}, or describe a new bundle with `svdaudio train manifest`",
                )


def _open(name: str, roots: Sequence[Path], *, above: tuple[str, ...]) -> Bundle:
    """Read the descriptions of a bundle and of its bases; `above` are the bundles that it is a base of."""
    path = roots[0] / name / MANIFEST
    fix = "delete it, and run `svdaudio checkpoints fetch`" if name == FULL else restore_advice()
    if name in {"", ".."} or Path(name).name != name:
        raise CheckpointError(
            "the name of a bundle is not valid", expected="the name of a folder in checkpoints/", got=f"'{name}'"
        )
    try:
        path = bundle_folder(name, roots) / MANIFEST
        described = read_description(path, fix=fix)
    except PermissionError as error:
        raise CheckpointError(
            f"the description {path} cannot be read", got=error.strerror, fix="check its permissions"
        ) from None
    except OSError:
        there = sorted({p.parent.name for root in roots for p in root.glob(f"*/{MANIFEST}")})
        raise CheckpointError(
            f"unknown bundle '{name}'",
            expected=" or ".join(there) or None,
            fix=f"run `svdaudio checkpoints fetch`, which fills {path.parent}"
            if name == FULL
            else f"choose one of those, or put its files into {path.parent}"
            if there
            else restore_advice(),
        ) from None
    own = {role: _entry(role, model, path.parent) for role, model in described.models.items()}
    if described.base is None:
        return Bundle(name=name, title=described.title, settings=described.settings, entries=own)
    if described.base in (*above, name):
        raise CheckpointError(f"the bundle '{name}' is its own base", got=path, fix="name another base there")
    base = _open(described.base, roots, above=(*above, name))
    return Bundle(
        name=name,
        title=described.title,
        settings={**base.settings, **described.settings},
        entries={**base.entries, **own},
        bases=(base.name, *base.bases),
    )


def bundle_folder(name: str, roots: Sequence[Path]) -> Path:
    """The folder of a bundle, in the first of `roots` that has its description, or in the first one if none has."""
    return next((root / name for root in roots if (root / name / MANIFEST).exists()), roots[0] / name)


def _described_roles(name: str) -> Iterable[str]:
    """Roles of another bundle, for advice; empty if it cannot be opened."""
    try:
        return Bundle.open(name).roles
    except CheckpointError:
        return ()


def _entry(role: str, model: ModelDescription, folder: Path) -> Entry:
    """Build an entry from its description."""
    return Entry(
        role=role,
        bundle=folder.name,
        format=model.format,
        published=model.published,
        path=folder / model.file,
        sha256=model.sha256,
        n_bytes=model.bytes,
        parts=tuple(Part(path=folder / part.file, sha256=part.sha256, n_bytes=part.bytes) for part in model.files),
        classes=tuple(model.classes),
    )


def _fetch_command(role: str, published: str | None = None) -> str:
    """The command that installs a model for a role of the bundle `full`: the published one, or the recommended one."""
    from svdaudio.checkpoints.registry import for_role

    names = [published] if published else [one.name for one in for_role(role)]
    return f"svdaudio checkpoints fetch {names[0]}" if names else "svdaudio checkpoints list"


def load_entry(entry: Entry, device: torch.device) -> Any:
    """The model of an entry, by the loader of its role and format. Its files have been checked.

    Raises:
        CheckpointError: no loader supports the format, or the files are damaged.
    """
    from svdaudio.weights.reading import unreadable

    known = LOADERS.get(entry.role, {})
    if entry.format not in known:
        raise CheckpointError(
            f"the {entry.role} {entry.path} is of an unknown format",
            expected=" or ".join(known) or None,
            got=entry.format,
        )
    module, _, function = known[entry.format].partition(":")
    load = getattr(import_module(module), function)
    with unreadable(entry.path, f"a {entry.role} in the format '{entry.format}'"):
        return load(entry.path, device) if entry.format == OWN_FORMAT else load(entry.path, device, digest=entry.sha256)
