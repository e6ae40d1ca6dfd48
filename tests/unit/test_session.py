"""One session: requests of any method, runs with and without a record, stopping and resuming."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from svdaudio.config import resolve
from svdaudio.engine.journal import no_progress
from svdaudio.engine.request import new_run
from svdaudio.errors import CheckpointError, ConfigError, InputError, MissingArtifactError, RunError
from svdaudio.methods import VARIABLE, find_method
from svdaudio.session import Runner, Session, is_unfinished, run_state
from svdaudio.store import LocalStore


@pytest.fixture
def opened():
    """The bundles and models that the session opened, in order."""
    return []


@pytest.fixture
def session(toy, opened, monkeypatch):
    """A session in the store of the toy, whose method is found by its name."""
    monkeypatch.setenv(VARIABLE, "conftest:TOY_METHOD")

    def open_bundle(name):
        opened.append(f"bundle {name}")
        return replace(toy.bundle, name=name, settings={"svd.alpha": 0.25})

    def open_models(bundle, config):
        opened.append(f"models {bundle.name} {config.execution.device}")
        return bundle.numbers

    return Session(toy.store, open_bundle=open_bundle, open_models=open_models)


def request(session, toy, *, files=None, **settings):
    return session.request("toy", toy.files if files is None else files, settings)


def stop_after(n_nodes):
    """Returns a callback that is true after `n_nodes` calls."""
    calls = []

    def stopping():
        calls.append(None)
        return len(calls) > n_nodes

    return stopping


def statuses(run):
    return [entry.status for entry in run.stages]


# -- requests ----------------------------------------------------------------------------------------------------------


def test_a_request_takes_its_values_from_all_sources(session, toy, tmp_path):
    (tmp_path / "run.toml").write_text("[svd]\nk = 7\n[generate]\nsteps = 100\n")
    found = session.request(
        "toy",
        [str(path) for path in toy.files.values()],
        {"seed": 3, "svd.beta": None, "remove": []},
        config_file=tmp_path / "run.toml",
        overrides=["align.threshold=0.4"],
        source="the notebook",
    )
    assert dict(found.files) == toy.files
    sources = {name: source for name, source in found.resolved.sources.items() if source != "default"}
    assert sources == {
        "seed": "the notebook", "svd.k": "run.toml", "generate.steps": "run.toml", "align.threshold": "--set",
        "svd.alpha": "bundle mini",
    }  # fmt: skip
    assert (found.config.seed, found.config.svd.alpha) == (3, 0.25)
    assert found.targets == ("manipulated.scores",)


def test_a_method_is_given_by_name_or_as_an_object(session, toy):
    assert session.request("toy", toy.files).table == session.request(find_method("toy"), toy.files).table
    with pytest.raises(ConfigError, match=r"unknown method: expected manipulate or .* or toy"):
        session.request("edit", toy.files)


@pytest.mark.parametrize("files", [[], ["original"], ["original", "edited", "edited"]])
def test_another_number_of_files_is_refused(session, toy, files):
    with pytest.raises(InputError, match="toy takes 2 files: expected ORIGINAL EDITED"):
        request(session, toy, files=[toy.files[name] for name in files])
    with pytest.raises(InputError, match="toy takes 2 files"):
        request(session, toy, files={"original": toy.files["original"], "changed": toy.files["edited"]})


def test_an_unknown_variant_is_refused_and_a_known_one_is_a_set_of_targets(session, toy, monkeypatch):
    with pytest.raises(ConfigError, match=r"unknown variant 'quick' of toy: expected none"):
        session.request("toy", toy.files, variant="quick")
    method = replace(toy.method, variants={"half": ("original.factors",), "mixed": ("mix",)})
    assert session.request(method, toy.files, variant="half").targets == ("original.factors",)
    with pytest.raises(ConfigError, match=r"unknown variant 'quick' of toy: expected half or mixed"):
        session.request(method, toy.files, variant="quick")
    with pytest.raises(ConfigError, match="unknown stage 'nothing'"):
        session.request("toy", toy.files, targets=("nothing",))


def test_impossible_requests_are_refused_before_anything_is_computed(session, toy, opened):
    with pytest.raises(ConfigError, match=r"svd\.k has an invalid value \(from settings\)"):
        request(session, toy, **{"svd.k": 0})
    with pytest.raises(ConfigError, match=r"unknown parameter 'svd\.kk'"):
        request(session, toy, **{"svd.kk": 1})
    toy.files["edited"].unlink()
    with pytest.raises(InputError, match="file not found:"):
        request(session, toy)
    assert opened == ["bundle mini"]


def test_a_bundle_is_opened_once_and_models_once_for_each_way_to_compute(session, toy, opened):
    for seed in (1, 2):
        session.run(request(session, toy, seed=seed))
    session.run(request(session, toy, **{"execution.device": "cpu"}))
    session.run(request(session, toy, bundle="full"))
    assert opened == ["bundle mini", "models mini auto", "models mini cpu", "bundle full", "models full auto"]


def test_a_missing_bundle_is_reported(toy):
    def none(name):
        raise CheckpointError(f"there is no bundle {name}")

    with pytest.raises(CheckpointError, match="there is no bundle other"):
        Session(toy.store, open_bundle=none).request(toy.method, toy.files, {"bundle": "other"})


# -- running -----------------------------------------------------------------------------------------------------------


def test_a_run_is_recorded_with_its_output_files(session, toy):
    work = request(session, toy)
    assert {node.status for node in session.plan(work)} == {"run", "unknown"}
    run = session.new_run(work)
    assert list(session.runs) == []
    result = session.run(work, run=run)
    assert result.run == session.load("latest")
    assert (result.run.id, result.run.state, result.run.runner) == (run.id, "finished", "in-process")
    assert result.run.results["folder"] == str(result.report.folder)
    assert {node.status for node in session.plan(work)} == {"cached"}


def test_arrays_of_a_run_are_read_by_node_and_recomputed_if_lost(session, toy):
    run = session.run(request(session, toy)).run
    arrays = session.arrays(run)
    assert arrays["mix"]["embedding"].tolist() == [np.float32(0.25 * 14), 16, 5]
    assert arrays.output("mix.embedding") is arrays["mix"]["embedding"]
    toy.store.quarantine(run.stage("mix").key, "on purpose")
    with pytest.raises(MissingArtifactError):
        session.arrays(run, recompute=False)["mix"]
    assert session.arrays(run)["mix"]["embedding"].tolist() == arrays["mix"]["embedding"].tolist()


def test_a_run_without_a_record_leaves_none_and_reads_none(session, toy, monkeypatch):
    work = request(session, toy)

    def refused(*_):
        raise AssertionError("the records of runs are not for trials")

    with monkeypatch.context() as patch:
        for name in ("__iter__", "load", "read", "write", "ids", "hold"):
            patch.setattr(type(toy.store.runs), name, refused)
        result = session.run(work, record=False)
    assert (result.run.state, set(statuses(result.run))) == ("finished", {"computed"})
    assert (result.audio, result.scores, result.run.results) == ({}, {}, {})
    assert list(session.runs) == []
    assert not (toy.store.folder / "runs").exists() or not list((toy.store.folder / "runs").iterdir())
    assert not session.out_root.exists()


def test_arrays_of_a_run_without_a_record_are_stored_and_reused(session, toy):
    tried = session.run(request(session, toy), record=False).run
    assert session.arrays(tried)["mix"]["embedding"].tolist() == [np.float32(0.25 * 14), 16, 5]
    run = session.run(request(session, toy)).run
    assert set(statuses(run)) == {"cached"}
    again = session.run(request(session, toy), record=False).run
    assert set(statuses(again)) == {"cached"}
    assert [one.id for one in session.runs] == [run.id]


def test_without_a_record_no_reason_names_an_earlier_run(session, toy):
    session.run(request(session, toy))
    other = {"svd.alpha": 0.5}
    assert session.run(request(session, toy, **other), record=False).run.stage("mix").reason == "never computed"
    toy.store.quarantine(session.plan(request(session, toy, **other))[-2].key, "on purpose")
    recorded = session.run(request(session, toy, **{"svd.alpha": 0.4})).run
    assert recorded.stage("mix").reason == "svd.alpha changed 0.25 → 0.4"


@pytest.mark.parametrize("n_nodes", [0, 3, 7])
def test_a_run_stops_between_stages_and_resumes(session, toy, n_nodes):
    result = session.run(request(session, toy), stopping=stop_after(n_nodes))
    run = result.run
    assert (run.state, run.error) == ("interrupted", None)
    assert statuses(run) == ["computed"] * n_nodes + ["pending"] * (8 - n_nodes)
    assert (result.audio, run.results) == ({}, {})
    assert session.load("latest") == run
    assert session.find_unfinished().id == run.id
    done = session.resume(run.id).run
    assert (done.id, done.state, done.attempts) == (run.id, "finished", 2)
    assert statuses(done) == ["cached"] * n_nodes + ["computed"] * (8 - n_nodes)
    assert done.results["folder"]
    with pytest.raises(RunError, match="no run to resume"):
        session.find_unfinished()


def test_a_run_can_be_stopped_and_resumed_repeatedly(session, toy):
    run = session.run(request(session, toy), stopping=stop_after(2)).run
    run = session.resume(run, stopping=stop_after(5)).run
    assert (run.state, statuses(run)[:5]) == ("interrupted", ["cached"] * 2 + ["computed"] * 3)
    run = session.resume(run, stopping=stop_after(8)).run
    assert (run.state, run.attempts) == ("finished", 3)


def test_a_run_without_a_record_can_be_stopped(session, toy):
    run = session.run(request(session, toy), stopping=stop_after(2), record=False).run
    assert (run.state, statuses(run).count("computed")) == ("interrupted", 2)
    assert list(session.runs) == []


def test_a_run_with_a_changed_file_is_not_resumed(session, toy):
    run = session.run(request(session, toy), stopping=stop_after(2)).run
    toy.files["edited"].write_text("5 5")
    with pytest.raises(RunError, match="its file 'edited' has changed"):
        session.resume(run)


def test_out_without_a_sound_is_refused_before_anything_is_computed(session, toy, tmp_path):
    with pytest.raises(InputError, match=r"toy makes no sound to copy: got manipulated\.scores\. Omit --out"):
        session.run(request(session, toy), out=tmp_path / "a.wav")
    assert list(session.runs) == []
    assert list(toy.store.keys()) == []


# -- reading -----------------------------------------------------------------------------------------------------------


def test_a_run_whose_process_died_is_interrupted(session, toy):
    run = new_run(request(session, toy))
    toy.store.runs.write(run)
    assert run_state(toy.store, run) == "interrupted"
    assert is_unfinished(toy.store, run)
    with toy.store.runs.hold(run.id):
        assert run_state(toy.store, run) == "running"
        assert not is_unfinished(toy.store, run)
    assert session.find_unfinished(run.id) == run


def test_a_finished_run_whose_files_were_not_written_is_unfinished(session, toy):
    run = session.run(request(session, toy)).run
    assert not is_unfinished(toy.store, run)
    unwritten = toy.store.runs.write(replace(run, results={}))
    assert is_unfinished(toy.store, unwritten)
    assert session.resume(run.id).run.results == run.results


def test_a_run_of_an_unknown_method_is_reported(session, toy, monkeypatch):
    run = session.run(request(session, toy)).run
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(RunError, match=rf"unknown method of run {run.id}: expected .*baseline.*, got toy"):
        session.method_of(run)
    assert session.workflow(run).nodes == {}


def test_an_earlier_run_yields_the_same_result_object(session, toy):
    result = session.run(request(session, toy))
    assert session.result("latest") == result
    assert session.result(result.run, pictures=False).run.id == result.run.id
    assert result.run.id in result._repr_html_()


def test_progress_is_shown_in_notebooks_unless_a_callback_is_given(session, toy, monkeypatch):
    events = []
    monkeypatch.setattr("svdaudio.pages.progress.default_progress", lambda: events.append)
    run = session.run(request(session, toy)).run
    assert events[-1].n_done == events[-1].n_total == len(run.stages)
    events.clear()
    session.resume(run.id)
    assert len(events) == len(run.stages)
    events.clear()
    session.run(request(session, toy), progress=no_progress)
    assert events == []


def test_runs_are_compared_by_their_names(session, toy):
    one = session.run(request(session, toy)).run
    session.run(request(session, toy, seed=7))
    found = session.comparison(one, "latest")
    assert [row.name for row in found.parameters] == ["seed"]
    assert [row.node for row in found.origins] == ["manipulated.scores"]
    with pytest.raises(RunError, match="too few runs to compare: expected two or more, got 1"):
        session.comparison(one)
    batch = toy.store.runs.write(replace(one, id=f"{one.id}-batch", kind="batch"))
    with pytest.raises(RunError, match=rf"run {batch.id} is a batch, which cannot be compared as a whole"):
        session.comparison(one, batch)


def test_diagrams_and_comparisons_of_runs(session, toy):
    one = session.run(request(session, toy)).run
    other = session.run(request(session, toy, seed=7)).run
    assert session.workflow(one).nodes.keys() == {entry.node for entry in one.stages}
    assert [(d.node, d.reason) for d in session.compare(one, other) if d.reasons] == [
        ("manipulated.scores", "seed changed 42 → 7")
    ]


def test_an_old_baseline_record_with_parameters_of_edits_is_read(session, toy):
    baseline = find_method("baseline")
    of_edits = find_method("manipulate").config().tables()
    old = {name: of_edits[name] for name in ("remove", "add", "align", "svd", "mix")}
    old |= baseline.config(seed=7).tables()
    run = replace(session.new_run(request(session, toy)), kind="baseline", config=old)
    assert session.method_of(run) is baseline
    assert session.workflow(run).nodes == baseline.nodes(baseline.config())
    assert session.arrays(run, recompute=False).config == resolve(baseline.config, given={"seed": 7}).config


def test_a_store_is_opened_by_path_or_from_the_environment(tmp_path, monkeypatch):
    assert Session(tmp_path / "one").store.location == str(tmp_path / "one")
    monkeypatch.setenv("SVDAUDIO_STORE", str(tmp_path / "two"))
    assert isinstance(Session().store, LocalStore)
    assert Session().store.location == str(tmp_path / "two")


def test_a_session_that_only_plans_imports_nothing_heavy(toy):
    code = f"""
import sys
from conftest import ToyBundle
from svdaudio.session import Session
session = Session({str(toy.store.folder)!r}, open_bundle=lambda name: ToyBundle())
before = set(sys.modules)
assert session.plan(session.request("toy", {[str(path) for path in toy.files.values()]!r}))
print([m for m in ("torch", "matplotlib", "prefect", "typer") if m in sys.modules])
"""
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"SVDAUDIO_METHODS": "conftest:TOY_METHOD", "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    assert shown.stdout.strip() == "[]"


# -- parts -------------------------------------------------------------------------------------------------------------


def test_another_runner_shares_bundles_and_models(session, toy, opened):
    class Elsewhere(Runner):
        name = "elsewhere"

    other = session.with_runner(Elsewhere())
    session.models(request(session, toy))
    assert other.run(request(other, toy), progress=no_progress).run.runner == "elsewhere"
    assert opened == ["bundle mini", "models mini auto"]
    assert session.runner.name == "in-process"


def test_models_are_opened_again_only_if_the_bundle_has_changed(session, toy, opened):
    session.models(request(session, toy))
    assert session.refresh_bundle("mini") is session.bundle("mini")
    session.models(request(session, toy))
    assert opened.count("models mini auto") == 1
    toy.with_model(3.0)
    assert session.refresh_bundle("mini").numbers == {"tagger": 3.0}
    session.models(request(session, toy))
    assert opened.count("models mini auto") == 2
