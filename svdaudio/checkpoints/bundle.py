"""A bundle: one checkpoint for every role of the method, with digests, class names and recommended settings.

`checkpoints/<name>/bundle.json` describes it; opening it imports no torch and reads no weights. Nothing but
the loaders named here may depend on which bundle is used. `mini` comes with svdaudio and holds weights of this
project's own format; `full` is filled with published files by `svdaudio checkpoints fetch` and `import`. A bundle with
a base holds some models only, such as one that its user has trained, and has all others from its base.
"""

from __future__ import annotations

import gc
import json
import pickle
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from svdaudio.errors import CheckpointError, ConfigError
from svdaudio.files import read_text
from svdaudio.places import checkpoints_roots, restore_advice
from svdaudio.weights.digests import FileState, file_state, hash_unchanged, joint_digest, known_digest

if TYPE_CHECKING:
    import torch

    from svdaudio.config import RunConfig
    from svdaudio.models.domain import Domain

MANIFEST = "bundle.json"

FULL = "full"
"""The bundle for published weights."""
OWN_FORMAT = "svdaudio"

LOADERS: Mapping[str, Mapping[str, str]] = {
    "segmenter": {
        OWN_FORMAT: "svdaudio.models.sam2.segmenter:load_segmenter",
        "sam2": "svdaudio.models.sam2.published:load_segmenter",
    },
    "image_encoder": {
        OWN_FORMAT: "svdaudio.models.clip.encoder:load_image_encoder",
        "openai-clip": "svdaudio.models.clip.published:load_image_encoder",
    },
    "detector": {
        OWN_FORMAT: "svdaudio.models.yolo.detector:load_detector",
        "ultralytics": "svdaudio.models.yolo.published:load_detector",
    },
    "ssv2a": {
        OWN_FORMAT: "svdaudio.models.ssv2a:load_ssv2a",
        "ssv2a": "svdaudio.models.ssv2a.load:load_pair",
    },
    "diffuser": {
        OWN_FORMAT: "svdaudio.models.audioldm.diffuser:load_diffuser",
        "audioldm-ckpt": "svdaudio.models.audioldm.loaders:load_diffuser",
        "audioldm-diffusers": "svdaudio.models.audioldm.loaders:load_diffuser",
    },
    "autoencoder": {
        OWN_FORMAT: "svdaudio.models.audioldm.autoencoder:load_autoencoder",
        "audioldm-ckpt": "svdaudio.models.audioldm.loaders:load_autoencoder",
        "audioldm-diffusers": "svdaudio.models.audioldm.loaders:load_autoencoder",
    },
    "vocoder": {
        OWN_FORMAT: "svdaudio.models.audioldm.vocoder:load_vocoder",
        "audioldm-ckpt": "svdaudio.models.audioldm.loaders:load_vocoder",
        "audioldm-diffusers": "svdaudio.models.audioldm.loaders:load_vocoder",
    },
    "audio_encoder": {
        OWN_FORMAT: "svdaudio.models.mel_cnn.loaders:load_audio_encoder",
        "audioldm-ckpt": "svdaudio.models.audioldm.loaders:load_audio_encoder",
    },
    "text_encoder": {
        OWN_FORMAT: "svdaudio.models.mel_cnn.loaders:load_text_encoder",
        "audioldm-text": "svdaudio.models.audioldm.loaders:load_text_encoder",
    },
    "tagger": {
        OWN_FORMAT: "svdaudio.models.mel_cnn.loaders:load_tagger",
        "panns-cnn14": "svdaudio.models.taggers.cnn14:load_tagger",
        "transformers-ast": "svdaudio.models.taggers.spectrogram_transformer:load_tagger",
    },
    "judge": {
        OWN_FORMAT: "svdaudio.models.mel_cnn.loaders:load_tagger",
        "panns-cnn14": "svdaudio.models.taggers.cnn14:load_tagger",
        "transformers-ast": "svdaudio.models.taggers.spectrogram_transformer:load_tagger",
    },
    "domain": {OWN_FORMAT: "svdaudio.models.domain:load_domain"},
    "ciap_image_encoder": {
        OWN_FORMAT: "svdaudio.models.ciap.encoder:load_image_encoder",
        "ciap-resnet18": "svdaudio.models.ciap.published:load_image_encoder",
    },
    "mapper": {OWN_FORMAT: "svdaudio.models.mapper:load_mapper"},
    "sound_encoder": {
        OWN_FORMAT: "svdaudio.models.sound_clip.encoder:load_sound_encoder",
        "sgsim-resnet18": "svdaudio.models.sound_clip.published:load_sound_encoder",
    },
    "guide": {
        OWN_FORMAT: "svdaudio.models.clip.guide:load_guide",
        "openai-clip": "svdaudio.models.clip.published:load_guide",
    },
}
"""Role → format → the function that loads it: `load(path, device)` for this project's own format, and
`load(path, device, digest=…)` for published ones, which may keep a quick copy under the digest of the file."""

DOMAIN = "domain"
"""The role that describes the pictures that the others were trained on."""
JUDGE = "judge"
"""The role of a second tagger, which scores no run but is asked, beside the first one, by `svdaudio evaluate`."""
OPTIONAL_ROLES = (DOMAIN, "text_encoder", JUDGE, "ciap_image_encoder", "mapper", "sound_encoder", "guide")
"""Roles that a bundle need not fill."""


Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Description(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class PartDescription(_Description):
    """One file of a checkpoint, as `bundle.json` describes it."""

    file: str = Field(min_length=1)
    """Path below the bundle's folder."""
    sha256: Digest
    bytes: int = Field(ge=0)


class ModelDescription(PartDescription):
    """The checkpoint of a role, as `bundle.json` describes it."""

    format: str = OWN_FORMAT
    published: str | None = Field(default=None, pattern=r"^[\w.+-]+$")
    parts: list[PartDescription] = Field(default=[], strict=True)
    """Given only for more than one file."""
    classes: list[str] = []

    @property
    def files(self) -> list[PartDescription]:
        """Every file."""
        return self.parts or [self]

    @model_validator(mode="after")
    def _digest_covers_all_files(self) -> ModelDescription:
        if joint_digest((part.file, part.sha256) for part in self.files) != self.sha256:
            raise ValueError("sha256 does not match the parts")
        if not any(Path(self.file) in (path := Path(part.file), *path.parents) for part in self.files):
            raise ValueError(f"'{self.file}' is not one of the parts")
        return self


class BundleDescription(_Description):
    """Content of `bundle.json`."""

    title: str
    base: str | None = None
    """Name of the bundle that has all other roles."""
    settings: dict[str, Any]
    models: dict[str, ModelDescription]
    """By role."""

    @model_validator(mode="after")
    def _names_no_other_bundle(self) -> BundleDescription:
        if "bundle" in self.settings:
            raise ValueError("settings cannot select another bundle")
        return self


def read_description(path: Path, *, fix: str) -> BundleDescription:
    """Read and check a `bundle.json`.

    Args:
        path: of the file.
        fix: remedy if it is damaged, for the error.

    Raises:
        OSError: it cannot be read, or is not a plain file.
        CheckpointError: it is damaged: not JSON, a value of another type, a path that leaves its folder.
    """
    try:
        description = BundleDescription.model_validate(json.loads(read_text(path)))
        for part in (part for model in description.models.values() for part in (model, *model.parts)):
            _inside(path.parent, part.file)
    except (ValueError, RuntimeError) as error:  # RuntimeError: nested too deeply, or circular links
        raise CheckpointError(f"the description {path} is damaged", got=_first_reason(error), fix=fix) from error
    return description


def _inside(folder: Path, file: str) -> Path:
    """A file below a bundle's folder.

    Raises:
        ValueError: its path, or a symbolic link on it, leads out of the folder. (The folder itself may be a link.)
    """
    path = folder / file
    if Path(file).is_absolute() or ".." in Path(file).parts or not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{file!r} leads out of the bundle's folder")
    return path


def _first_reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where}: {first['msg']}" if where else first["msg"]
    return str(error)


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
    """Name of the bundle whose folder has it: that of which it is an entry, or one of its bases."""
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
    """Class names by index, for a detector or tagger; the only texts of a text encoder or guide that knows some; else
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
    """Names of the bundles that have the roles that it lacks, its own base first."""

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
        """The same bundle with the files of this machine, if it was opened on another.

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
        """Roles of the taggers that the bundle has, that of its runs first."""
        return tuple(role for role in ("tagger", JUDGE) if role in self.entries)

    @property
    def missing_roles(self) -> tuple[str, ...]:
        """Roles without a checkpoint: published weights are installed one by one."""
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
        """How to get a role that the bundle lacks."""
        if FULL in (self.name, *self.bases) and role in LOADERS:
            return f"run `{_fetch_command(role)}`"
        able = [name for name in Bundle.names() if role in _described_roles(name)]
        return f"use --bundle {able[0]}" if able else None

    def digests(self, role: str) -> str:
        """sha256 of the weights of a role, from the description; `check` compares it with the file."""
        return self.entry(role).sha256

    def classes(self, role: str) -> tuple[str, ...]:
        """Classes of a detector or tagger by index; texts of a text encoder or guide that knows only some."""
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
    """Read the description of a bundle and those of its bases; `above` are the bundles that it is a base of."""
    path = roots[0] / name / MANIFEST
    fix = "delete it, and run `svdaudio checkpoints fetch`" if name == FULL else restore_advice()
    if name in {"", ".."} or Path(name).name != name:
        raise CheckpointError("a bundle must be named like a folder in checkpoints/", got=f"'{name}'")
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
            f"there is no bundle '{name}'",
            expected=f"one of {there}" if there else None,
            got=f"no {path}",
            fix="run `svdaudio checkpoints fetch`, which fills it"
            if name == FULL
            else "put its files there"
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
    """The folder of a bundle: in the first of `roots` that has its description, else in the first."""
    return next((root / name for root in roots if (root / name / MANIFEST).exists()), roots[0] / name)


def _described_roles(name: str) -> Iterable[str]:
    """Roles of another bundle, for advice: none if it cannot be opened."""
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
    """The command that installs a role of the full bundle: the model that filled it before, or the recommended one."""
    from svdaudio.checkpoints.registry import for_role

    names = [published] if published else [one.name for one in for_role(role)]
    return f"svdaudio checkpoints fetch {names[0]}" if names else "svdaudio checkpoints list"


_LOADING = threading.RLock()
"""Held while a model is loaded: torch.jit, which scripts some of them, and warning filters are process-wide."""


class Models:
    """The models of a bundle by role, loaded on first use.

    One model is resident at a time, or those that one stage uses (`keep_only`), so that peak memory is that of the
    largest; `keep` keeps all of them, and `compile_noise` lets torch compile the noise network.
    A file is checked against its digest before it is loaded, so that a key never refers to other weights.

    Several threads may share one object: one loads at a time, in the whole process, and every model can be called from
    several threads at once. The threads share the set of resident models, so threads that alternate between roles
    should use `keep`.
    """

    def __init__(
        self, bundle: Bundle, *, device: str = "auto", keep: bool = False, compile_noise: bool = False
    ) -> None:
        self.bundle = bundle
        self._device_name = device
        self._keep = keep
        self._compile_noise = compile_noise
        self._together: frozenset[str] = frozenset()
        self._resident: dict[str, Any] = {}

    @staticmethod
    def of(bundle: Bundle, config: RunConfig) -> Models:
        """The models of a bundle, kept and run as a configuration specifies."""
        execution = config.execution
        return Models(bundle, device=execution.device, keep=execution.keep_models, compile_noise=execution.compile)

    def __reduce__(self) -> tuple[Callable[..., Models], tuple[bytes, str, bool, bool]]:
        """Another process opens its own models once, and keeps them between stages."""
        return _models_of_this_process, (pickle.dumps(self.bundle), self._device_name, self._keep, self._compile_noise)

    @cached_property
    def device(self) -> torch.device:
        """The device on which models run.

        Raises:
            ConfigError: this machine does not have the device.
        """
        return find_device(self._device_name)

    def __getitem__(self, role: str) -> Any:
        """The model of a role.

        Raises:
            CheckpointError: it is missing, damaged, or differs from the bundle's description.
        """
        with _LOADING:
            if role not in self._resident:
                self._release(of_all_but=self._together if role in self._together else frozenset())
                model = self._load(role)
                if role == "diffuser" and self._compile_noise:
                    model.compile_noise()
                self._resident[role] = model
            return self._resident[role]

    def _load(self, role: str) -> Any:
        """Load a model, checking before and after that its files match the description."""
        entry = self.bundle.entry(role)
        before = _states(entry)
        self.bundle.check(role)
        model = load_entry(entry, self.device)
        if not all(state.same_contents(before.get(path)) for path, state in _states(entry).items()):
            raise CheckpointError(
                f"the {role} {entry.path} changed while it was loaded",
                fix="wait until it is complete, and run the same command again",
            )
        return model

    def keep_all(self) -> None:
        """From now on keep every model once it is loaded."""
        self._keep = True

    def keep_only(self, roles: Iterable[str]) -> None:
        """From now on keep these models together once they are loaded, and release all others.

        For a stage that uses two models and runs many times: keeping one at a time would reload both every time.
        """
        with _LOADING:
            self._together = frozenset(roles)
            self._release(of_all_but=self._together)

    def _release(self, *, of_all_but: frozenset[str]) -> None:
        leaving = [] if self._keep else [role for role in self._resident if role not in of_all_but]
        traces = [trace for role in leaving for trace in _traces(self._resident[role])]
        for role in leaving:
            del self._resident[role]
        if any(trace() is not None for trace in traces):  # a collection visits all objects of all imported libraries
            gc.collect()


def _traces(model: Any) -> list[weakref.ref[Any]]:
    """References to a model and its weights that keep neither: they tell whether it is gone, or part of a cycle."""
    return [weakref.ref(model), *(weakref.ref(weight) for weight in _weights(model, depth=2))]


def _weights(part: Any, *, depth: int) -> Iterator[torch.Tensor]:
    """The weights of all networks that an object holds, directly or through so many others."""
    import torch

    if isinstance(part, torch.nn.Module):
        yield from part.parameters()
        yield from part.buffers()
    elif depth:
        for value in list(getattr(part, "__dict__", {}).values()):
            yield from _weights(value, depth=depth - 1)


def _states(entry: Entry) -> dict[Path, FileState]:
    """The states of those files of a role that exist."""
    return {part.path: file_state(part.path) for part in entry.parts if part.path.is_file()}


def find_device(name: str) -> torch.device:
    """The device of that name: "cpu", "cuda", "cuda:N", or "auto", which is a GPU if available.

    Raises:
        ConfigError: this machine has no such device.
    """
    import torch

    found = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if name == "auto":
        return torch.device("cuda" if len(found) > 1 else "cpu")
    if name not in found and not (name == "cuda" and len(found) > 1):
        raise ConfigError("there is no such device", expected=" or ".join(found), got=name, fix="choose one of those")
    return torch.device(name)


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


@lru_cache(maxsize=1)
def _models_of_this_process(bundle: bytes, device: str, keep: bool, compile_noise: bool) -> Models:
    here = pickle.loads(bundle).here()  # noqa: S301 - our own, sent by the flow
    return Models(here, device=device, keep=keep, compile_noise=compile_noise)
