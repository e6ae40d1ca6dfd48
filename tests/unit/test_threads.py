"""Several threads on the same models: the same results as in sequence, and one load."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.models import Models
from svdaudio.models.audioldm.backends import open_backend
from svdaudio.models.audioldm.choose import choose
from svdaudio.models.audioldm.noise import candidate_noise
from svdaudio.models.audioldm.settings import DiffusionSettings
from svdaudio.models.ssv2a.remix import RemixSettings, remix
from svdaudio.models.taggers.scores import class_scores
from svdaudio.models.yolo.detector import DetectionSettings
from svdaudio.places import project_root
from svdaudio.randomness import stage_generator
from svdaudio.svd.geometry import Geometry
from svdaudio.svd.images import load_image

SCENES = [("dog_cat.jpg", (756, 581), 2.5), ("dog_duck.jpg", (756, 570), 5.0)]
N_CALLS = 4


@pytest.fixture(scope="module")
def models():
    return Models(Bundle.open("mini"), device="cpu", keep=True)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def segment(models, scene):
    pixels = load_image(project_root() / "examples" / scene[0])[:, : int(100 * scene[2]) + 800]
    return models["segmenter"].segment(pixels, np.array([scene[1]], float), np.array([1])).logits


def see(models, scene):
    pixels = load_image(project_root() / "examples" / scene[0])
    return models["image_encoder"].tokens(pixels, Geometry.SQUASH).tokens


def detect(models, scene):
    width = int(200 * scene[2])  # another shape of the network's input for each
    pixels = load_image(project_root() / "examples" / scene[0])[:, :width]
    return models["detector"].detect(pixels, DetectionSettings(confidence=0.01)).boxes


def mix(models, scene):
    settings = RemixSettings(cycle_its=4, cycle_samples=8, var_samples=4)
    seen = torch.nn.functional.normalize(draw(1 + int(scene[2]), 768, seed=int(scene[2])), dim=1).numpy()
    embedding, objects = seen[0], seen[1:]
    generator = stage_generator(1, "remix")
    return remix(models["ssv2a"], embedding=embedding, objects=objects, settings=settings, generator=generator)


def diffuse(models, scene):
    clap = torch.nn.functional.normalize(draw(512), dim=0)
    settings = DiffusionSettings(
        scheduler="ddim", n_steps=2, guidance_scale=3.0, n_candidates=1, duration_s=scene[2], precision="float32"
    )
    noise = candidate_noise(1, [0])
    return open_backend("diffusers").diffuse(models["diffuser"], clap, settings, noise=noise)


def sound(models, scene):
    latents = draw(2, 8, int(scene[2] * 25), 16)
    waveforms = open_backend("diffusers").vocode(
        models["vocoder"], open_backend("diffusers").decode(models["autoencoder"], latents)
    )
    kept = choose(models["audio_encoder"], waveforms, draw(512), duration_s=scene[2] - 1).waveform
    return torch.cat([kept[0], class_scores(models["tagger"], kept).flatten()])


@pytest.mark.parametrize("work", [segment, see, detect, mix, diffuse, sound])
def test_threads_get_the_same_results_as_one_alone(models, work):
    wanted = [np.asarray(work(models, scene)) for scene in SCENES]
    assert wanted[0].shape != wanted[1].shape or not np.array_equal(*wanted)
    wrong, errors = [], []

    def repeat(scene, right):
        try:
            wrong.extend(scene for _ in range(N_CALLS) if not np.array_equal(np.asarray(work(models, scene)), right))
        except Exception as error:  # noqa: BLE001 - reported by the test
            errors.append(error)

    threads = [threading.Thread(target=repeat, args=pair) for pair in zip(SCENES, wanted, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert wrong == []


FIRST_LOAD = """
import threading
from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.models import Models
shared, errors, found = Models(Bundle.open("mini"), device="cpu", keep=True), [], []

def load(models):
    try:
        found.append((models is shared, [id(models[role]) for role in ("segmenter", "detector", "image_encoder")]))
    except BaseException as error:
        errors.append(repr(error))

own = Models(Bundle.open("mini"), device="cpu", keep=True)
threads = [threading.Thread(target=load, args=(models,)) for models in (shared, own, shared, shared)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not errors, errors
assert len({tuple(ids) for is_shared, ids in found if is_shared}) == 1
"""


def test_the_first_load_may_come_from_several_threads_at_once():
    done = subprocess.run([sys.executable, "-c", FIRST_LOAD], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
