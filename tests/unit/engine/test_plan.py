"""Plans on the toy workflow and on the real table."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from svdaudio.config import PARAMETERS, resolve
from svdaudio.engine.plan import baseline_request, compare_runs, manipulate_request, plan, schedule
from svdaudio.engine.request import new_run
from svdaudio.engine.stage import NODES, Node, Stage
from svdaudio.errors import ConfigError, InputError
from svdaudio.methods.stages import STAGES
from svdaudio.store import open_store

DIGESTS = {
    role: f"{i:064x}" for i, role in enumerate(sorted({role for stage in STAGES.values() for role in stage.models}))
}
POINTS = {"remove": ["10,20"], "add": ["30,40"]}
OTHER_VALUES = {
    "generate.steps": 100,
    "generate.duration_s": 5.0,
    "remove": "11,20", "add": "31,40", "geometry": "crop", "seed": 43, "bundle": "other",
    "generate.scheduler": "dpm-solver++", "generate.backend": "audioldm", "generate.precision": "bfloat16",
    "locals.augment": False,
    "execution.device": "cuda", "execution.threads": 3, "execution.keep_models": True,
    "execution.compile": True,
}  # fmt: skip


class Bundle:
    """A bundle whose digests go with its name."""

    def __init__(self, name="mini"):
        self.name = name

    def digests(self, role):
        return f"{self.name} {DIGESTS[role]}"


@pytest.fixture
def pictures(tmp_path):
    paths = [tmp_path / f"{name}.jpg" for name in ("original", "edited")]
    for path in paths:
        path.write_text(path.name)
    return paths


def keys_if_all_were_known(request):
    """The key of every node, if each output's digest were that of its producer's key."""
    outputs, keys = {}, {}
    for node in request.nodes:
        keys[node.name] = request.action(node, request.input_digests(node, outputs)).key
        outputs[node.name] = {output: f"{keys[node.name]} {output}" for output in node.stage.outputs}
    return keys


def request_with(pictures, **given):
    config = resolve(given={**POINTS, **given}).config
    return manipulate_request(*pictures, config, Bundle(config.bundle))


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_changes_a_key_unless_it_is_for_execution_only(name, pictures, monkeypatch):
    monkeypatch.setattr("svdaudio.engine.plan.check_backend", lambda name, scheduler: None)  # the package is an extra
    parameter = PARAMETERS[name]
    default = parameter.default
    value = OTHER_VALUES.get(name, default + 1 if isinstance(default, int) else 0.45)
    before, after = (
        keys_if_all_were_known(request_with(pictures)),
        keys_if_all_were_known(request_with(pictures, **{name: value})),
    )
    changed = {node for node in before if before[node] != after[node]}
    bound = {node.name for node in NODES.values() if name in node.bindings.values()}
    if parameter.execution_only:
        assert not changed
    else:
        assert changed >= bound
        assert bound or name == "bundle"
        assert changed


def test_the_seed_enters_only_what_draws(pictures):
    before, after = (
        keys_if_all_were_known(request_with(pictures)),
        keys_if_all_were_known(request_with(pictures, seed=1)),
    )
    first = {node for node in before if before[node] != after[node]}
    assert {NODES[name].stage.name for name in first} == {"remix", "diffuse", "decode", "vocode", "choose", "scores"}
    assert {n.stage.name for n in NODES.values() if "seed" in n.bindings.values()} == {"remix", "diffuse"}


def test_a_baseline_reads_one_picture(pictures):
    request = baseline_request(pictures[0], resolve().config, Bundle())
    assert {node.name.partition(".")[0] for node in request.nodes} == {"original"}
    assert list(request.file_digests) == ["original"]
    assert request.nodes[-1].name == "original.scores"


def test_the_baseline_shares_its_keys_with_the_method(pictures):
    config = resolve(given=POINTS).config
    alone = keys_if_all_were_known(baseline_request(pictures[0], config, Bundle()))
    both = keys_if_all_were_known(manipulate_request(*pictures, config, Bundle()))
    assert alone.items() <= both.items()


def test_requests_that_cannot_be(pictures, tmp_path):
    config = resolve(given=POINTS).config
    with pytest.raises(InputError, match=r"no click says what goes\. Give --remove"):
        manipulate_request(*pictures, resolve(given={"add": POINTS["add"]}).config, Bundle())
    with pytest.raises(InputError, match="no click says what comes"):
        manipulate_request(*pictures, resolve(given={"remove": POINTS["remove"], "add": ["1,2,0"]}).config, Bundle())
    with pytest.raises(ConfigError, match="there is no stage 'nothing'"):
        plan(manipulate_request(*pictures, config, Bundle(), targets=("nothing",)), open_store(tmp_path / "s"))
    with pytest.raises(InputError, match="there is no file"):
        plan(manipulate_request(tmp_path / "none.jpg", pictures[1], config, Bundle()), open_store(tmp_path / "s"))


def test_an_empty_store_has_only_beginnings_to_run(pictures, tmp_path):
    planned = plan(request_with(pictures), open_store(tmp_path / "s"))
    assert {p.name for p in planned if p.status == "run"} == {"original.image", "edited.image"}
    assert {p.reason for p in planned if p.status == "run"} == {"never computed"}
    assert next(p for p in planned if p.name == "original.tokens").reason == "waits for original.image"
    assert len(planned) == len(NODES)
    assert not (tmp_path / "s").exists()


def test_work_is_ordered_to_load_few_models():
    order = schedule(NODES.values())
    seen = set()
    for node in order:
        assert seen.issuperset(node.upstream)
        seen.add(node.name)
    loads = [node.stage.models for node in order if node.stage.models]
    changes = 1 + sum(one != other for one, other in pairwise(loads))
    assert changes == len(set(loads))


def test_a_cycle_is_noticed():
    stage = Stage(name="a", inputs=("x",), outputs=("y",), summary="")
    nodes = [Node(name=n, stage=stage, inputs={"x": f"{m}.y"}) for n, m in (("a", "b"), ("b", "a"))]
    with pytest.raises(ConfigError, match="has a cycle"):
        schedule(nodes)


def test_reasons_for_what_a_change_brings(toy):
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


def test_reasons_for_what_is_gone(toy):
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
    request = toy.request()
    mix = request.table["mix"]
    newer = Stage(**{**vars(mix.stage), "version": 2})
    table = {**request.table, "mix": Node(name="mix", stage=newer, inputs=mix.inputs)}
    planned = {p.name: p for p in plan(type(request)(**{**vars_of(request), "table": table}), toy.store)}
    assert planned["mix"].reason == "stage version 1 → 2"


def vars_of(request):
    return {name: getattr(request, name) for name in ("kind", "files", "config", "bundle", "targets", "table")}


def test_the_run_of_the_same_files_is_compared_with(toy):
    toy.run()
    first = dict(toy.files)
    toy.files = {name: path.with_name(f"{name}2.txt") for name, path in first.items()}
    toy.files["original"].write_text("7 7 7")
    toy.files["edited"].write_text("8 8")
    planned = {p.name: p for p in plan(toy.request(), toy.store)}
    assert planned["original.image"].reason == "the file of 'original' changed"
    toy.run(toy.request(svd__k=9))
    toy.files = first
    planned = {p.name: p for p in plan(toy.request(svd__k=7), toy.store)}
    assert planned["mix"].reason == "svd.k changed 5 → 7"


def test_what_differs_between_two_runs(toy):
    one, other = toy.run(), toy.run(toy.request(align__threshold=0.55, seed=3))
    differences = {d.node: d for d in compare_runs(one, other, toy.request().table)}
    assert differences["original.image"].reasons == ()
    assert differences["original.align"].reason == "align.threshold changed 0.5 → 0.55"
    assert differences["original.align"].same_outputs
    assert differences["mix"].reasons == ()
    assert differences["manipulated.scores"].reason == "seed changed 42 → 3"
    assert not differences["manipulated.scores"].same_outputs


def test_a_new_run_knows_its_request(toy):
    resolved = resolve(overrides=["svd.k=20"])
    run = new_run(toy.request(), resolved)
    assert run.state == "running"
    assert run.sources["svd.k"] == "--set"
    assert run.remarks == ("svd.k = 20 is outside the recommended 1 to 15",)
    assert Path(run.files["original"].path).is_absolute()
    assert {entry.status for entry in run.stages} == {"pending"}


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
