"""A body that changes without a new version is detected: tests/bodies.py defines what counts."""

from __future__ import annotations

import json
from dataclasses import replace

import bodies
import pytest

from svdaudio.engine.stage import Stage
from svdaudio.methods.stages import STAGES

PINNED = json.loads(bodies.PINNED.read_text())


@pytest.fixture(scope="module")
def sources():
    return bodies.Sources()


@pytest.mark.parametrize("stage", STAGES.values(), ids=list(STAGES))
def test_every_body_matches_its_pinned_version(stage, sources):
    complaint = bodies.problem_of(stage, PINNED.get(stage.name), sources)
    assert complaint is None, complaint


def test_only_stages_are_pinned():
    assert PINNED.keys() == STAGES.keys()


def test_the_digest_of_a_body_covers_exactly_the_code_that_it_uses(sources):
    edit = bodies.pieces("svdaudio.tasks.edit.align:run", sources)
    assert {"svdaudio.tasks.edit.align:run", "svdaudio.svd.align:align_mask", "svdaudio.svd.geometry:Geometry",
            "svdaudio.svd.align:patch_coverage"} <= edit.keys()  # fmt: skip
    assert not any(key.startswith(("svdaudio.errors", "svdaudio.models", "svdaudio.svd.mix")) for key in edit)
    seen = bodies.pieces("svdaudio.tasks.picture.tokens:run", sources)
    assert "svdaudio.models.clip.encoder:ImageEncoder" in seen, "the type of a model"
    heard = bodies.pieces("svdaudio.tasks.synthesis.diffuse:run", sources)
    assert "svdaudio.models.audioldm.diffuse:diffuse" in heard, "imported within a function"
    assert "svdaudio.models.audioldm.naming:unet_places" in heard, "an attribute of a module"


TOY = {
    "toylib/__init__.py": "from toylib.library import Scale as Renamed\n",
    "toylib/library.py": '''
"""A library."""
from toylib import constants

FACTOR: float = 2

class Scale:
    """Scales."""

    by: float = FACTOR
    """What it scales by."""

    def __call__(self, x: int) -> int:
        return helper(x) * self.by  # the product

def helper(x):
    """Help."""
    if x < 0:
        raise ValueError("x is negative")
    return x + constants.STEP

def unused(x):
    return x
''',
    "toylib/constants.py": "STEP = 1\nOTHER = 2\n",
    "toylib/network.py": "class Network:\n    def forward(self, x):\n        return x\n",
    "toybodies/double.py": '''
"""Doubles."""
from __future__ import annotations

from typing import TYPE_CHECKING

from toylib import Renamed

if TYPE_CHECKING:
    from toylib.network import Network

def run(*, x: "Int[Array, ' n']", network: Network):
    """The double of x."""
    scaled: int = Renamed()(network.forward(x))
    return {"y": scaled}
''',
}
DOUBLE = Stage(name="double", version=3, inputs=("x",), outputs=("y",), body="toybodies.double:run", summary="")


@pytest.fixture
def toy(tmp_path):
    """Writes the toy with some texts replaced; returns the report on its stage, which was pinned before."""

    def written(*changes):
        texts = dict(TOY)
        for before, after in changes:
            assert any(before in text for text in texts.values()), before
            texts = {name: text.replace(before, after) for name, text in texts.items()}
        for name, text in texts.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return bodies.Sources(tmp_path, ("toylib", "toybodies"))

    pinned = bodies.pinned_of({"double": DOUBLE}, written())["double"]
    return lambda *changes, stage=DOUBLE: bodies.problem_of(stage, pinned, written(*changes))


CHANGED = (
    "the body of stage double has changed: raise the version of stage double, "
    "or re-pin it with `uv run python tests/bodies.py` if its outputs are the same"
)


@pytest.mark.parametrize(
    "change",
    [
        ('{"y": scaled}', '{"y": scaled + 1}'),
        ("helper(x) * self.by", "helper(x) * self.by + 1"),
        ("x + constants.STEP", "x - constants.STEP"),
        ("STEP = 1", "STEP = 2"),
        ("FACTOR: float = 2", "FACTOR: float = 3"),
        ("if x < 0", "if x < 1"),
        ("        return x\n", "        return 2 * x\n"),
    ],
    ids=["body", "class", "function", "constant", "constant of a class", "condition", "network"],
)
def test_a_change_of_the_computation_is_detected(toy, change):
    assert toy() is None
    assert toy(change) == CHANGED


@pytest.mark.parametrize(
    "change",
    [
        ("The double of x.", "Twice x."),
        ('"""Scales."""', '"""Multiplies."""'),
        ('    """Help."""\n', ""),
        ('"""What it scales by."""', '"""Its factor."""'),
        ("# the product", "# times"),
        ("Int[Array, ' n']", "Float[Array, ' m']"),
        ("scaled: int", "scaled"),
        ("x is negative", "x is below 0"),
        ("(network.forward(x))", "(\n        network.forward(\n        x))"),
        ("OTHER = 2", "OTHER = 3"),
        ("def unused(x):\n    return x", "def unused(x):\n    return 2 * x"),
    ],
    ids=["docstring of the body", "docstring of a class", "docstring taken out", "docstring of a field", "comment",
         "shape", "annotation", "error", "layout", "another constant", "another function"],
)  # fmt: skip
def test_prose_and_unused_code_do_not_count(toy, change):
    assert toy(change) is None


def test_code_moved_to_another_module_is_unchanged(toy):
    moved = ("from toylib import constants\n", "from toylib import constants\nfrom toylib.network import helper\n")
    body = TOY["toylib/library.py"].partition("def helper")[2].partition("def unused")[0]
    there = ("class Network:", f"from toylib import constants\n\ndef helper{body}\nclass Network:")
    assert toy(("def helper" + body, ""), moved, there) is None


def test_a_new_version_must_be_pinned_and_never_decreases(toy):
    assert toy(stage=replace(DOUBLE, version=4)) == (
        "stage double has a new version: re-pin it with `uv run python tests/bodies.py`"
    )
    assert toy(stage=replace(DOUBLE, version=2)) == "stage double had version 3 and has 2 now: versions only rise"
    assert bodies.problem_of(DOUBLE, None, None) == (
        "stage double is new: re-pin it with `uv run python tests/bodies.py`"
    )
