"""The method with toy models for the command line: the real stage table; tiny bodies for stages that need weights."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
from PIL import Image
from quick_pictures import skip_rendering

from svdaudio.checkpoints.roles import LOADERS
from svdaudio.cli import sessions as cli_sessions
from svdaudio.methods.stages import STAGES

CLASSES = ("cat", "dog", "duck")
N_SAMPLES = 220_500
PAIR = ["one.png", "two.png", "--remove", "20,20", "--add", "40,30"]


class ToyBundle:
    """Named and described like a bundle; its digests are its roles."""

    name = "mini"
    title = "toy models"
    settings = {"generate.steps": 20}
    roles = ()

    def digests(self, role):
        return f"{role} of the toy"

    def classes(self, role):
        return CLASSES

    def check_domain(self):
        return None


def unit(vector):
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def mask(*, pixels, points, segmenter):
    (x, y, _), *_ = points
    height, width = pixels.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    inside = (abs(rows - y) < height / 4) & (abs(columns - x) < width / 4)
    return {"mask": inside, "score": np.float32(0.9), "logits": np.zeros((8, 8), np.float32)}


def box_mask(*, pixels, box, points, segmenter):
    left, top, right, bottom = box
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    inside = (columns >= left) & (columns < right) & (rows >= top) & (rows < bottom)
    return {"mask": inside, "score": np.float32(0.8), "logits": np.zeros((8, 8), np.float32)}


def tokens(*, pixels, geometry, image_encoder):
    random = np.random.default_rng(int(pixels.sum()))
    found = random.standard_normal((257, 768))
    found = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
    return {"tokens": found, "embedding": unit(found.sum(axis=0))}


def local_objects(
    *, pixels, confidence, iou, max_detections, top_k, augment, detector, image_encoder, note
):  # fmt: skip
    print("what a library prints")
    note("one object")
    return {
        "boxes": np.array([[2, 2, 20, 20]], np.float32), "scores": np.array([0.9], np.float32),
        "classes": np.array([1]), "embeddings": unit(np.ones(768))[None],
    }  # fmt: skip


def remix(*, embedding, locals, cycle_its, cycle_samples, var_samples, seed, ssv2a):  # noqa: A002
    return {"clap": unit(embedding[:512] + seed * 1e-3)}


def diffuse(*, clap, diffuser, n_candidates, **settings):
    return {"latents": np.tile(clap[:16], (n_candidates, 8, 1, 1)).astype(np.float32)}


def decode(*, latents, backend, autoencoder):
    return {"mel": np.repeat(latents[:, :1, 0, :, None], 64, axis=-1)}


def vocode(*, mel, backend, vocoder):
    pitches = 0.05 + mel[0].mean() + 0.01 * np.arange(len(mel))
    return {"waveforms": np.sin(np.arange(160_000) * pitches[:, None]).astype(np.float32)}


def pick(*, waveforms, number, duration_s):
    return {"waveform": (np.resize(waveforms[number - 1], N_SAMPLES) * 0.5).astype(np.float32)[None]}


def choose(*, waveforms, clap, duration_s, audio_encoder):
    return {
        **pick(waveforms=waveforms, number=1, duration_s=duration_s),
        "similarity": np.linspace(1, 0, len(waveforms), dtype=np.float32),
        "choice": np.int64(0),
    }


def scores(*, waveform, tagger):
    level = float(abs(waveform).mean())
    return {"scores": np.array([level, 0.5, 1 - level], np.float32)}


BODIES = {
    "mask": mask, "box_mask": box_mask,
    "tokens": tokens, "locals": local_objects, "remix": remix, "diffuse": diffuse, "diffuse_each": diffuse,
    "decode": decode, "vocode": vocode, "choose": choose, "pick": pick, "scores": scores,
}  # fmt: skip


def install(patch, folder, *, render=False):
    """Install toy bodies, a toy bundle, a store and two pictures in `folder`, which becomes the current folder.

    Pictures of runs are rendered only if a test reads them.
    """
    for stage, body in BODIES.items():
        patch.setitem(sys.modules, STAGES[stage].body.partition(":")[0], SimpleNamespace(run=body))
    if not render:
        skip_rendering(patch)
    patch.setattr(cli_sessions, "open_bundle", lambda name: ToyBundle())
    patch.setattr(cli_sessions, "open_models", lambda bundle, config: dict.fromkeys(LOADERS))
    patch.setenv("SVDAUDIO_STORE", str(folder / "store"))
    patch.delenv("PREFECT_API_URL", raising=False)
    patch.chdir(folder)
    random = np.random.default_rng(0)
    for name in ("one", "two"):
        Image.fromarray(random.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(folder / f"{name}.png")
