"""Sounds in CLIP's space, against independent reimplementations, timm and open_clip."""

from __future__ import annotations

import made_up_files
import numpy as np
import pytest
import timm
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.openai import load_openai_model
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transform import image_transform
from PIL import Image
from torch.nn import functional

from svdaudio.models.clip.published import load_guide
from svdaudio.models.sound_clip.published import load_sound_encoder
from svdaudio.models.sound_clip.spectrogram import HOP_LENGTH, N_FRAMES, PRESETS, mel_image


def slaney_filters():
    """Triangles between points that are evenly spaced in mel, each of unit area, in double precision."""

    def mel(hertz):
        return 3 * hertz / 200 if hertz < 1000 else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)

    def hertz(mel):
        return 200 * mel / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    points = [hertz(one) for one in np.linspace(0, mel(22_050), 130)]
    at = np.arange(1025) * 44_100 / 2048
    return np.array(
        [
            np.maximum(0, np.minimum((at - low) / (middle - low), (high - at) / (high - middle))) * 2 / (high - low)
            for low, middle, high in zip(points, points[1:], points[2:], strict=False)
        ]
    )


def restated(waveform, preset, place):
    """The steps of the publication's code in double precision, resized by torch instead of OpenCV."""
    padded = np.pad(waveform.astype(np.float64), 1024, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    n_frames = 1 + len(waveform) // HOP_LENGTH
    spectra = [np.fft.rfft(padded[512 * one : 512 * one + 2048] * window) for one in range(n_frames)]
    power_db = 10 * np.log10(np.maximum(slaney_filters() @ (np.abs(np.stack(spectra, axis=1)) ** 2), 1e-10))
    power_db -= power_db.max() if preset == "published" else 40
    values = np.clip(power_db, -80, 0) / 80 + 1
    spare = n_frames - N_FRAMES
    if spare >= 0:
        first = spare // 2 if place == "centre" else 0
        values = values[:, first : first + N_FRAMES]
    else:
        before = -spare // 2 if place == "centre" else 0
        values = np.pad(values, ((0, 0), (before, -spare - before)))
    resized = functional.interpolate(torch.from_numpy(values)[None, None], (512, 128), mode="bilinear")
    return resized.numpy().reshape(1, 128, 512)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("n_samples", "place"), [(441_000, "start"), (90_001, "centre"), (500_000, "centre")])
def test_the_picture_of_a_sound(preset, n_samples, place):
    rng = np.random.default_rng(0)
    waveform = (rng.standard_normal(n_samples) * np.hanning(n_samples) * 0.3).astype(np.float32)
    found = mel_image(waveform, 44_100, preset=preset, place=place)
    assert found.std() > 0.05
    assert np.abs(found - restated(waveform, preset, place)).max() < 1e-5


def by_functions(state, images):
    """The forward pass, using only torch's functions."""

    def normed(x, name):
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return functional.batch_norm(x, mean, variance, state[f"{name}.weight"], state[f"{name}.bias"])

    x = functional.conv2d(images, state["conv.weight"], state["conv.bias"])
    at = "feature_extractor"
    x = functional.conv2d(x, state[f"{at}.conv1.weight"], stride=2, padding=3)
    x = functional.max_pool2d(normed(x, f"{at}.bn1").relu(), 3, stride=2, padding=1)
    for layer in (1, 2, 3, 4):
        for block in (0, 1):
            name, stride = f"{at}.layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            inner = functional.conv2d(x, state[f"{name}.conv1.weight"], stride=stride, padding=1)
            inner = functional.conv2d(normed(inner, f"{name}.bn1").relu(), state[f"{name}.conv2.weight"], padding=1)
            if stride == 2:
                x = functional.conv2d(x, state[f"{name}.downsample.0.weight"], stride=2)
                x = normed(x, f"{name}.downsample.1")
            x = (normed(inner, f"{name}.bn2") + x).relu()
    x = functional.linear(x.mean(dim=(2, 3)), state[f"{at}.fc.weight"], state[f"{at}.fc.bias"])
    return x / x.norm(dim=1, keepdim=True)


def test_the_published_sound_encoder(tmp_path):
    path = tmp_path / "resnet18_57.pth"
    state = made_up_files.write_sgsim(path, prefix="module.")
    images = torch.rand(2, 1, 128, 512, generator=torch.Generator().manual_seed(0))
    theirs = timm.create_model("resnet18", num_classes=512).eval()
    start = "feature_extractor."
    theirs.load_state_dict({key.removeprefix(start): value for key, value in state.items() if key.startswith(start)})
    found = load_sound_encoder(path).embed(images.numpy())
    with torch.inference_mode():
        by_timm = theirs(functional.conv2d(images, state["conv.weight"], state["conv.bias"]))
        assert np.abs(found - functional.normalize(by_timm, dim=1).numpy()).max() < 1e-4
        assert np.abs(found - by_functions(state, images).numpy()).max() < 1e-4
    assert np.abs(found[0] - found[1]).max() > 1e-3


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # open_clip reads the archive with torch.jit.load
def test_both_towers_of_a_published_clip(tmp_path):
    path = tmp_path / "ViT-B-32.pt"
    model = made_up_files.clip(width=64, layers=2, text_width=64, text_layers=2, patch_size=32, dim=512)
    made_up_files.write_clip_archive(path, model)
    theirs, ours = load_openai_model(str(path), precision="fp32", device="cpu"), load_guide(path)
    texts = ["thunder", "A dog, barking", "rain &amp; wind"]
    picture = np.random.default_rng(0).integers(0, 256, (300, 240, 3), np.uint8)
    preprocess = image_transform(224, is_train=False, mean=OPENAI_DATASET_MEAN, std=OPENAI_DATASET_STD)
    with torch.inference_mode():
        by_text = theirs.encode_text(SimpleTokenizer()(texts), normalize=True).numpy()
        by_picture = theirs.encode_image(preprocess(Image.fromarray(picture))[None], normalize=True).numpy()
    assert (ours.dim, ours.texts) == (512, ())
    assert np.abs(ours.embed_texts(texts) - by_text).max() < 1e-5
    assert np.abs(ours.embed_pictures([picture]) - by_picture).max() < 1e-5
    assert np.abs(by_text[0] - by_text[1]).max() > 1e-3
