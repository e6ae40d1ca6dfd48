import io

import numpy as np
import pytest
import soundfile

from svdaudio.errors import InputError
from svdaudio.sounds.writing import FORMATS, RATES_HZ, Tags, check_sound_place, encoded
from svdaudio.views.report import wav_bytes

TAGS = Tags(title="manipulated: ä.png", comment="run 1: svdaudio run a.png --set 'x=\"1\"'", software="svdaudio 1")


@pytest.fixture(scope="module")
def tone():
    return (0.4 * np.sin(2 * np.pi * 440 * np.arange(22_050) / 22_050)).astype(np.float32)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_and_rate_holds_the_same_sound_with_tags(tone, suffix, rate_hz):
    data = encoded(wav_bytes(tone), suffix, rate_hz=rate_hz, tags=TAGS)
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert (file.samplerate, file.channels, file.format, file.frames) == (rate_hz, 1, FORMATS[suffix][0], rate_hz)
        assert file.title == (TAGS.title if suffix != ".mp3" else "manipulated: ?.png")
        assert file.comment == TAGS.comment
        samples = file.read()
    spectrum = np.abs(np.fft.rfft(samples[: rate_hz - 1000], rate_hz))
    assert spectrum.argmax() == pytest.approx(440, abs=1)
    assert np.abs(samples[5000:-5000]).max() == pytest.approx(0.4, abs=0.03)


def test_flac_has_the_samples_of_the_wav(tone):
    wav = wav_bytes(tone)
    read = [soundfile.read(io.BytesIO(data), dtype="int16")[0] for data in (wav, encoded(wav, ".flac"))]
    assert np.array_equal(*read)


def test_stems_of_float32_keep_24_bits_in_flac(tone):
    wav = wav_bytes(tone / 3, as_float=True)
    assert soundfile.info(io.BytesIO(encoded(wav, ".wav", rate_hz=44_100))).subtype == "FLOAT"
    samples, _ = soundfile.read(io.BytesIO(encoded(wav, ".flac")))
    assert np.abs(samples - tone / 3).max() < 2**-22


@pytest.mark.parametrize(
    ("name", "rate_hz", "message"),
    [
        ("a.aiff", None, r"expected a name that ends in \.wav or \.flac or \.ogg or \.mp3, got a\.aiff"),
        ("a", None, "expected a name that ends in"),
        ("a.mp3", 8000, "a sound cannot be written at 8000 Hz: expected 22050 or 44100 or 48000"),
    ],
)
def test_other_formats_and_rates_are_refused(tmp_path, name, rate_hz, message):
    with pytest.raises(InputError, match=message):
        check_sound_place(tmp_path / name, rate_hz)
    for suffix in FORMATS:
        check_sound_place(tmp_path / f"b{suffix.upper()}", 48_000)


def test_a_libsndfile_without_mp3_is_refused_beforehand(tmp_path, monkeypatch):
    monkeypatch.setattr(soundfile, "check_format", lambda name, subtype: name != "MP3")
    with pytest.raises(InputError, match=r"libsndfile .* cannot write a\.mp3: got MP3 with MPEG_LAYER_III\. Use \.wav"):
        check_sound_place(tmp_path / "a.mp3")
