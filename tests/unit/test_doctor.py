import json
import os
import time
from dataclasses import replace

import pytest

from svdaudio import doctor
from svdaudio.cli import main
from svdaudio.cli import sessions as cli_sessions
from svdaudio.doctor import Check
from svdaudio.errors import CheckpointError
from svdaudio.store import LocalStore


def named(checks, name):
    return next(check for check in checks if check.name == name)


class ToyBundle:
    """A bundle of two models, one of which may be missing."""

    roles = ("tagger", "ssv2a")
    missing_roles = ()

    def __init__(self, missing=None):
        self.missing = missing

    def check(self, role):
        if role == self.missing:
            raise CheckpointError(f"the {role} is missing")


@pytest.fixture
def bundle(monkeypatch):
    def use(**options):
        monkeypatch.setattr("svdaudio.checkpoints.bundle.Bundle.open", lambda name: ToyBundle(**options))

    use()
    return use


def test_everything_is_checked(tmp_path, bundle):
    checks = doctor.examine(store=tmp_path / "store", bundle="mini")
    names = {check.name for check in checks}
    assert {
        "python",
        "packages",
        "cores",
        "device",
        "bundle mini",
        "store",
        "disk",
        "leftovers",
        "offline",
        "examples",
    } <= names
    assert named(checks, "packages").state == "ok"
    assert "does not exist yet" in named(checks, "store").found
    assert not (tmp_path / "store").exists()


def test_faults_are_reported_with_exit_code_1(tmp_path, bundle, capsys):
    bundle(missing="tagger")
    assert main(["doctor", "--store", str(tmp_path / "store"), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is False
    assert [c["name"] for c in said["checks"] if c["state"] == "broken"] == ["bundle mini: tagger"]
    assert main(["doctor", "--store", str(tmp_path / "store")]) == 1
    assert "the tagger is missing" in capsys.readouterr().out


def test_without_faults_the_exit_code_is_0(tmp_path, bundle, capsys):
    assert main(["doctor", "--store", str(tmp_path / "store")]) == 0
    assert "nothing is broken" in capsys.readouterr().out


def test_packages_missing_or_in_other_versions_are_broken():
    found = list(doctor.packages(["numpy<1", "no-such-package-of-svdaudio", "pytest", "nothing; extra == 'some'"]))
    assert [(check.name, check.state) for check in found] == [
        ("numpy", "broken"), ("no-such-package-of-svdaudio", "broken"), ("packages", "ok"),
    ]  # fmt: skip
    assert found[-1].found == "1 in the required versions"


def test_a_store_that_is_a_file_is_broken(tmp_path, bundle):
    (tmp_path / "store").write_text("in the way")
    assert named(doctor.examine(store=tmp_path / "store", bundle="mini"), "store").state == "broken"


def test_memory_is_limited_by_the_control_group(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    8388608 kB\n")
    assert doctor.free_memory_bytes(tmp_path, tmp_path) == 8 * doctor.GIB
    (tmp_path / "memory.max").write_text(f"{3 * doctor.GIB}\n")
    (tmp_path / "memory.current").write_text(f"{doctor.GIB}\n")
    assert doctor.free_memory_bytes(tmp_path, tmp_path) == 2 * doctor.GIB
    (tmp_path / "memory.max").write_text("max\n")
    assert doctor.free_memory_bytes(tmp_path, tmp_path) == 8 * doctor.GIB
    assert doctor.free_memory_bytes(tmp_path / "none", tmp_path) is None


def test_leftovers_are_found_once_they_are_old(toy, tmp_path):
    run = toy.run()
    toy.store.runs.write(replace(run, state="running"))
    left = tmp_path / "store" / "tmp" / "half"
    left.mkdir()
    (tmp_path / "store" / "quarantine" / "damaged").mkdir(parents=True)
    names = {check.name for check in doctor.leftovers(toy.store.folder, now=time.time())}
    assert names == {"quarantine", "runs"}
    os.utime(left, (0, 0))
    found = list(doctor.leftovers(toy.store.folder, now=time.time()))
    assert {check.name for check in found} == {"leftovers", "quarantine", "runs"}
    assert {check.state for check in found} == {"note"}
    assert f"svdaudio resume {run.id}" in named(found, "runs").fix


def test_a_tidy_store_has_no_leftovers(tmp_path):
    assert list(doctor.leftovers(LocalStore(tmp_path).folder, now=0)) == [
        Check(name="leftovers", state="ok", found="none")
    ]


def test_offline_switches():
    right = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "False"}
    assert next(doctor.offline(right)).state == "ok"
    assert next(doctor.offline({**right, "DO_NOT_TRACK": "0"})).fix == "set DO_NOT_TRACK=1"


def test_a_prefect_server_that_does_not_answer_is_broken(tmp_path, bundle, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert named(doctor.examine(store=tmp_path / "store", bundle="mini"), "prefect").state == "broken"


def test_checkpoints_are_listed_and_verified(tmp_path, capsys, monkeypatch):
    from svdaudio.checkpoints.bundle import Bundle

    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "tagger.safetensors").write_bytes(b"no weights")
    digest = "c1f0a6b0ad9ce1a5c04b9a0a33fa5ac1ac2c2bb1c3d9d6f6dd3c2e33e2a3f5a0"
    model = {"file": "tagger.safetensors", "sha256": digest, "bytes": 10}
    description = {"title": "a toy", "settings": {}, "models": {"tagger": model}}
    (folder / "bundle.json").write_text(json.dumps(description))
    monkeypatch.setattr(cli_sessions, "open_bundle", lambda name: Bundle.open(name, tmp_path))
    assert main(["checkpoints", "list", "toy", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["models"]
    assert (row["role"], row["bytes"]) == ("tagger", 10)
    assert "does not match the description" in row["error"]
    assert main(["checkpoints", "verify", "toy"]) == 3
    assert "does not match the description" in " ".join(capsys.readouterr().out.split())
