"""The rows of the stages, their bodies, and the workflows made from them."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import get_args, get_origin

import jaxtyping
import pytest

from svdaudio.methods import BUILT_IN, find_method
from svdaudio.methods.stages import STAGES
from svdaudio.views.diagram import mermaid

ROOT = Path(__file__).parents[3]
METHODS = {name: find_method(name) for name in BUILT_IN}
EVERY_FORM = {"cat": {"points": [[1, 2]]}, "dog": {"box": [1, 2, 3, 4]}, "owl": {"mask": "owl.png"}}
GAINS = {"cat": "-inf", "dog": -6, "rest": -12}
CONFIGS = {
    **{name: (name, method.config()) for name, method in METHODS.items()},
    "remove only": ("manipulate", METHODS["manipulate"].config(remove=[[1, 2]])),
    "add only": ("manipulate", METHODS["manipulate"].config(add=EVERY_FORM)),
    "objects dropped": ("manipulate", METHODS["manipulate"].config(edit={"locals": "dropped"})),
    "several objects": ("manipulate", METHODS["manipulate"].config(remove=EVERY_FORM, add=EVERY_FORM)),
    **{
        form: ("mixer", METHODS["mixer"].config(objects=EVERY_FORM, gains=GAINS, form=form, rest="detected"))
        for form in ("fade", "clap", "stems")
    },
    **{
        f"edit by {form}": ("manipulate", METHODS["manipulate"].config(remove=EVERY_FORM, add=add, edit={"form": form}))
        for form, add in (("fade", EVERY_FORM), ("clap", ()))
    },
    **{
        f"{form} with sources, {rest}": (
            "mixer",
            METHODS["mixer"].config(
                objects=objects,
                sounds={"rain": "rain.wav"},
                texts={"thunder": "a storm"},
                without_text="speech",
                gains={"rain": -6, "rest": rest},
                form=form,
                rest="detected",
            ),
        )
        for form, objects, rest in (("fade", EVERY_FORM, 0), ("fade", {}, "-inf"), ("clap", {}, 0), ("stems", {}, 0))
    },
    "ciap with objects": ("ciap", METHODS["ciap"].config(objects=EVERY_FORM, gains=GAINS)),
    "mastered": ("mixer", METHODS["mixer"].config(objects=EVERY_FORM, form="stems", master={"loudness_lufs": -20})),
}
"""Method and configuration of each workflow."""
TABLES = {name: METHODS[method].nodes(config) for name, (method, config) in CONFIGS.items()}
NODES = [pytest.param(method, node, id=f"{method}-{name}") for method, t in TABLES.items() for name, node in t.items()]
ANY_NUMBER = {
    name: {
        one
        for one, parameter in inspect.signature(stage.load_body()).parameters.items()
        if one in stage.inputs and parameter.annotation.startswith("Mapping[")
    }
    for name, stage in STAGES.items()
}
"""Stage → its inputs that take any number of arrays."""
READ_FROM_FILES = {
    (node.stage.name, name)
    for table in TABLES.values()
    for node in table.values()
    for name, source in node.inputs.items()
    if source.startswith("file:")
}
"""Inputs that are paths: stage and name."""


@pytest.mark.parametrize(("method", "node"), NODES)
def test_every_input_is_an_output_of_another_node_or_a_file(method, node):
    table, (name, config) = TABLES[method], CONFIGS[method]
    files = {**METHODS[name].files, **METHODS[name].configured_files(config)}
    assert table[node.name] is node
    assert {name.partition(".")[0] for name in node.inputs} | ANY_NUMBER[node.stage.name] == set(node.stage.inputs)
    assert node.stage is STAGES[node.stage.name]
    for source in node.inputs.values():
        upstream, _, output = source.rpartition(".")
        if source.startswith("file:"):
            assert source.removeprefix("file:") in files
        else:
            assert output in table[upstream].stage.outputs


@pytest.mark.parametrize(("method", "node"), NODES)
def test_every_parameter_of_a_node_belongs_to_its_method(method, node):
    _, config = CONFIGS[method]
    assert set(node.bindings) == set(node.stage.parameters)
    assert all(place in config.parameters() for place in node.bindings.values())
    for place in node.bindings.values():
        config.value(place)


@pytest.mark.parametrize("stage", STAGES.values(), ids=list(STAGES))
def test_a_body_takes_the_arguments_of_its_row_by_keyword_only(stage):
    parameters = inspect.signature(stage.load_body()).parameters
    row = [*stage.inputs, *stage.parameters, *stage.models]
    assert len(row) == len(set(row))
    assert set(parameters) - {"note"} == set(row)
    assert {parameter.kind for parameter in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert all(parameter.default is inspect.Parameter.empty for parameter in parameters.values())


@pytest.mark.parametrize("stage", STAGES.values(), ids=list(STAGES))
def test_a_body_annotates_the_shapes_of_its_inputs(stage):
    body = stage.load_body()
    names = vars(sys.modules[body.__module__])
    for name in stage.inputs:
        annotation = eval(inspect.signature(body).parameters[name].annotation, dict(names))
        if (stage.name, name) in READ_FROM_FILES:
            assert annotation is Path
        else:
            if get_origin(annotation) is Mapping:  # any number of arrays, by name
                _, annotation = get_args(annotation)
            assert issubclass(annotation, jaxtyping.AbstractArray), name
            assert "..." not in annotation.dim_str, name


@pytest.mark.parametrize("stage", STAGES.values(), ids=list(STAGES))
def test_a_body_is_in_a_file_of_its_name_and_has_a_docstring(stage):
    module, _, function = stage.body.partition(":")
    *package, folder, name = module.split(".")
    assert (ROOT / "tasks" / folder / f"{stage.name}.py").is_file()
    assert (package, name, function) == (["svdaudio", "tasks"], stage.name, "run")
    assert inspect.getdoc(stage.load_body())
    assert stage.summary


def test_every_stage_is_used_and_every_body_belongs_to_a_stage():
    others = [METHODS["baseline"].nodes(METHODS["baseline"].config(generate={"candidates": 2, "pick": 1}))]
    assert {node.stage.name for table in (*TABLES.values(), *others) for node in table.values()} == STAGES.keys()
    files = {path for path in (ROOT / "tasks").rglob("*.py") if path.name != "__init__.py"}
    assert {path.stem for path in files} == STAGES.keys()
    assert len(files) == len(STAGES)


def test_the_diagrams_in_the_documents_match_the_tables():
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    diagrams = re.findall(r"```mermaid\n(.*?)\n```", text, re.DOTALL)
    assert mermaid(TABLES["manipulate"]) in diagrams
