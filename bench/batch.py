"""Compare a batch of farm pairs with one `svdaudio run` per pair.

    python bench/batch.py                          # 100 pairs, 10 of them run singly, the shipped settings
    python bench/batch.py --pairs 8 --singles 2    # to test the script

Pairs are the edits of `svdaudio evaluate edits`, of several seeds. The batch is one process that loads each model once
and uses it for all pairs; a single run is a separate process that imports and loads everything itself. Both start
with their own empty store. Single runs all cost about the same, so some are timed, spread over the pairs, and their
mean is used for all. The sounds of both must be identical.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from svdaudio.studies.edits import EDITS_SEED, METHOD, draw_edit, ordered_pairs, write_edits
from svdaudio.studies.pairs import Row

PROGRAM = (sys.executable, "-m", "svdaudio.cli")


def draw_pairs(folder: Path, n_pairs: int) -> list[Row]:
    """Pictures and clicks of edits, each name unique."""
    kinds = ordered_pairs()
    pairs: list[Row] = []
    for number in range(n_pairs):
        seed, kind = divmod(number, len(kinds))
        place = folder / str(seed)
        place.mkdir(parents=True, exist_ok=True)
        pairs += write_edits(place, [draw_edit(*kinds[kind], seed=EDITS_SEED + 1 + seed)], [METHOD])
    return pairs


def clicks(pair: Row, name: str) -> str:
    """Clicks as the value of an option."""
    return " ".join(",".join(map(str, point)) for point in pair.parameters[name])


def timed(arguments: Sequence[str]) -> tuple[float, str]:
    """Seconds and standard output of a `svdaudio` command."""
    begun = time.perf_counter()
    done = subprocess.run([*PROGRAM, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - begun, done.stdout


def main() -> None:
    """Compose pairs, run them both ways, and print the times."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--pairs", type=int, default=100)
    options.add_argument("--singles", type=int, default=10, help="number of single runs")
    options.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter, for both")
    given = options.parse_args()
    settings = ["--no-baselines", *(text for value in given.set for text in ("--set", value))]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pairs = draw_pairs(folder / "pictures", given.pairs)
        table = folder / "pairs.csv"
        with table.open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(("name", "original", "edited", "remove", "add"))
            lines.writerows(
                (n, *pair.files.values(), clicks(pair, "remove"), clicks(pair, "add")) for n, pair in enumerate(pairs)
            )
        together, output = timed(["batch", str(table), *settings, "--store", str(folder / "together"), "--json"])
        sounds = {row["name"]: Path(row["manipulated.wav"]) for row in json.loads(output)["pairs"]}
        print(f"{len(pairs)} pairs as a batch: {together:.0f} s, {together / len(pairs):.2f} s per pair", flush=True)
        singles: list[float] = []
        chosen = [n * len(pairs) // given.singles for n in range(given.singles)]
        for n in chosen:
            pair = pairs[n]
            arguments = [str(path) for path in pair.files.values()]
            arguments += ["--remove", clicks(pair, "remove"), "--add", clicks(pair, "add")]
            took, output = timed(["run", *arguments, *settings, "--store", str(folder / "singly"), "--json"])
            singles.append(took)
            if Path(json.loads(output)["audio"]["manipulated"]).read_bytes() != sounds[str(n)].read_bytes():
                raise SystemExit(f"pair {n} sounds different in the batch than in a separate run")
        spread = f" ± {stdev(singles):.2f}" if len(singles) > 1 else ""
        print(f"one `run` each ({len(singles)} timed, each a process): {mean(singles):.2f}{spread} s per pair")
        print(f"ratio: {mean(singles) * len(pairs) / together:.2f}")


if __name__ == "__main__":
    main()
