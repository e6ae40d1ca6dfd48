"""A bundle: one checkpoint for every role of the method, with digests, class names and recommended settings.

`checkpoints/<name>/bundle.json` describes it; opening it imports no torch and reads no weights. Nothing outside
of the loaders named here may ask which bundle it works with.
"""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svdaudio.errors import CheckpointError, ConfigError
from svdaudio.places import project_root

if TYPE_CHECKING:
    import torch

MANIFEST = "bundle.json"

LOADERS: Mapping[str, str] = {
    "segmenter": "svdaudio.masks:load_segmenter",
    "image_encoder": "svdaudio.tokens:load_image_encoder",
    "detector": "svdaudio.locals:load_detector",
    "ssv2a": "svdaudio.ssv2a:load_ssv2a",
    "diffuser": "svdaudio.audioldm.diffuser:load_diffuser",
    "autoencoder": "svdaudio.audioldm.autoencoder:load_autoencoder",
    "vocoder": "svdaudio.audioldm.vocoder:load_vocoder",
    "audio_encoder": "svdaudio.mini.audio:load_audio_encoder",
    "tagger": "svdaudio.mini.audio:load_tagger",
}
"""Role → the function that loads its weight file, as `load(path, device)`."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One checkpoint of a bundle."""

    role: str
    path: Path
    sha256: str
    n_bytes: int
    classes: tuple[str, ...]
    """What its class indices mean, for a detector or tagger; else empty."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """The checkpoints of one name."""

    name: str
    title: str
    settings: Mapping[str, Any]
    """Dotted configuration name → value recommended with these models; weaker than anything a user says."""
    entries: Mapping[str, Entry]

    @staticmethod
    def open(name: str, root: Path | None = None) -> Bundle:
        """Read the description of the bundle `name` below `root` (`checkpoints/` of the checkout).

        Raises:
            CheckpointError: there is no such bundle, or its description is damaged.
        """
        root = root if root is not None else project_root() / "checkpoints"
        path = root / name / MANIFEST
        try:
            manifest = json.loads(path.read_text())
            entries = {
                role: Entry(
                    role=role,
                    path=path.parent / model["file"],
                    sha256=model["sha256"],
                    n_bytes=model["bytes"],
                    classes=tuple(model.get("classes", ())),
                )
                for role, model in manifest["models"].items()
            }
            return Bundle(
                name=manifest["name"], title=manifest["title"], settings=manifest["settings"], entries=entries
            )
        except OSError:
            there = sorted(p.parent.name for p in root.glob(f"*/{MANIFEST}"))
            raise CheckpointError(
                f"there is no bundle '{name}'",
                expected=f"one of {there}" if there else None,
                got=f"no {path}",
                fix="put its files there" if there else "restore checkpoints/ with `git checkout`",
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"the description {path} is damaged", got=repr(error), fix="restore it with `git checkout`"
            ) from error

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles that the bundle fills."""
        return tuple(self.entries)

    def entry(self, role: str) -> Entry:
        """The checkpoint of a role.

        Raises:
            CheckpointError: the bundle has none.
        """
        try:
            return self.entries[role]
        except KeyError:
            raise CheckpointError(
                f"the bundle '{self.name}' has no {role}", expected=f"one of {', '.join(self.roles)}"
            ) from None

    def digests(self, role: str) -> str:
        """sha256 that the description gives for the weights of a role; `check` compares it with the file."""
        return self.entry(role).sha256

    def classes(self, role: str) -> tuple[str, ...]:
        """Names of the classes of a detector or tagger, in the order of their indices."""
        return self.entry(role).classes

    def check(self, role: str) -> None:
        """Compare the file of a role with the description.

        Raises:
            CheckpointError: it is missing, or another file.
        """
        entry = self.entry(role)
        if not entry.path.is_file():
            raise CheckpointError(
                f"the {role} of the bundle '{self.name}' is missing",
                expected=entry.path,
                fix="restore it with `git checkout`",
            )
        with entry.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != entry.sha256:
            raise CheckpointError(
                f"the {role} {entry.path} is not the one that the bundle '{self.name}' describes",
                expected=f"sha256 {entry.sha256[:12]}… ({entry.n_bytes} bytes)",
                got=f"{digest[:12]}… ({entry.path.stat().st_size} bytes)",
                fix="restore it with `git checkout`, or describe a new bundle with `svdaudio train manifest`",
            )


class Models:
    """The models of a bundle by role, loaded when first asked for.

    One model is resident at a time, so that the peak is that of the largest; `keep` holds on to all of them.
    A file is checked against its digest before it is loaded, so that a key never names other weights.
    """

    def __init__(self, bundle: Bundle, *, device: str = "auto", keep: bool = False) -> None:
        self.bundle = bundle
        self._device_name = device
        self._keep = keep
        self._together: frozenset[str] = frozenset()
        self._resident: dict[str, Any] = {}
        self._checked: set[str] = set()

    @cached_property
    def device(self) -> torch.device:
        """Where models run.

        Raises:
            ConfigError: a device that this machine does not have.
        """
        import torch

        name = self._device_name
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        if name.startswith("cuda") and not torch.cuda.is_available():
            raise ConfigError("there is no such device", expected="cpu", got=name, fix="use --set execution.device=cpu")
        return torch.device(name)

    def __getitem__(self, role: str) -> Any:
        """The model of a role.

        Raises:
            CheckpointError: it is missing, damaged, or another than the bundle describes.
        """
        if role not in self._resident:
            if role not in self._checked:
                self.bundle.check(role)
                self._checked.add(role)
            self._let_go(of_all_but=self._together if role in self._together else frozenset())
            module, _, function = LOADERS[role].partition(":")
            self._resident[role] = getattr(import_module(module), function)(self.bundle.entry(role).path, self.device)
        return self._resident[role]

    def keep_only(self, roles: Iterable[str]) -> None:
        """Hold these models together from now on, once they have been asked for, and let go of all others.

        For a stage that draws on two models and is executed many times: one at a time would load both every time.
        """
        self._together = frozenset(roles)
        self._let_go(of_all_but=self._together)

    def _let_go(self, *, of_all_but: frozenset[str]) -> None:
        leaving = [] if self._keep else [role for role in self._resident if role not in of_all_but]
        for role in leaving:
            del self._resident[role]
        if leaving:
            gc.collect()
