"""Measure sounds before and after the finish: offset, first and last sample, loudness and peaks.

The sounds are those of the demo and of edits of the farm (`svdaudio evaluate edits`), three per run, with the mini
bundle. Artifacts in the store are reused.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from svdaudio.session import Session
from svdaudio.sounds.finish import integrated_loudness, true_peak
from svdaudio.sounds.rates import OUTPUT_RATE_HZ
from svdaudio.studies.edits import METHOD, draw_edit, ordered_pairs, write_edits
from svdaudio.studies.scenes import demo_scene


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--store", default=None)
    options.add_argument("--edits", type=int, default=6, help="number of edits, evenly spaced among the 72")
    options.add_argument("--loudness", type=float, default=-23.0, help="finish.loudness_lufs")
    chosen = options.parse_args()
    session = Session(chosen.store)
    before: list[dict[str, float]] = []
    after: list[dict[str, float]] = []
    n_limited = 0
    with TemporaryDirectory() as folder:
        for files, clicks in _scenes(Path(folder), chosen.edits):
            settings = {**clicks, "finish.loudness_lufs": chosen.loudness}
            run = session.run(session.request("manipulate", files, settings), pictures=False).run
            arrays = session.arrays(run)
            for sound in arrays.sounds_done():
                before.append(measured(arrays[f"{sound}.choose"]["waveform"]))
                after.append(measured(arrays[f"{sound}.finish"]["waveform"]))
                n_limited += after[-1]["loudness, LUFS"] < chosen.loudness - 0.05
    print(f"{len(before)} sounds; the peak limit lowers {n_limited} of them\n\n| | before | after |\n|---|---|---|")
    for name in before[0]:
        print(f"| {name} | {_range(before, name)} | {_range(after, name)} |")


def _scenes(folder: Path, n_edits: int) -> Iterator[tuple[list[Path], dict[str, object]]]:
    scene = demo_scene()
    yield [scene.original, scene.edited], dict(scene.clicks)
    pairs = ordered_pairs()
    chosen = [draw_edit(*pairs[number * len(pairs) // n_edits]) for number in range(n_edits)]
    for row in write_edits(folder, chosen, [METHOD]):
        yield list(row.files.values()), dict(row.parameters)


def measured(waveform: NDArray[np.float32]) -> dict[str, float]:
    """The figures of one sound."""
    samples = waveform.ravel().astype(np.float64)
    loudness = integrated_loudness(samples, OUTPUT_RATE_HZ)
    tenths = samples[: samples.size // 2205 * 2205].reshape(-1, 2205).mean(axis=1)
    return {
        "offset, % of full scale": 100 * abs(samples.mean()),
        "largest offset of a tenth of a second, %": 100 * float(np.abs(tenths).max()),
        "first sample": abs(samples[0]),
        "last sample": abs(samples[-1]),
        "loudness, LUFS": loudness,
        "true peak, dB": true_peak(samples),
        "true peak above loudness, dB": true_peak(samples) - loudness,
    }


def _range(each: list[dict[str, float]], name: str) -> str:
    values = [one[name] for one in each]
    return f"{min(values):.3g} to {max(values):.3g}"


if __name__ == "__main__":
    main()
