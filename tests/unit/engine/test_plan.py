"""Plans of the toy workflow and of the published method: what is cached, what would run, and why."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from svdaudio.config import resolve
from svdaudio.engine.plan import compare_runs, plan
from svdaudio.engine.request import Request
from svdaudio.errors import ConfigError, InputError
from svdaudio.methods.manipulate import METHOD, ManipulateConfig, nodes
from svdaudio.store import open_store


class Bundle:
    """A bundle whose digests are its roles."""

    name = "mini"

    def digests(self, role):
        return role


def request(tmp_path, **more):
    files = {name: tmp_path / f"{name}.jpg" for name in METHOD.files}
    for path in files.values():
        path.write_text(path.name)
    return Request(method=METHOD, files=files, resolved=resolve(ManipulateConfig), bundle=Bundle(), **more)


def test_invalid_requests_cannot_be_planned(tmp_path):
    with pytest.raises(ConfigError, match="unknown stage 'nothing'"):
        plan(request(tmp_path, targets=("nothing",)), open_store(tmp_path / "s"))
    gone = request(tmp_path)
    gone.files["original"].unlink()
    with pytest.raises(InputError, match="file not found:"):
        plan(gone, open_store(tmp_path / "s"))


def test_with_an_empty_store_only_first_stages_are_known_to_run(tmp_path):
    planned = plan(request(tmp_path), open_store(tmp_path / "s"))
    assert {p.name for p in planned if p.status == "run"} == {"original.image", "edited.image"}
    assert {p.reason for p in planned if p.status == "run"} == {"never computed"}
    assert next(p for p in planned if p.name == "original.tokens").reason == "waits for original.image"
    assert len(planned) == len(nodes(ManipulateConfig()))
    assert not (tmp_path / "s").exists()


def test_a_changed_parameter_is_the_reason_of_reruns(toy):
    toy.run()
    planned = {p.name: p for p in plan(toy.request(svd__alpha=0.2, svd__k=6), toy.store)}
    assert {name: p.status for name, p in planned.items() if p.status != "cached"} == {
        "mix": "run",
        "manipulated.scores": "unknown",
    }
    assert planned["mix"].reason == "svd.alpha changed 0.3 → 0.2; svd.k changed 5 → 6"
    assert planned["manipulated.scores"].reason == "waits for mix"
    assert planned["manipulated.scores"].key is None
    planned = {p.name: p for p in plan(toy.request(svd__alpha=0.2, seed=1), toy.store)}
    assert planned["manipulated.scores"].reason == "waits for mix; seed changed 42 → 1"


def test_a_missing_artifact_is_the_reason_of_reruns(toy):
    run = toy.run()
    toy.store.quarantine(run.stage("mix").key, "on purpose")
    planned = {p.name: p for p in plan(toy.request(), toy.store)}
    assert planned["mix"].reason == "the artifact was damaged and is in quarantine"
    for path in (toy.store.folder / "quarantine").iterdir():
        path.rename(toy.folder / path.name)
    planned = {p.name: p for p in plan(toy.request(), toy.store)}
    assert planned["mix"].reason == "the artifact was removed"


def test_a_newer_stage_version_is_a_reason(toy):
    toy.run()
    before = toy.method.nodes

    def nodes_with_newer_mix(config):
        table = before(config)
        newer = replace(table["mix"].stage, version=2)
        return {**table, "mix": replace(table["mix"], stage=newer)}

    toy.method = replace(toy.method, nodes=nodes_with_newer_mix)
    planned = {p.name: p for p in plan(toy.request(), toy.store)}
    assert planned["mix"].reason == "stage version 1 → 2"


def test_the_run_of_the_same_files_is_compared_with(toy):
    toy.run()
    first = dict(toy.files)
    toy.files = {name: path.with_name(f"{name}2.txt") for name, path in first.items()}
    toy.files["original"].write_text("7 7 7")
    toy.files["edited"].write_text("8 8")
    planned = {p.name: p for p in plan(toy.request(), toy.store)}
    assert planned["original.image"].reason == "file 'original' changed"
    toy.run(toy.request(svd__k=9))
    toy.files = first
    planned = {p.name: p for p in plan(toy.request(svd__k=7), toy.store)}
    assert planned["mix"].reason == "svd.k changed 5 → 7"


def test_differences_between_two_runs(toy):
    one, other = toy.run(), toy.run(toy.request(align__threshold=0.55, seed=3))
    differences = {d.node: d for d in compare_runs(one, other, toy.request().table)}
    assert differences["original.image"].reasons == ()
    assert differences["original.align"].reason == "align.threshold changed 0.5 → 0.55"
    assert differences["original.align"].same_outputs
    assert differences["mix"].reasons == ()
    assert differences["manipulated.scores"].reason == "seed changed 42 → 3"
    assert not differences["manipulated.scores"].same_outputs


@pytest.mark.parametrize("module", ["svdaudio.engine.plan", "svdaudio.engine.run"])
def test_planning_imports_nothing_heavy(module):
    code = (
        f"import {module}, sys; print([m for m in ('torch', 'numpy', 'zarr', 'prefect', 'typer') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_a_cached_run_loads_no_arrays(toy):
    toy.run()
    code = """
import sys
from itertools import pairwise
from pathlib import Path
from svdaudio.store import open_store
store = open_store(sys.argv[1])
for run in store.runs:
    assert all(store.find(entry.key) for entry in run.stages)
print([m for m in ("numpy", "zarr") if m in sys.modules])
"""
    shown = subprocess.run(
        [sys.executable, "-c", code, str(toy.store.folder)], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"
