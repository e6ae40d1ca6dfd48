import json
from dataclasses import replace

import pytest
from pair_folder import write_pairs

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.models import Models
from svdaudio.errors import CheckpointError, ConfigError, InputError, RunError
from svdaudio.pretraining.kinds import CIAP
from svdaudio.pretraining.settings import CiapSettings
from svdaudio.pretraining.settings_files import resolve_settings
from svdaudio.studies.pretraining import FaultyDataError, Listener, pretrain
from svdaudio.studies.pretraining_state import Request

QUICK = ["network.widths=[8,8,8,8]", "network.image_size=32", "batch=4", "epochs=2", "workers=0", "split.held_out=0.3"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished training: its request, the folder of bundles, its result, and its output. Do not modify it."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_pairs(folder / "farm", 12)
    request = Request(
        kind=CIAP,
        data=data,
        settings=resolve_settings(CiapSettings, overrides=QUICK),
        base="mini",
        name="mine",
        work=folder / "work",
        device="cpu",
        command="svdaudio train ciap --data farm",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SVDAUDIO_CHECKPOINTS", str(folder / "checkpoints"))
        said, listener = listening()
        done = pretrain(request, listener)
    return request, folder / "checkpoints", done, said


def listening():
    said = []
    return said, Listener(say=said.append, progress=lambda *report: None)


@pytest.fixture
def bundles(trained, monkeypatch):
    monkeypatch.setenv("SVDAUDIO_CHECKPOINTS", str(trained[1]))


def go(request, **changes):
    return pretrain(replace(request, **changes), listening()[1])


def with_settings(request, *overrides):
    return resolve_settings(CiapSettings, overrides=[*QUICK, *overrides])


def test_the_result_is_a_bundle_with_a_base(trained, bundles):
    _, folder, done, said = trained
    assert (done.n_items, done.n_held_out, done.n_left_out, done.n_steps, done.was_there) == (12, 4, 0, 4, False)
    assert json.loads((folder / "mine" / "bundle.json").read_text())["base"] == "mini"
    bundle = Bundle.open("mine")
    bundle.check("ciap_image_encoder")
    assert bundle.own_roles == ("ciap_image_encoder",)
    encoder = Models(bundle, device="cpu")["ciap_image_encoder"]
    assert encoder.network.image_size == 32
    assert said[0] == "12 items, 12 groups, 3 labels"


def test_its_card_states_its_training_data_and_retrieval_figures(trained):
    done = trained[2]
    text = done.card.read_text()
    for part in (
        "# CIAP image encoder: mine",
        "12 items in the layout pairs: 8 trained on (8 groups), 4 held out (4 groups)",
        "3 labels: cat (4), dog (4), duck (4)",
        "`svdaudio train ciap --data farm`: 4 steps in",
        "| on held-out items | value [95 % interval, bootstrap over groups] | chance | items | groups |",
        "| picture to sound: recall@1 | ",
        "The licences of the data decide",
        "| `network.widths` | [8, 8, 8, 8] |",
    ):
        assert part in text, part
    assert {one.n for one in done.figures} == {4}
    assert all(one.low <= one.value <= one.high for one in done.figures)


def test_the_same_training_is_not_repeated(trained, bundles, monkeypatch):
    request, _, done, _ = trained
    monkeypatch.setattr("svdaudio.studies.pretraining.train", None)
    assert go(request) == replace(done, was_there=True)
    assert go(request, work=request.work.parent / "elsewhere") == replace(done, was_there=True)


def test_another_training_of_the_same_name_is_refused(trained, bundles):
    request = trained[0]
    other = with_settings(request, "learning_rate=0.01")
    with pytest.raises(RunError, match="another bundle 'mine' exists in"):
        go(request, settings=other)
    with pytest.raises(RunError, match="another bundle 'mini' exists"):
        go(request, name="mini")
    with pytest.raises(
        RunError, match=r"has the state of another training: got another learning_rate \(0.001, now 0.01\)"
    ):
        go(request, name="new", settings=other)


def test_all_faults_are_listed_and_skipped_on_request(trained, bundles, tmp_path):
    request, _, _, _ = trained
    data = write_pairs(tmp_path / "data", 6)
    (data / "cat0.wav").write_bytes(b"")
    (data / "dog1.png").unlink()
    (data / "labels.csv").write_text("stem,label\nnobody,cat\n")
    with pytest.raises(FaultyDataError, match=r"has 3 faults\. Correct them, or skip them with --skip-bad") as caught:
        go(request, data=data, name="new", work=tmp_path / "work")
    assert [fault.where for fault in caught.value.faults] == ["labels.csv, line 2", "cat0", "dog1"]
    settings = with_settings(request, "split.held_out=0", "epochs=1")
    done = go(request, data=data, name="skipped", work=tmp_path / "work", skip_bad=True, settings=settings)
    assert (done.n_items, done.n_left_out, done.best_epoch, done.figures) == (4, 3, None, ())
    assert "nothing was held out" in done.card.read_text()


def test_invalid_trainings_are_refused(trained, bundles, tmp_path):
    request = trained[0]
    with pytest.raises(CheckpointError, match="unknown bundle 'none'"):
        go(request, base="none")
    with pytest.raises(InputError, match="folder not found"):
        go(request, data=tmp_path / "none", work=tmp_path / "a")
    with pytest.raises(ConfigError, match=r"the batch is larger than the training data: .*Use --set batch=8"):
        go(request, name="new", work=tmp_path / "b", settings=with_settings(request, "batch=9"))
    with pytest.raises(CheckpointError, match=r"file not found: .*none\.pth"):
        go(request, name="new", work=tmp_path / "c", settings=with_settings(request, "init=none.pth"))


def test_a_result_can_be_trained_further(trained, bundles, tmp_path):
    request, _, done, _ = trained
    settings = with_settings(request, f"init={done.weights}", "epochs=1")
    further = go(request, name="further", work=tmp_path, settings=settings)
    assert further.n_steps == 2
    assert further.weights.read_bytes() != done.weights.read_bytes()
