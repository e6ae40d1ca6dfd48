"""Notes about sounds for which figures would mean little."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from svdaudio.errors import InputError
from svdaudio.evaluation.sounds import Facts, Source, differences_of, facts_of, sounds_in, warnings_of

TONE = 0.5 * np.sin(np.arange(44_100) / 10)


def facts(tmp_path, samples, rate=22_050, name="a.wav", subtype="FLOAT"):
    soundfile.write(tmp_path / name, samples, rate, subtype=subtype)
    return facts_of(Source(name=name, path=tmp_path / name))


def test_an_ordinary_sound_has_no_notes(tmp_path):
    one = facts(tmp_path, TONE)
    assert (one.sample_rate_hz, one.duration_s, one.n_channels) == (22_050, 2.0, 1)
    assert one.peak == pytest.approx(0.5, abs=1e-3)
    assert one.is_usable
    assert warnings_of([one]) == []


@pytest.mark.parametrize(
    ("samples", "rate", "warning", "counts"),
    [
        (TONE[:20_000], 22_050, "a.wav is shorter than 1 s, too short to be judged", False),
        (np.zeros(44_100), 22_050, "a.wav is silent (peak below -80 dB)", False),
        (np.clip(9 * TONE, -1, 1), 22_050, "a.wav is clipped (3 or more consecutive samples at full scale)", True),
        (np.stack([TONE, TONE], axis=1), 22_050, "a.wav is not mono: the mean of the channels is judged", True),
        (TONE, 8_000, "a.wav is sampled at less than 16000 Hz", True),
        (np.tile(TONE, 6), 22_050, "a.wav is longer than 10 s: AST and CLAP hear only the first ten seconds", True),
    ],
)
def test_each_fault_is_one_note(tmp_path, samples, rate, warning, counts):
    one = facts(tmp_path, samples, rate)
    (line,) = warnings_of([one])
    assert line.startswith(warning)
    assert one.is_usable is counts


def test_a_single_peak_is_not_clipped(tmp_path):
    samples = TONE.copy()
    samples[[100, 101, 300]] = 1.0
    assert not facts(tmp_path, samples).is_clipped
    samples[102] = -1.0
    assert facts(tmp_path, samples).is_clipped


def test_opposite_channels_are_silent_after_downmixing(tmp_path):
    assert facts(tmp_path, np.stack([TONE, -TONE], axis=1)).is_silent


def test_many_sounds_are_named_in_one_line(tmp_path):
    many = [facts(tmp_path, np.zeros(44_100), name=f"{index}.wav") for index in range(5)]
    (line,) = warnings_of(many)
    assert line.startswith("0.wav, 1.wav, 2.wav and 2 more are silent")


def test_sounds_of_a_run_need_no_file():
    one = facts_of(Source(name="run/mix", samples=np.full((1, 44_100), 0.25, np.float32)))
    assert (one.sample_rate_hz, one.duration_s, one.peak, one.path) == (22_050, 2.0, 0.25, None)


def test_non_finite_samples_are_refused(tmp_path):
    with pytest.raises(InputError, match="not finite"):
        facts(tmp_path, np.full(44_100, np.nan))


def made(rate=22_050, seconds=10.0):
    return Facts(
        name="x", path=Path("x"), sample_rate_hz=rate, duration_s=seconds, n_channels=1, peak=0.5, is_clipped=False
    )


def test_differences_between_sets_other_than_content_are_noted():
    assert differences_of([made()], [made(), made(seconds=10.5)]) == []
    (rate,) = differences_of([made()], [made(rate=44_100)])
    assert rate == "the set is at 22050 Hz, the reference at 44100 Hz: missing treble increases distances"
    (length,) = differences_of([made()], [made(seconds=8.0)])
    assert length.startswith("sounds of the set last 10.0 s, those of the reference 8.0 s")


def test_a_folder_of_sounds(tmp_path):
    with pytest.raises(InputError, match="no sounds in"):
        sounds_in(tmp_path)
    for name in ("b.wav", "a.FLAC", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in sounds_in(tmp_path)] == ["a.FLAC", "b.wav"]
