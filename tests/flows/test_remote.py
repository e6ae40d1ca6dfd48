"""Runs and commands on a store in a bucket."""

from __future__ import annotations

import json

import pytest

from svdaudio.cli.app import invoke
from svdaudio.engine.plan import plan
from svdaudio.errors import InputError
from svdaudio.store import LocalStore, open_store


@pytest.fixture
def location(s3, tmp_path):
    return s3.location(tmp_path.name)


def test_a_run_gives_the_same_as_in_a_folder(toy, location, tmp_path):
    toy.store = LocalStore(tmp_path / "local", durable=False)
    local = toy.run()
    expected = {key: toy.store.find(key).outputs for key in list(toy.store.keys())}
    toy.store = open_store(location)
    remote = toy.run()
    assert {key: toy.store.find(key).outputs for key in list(toy.store.keys())} == expected
    assert [(e.node, e.status, e.key) for e in remote.stages] == [(e.node, e.status, e.key) for e in local.stages]
    toy.run()
    assert not toy.calls, "a stage was recomputed"
    toy.run(toy.request(svd__alpha=0.2))
    assert dict(toy.calls) == {"mix": 1, "scores": 1}
    assert {node.status for node in plan(toy.request(), toy.store)} == {"cached"}
    assert not list(toy.store.leftovers())


def test_a_failed_run_is_resumed(toy, location):
    toy.store = open_store(location)
    toy.failing["scores"] = InputError("no sound")
    with pytest.raises(InputError):
        toy.run()
    failed = toy.store.runs.load("latest")
    assert failed.state == "failed"
    toy.failing.clear()
    finished = toy.run(run=failed)
    assert finished.attempts == 2
    assert dict(toy.calls) == {"scores": 1}


def test_damage_is_repaired_during_a_run(toy, location):
    toy.store = open_store(location)
    run = toy.run()
    key = run.stage("original.factors").key
    chunk = next(
        listed.path
        for listed in toy.store._objects.list("arrays")
        if f"/{key}/" in listed.path and "/region/c/" in listed.path
    )
    toy.store._objects.put(chunk, b"damaged")
    again = toy.run(toy.request(svd__alpha=0.2))
    assert toy.calls["factors"] == 1
    assert again.state == "finished"
    assert toy.store.was_quarantined(key)


class TestCommandLine:
    def test_copy_to_the_bucket_and_list(self, toy, location, capsys):
        run = toy.run()
        assert invoke(["store", "copy", toy.store.location, location, "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["complete"]
        assert set(result["copied"]) == set(toy.store.keys())
        assert result["runs"] == [run.id]
        assert invoke(["store", "copy", toy.store.location, location, "--run", run.id]) == 0
        assert capsys.readouterr().out.startswith("0 artifacts (0.0 MB of arrays) and 0 runs copied to s3://")
        assert invoke(["runs", "--store", location, "--json"]) == 0
        assert [entry["run"] for entry in json.loads(capsys.readouterr().out)["runs"]] == [run.id]
        assert invoke(["inspect", "latest", "--store", location, "--json"]) == 0
        assert len(json.loads(capsys.readouterr().out)["stages"]) == len(run.stages)

    def test_a_damaged_artifact_is_reported(self, toy, location, capsys):
        run = toy.run()
        key = run.stage("mix").key
        next((toy.store.path(key) / "arrays.zarr" / "embedding").glob("c/*")).write_bytes(b"damaged")
        assert invoke(["store", "copy", toy.store.location, location]) == 4
        assert f"error: 1 artifacts in {toy.store.location} are damaged" in capsys.readouterr().err

    def test_errors_are_one_line(self, s3, location, toy, capsys, monkeypatch):
        assert invoke(["store", "copy", location, location]) == 2
        assert "cannot be copied into itself" in capsys.readouterr().err
        assert invoke(["runs", "--store", "s3://silence/x"]) == 4
        assert (
            capsys.readouterr().err
            == "error: the bucket 'silence' does not exist. Create it, or choose another --store.\n"
        )
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        assert invoke(["runs", "--store", location]) == 4
        error = capsys.readouterr().err
        assert "rejects these credentials" in error
        assert error.count("\n") == 1

    def test_doctor_checks_the_bucket(self, location):
        from svdaudio.doctor import examine

        (check,) = (check for check in examine(store=location, bundle="mini") if check.name == "store")
        assert check.state == "ok"
        (check,) = (check for check in examine(store="s3://silence/x", bundle="mini") if check.name == "store")
        assert check.state == "broken"
