"""Pictures and sounds in a page: exact where necessary, small where possible."""

from __future__ import annotations

import base64
import io
import re

import cv2
import numpy as np
import pytest
import soundfile
from PIL import Image

from svdaudio.pages import media
from svdaudio.views.report import wav_bytes


def decoded(uri):
    head, _, data = uri.partition(",")
    assert head.startswith("data:")
    assert head.endswith(";base64")
    return base64.b64decode(data)


def points(path):
    return [np.array([p.split(",") for p in part.strip("zM ").split(" ")], float) for part in path.split("z")[:-1]]


def test_flac_holds_every_sample_of_the_file():
    samples = np.random.default_rng(0).uniform(-1, 1, 4000)
    wav = wav_bytes(samples)
    found, rate_hz = soundfile.read(io.BytesIO(decoded(media.flac_uri(wav))), dtype="int16")
    assert rate_hz == 22_050
    assert np.array_equal(found, soundfile.read(io.BytesIO(wav), dtype="int16")[0])


def test_flac_of_a_float_file_is_as_loud():
    stem = 0.25 * np.sin(np.arange(4000) / 9)
    found, _ = soundfile.read(io.BytesIO(decoded(media.flac_uri(wav_bytes(stem, as_float=True)))))
    assert np.abs(found - stem).max() < 1 / 32768


def test_mp3_keeps_the_duration_and_the_pitch_and_its_bytes():
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(22_050) / 22_050)
    uri = media.mp3_uri(tone, 22_050)
    assert media.mp3_uri(tone, 22_050) == uri
    found, rate_hz = soundfile.read(io.BytesIO(decoded(uri)))
    assert len(found) / rate_hz == pytest.approx(1.0, abs=0.001)
    assert np.abs(np.fft.rfft(found[: rate_hz // 2])).argmax() * 2 == pytest.approx(440, abs=2)


def test_a_large_picture_is_reduced_proportionally():
    pixels = np.zeros((1000, 4000, 3), np.uint8)
    pixels[:, 2000:] = (200, 10, 10)
    image = Image.open(io.BytesIO(decoded(media.picture_uri(pixels))))
    assert (image.format, image.size) == ("WEBP", (media.MAX_SIDE_PX, media.MAX_SIDE_PX // 4))
    assert np.abs(np.asarray(image)[100, -100].astype(int) - (200, 10, 10)).max() < 12


def test_the_outline_of_a_mask_encloses_it_with_its_holes():
    rows, columns = np.mgrid[:200, :300]
    mask = (rows - 100) ** 2 + (columns - 120) ** 2 < 80**2
    mask &= (rows - 100) ** 2 + (columns - 120) ** 2 > 30**2
    filled = np.zeros(mask.shape, np.uint8)
    outlines = points(media.outline_path(mask))
    cv2.fillPoly(filled, [np.rint(one - 0.5).astype(np.int32) for one in outlines], 1)  # even-odd, as in SVG
    both, either = (filled > 0) & mask, (filled > 0) | mask
    assert len(outlines) == 2
    assert both.sum() / either.sum() > 0.97
    assert media.outline_path(np.zeros((5, 5), bool)) == ""


def test_a_waveform_is_as_high_as_its_peaks():
    quiet, loud = np.zeros(24_000), np.zeros(24_000)
    loud[12_000] = 1.0
    for waveform, top in ((quiet, media.WAVE_HEIGHT / 2), (loud, 0.0)):
        ys = [float(y) for y in re.findall(r",([\d.]+)", media.wave_path(waveform))]
        assert min(ys) == top
        assert len(ys) == 2 * media.N_WAVE_COLUMNS


def test_a_tone_lies_at_its_tick_in_either_scale():
    time = np.arange(22_050) / 22_050
    for scale, hz, mark in (("mel", 2000, "2"), ("linear", 4000, "4")):
        uri = media.spectrogram_uris({"tone": np.sin(2 * np.pi * hz * time)}, scale)["tone"]
        shades = np.asarray(Image.open(io.BytesIO(decoded(uri))).convert("L")).mean(axis=1)
        height = 1 - (shades.argmax() + 0.5) / len(shades)
        assert height == pytest.approx(dict(media.frequency_marks(scale))[mark], abs=0.02)


def test_sounds_on_one_page_share_a_reference_level():
    tone = np.sin(2 * np.pi * 1000 * np.arange(22_050) / 22_050)
    uris = media.spectrogram_uris({"loud": tone, "soft": 0.01 * tone}, "mel")
    loud, soft = (np.asarray(Image.open(io.BytesIO(decoded(uris[n]))).convert("L")).max() for n in ("loud", "soft"))
    assert loud > soft + 50
