"""Example scenes for the method: two pictures, and clicks on the removed and the added objects."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svdaudio.errors import InputError
from svdaudio.places import examples_folder, restore_advice


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A pair of pictures with clicks, in pixels.

    Args:
        original: picture before the edit.
        edited: picture after it.
        remove: clicks (x, y) on objects that are only in the first.
        add: clicks (x, y) on objects that are only in the second.
        removed: class names of the removed objects.
        added: class names of the added objects.
    """

    original: Path
    edited: Path
    remove: tuple[tuple[float, float], ...]
    add: tuple[tuple[float, float], ...]
    removed: tuple[str, ...]
    added: tuple[str, ...]

    @property
    def clicks(self) -> dict[str, list[str]]:
        """The clicks as settings: `remove` and `add`, each a list of "x,y"."""
        return {name: [f"{x:g},{y:g}" for x, y in each] for name, each in (("remove", self.remove), ("add", self.add))}

    @property
    def arguments(self) -> list[str]:
        """Pictures and clicks as `svdaudio run` takes them."""
        options = [word for name, each in self.clicks.items() for text in each for word in (f"--{name}", text)]
        return [str(self.original), str(self.edited), *options]


def read_scene(path: Path) -> Scene:
    """The scene that a JSON file describes: for `original` and `edited` the picture and its objects.

    Objects are removed if their class is only in the original, and added if it is only in the edited picture.

    Raises:
        InputError: the file is missing or does not describe a scene.
    """
    try:
        description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        objects = {
            side: {
                entry["cls"]: (float(entry["point"][0]), float(entry["point"][1]))
                for entry in description[side]["objects"]
            }
            for side in ("original", "edited")
        }
        images = {side: path.parent / description[side]["image"] for side in objects}
    except OSError as error:
        fix = restore_advice() if path.parent == examples_folder() else "check its path and permissions"
        raise InputError(f"the scene {path} cannot be read", got=error.strerror, fix=fix) from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{path} does not describe a scene", got=f"{type(error).__name__}: {error}") from error
    removed = tuple(name for name in objects["original"] if name not in objects["edited"])
    added = tuple(name for name in objects["edited"] if name not in objects["original"])
    return Scene(
        original=images["original"],
        edited=images["edited"],
        remove=tuple(objects["original"][name] for name in removed),
        add=tuple(objects["edited"][name] for name in added),
        removed=removed,
        added=added,
    )


def demo_scene() -> Scene:
    """The farm scene of the examples: dog and cat, edited to dog and duck."""
    return read_scene(examples_folder() / "scenes.json")
