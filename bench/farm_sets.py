"""Write sets of sounds of single farm animals, for `svdaudio evaluate --pairs SET.csv --reference FOLDER`.

    uv run python bench/farm_sets.py FOLDER [N]
    uv run svdaudio evaluate --pairs FOLDER/made.csv --reference FOLDER/reference

Writes N sounds (45, the nine classes in turn) into each of three folders, all at 22 050 Hz, 10 s and one loudness:

- `reference`: held-out soundscapes of the recordings,
- `real`: more of them, which show how much two real sets differ,
- `made`: the sounds that plain SSV2A makes of held-out pictures of one animal, one candidate each,

and `real.csv` and `made.csv`, which give the class of each sound as the added class and as its text.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.models import Models
from svdaudio.config import resolve
from svdaudio.engine.in_memory import compute
from svdaudio.engine.stage import by_name
from svdaudio.files import write_bytes
from svdaudio.methods.parts import SoundConfig, encode_picture, plain_sound
from svdaudio.mini import farm, soundscapes
from svdaudio.mini.audio_evaluation import HELD_OUT_SEED
from svdaudio.mini.vision_evaluation import held_out_classes
from svdaudio.sounds.finish import finish
from svdaudio.sounds.rates import OUTPUT_RATE_HZ, VOCODER_RATE_HZ
from svdaudio.views.report import wav_bytes

CONFIG = resolve(
    SoundConfig, given={"generate.steps": 20, "generate.guidance_scale": 3.0, "generate.candidates": 1}
).config
SOUNDSCAPES = {"reference": 30, "real": 31}
"""Folder → number of a series of held-out soundscapes."""


def soundscape(series: int, index: int) -> NDArray[np.float32]:
    """A held-out soundscape of one animal, finished like the sounds of runs, [1, n]."""
    rng = np.random.default_rng((HELD_OUT_SEED, series, index))
    made = soundscapes.compose(rng, classes=[index % len(farm.CLASSES)], duration_s=10.0)
    resampled = resample_poly(made.waveform.astype(np.float64), OUTPUT_RATE_HZ // 50, VOCODER_RATE_HZ // 50)[None]
    levels = {"loudness_lufs": CONFIG.finish.loudness_lufs, "true_peak_db": CONFIG.finish.true_peak_db}
    return finish(resampled, OUTPUT_RATE_HZ, **levels).waveform


def generated(models: Models, index: int) -> NDArray[np.float32]:
    """The sound of a held-out picture of one animal, [1, n]."""
    picture = held_out_classes(index, classes=[index % len(farm.CLASSES)], size=448)
    nodes = by_name([*encode_picture("it"), *plain_sound("it", CONFIG)])
    given = {"it.image": {"pixels": picture.pixels}}
    return compute(["it.finish"], nodes, CONFIG, models, given=given)["it.finish"]["waveform"]


def names(n: int) -> Iterator[tuple[int, str, str]]:
    """Number, class and name of each sound."""
    for index in range(n):
        label = farm.CLASSES[index % len(farm.CLASSES)]
        yield index, label, f"{label}-{index:03d}"


def main(folder: Path, n: int) -> None:
    """Write the sets."""
    models = Models(Bundle.open("mini"), keep=True)
    for index, _, name in names(n):
        for what, series in SOUNDSCAPES.items():
            write_bytes(folder / what / f"{name}.wav", wav_bytes(soundscape(series, index)))
        write_bytes(folder / "made" / f"{name}.wav", wav_bytes(generated(models, index)))
    for what in ("real", "made"):
        table = io.StringIO(newline="")
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(("manipulated", "added", "text"))
        writer.writerows((f"{what}/{name}.wav", label, label) for _, label, name in names(n))
        write_bytes(folder / f"{what}.csv", table.getvalue().encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 45)
