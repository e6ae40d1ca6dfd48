"""What stores and scripts rely on has not changed: tests/golden/README.md describes the golden files."""

from __future__ import annotations

import hashlib
import json

import pinned
import pytest

ACTIONS = pinned.golden("actions")
CONFIGURATIONS = list(ACTIONS["configurations"])
BY_NODE = [(name, node) for name in CONFIGURATIONS for node in ACTIONS["actions"][name]]


@pytest.mark.parametrize(("configuration", "node"), BY_NODE, ids=lambda name: name.replace(" ", "_"))
def test_the_key_of_every_node(configuration, node):
    values = ACTIONS["configurations"][configuration]
    kept = ACTIONS["actions"][configuration][node]
    for command, nodes in ACTIONS["nodes"].items():
        for one in nodes:
            if pinned.as_in_run(one) == node:
                assert pinned.action(command, one, values) == kept


def test_an_unfinished_sound_has_the_keys_of_versions_without_finish():
    default, none = (ACTIONS["actions"][name] for name in ("default", "sound as it is"))
    assert none == {node: kept for node, kept in default.items() if not node.endswith(".finish")}


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_a_key_is_the_digest_of_its_text(configuration):
    for kept in ACTIONS["actions"][configuration].values():
        assert hashlib.sha256(f"svdaudio/action/1\n{kept['text']}".encode()).hexdigest() == kept["key"]


def test_the_other_configurations_change_every_parameter():
    defaults = pinned.defaults()
    changed = {
        name
        for values in ACTIONS["configurations"].values()
        for name, value in values.items()
        if value != defaults[name]
    }
    assert changed == set(defaults)


def test_execution_settings_enter_no_key():
    values = {**ACTIONS["configurations"]["default"], **pinned.EXECUTION}
    assert pinned.actions_of("run", values) == ACTIONS["actions"]["default"]


@pytest.mark.parametrize("section", ["kinds", "nodes"])
def test_what_each_command_computes(section):
    assert pinned.actions()[section] == ACTIONS[section]


@pytest.mark.parametrize("section", pinned.golden("formats"))
def test_formats(section):
    assert as_json(pinned.formats()[section]) == pinned.golden("formats")[section]


@pytest.mark.parametrize("section", pinned.golden("interface"))
def test_names_that_programs_and_scripts_call(section):
    assert as_json(pinned.interface()[section]) == pinned.golden("interface")[section]


@pytest.mark.parametrize("name", ["actions", "formats", "interface"])
def test_the_golden_files_are_complete(name):
    assert set(getattr(pinned, name)()) == set(pinned.golden(name))


def as_json(value):
    return json.loads(json.dumps(value))
