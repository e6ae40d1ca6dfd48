"""The method `hear` through a session: labels, presets, caching, comparison, report and batch."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

import svdaudio
from svdaudio.engine.journal import no_progress
from svdaudio.errors import CheckpointError, ConfigError, InputError
from svdaudio.methods.hear import METHOD
from svdaudio.models.sound_clip.spectrogram import mel_image
from svdaudio.session import Session


@pytest.fixture
def session(hearing):
    return Session(hearing / "store")


def heard(session, hearing, *, file="a.wav", **settings):
    given = {"bundle": "hearing", **{name.replace("__", "."): value for name, value in settings.items()}}
    return session.run(session.request("hear", [hearing / file], given), progress=no_progress)


def test_a_sound_gets_a_probability_for_every_text_of_the_guide(session, hearing):
    result = heard(session, hearing)
    arrays, scores = session.arrays(result.run), result.scores["sound"]
    assert list(scores) == ["cat", "dog", "owl"]
    assert sum(scores.values()) == pytest.approx(1, abs=1e-5)
    samples, rate_hz = soundfile.read(hearing / "a.wav", dtype="float32")
    assert np.array_equal(arrays["sound.spectrogram"]["mel_image"], mel_image(samples, rate_hz))
    sound, labels = arrays["sound.hear"]["embedding"][0], arrays["labels.say"]["vectors"]
    cosines = result.run.results["cosines"]
    assert list(cosines.values()) == pytest.approx((labels @ sound).tolist(), abs=1e-5)
    weights = np.exp(14.29 * (labels @ sound))
    assert list(scores.values()) == pytest.approx((weights / weights.sum()).tolist(), abs=1e-5)
    assert result.run.results["level_db"]["loudness"] == pytest.approx(-10.4, abs=0.1)
    assert set(result.report.pictures) == {"sound.spectrogram", "scores"}
    assert result.audio == {}


def test_other_labels_do_not_recompute_the_sound(session, hearing):
    heard(session, hearing)
    result = heard(session, hearing, hear__labels="owl,cat")
    assert [entry.node for entry in result.run.stages if entry.status == "computed"] == ["labels.say", "sound.match"]
    assert list(result.scores["sound"]) == ["owl", "cat"]
    again = session.result(result.run.id)
    assert again.scores == result.scores


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hear__labels": "cow"}, "no embedding for that text: expected cat or dog or owl, got 'cow'"),
        ({"hear__template": "the sound of a {}"}, "no embedding for that text.*got 'the sound of a cat'"),
        ({"hear__preset": "loud"}, "hear.preset has an invalid value"),
        ({"hear__scale": 0}, "hear.scale has an invalid value"),
    ],
)
def test_invalid_requests_are_refused_before_anything_runs(session, hearing, settings, words):
    with pytest.raises(ConfigError, match=words):
        heard(session, hearing, **settings)
    assert list(session.runs) == []


def test_a_guide_that_knows_any_text_needs_labels(session, hearing, monkeypatch):
    monkeypatch.setattr("svdaudio.checkpoints.bundle.Bundle.classes", lambda self, role: ())
    with pytest.raises(ConfigError, match=r"no labels given .* Give --labels"):
        heard(session, hearing)
    assert session.request("hear", [hearing / "a.wav"], {"bundle": "hearing", "hear.labels": "any,text"})


def test_a_picture_of_another_preset_is_refused(session, hearing):
    with pytest.raises(ConfigError, match=r"another preset: expected hear\.preset = corrected, got published"):
        heard(session, hearing, hear__preset="published")


def test_a_sound_encoder_of_another_space_is_refused(session, hearing):
    with pytest.raises(CheckpointError, match="different spaces: expected 24 dimensions, as in the guide, got 16"):
        heard(session, hearing, bundle="misfit")


def test_a_bundle_without_a_sound_encoder_is_refused(session, hearing):
    with pytest.raises(CheckpointError, match="the bundle 'mini' has no sound_encoder"):
        heard(session, hearing, bundle="mini")


def test_non_finite_samples_are_refused(session, hearing):
    soundfile.write(hearing / "bad.wav", np.array([0.1, np.nan], np.float32), 16_000, subtype="FLOAT")
    with pytest.raises(InputError, match="has invalid samples: expected finite numbers"):
        heard(session, hearing, file="bad.wav")


def test_a_long_sound_is_truncated_with_a_note(session, hearing):
    soundfile.write(hearing / "long.wav", np.zeros(8000 * 12), 8000)
    result = heard(session, hearing, file="long.wav", hear__place="centre")
    assert result.run.stage("sound.spectrogram").notes == (
        "the sound has 12.0 s, of which the 10 s in the middle are heard",
    )


def test_runs_are_compared_and_reported(session, hearing):
    first, second = heard(session, hearing), heard(session, hearing, hear__labels="cat,dog")
    found = session.comparison(first.run, second.run)
    assert [row.node for row in found.origins] == ["labels.say"]
    assert found.origins[0].reason == "hear.labels changed [] → ['cat', 'dog']"
    page = session.write_page([first.run, second.run]).read_text()
    assert page.count('aria-label="Nearest labels"') == 2
    assert page.count('aria-label="Scores"') == 0
    assert "128 mel bands, 10 s, preset corrected, place start" in page
    assert f"{first.scores['sound']['owl']:.3f}" in page


def test_the_function_computes_the_same(session, hearing):
    wanted = heard(session, hearing, hear__labels="owl,cat")
    found = svdaudio.hear(hearing / "a.wav", ["owl", "cat"], bundle="hearing")
    assert {name: round(value, 6) for name, value in found.probabilities.items()} == wanted.scores["sound"]
    assert found.cosines == pytest.approx(wanted.run.results["cosines"], abs=1e-5)
    assert np.linalg.norm(found.embedding) == pytest.approx(1, abs=1e-5)
    assert list(svdaudio.hear(hearing / "a.wav", bundle="hearing").cosines) == ["cat", "dog", "owl"]
    with pytest.raises(InputError, match="audio file not found"):
        svdaudio.hear(hearing / "b.wav", bundle="hearing")
    with pytest.raises(ConfigError, match="no embedding for that text"):
        svdaudio.hear(hearing / "a.wav", ["cow"], bundle="hearing")


def test_it_generates_no_sound():
    assert METHOD.sounds(METHOD.config()) == {}
