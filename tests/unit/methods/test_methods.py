"""Methods by name: built-in and external ones."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from svdaudio.engine.method import Method
from svdaudio.errors import ConfigError
from svdaudio.methods import BUILT_IN, VARIABLE, find_method, method_names
from svdaudio.methods.baseline import METHOD as BASELINE


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_method_is_found_by_name_and_is_consistent(name):
    method = find_method(name)
    assert isinstance(method, Method)
    assert method.name == name
    config = method.config.model_validate({"objects": "cat=1,2"} if name == "mixer" else {})
    table = method.nodes(config)
    for variant in (None, *method.variants):
        assert set(method.default_targets(config, variant)) <= table.keys()
    for outputs in (method.sounds(config), method.scores(config)):
        for source in outputs.values():
            node, _, output = source.rpartition(".")
            assert output in table[node].stage.outputs
    if name != "hear":  # which scores a given sound, and generates none
        assert method.sounds(config).keys() == method.scores(config).keys()
    assert method.result_of(config) in (*method.scores(config), "")
    assert {name for node in table.values() for name in node.files} == method.files.keys()


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_method_can_be_sent_to_other_processes(name):
    method = find_method(name)
    again = pickle.loads(pickle.dumps(method))
    assert (again.name, again.config, again.nodes, again.views) == (name, method.config, method.nodes, method.views)


def test_an_unknown_method_lists_the_known_ones():
    with pytest.raises(ConfigError, match=f"unknown method: expected {' or '.join(BUILT_IN)}, got edit"):
        find_method("edit")


def test_external_methods_are_found_through_the_environment(monkeypatch):
    monkeypatch.setenv(VARIABLE, " conftest:TOY_METHOD , ")
    assert method_names() == [*BUILT_IN, "toy"]
    assert find_method("toy").summary == "sums of numbers"
    assert find_method("baseline") is BASELINE
    with pytest.raises(ConfigError, match=f"expected {' or '.join(BUILT_IN)} or toy, got edit"):
        find_method("edit")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nowhere.at_all:METHOD", r"the method nowhere\.at_all:METHOD cannot be imported: got No module named"),
        ("conftest:NOTHING", "the method conftest:NOTHING cannot be imported: got .*no attribute 'NOTHING'"),
        ("conftest", "the method conftest cannot be imported"),
        ("conftest:BODIES", r"conftest:BODIES is not a method: expected a svdaudio\.engine\.method\.Method, got dict"),
    ],
)
def test_an_object_that_is_not_a_method_is_reported(monkeypatch, place, message):
    monkeypatch.setenv(VARIABLE, place)
    with pytest.raises(ConfigError, match=message):
        find_method("toy")
    assert find_method("baseline") is BASELINE, "built-in methods need no external module"


def test_finding_methods_imports_nothing_heavy():
    code = (
        "import sys; from svdaudio.methods import BUILT_IN, find_method; [find_method(name) for name in BUILT_IN]\n"
        "print([m for m in ('torch', 'matplotlib', 'zarr', 'prefect', 'PIL') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
