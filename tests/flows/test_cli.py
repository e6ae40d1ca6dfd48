"""The command line, with toy models instead of weights; stages that need no weights are the real ones."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import wave
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from toy_method import CLASSES, N_SAMPLES, PAIR, diffuse, install

ROOT = Path(__file__).parents[2]

LIBRARIES = ("torch", "prefect", "zarr", "numpy", "matplotlib", "pydantic")


@pytest.fixture
def world(monkeypatch, tmp_path):
    """A folder in which nothing has been computed yet."""
    install(monkeypatch, tmp_path)
    return SimpleNamespace(folder=tmp_path, store=tmp_path / "store", pair=PAIR)


@pytest.fixture
def done(world, finished_run):
    """A folder in which the pair was run once."""
    folder, world.result = finished_run
    shutil.copytree(folder / "store", world.store)
    return world


def test_run_prints_one_object_with_sounds_and_scores(done):
    result = done.result
    assert list(result) == ["bundle", "run", "audio", "scores", "verdict", "closer", "notes", "stages", "seconds"]
    assert result["bundle"] == "mini"
    assert list(result["audio"]) == list(result["scores"]) == ["original", "edited", "manipulated"]
    assert list(result["scores"]["manipulated"]) == list(CLASSES)
    assert {stage["status"] for stage in result["stages"]} == {"computed"}
    assert list(result["stages"][0]) == ["stage", "key", "status", "seconds", "reason"]
    for path in result["audio"].values():
        with wave.open(path) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes()) == (
                1,
                2,
                22_050,
                N_SAMPLES,
            )


def test_the_same_run_again_is_cached_and_gives_the_same_bytes(done, cli):
    before = {name: Path(path).read_bytes() for name, path in done.result["audio"].items()}
    again = cli("run", *done.pair, "--json").json()
    assert {stage["status"] for stage in again["stages"]} == {"cached"}
    assert again["run"] != done.result["run"]
    assert {name: Path(path).read_bytes() for name, path in again["audio"].items()} == before
    assert again["scores"] == done.result["scores"]


def test_plan_lists_what_a_change_runs_and_why(done, cli):
    planned = cli("plan", *done.pair, "--set", "svd.alpha=0.2", "--json").json()["stages"]
    status = {stage["stage"]: stage["status"] for stage in planned}
    assert status["mix"] == "run"
    assert next(s["reason"] for s in planned if s["stage"] == "mix") == "svd.alpha changed 0.3 → 0.2"
    above = ("removed.mask", "edited.tokens", "added.align", "removed.factors", "edited.locals", "original.scores")
    assert {status[name] for name in above} == {"cached"}
    assert status["manipulated.diffuse"] == "unknown"
    ran = cli("run", *done.pair, "--set", "svd.alpha=0.2", "--json").json()["stages"]
    computed = {stage["stage"] for stage in ran if stage["status"] == "computed"}
    assert {stage["stage"] for stage in planned if stage["status"] == "cached"}.isdisjoint(computed)
    assert "mix" in computed


def test_a_threshold_that_leaves_the_grid_unchanged_runs_nothing_downstream(done, cli):
    ran = cli("run", *done.pair, "--set", "align.threshold=0.51", "--json").json()["stages"]
    assert {s["stage"] for s in ran if s["status"] == "computed"} == {"removed.align", "added.align"}


def test_text_output_names_the_bundle_and_the_files(world, cli):
    result = cli("run", *world.pair)
    assert result.code == 0
    for word in ("bundle mini", "cat", "change", "manipulated.wav", "removed.mask.png", "overview.png"):
        assert word in result.out
    assert "what a library prints" not in result.out
    assert "edited.locals" in result.err
    assert "one object" in result.err


def test_json_is_the_only_standard_output(done, cli):
    result = cli("run", *done.pair, "--json", "--set", "svd.k=20", "--set", "locals.confidence=0.3")
    assert result.json()["bundle"] == "mini"
    assert "what a library prints" in result.err
    assert "note: svd.k = 20 is outside the recommended 1 to 15" in result.err


def test_out_receives_a_copy_of_the_sound(done, cli):
    result = cli("run", *done.pair, "--no-baselines", "--out", "new/sound.wav", "--json").json()
    assert list(result["audio"]) == list(result["scores"]) == ["manipulated"]
    assert result["audio"]["manipulated"] == str(done.folder / "new" / "sound.wav")
    with wave.open("new/sound.wav") as file:
        assert file.getnframes() == N_SAMPLES


def test_points_options_file_and_bundle_reach_the_configuration(done, cli):
    Path("run.toml").write_text("seed = 1\n[svd]\nk = 7\n")
    assert (
        cli("run", *done.pair, "--remove", "5,5,0", "--config", "run.toml", "--set", "mix.gamma=0.2", "--json").code
        == 0
    )
    shown = cli("show", "latest", "--json").json()["config"]
    assert shown["remove"]["value"] == [[20.0, 20.0, 1], [5.0, 5.0, 0]]
    assert shown["svd.k"] == {"value": 7, "from": "run.toml"}
    assert shown["mix.gamma"] == {"value": 0.2, "from": "--set"}
    assert shown["generate.steps"] == {"value": 20, "from": "bundle mini"}
    assert shown["svd.alpha"] == {"value": 0.3, "from": "default"}


def test_baseline_is_the_sound_of_one_picture(world, cli):
    result = cli("baseline", "one.png", "--out", "plain.wav", "--json").json()
    assert list(result["audio"]) == ["original"]
    assert {s["stage"].split(".")[0] for s in result["stages"]} == {"original"}
    assert Path("plain.wav").stat().st_size > 2 * N_SAMPLES


def test_the_demo_is_the_farm_scene(world, cli, monkeypatch):
    first = cli("demo", "--json").json()
    assert list(first["audio"]) == ["original", "edited", "manipulated"]
    monkeypatch.setattr("svdaudio.views.plots.save", lambda *arguments: pytest.fail("drawn again"))
    second = cli("demo")
    assert second.code == 0
    assert "0 stages computed" in second.out
    assert "Next:" in second.out
    assert "dog_cat.jpg" in second.out


def test_the_command_that_the_demo_suggests_changes_only_alpha(world, cli):
    output = " ".join(cli("demo", "--seed", "7", "--set", "svd.k=3").out.split())
    words = shlex.split(output[output.index("svdaudio run ") :].partition(" Or inspect")[0])
    result = cli(*words[1:], "--json")
    assert result.code == 0, result.err
    ran = {stage["stage"] for stage in result.json()["stages"] if stage["status"] == "computed"}
    assert ran == {
        "mix",
        "removed.reach",
        *(f"manipulated.{stage}" for stage in ("remix", "diffuse", "decode", "vocode", "choose", "finish", "scores")),
    }


def test_mask_draws_the_click(world, cli):
    result = cli("mask", "one.png", "--point", "20,20", "--out", "mask.png", "--json").json()
    assert result["score"] == pytest.approx(0.9)
    assert 0.1 < result["coverage"] < 0.5
    assert result["patches"] > 0
    assert Path("mask.png").read_bytes().startswith(b"\x89PNG")
    assert "patches" in cli("mask", "one.png", "--point", "20,20").out


def test_mask_shows_a_click_that_covers_no_patch(world, cli, monkeypatch):
    monkeypatch.setattr("svdaudio.svd.align.patch_coverage", lambda mask, geometry: np.zeros(256, np.float32))
    call = cli("mask", "one.png", "--point", "20,20", "--json")
    assert call.code == 0, call.err
    result = call.json()
    assert result["patches"] == 0
    assert Path(result["picture"]).is_file()
    assert Path(result["grid"]).is_file()
    assert "covers no patch" in cli("mask", "one.png", "--point", "20,20").out


def test_out_is_a_copy_and_the_record_names_the_runs_own_sound(done, cli):
    for seed in ("1", "2"):
        assert cli("run", *done.pair, "--no-baselines", "--seed", seed, "--out", "o.wav").code == 0
    runs = cli("runs", "--json").json()["runs"]
    named = {cli("show", run["run"], "--json").json()["results"]["audio"]["manipulated"] for run in runs[:2]}
    assert len(named) == 2
    assert not any(name.endswith("/o.wav") for name in named)


def test_a_click_outside_the_picture_is_refused_before_anything_runs(world, cli):
    for command in ("run", "plan"):
        result = cli(command, *world.pair[:-1], "4000,3")
        assert result.code == 2
        assert "the click 'add' is outside the picture two.png: expected x in 0.." in result.err
    assert not world.store.exists()


def test_an_input_is_never_overwritten(world, cli):
    before = Path("one.png").read_bytes()
    result = cli("mask", "one.png", "--point", "20,20", "--out", "one.png")
    assert (result.code, Path("one.png").read_bytes()) == (2, before)
    assert "which is an input" in result.err


def test_characters_that_the_terminal_cannot_encode_cause_no_fault(world):
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    program = [sys.executable, "-m", "svdaudio.cli", "mask", "--help"]
    assert subprocess.run(program, env=environment, capture_output=True, check=False).returncode == 0


def test_an_unreachable_prefect_server_is_a_one_line_error(world, cli, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    result = cli("run", *world.pair)
    assert result.code == 2
    assert "the Prefect server at http://127.0.0.1:9/api does not answer" in result.err


def test_resume_writes_the_files_of_a_run_that_died_before_writing_them(world, cli, monkeypatch):
    def dies(*given, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("svdaudio.session.report_of", dies)
        died = cli("run", *world.pair, "--no-baselines")
    assert died.code == 130
    assert "completed work is kept, and `svdaudio resume" in died.err
    result = cli("resume", "--json").json()
    assert Path(result["audio"]["manipulated"]).is_file()
    assert {stage["status"] for stage in result["stages"]} == {"cached"}
    assert cli("resume").code == 2


def test_runs_lists_the_newest_first(done, cli):
    cli("run", *done.pair, "--no-baselines")
    listed = cli("runs", "--json").json()["runs"]
    assert [run["state"] for run in listed] == ["finished", "finished"]
    assert listed[1]["run"] == done.result["run"]
    assert done.result["run"] in cli("runs").out
    assert done.result["run"] not in cli("runs", "--limit", "1").out


def test_show_lists_configuration_stages_and_results(done, cli):
    shown = cli("show", done.result["run"])
    for word in ("svd.alpha", "bundle mini", "manipulated.remix", "never computed", "one object", "manipulated.wav"):
        assert word in shown.out


def test_show_draws_the_provenance_of_the_sounds(done, cli):
    drawn = cli("show", "latest", "--graph").out
    assert drawn.startswith("flowchart TD\n")
    assert 'file_original[/"one.png<br/>' in drawn
    assert "manipulated_finish -->|waveform| sound_manipulated" in drawn
    assert cli("show", "latest", "--graph", "--json").json() == {"run": done.result["run"], "mermaid": drawn.rstrip()}
    document = cli("show", "latest", "--prov").json()
    wave_form = f"array:{next(s['key'] for s in done.result['stages'] if s['stage'] == 'edited.finish')}/waveform"
    sound = f"sound:{done.result['run']}/edited"
    derived = [(r["prov:generatedEntity"], r["prov:usedEntity"]) for r in document["wasDerivedFrom"].values()]
    assert (sound, wave_form) in derived
    assert document["entity"][sound]["prov:location"] == done.result["audio"]["edited"]
    both = cli("show", "latest", "--graph", "--prov")
    assert (both.code, both.out) == (2, "")


def test_compare_names_where_the_runs_begin_to_differ_and_why(done, cli):
    other = cli("run", *done.pair, "--set", "svd.alpha=0.2", "--json").json()["run"]
    found = cli("compare", done.result["run"], other, "--json").json()
    assert found["parameters"] == {"svd.alpha": {"a": 0.3, "b": 0.2, "a_from": "default", "b_from": "--set"}}
    assert found["first"] == "removed.reach"
    assert [stage["stage"] for stage in found["stages"] if stage["is_origin"]] == ["removed.reach", "mix"]
    assert {stage["reason"] for stage in found["stages"][:2]} == {"svd.alpha changed 0.3 → 0.2"}
    assert "original.scores" in found["same_stages"]
    assert set(found["scores"]) == {"original", "edited", "manipulated"}
    assert cli("diff", done.result["run"], other, "--json").json() == found, "scripts use the old name"
    printed = cli("compare", done.result["run"], other).out
    for words in (
        "0.3 (default)",
        "0.2 (--set)",
        "of 37 stages are the same. The runs begin to differ in:",
        "downstream stages with different outputs: manipulated.remix",
    ):
        assert words in printed
    same = cli("compare", other, other).out
    assert "Every parameter is the same" in same
    assert "Every stage that both runs reached is the same (37)." in same


def test_compare_of_different_methods_lists_what_they_share(done, cli):
    plain = cli("baseline", "one.png", "--json").json()["run"]
    found = cli("compare", done.result["run"], plain, "--json").json()
    assert found["methods"] == {"a": "manipulate", "b": "baseline"}
    assert found["results"] == {"a": "manipulated", "b": "original"}
    assert set(found["scores"]) == {"result", "original"}
    assert {stage.partition(".")[0] for stage in found["same_stages"]} == {"original"}
    assert found["files"]["edited"]["b"] is None
    printed = cli("compare", done.result["run"], plain)
    assert "note: the runs use different methods (manipulate, baseline)" in printed.out
    assert "that only one of the methods has" in printed.out


def test_compare_refuses_what_is_not_a_run(done, cli):
    result = cli("compare", done.result["run"], "nothing")
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert "  diff" not in cli("--help").out


def test_optional_arguments_are_in_one_pair_of_brackets_and_usage_errors_end_once(cli):
    assert cli("resume", "--help").out.splitlines()[0] == "Usage: svdaudio resume [OPTIONS] [RUN]"
    assert cli("evaluate", "domain", "--help").out.splitlines()[0].endswith("[OPTIONS] [FOLDER...]")
    assert cli("runz").err.endswith("Did you mean 'run', 'runs'? `svdaudio --help` shows its usage.\n")


def test_inspect_describes_arrays_and_draws_them(done, cli):
    found = cli("inspect", "latest", "removed.align", "--plot", "--json").json()
    (stage,) = found["stages"]
    coverage = next(array for array in stage["arrays"] if array["name"] == "coverage")
    assert coverage["shape"] == [256]
    assert 0 <= coverage["min"] <= coverage["mean"] <= coverage["max"] <= 1
    assert len(coverage["digest"]) == 64
    assert Path(found["pictures"]["removed.align.grid"]).is_file()
    everything = cli("inspect", "latest")
    assert "mix.embedding" in everything.out
    assert len(cli("inspect", "latest", "mask", "--json").json()["stages"]) == 2


BAD_INPUT = {
    "no such file": (["none.png", "two.png", "--remove", "1,1", "--add", "1,1"], 2, "file not found: none.png"),
    "not an image": (["text.png", "two.png", "--remove", "1,1", "--add", "1,1"], 2, "text.png"),
    "0 bytes": (["empty.png", "two.png", "--remove", "1,1", "--add", "1,1"], 2, "empty.png"),
    "a folder": ([".", "two.png", "--remove", "1,1", "--add", "1,1"], 2, "."),
    "no point": (["one.png", "two.png"], 2, "--remove X,Y"),
    "half a point": (["one.png", "two.png", "--remove", "1", "--add", "1,1"], 2, "X,Y"),
    "K = 0": (["PAIR", "--set", "svd.k=0"], 2, "svd.k"),
    "α = NaN": (["PAIR", "--set", "svd.alpha=nan"], 2, "svd.alpha"),
    "unknown parameter": (["PAIR", "--set", "svd.alhpa=1"], 2, "svd.alpha"),
    "no TOML": (["PAIR", "--config", "text.png"], 2, "text.png"),
    "unknown option": (["PAIR", "--sett", "svd.k=1"], 2, "--set"),
    "out is a folder": (["PAIR", "--out", "."], 2, "a folder"),
    "the store is a file": (["PAIR", "--store", "text.png"], 4, "text.png"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_invalid_input_is_a_one_line_error_and_leaves_no_files(world, cli, case):
    arguments, code, text = BAD_INPUT[case]
    Path("text.png").write_text("This is no picture.")
    Path("empty.png").touch()
    arguments = [a for argument in arguments for a in (world.pair if argument == "PAIR" else [argument])]
    result = cli("run", *arguments)
    assert (result.code, result.out) == (code, "")
    assert result.err.count("\n") == 1
    assert result.err.startswith("error: ")
    assert text in result.err
    assert not list(world.folder.rglob("*.wav"))
    assert not list(world.folder.rglob("*.partial"))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["show", "nothing"], 2),
        (["resume"], 2),
        (["inspect", "latest", "mask"], 2),
        (["mask", "one.png"], 2),
        (["nonsense"], 2),
        (["server"], 2),
        (["run"], 2),
    ],
)
def test_invalid_commands_print_a_one_line_error(world, cli, arguments, code):
    result = cli(*arguments)
    assert (result.code, result.out, result.err.count("\n")) == (code, "", 1)


def test_an_unknown_stage_suggests_the_nearest(done, cli):
    result = cli("inspect", "latest", "removed.msk")
    assert result.code == 2
    assert "try 'removed.mask'" in result.err.lower()


def test_a_fault_is_one_line_and_debug_shows_the_traceback(world, cli, monkeypatch):
    def broken(**arguments):
        raise ZeroDivisionError("oh")

    monkeypatch.setitem(sys.modules, "svdaudio.tasks.synthesis.remix", SimpleNamespace(run=broken))
    result = cli("run", *world.pair)
    assert (result.code, result.out) == (70, "")
    assert result.err.splitlines()[-1].startswith("error: ZeroDivisionError: oh.")
    assert "Traceback" not in result.err
    assert "Traceback" in cli("run", *world.pair, "--debug").err
    assert cli("runs", "--json").json()["runs"][0]["state"] == "failed"


def test_ctrl_c_leaves_a_run_that_resume_finishes(world, cli, monkeypatch):
    def interrupted(**arguments):
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "svdaudio.tasks.synthesis.diffuse", SimpleNamespace(run=interrupted))
    result = cli("run", *world.pair)
    assert result.code == 130
    (run,) = cli("runs", "--json").json()["runs"]
    assert run["state"] == "interrupted"
    assert f"svdaudio resume {run['run']}" in result.err
    monkeypatch.setitem(sys.modules, "svdaudio.tasks.synthesis.diffuse", SimpleNamespace(run=diffuse))
    resumed = cli("resume", "--json").json()
    assert resumed["run"] == run["run"]
    status = {stage["stage"]: stage["status"] for stage in resumed["stages"]}
    assert status["original.tokens"] == "cached"
    assert status["manipulated.scores"] == "computed"


@pytest.mark.parametrize("chosen", ["--prefect", "PREFECT_API_URL"])
def test_prefect_runs_the_same_request_when_chosen(done, cli, monkeypatch, chosen):
    from svdaudio.session import Runner

    class PrefectRunner(Runner):
        def __init__(self, *, name, address):
            self.name = name

    monkeypatch.setitem(sys.modules, "svdaudio.flows.run", SimpleNamespace(PrefectRunner=PrefectRunner))
    if chosen == "PREFECT_API_URL":
        monkeypatch.setenv(chosen, "http://127.0.0.1:9/api")
    result = cli("run", *done.pair, "--json", *([chosen] if chosen.startswith("--") else [])).json()
    assert {stage["status"] for stage in result["stages"]} == {"cached"}
    assert cli("show", "latest", "--json").json()["runner"] == "prefect"


def test_a_damaged_artifact_is_repaired_while_writing_the_sound(done, cli):
    key = next(s["key"] for s in done.result["stages"] if s["stage"] == "edited.finish")
    chunk = next(
        p for p in (done.store / "objects" / key[:2] / key / "arrays.zarr" / "waveform" / "c").rglob("*") if p.is_file()
    )
    chunk.write_bytes(chunk.read_bytes()[:-8])
    again = cli("run", *done.pair, "--json")
    assert again.code == 0
    assert again.json()["scores"] == done.result["scores"]


def imported(code, **environment):
    """The heavy libraries that a program imports."""
    program = f"import sys\n{code}\nprint([m for m in {LIBRARIES!r} if m in sys.modules], file=sys.stderr)"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return ended.stderr.strip().splitlines()[-1]


def test_help_imports_nothing_heavy():
    assert imported("from svdaudio.cli import main\nassert main(['--help']) == 0") == "[]"


def test_importing_the_library_imports_nothing_heavy():
    assert imported("import svdaudio") == "[]"


def test_listing_checkpoints_imports_nothing_heavy():
    assert "torch" not in imported("from svdaudio.cli import main\nassert main(['checkpoints', 'list']) == 0")


def test_read_only_commands_import_neither_torch_nor_prefect(done):
    """All commands run in one process: what one imports stays imported for those after it."""
    commands = [
        ["runs"], ["show", "latest"], ["compare", "latest", "latest"], ["inspect", "latest"],
        ["plan", *done.pair, "--json"],
    ]  # fmt: skip
    code = (
        "from types import SimpleNamespace\nfrom svdaudio.cli import main, sessions\n"
        "sessions.open_bundle = lambda name: SimpleNamespace(\n"
        "    name=name, settings={}, digests=lambda role: role, classes=lambda role: (),\n"
        "    check_domain=lambda: None)\n"
        f"for command in {commands!r}:\n"
        "    assert main(command) == 0\n"
        "    assert not {'torch', 'prefect'} & sys.modules.keys(), command\n"
    )
    assert "torch" not in imported(code)


def test_generating_a_sound_imports_no_compiler_and_no_unused_networks():
    """The stages that a changed parameter of the edit runs, with the mini bundle: 1 s of CPU time, formerly 7 s."""
    code = (
        "import numpy as np\n"
        "from svdaudio.checkpoints.bundle import Bundle\n"
        "from svdaudio.checkpoints.models import Models\n"
        "from svdaudio.methods.stages import STAGES\n"
        "for stage in ('remix', 'diffuse_each', 'decode', 'vocode', 'choose', 'finish', 'scores'):\n"
        "    STAGES[stage].load_body()\n"
        "models = Models(Bundle.open('mini'), device='cpu', keep=True)\n"
        "for role in ('ssv2a', 'diffuser', 'autoencoder', 'vocoder', 'audio_encoder', 'tagger'):\n"
        "    models[role]\n"
        "made = STAGES['diffuse_each'].load_body()(\n"
        "    clap=np.eye(1, 512, dtype=np.float32)[0], scheduler='ddim', steps=1, guidance_scale=1.0, n_candidates=1,\n"
        "    duration_s=0.32, seed=0, backend='diffusers', precision='float32', diffuser=models['diffuser'])\n"
        "mel = STAGES['decode'].load_body()(\n"
        "    **made, backend='diffusers', autoencoder=models['autoencoder'])\n"
        "assert STAGES['vocode'].load_body()(**mel, backend='diffusers', vocoder=models['vocoder'])\n"
        "heavy = {'torch._dynamo', 'transformers', 'sympy', 'scipy.stats', 'ultralytics', 'open_clip', 'sam2'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    assert "torch" in imported(code)


def test_the_program_starts_as_a_module_and_prints_its_version():
    ended = subprocess.run(
        [sys.executable, "-m", "svdaudio.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert ended.stdout.startswith("svdaudio ")


def test_a_file_name_cannot_control_the_terminal(world, cli):
    result = cli("baseline", "a\x1b[31m\x07.png")
    assert result.code == 2
    assert r"a\x1b[31m\x07.png" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["baseline", "a" * 5000], "File name too long: aaaa"),
        (["baseline", "one.png", "--config", "deep.toml"], "is not valid TOML"),
    ],
)
def test_user_errors_are_not_reported_as_faults(world, cli, arguments, message):
    Path("deep.toml").write_text("a" + ".a" * 3000 + " = 1\n")
    result = cli(*arguments)
    assert result.code in (2, 4)
    assert message in result.err
    assert result.err.count("\n") == 1
    assert len(result.err) < 500


@pytest.mark.parametrize(("redirect", "code"), [(">/dev/full", 4), (">&-", 0), ("2>&-", 0)])
def test_streams_that_are_full_or_closed(done, redirect, code):
    command = f"{sys.executable} -m svdaudio.cli runs --store {done.store} {redirect}"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, cwd=ROOT)
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_current_folder_that_was_deleted(done, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"cd {gone} && rmdir {gone} && {sys.executable} -m svdaudio.cli run one.png two.png"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode in (2, 4)
    assert ended.stderr.count("\n") == 1
    assert "Traceback" not in ended.stderr


def test_the_stage_that_failed_is_named(world, cli, monkeypatch):
    monkeypatch.setattr("svdaudio.svd.align.patch_coverage", lambda mask, geometry: np.zeros(256, np.float32))
    result = cli("run", *world.pair)
    assert "error: removed.align: the mask covers no patch" in result.err
