"""Describe a folder of this project's weight files as a bundle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

from svdaudio.checkpoints.description import MANIFEST
from svdaudio.checkpoints.roles import DOMAIN, JUDGE, LOADERS
from svdaudio.errors import CheckpointError
from svdaudio.files import write_bytes
from svdaudio.mini.catalogue import COMMANDS, PRETRAINED
from svdaudio.places import pretrained_folder
from svdaudio.weights.own import HEADER_KEY
from svdaudio.weights.reading import unreadable

TITLE = "small models of nine farm animals, trained by this project; not the published ones"
SETTINGS: dict[str, Any] = {"generate.steps": 20, "generate.guidance_scale": 3.0, "rest": "detected"}
CLASS_KEYS = {"detector": "names", "text_encoder": "classes", "tagger": "classes", "guide": "classes"}
PRETRAINED_TITLE = "mini, and encoders that bring pictures and sounds into one space, trained on the same farm"
SHARED = {"text_encoder": "audio_encoder"}
"""Role → the role whose weight file it shares."""


def describe(folder: Path) -> list[Path]:
    """Describe the mini bundle in `folder` and, if there is one, the bundle for pretraining next to it.

    Returns:
        The paths of the descriptions.

    Raises:
        CheckpointError: a role has no weight file, or the file's header is invalid.
    """
    roles = [role for role in LOADERS if role not in (JUDGE, *PRETRAINED)]
    written = [_describe(folder, roles, {"title": TITLE, "settings": SETTINGS})]
    pretrained = pretrained_folder(folder)
    if pretrained.is_dir():
        about = {"title": PRETRAINED_TITLE, "base": folder.name, "settings": {}}
        written.append(_describe(pretrained, PRETRAINED, about))
    return written


def _describe(folder: Path, roles: Iterable[str], about: Mapping[str, Any]) -> Path:
    """Write `bundle.json` from the weight files in `folder`, and return its path."""
    models: dict[str, Any] = {}
    for role in roles:
        source = SHARED.get(role, role)
        path = folder / f"{source}.safetensors"
        if not path.is_file():
            raise CheckpointError(
                f"the bundle in {folder} is incomplete",
                expected=path.name,
                got="no such file",
                fix=f"run `svdaudio train {COMMANDS.get(source, source)}`",
            )
        data = path.read_bytes()
        models[role] = {"file": path.name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        with unreadable(path, "a weight file of this project"), safe_open(path, framework="numpy") as file:
            header = json.loads(file.metadata()[HEADER_KEY])
            if header["role"] != source:
                raise ValueError(f"its role is {header['role']}")
            if role in CLASS_KEYS:
                models[role]["classes"] = [str(name) for name in header["extra"][CLASS_KEYS[role]]]
            for read in (name for name in models if role == DOMAIN and name in header["extra"]):
                if header["extra"][read] != models[read]["sha256"]:
                    raise CheckpointError(
                        f"the domain {path} was fitted with another {read}", fix="run `svdaudio train domain`"
                    )
    manifest = {**about, "models": models}
    write_bytes(folder / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())
    return folder / MANIFEST
