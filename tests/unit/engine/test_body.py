"""How bodies are called, and how their outputs are checked."""

from __future__ import annotations

import numpy as np
import pytest

from svdaudio.engine.body import compute_outputs
from svdaudio.engine.stage import Node, Stage
from svdaudio.errors import RunError

STAGE = Stage(
    name="sum", inputs=("x",), outputs=("y",), models=("tagger",), body="", summary="", parameters={"points": "add"}
)
NODE = Node(name="one.sum", stage=STAGE, inputs={"x": "one.image.pixels"})


def call(body, models=None, parameters=None, note=lambda text: None):
    return compute_outputs(
        NODE,
        {"x": np.ones(3)},
        {"points": [[1, 2, 1]]} if parameters is None else parameters,
        {"tagger": 2.0} if models is None else models,
        note,
        lambda stage: body,
    )


def test_a_body_gets_inputs_parameters_and_models_by_name():
    def body(*, x, points, tagger):
        return {"y": [x.sum() * tagger, points[0][0]]}

    found = call(body)["y"]
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, [6, 1])


def test_only_a_body_that_takes_notes_gets_them():
    notes = []

    def body(*, x, points, tagger, note):
        note("one thing")
        return {"y": x}

    call(body, note=notes.append)
    call(lambda *, x, points, tagger: {"y": x}, note=notes.append)
    assert notes == ["one thing"]


def test_a_body_may_modify_its_copy_of_the_parameters():
    parameters = {"points": [[1, 2, 1]]}

    def body(*, x, points, tagger):
        points[0].append("mine")
        return {"y": x}

    call(body, parameters=parameters)
    assert parameters == {"points": [[1, 2, 1]]}


def test_all_models_of_a_body_are_loaded_before_it_runs():
    events = []

    class Source(dict):
        def keep_only(self, roles):
            events.append(tuple(roles))

    def body(*, x, points, tagger):
        events.append("body")
        return {"y": x}

    call(body, models=Source(tagger=2.0))
    assert events == [("tagger",), "body"]


@pytest.mark.parametrize("returned", [{}, {"y": 1, "z": 2}, {"z": 1}])
def test_a_body_that_returns_other_outputs_than_its_row_fails(returned):
    with pytest.raises(RuntimeError, match=r"stage sum returned .*, its row says \['y'\]"):
        call(lambda **_: returned)


@pytest.mark.parametrize("number", ["nan", "inf"])
def test_non_finite_outputs_are_refused(number):
    with pytest.raises(RunError, match=r"one\.sum computed NaN or infinite numbers, which are not stored: got y"):
        call(lambda **_: {"y": np.array([1.0, float(number)])})


def test_an_input_may_take_any_number_of_arrays():
    stage = Stage(name="sum", inputs=("parts", "rest"), outputs=("total",), body="", summary="")

    def total(*, parts, rest):
        return {"total": np.array([len(parts), sum(parts.values()) + sum(rest.values())])}

    node = Node(name="sum", stage=stage, inputs={"parts.a": "x.y", "parts.b": "z.y"})
    inputs = {"parts.a": np.array(1.0), "parts.b": np.array(2.0)}
    assert compute_outputs(node, inputs, {}, {}, print, lambda _: total)["total"].tolist() == [2, 3]
