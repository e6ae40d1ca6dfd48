"""Requests: what enters the keys of their nodes, how they are checked, and how they are restored from records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from svdaudio.config import resolve
from svdaudio.engine.request import (
    FileCache,
    Request,
    check,
    files_of,
    new_run,
    recorded_config,
    resumed_request,
    with_sources,
)
from svdaudio.errors import CheckpointError, ConfigError, InputError, RunError
from svdaudio.methods import find_method
from svdaudio.methods.baseline import METHOD as BASELINE
from svdaudio.methods.manipulate import METHOD as MANIPULATE
from svdaudio.methods.stages import STAGES

POINTS = {"remove": ["10,20"], "add": ["30,40"]}
OTHER_VALUES = {
    "generate.steps": 100,
    "generate.duration_s": 5.0,
    "remove": "11,20", "add": "31,40", "geometry": "crop", "seed": 43, "bundle": "other",
    "generate.scheduler": "dpm-solver++", "generate.backend": "audioldm", "generate.precision": "bfloat16",
    "locals.augment": False, "finish.form": "none", "generate.pick": 2, "generate.noise": "joint",
    "edit.form": "fade", "edit.locals": "dropped", "rest": "detected", "gains": {"added": -3}, "margin": 0.02,
    "finish.loudness_lufs": -30, "finish.true_peak_db": -3,
    "execution.device": "cuda", "execution.threads": 3, "execution.keep_models": True,
    "execution.compile": True,
}  # fmt: skip


CHOOSES_NODES = ("edit.form", "edit.locals", "finish.form", "generate.pick", "generate.noise", "rest")
"""Parameters that enter no key, but decide which nodes there are."""
COUNTS_WITH = {
    "generate.noise": {"generate.candidates": 2},  # three candidates have the same noise in both forms
    **{name: {"edit.form": "clap"} for name in ("gains", "margin", "rest")},
}
"""Parameter → others without which it has no effect."""


class Bundle:
    """A bundle whose digests depend on its name; a model may be missing."""

    def __init__(self, name="mini", lacks=None):
        self.name = name
        self.lacks = lacks

    def digests(self, role):
        if role == self.lacks:
            raise CheckpointError(f"there is no {role}")
        return f"{self.name} {role}"

    def check_domain(self):
        return None


@pytest.fixture
def pictures(tmp_path):
    paths = [tmp_path / f"{name}.png" for name in ("original", "edited")]
    for number, path in enumerate(paths):
        Image.fromarray(np.full((48, 64, 3), number, np.uint8)).save(path)
    return paths


def request_of(method, pictures, lacks=None, **given):
    known = {**POINTS, **given} if method is MANIPULATE else given
    resolved = resolve(method.config, given=known)
    files = files_of(method, pictures[: len(method.files)])
    return Request(method=method, files=files, resolved=resolved, bundle=Bundle(resolved.config.bundle, lacks))


def keys_from_producers(request):
    """The key of every node, if each output's digest were that of its producer's key."""
    outputs, keys = {}, {}
    for node in request.nodes:
        keys[node.name] = request.action(node, request.input_digests(node, outputs)).key
        outputs[node.name] = {output: f"{keys[node.name]} {output}" for output in node.stage.outputs}
    return keys


@pytest.mark.parametrize(
    ("method", "name"),
    [
        pytest.param(method, name, id=f"{method.name}-{name}")
        for method in (MANIPULATE, BASELINE)
        for name in method.config.parameters()
    ],
)
def test_every_parameter_changes_a_key_unless_it_is_for_execution_only(method, name, pictures):
    parameter = method.config.parameters()[name]
    default = parameter.default
    value = OTHER_VALUES.get(name, default + 1 if isinstance(default, int) else 0.45)
    more = COUNTS_WITH.get(name, {})
    request = request_of(method, pictures, **more)
    before = keys_from_producers(request)
    after = keys_from_producers(request_of(method, pictures, **more, **{name: value}))
    changed = {node for node in before if before[node] != after.get(node)}
    bound = {node.name for node in request.table.values() if name in node.bindings.values()}
    if parameter.execution_only:
        assert not changed
    else:
        assert changed >= bound
        assert bound or name in ("bundle", *CHOOSES_NODES)
        assert changed


def test_the_seed_enters_only_keys_of_random_stages(pictures):
    one, other = request_of(MANIPULATE, pictures), request_of(MANIPULATE, pictures, seed=1)
    before, after = keys_from_producers(one), keys_from_producers(other)
    changed = {one.table[node].stage.name for node in before if before[node] != after[node]}
    assert changed == {"remix", "diffuse", "decode", "vocode", "choose", "finish", "scores"}
    bound = {node.stage.name for node in one.table.values() if "seed" in node.bindings.values()}
    assert bound == {"remix", "diffuse"}


def test_a_baseline_reads_one_picture(pictures):
    request = request_of(BASELINE, pictures)
    assert {node.name.partition(".")[0] for node in request.nodes} == {"original"}
    assert list(request.file_digests) == ["original"]
    assert request.nodes[-1].name == "original.scores"


def test_the_baseline_shares_its_keys_with_the_method(pictures):
    alone = keys_from_producers(request_of(BASELINE, pictures))
    both = keys_from_producers(request_of(MANIPULATE, pictures))
    assert alone.items() <= both.items()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"remove": [], "add": []}, r"no region given to remove or add: .*\. Give --remove X,Y or --add X,Y"),
        ({"add": ["1,2,0"]}, r"no click given for 'add'\. Give --add X,Y, in pixels of the edited picture edited\.png"),
        ({"remove": ["64,20"]}, r"the click 'remove' is outside the picture original\.png: expected x in 0\.\.63"),
        ({"add": ["40,-1"]}, r"the click 'add' is outside the picture edited\.png"),
    ],
)
def test_invalid_clicks_are_refused(pictures, given, message):
    with pytest.raises(InputError, match=message):
        check(request_of(MANIPULATE, pictures, **given))


def test_invalid_requests_are_refused(pictures, tmp_path):
    request = request_of(MANIPULATE, pictures)
    assert check(request) is request
    with pytest.raises(ConfigError, match="unknown stage 'nothing'"):
        check(replace(request, targets=("nothing",)))
    with pytest.raises(CheckpointError, match="there is no tagger"):
        check(request_of(MANIPULATE, pictures, lacks="tagger"))
    with pytest.raises(InputError, match="file not found:"):
        check(request_of(MANIPULATE, [tmp_path / "none.jpg", pictures[1]]))
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InputError, match="is not an image"):
        check(request_of(BASELINE, [tmp_path / "text.png"]))


def test_an_unneeded_model_may_be_missing(pictures):
    mask = find_method("mask")
    resolved = resolve(mask.config, given={"point": "3,4"})
    for lacks in (role for stage in STAGES.values() for role in stage.models if role != "segmenter"):
        check(Request(method=mask, files={"picture": pictures[0]}, resolved=resolved, bundle=Bundle(lacks=lacks)))


def test_a_file_is_hashed_and_checked_once_for_many_requests(pictures, monkeypatch):
    looked, hashed = [], []
    monkeypatch.setattr(type(BASELINE.files["original"]), "check", lambda self, path: looked.append(path))
    monkeypatch.setattr("svdaudio.engine.request.digest_file", lambda path, name: hashed.append(path) or str(path))
    cache = FileCache()
    for seed in (1, 2):
        check(replace(request_of(BASELINE, pictures, seed=seed), cache=cache))
    assert looked == hashed == [pictures[0]]
    check(request_of(BASELINE, pictures))
    assert looked == hashed == [pictures[0]] * 2


def test_a_picture_in_the_store_is_not_opened_again(toy, monkeypatch):
    looked = []
    monkeypatch.setattr(type(toy.method.files["original"]), "check", lambda self, path: looked.append(path.name))
    check(toy.request(), toy.store)
    assert looked == ["original.txt", "edited.txt"]
    toy.run()
    check(toy.request(), toy.store)
    assert len(looked) == 2
    toy.files["edited"].write_text("1 2 3")
    check(toy.request(), toy.store)
    assert looked[2:] == ["edited.txt"]
    assert toy.request().known_shape("original", toy.store) == (4,)
    assert toy.request().known_shape("edited", toy.store) is None
    assert toy.request().known_shape("original", None) is None


def test_files_are_given_by_name_or_position():
    one, two = Path("one.png"), Path("two.png")
    by_name = {"original": one, "edited": two}
    assert files_of(MANIPULATE, by_name) == files_of(MANIPULATE, [one, two]) == by_name
    for wrong in ([one], [one, two, one], [], {"original": one}, {"original": one, "changed": two}):
        with pytest.raises(InputError, match=r"manipulate takes 2 files: expected ORIGINAL EDITED, got"):
            files_of(MANIPULATE, wrong)
    with pytest.raises(InputError, match=r"baseline takes 1 file: expected ORIGINAL, got none"):
        files_of(BASELINE, [])
    with pytest.raises(InputError, match=r"got one\.png two\.png"):
        files_of(BASELINE, [one, two])


def test_a_new_run_knows_its_request(toy):
    resolved = resolve(toy.method.config, overrides=["svd.k=20"])
    run = new_run(replace(toy.request(), resolved=resolved), runner="prefect", run_id="20260101-000000-000-abcd")
    assert (run.id, run.kind, run.runner, run.state) == ("20260101-000000-000-abcd", "toy", "prefect", "running")
    assert run.sources["svd.k"] == "--set"
    assert run.remarks == ("svd.k = 20 is outside the recommended 1 to 15",)
    assert run.config["svd"]["k"] == 20
    assert Path(run.files["original"].path).is_absolute()
    assert {entry.status for entry in run.stages} == {"pending"}
    assert not toy.store.runs.ids()


def test_a_run_record_becomes_its_request_again(toy):
    request = replace(toy.request(svd__k=7), targets=("mix",))
    again = resumed_request(new_run(request), toy.method, toy.bundle)
    assert (again.config, again.targets, dict(again.files)) == (request.config, ("mix",), dict(toy.files))


def test_a_run_with_a_missing_or_changed_file_cannot_be_resumed(toy):
    run = new_run(toy.request())
    toy.files["original"].write_text("7")
    with pytest.raises(RunError, match=r"its file 'original' has changed"):
        resumed_request(run, toy.method, toy.bundle)
    toy.files["original"].unlink()
    with pytest.raises(RunError, match=r"its file 'original' cannot be read"):
        resumed_request(run, toy.method, toy.bundle)


def test_former_parameters_of_a_method_are_ignored_in_its_records(pictures):
    run = new_run(request_of(BASELINE, pictures, seed=7))
    former = ("remove", "add", "align", "svd", "mix")
    everything = {name: each for name, each in find_method("manipulate").config().tables().items() if name in former}
    old = replace(run, config={**everything, **run.config})
    assert {"remove", "add", "align", "svd", "mix"} <= old.config.keys()
    assert recorded_config(old, BASELINE) == recorded_config(run, BASELINE) == BASELINE.config(seed=7)
    unknown = replace(run, config={**run.config, "svdd": {"k": 3}})
    with pytest.raises(RunError, match=r"a configuration from another version of svdaudio: got svdd"):
        recorded_config(unknown, BASELINE)


def test_an_obsolete_record_is_one_clear_error(pictures):
    run = new_run(request_of(MANIPULATE, pictures))
    for changes in ({"svd": {"k": 0}}, {"mix": dict.fromkeys(("alpha", "beta", "gamma", "direct"), 0)}):
        with pytest.raises(RunError, match="another version of svdaudio") as caught:
            recorded_config(replace(run, config={**run.config, **changes}), MANIPULATE)
        assert caught.value.fix == "start a new run"
        assert "\n" not in caught.value.line()


def test_a_resolved_configuration_keeps_its_sources_and_notes():
    config = resolve(MANIPULATE.config, overrides=["svd.k=20"]).config
    again = with_sources(config, {"svd.k": "batch 7"})
    assert (again.config, again.sources["svd.k"]) == (config, "batch 7")
    assert again.remarks == ["svd.k = 20 is outside the recommended 1 to 15"]
