"""Compare the speed of many settings at once with that of one after the other, measured in one run.

    python bench/sweep.py

Tokens of two pictures are made up, with regions of 40 and 30 patches; settings of K, both factors and the four weights
are random. "As written" is the method step by step for one setting: both regions factorised, scaled, averaged, mixed.
"From cached factors" is `svdaudio.svd.mix.manipulate` for one setting. Both are timed for some settings, between the
repeats of the fast form, and the median is used for all. Then a change of α is measured in a separate process: the time
from opening the store, and from factors in memory, to the new embedding, and whether torch was imported.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from clock import seconds
from numpy.typing import NDArray

from svdaudio.methods.manipulate import ManipulateConfig
from svdaudio.methods.mixes import columns
from svdaudio.store.arrays import write_arrays
from svdaudio.studies.sweep import draw_settings, parse_range
from svdaudio.svd.factors import factorize, svd_manipulate
from svdaudio.svd.many import EditParts, MixColumns, mix_many
from svdaudio.svd.mix import MixWeights, background_embedding, combine, manipulate

RANGES = ("svd.k=1..15", "svd.alpha=0.1..0.5", "svd.beta=1.1..3.0", "mix.alpha=0.01..0.3", "mix.beta=0.2..0.6",
          "mix.gamma=0.0..0.3", "mix.direct=0.2..0.6")  # fmt: skip

CHANGE = """
import json, sys, time
import numpy as np
from pathlib import Path
from svdaudio.svd.mix import MixWeights, manipulate
from svdaudio.store.arrays import read_arrays
from svdaudio.svd.factors import Factors
def read():
    arrays = read_arrays(Path(sys.argv[1]), json.loads(sys.argv[2]))
    regions = [Factors(**{f: arrays[f + r] for f in ("u", "s", "vh", "weights")}) for r in ("_removed", "_added")]
    return regions, arrays["background"], arrays["direct"]
def new(parts, alpha):
    (removed, added), background, direct = parts
    return manipulate(removed=removed, added=added, background=background, direct=direct, k=5, alpha=alpha, beta=1.5,
                      weights=MixWeights())
read(); begun = time.perf_counter(); parts = read(); new(parts, 0.2); stored = time.perf_counter() - begun
times = []
for n in range(50):
    begun = time.perf_counter(); new(parts, 0.1 + n / 200); times.append(time.perf_counter() - begun)
print(json.dumps({"stored": stored, "memory": sorted(times)[25], "torch": "torch" in sys.modules}))
"""


def made_up() -> tuple[EditParts, list[NDArray[np.float32]], list[NDArray[np.bool_]]]:
    """Parts of an edit, and the tokens and grids that they come from."""
    random = np.random.default_rng(0)
    tokens = [random.standard_normal((257, 768)).astype(np.float32) for _ in range(2)]
    tokens = [t / np.linalg.norm(t, axis=1, keepdims=True) for t in tokens]
    grids = [np.isin(np.arange(256), random.choice(256, n, replace=False)) for n in (40, 30)]
    parts = EditParts(
        removed=factorize(tokens[0], grids[0]),
        added=factorize(tokens[1], grids[1]),
        background=background_embedding(tokens[1], *grids),
        direct=tokens[1][0],
    )
    return parts, tokens, grids


def weights_of(settings: MixColumns, n: int) -> MixWeights:
    """The weights of one setting."""
    return MixWeights(
        suppress=float(settings.suppress[n]),
        boost=float(settings.boost[n]),
        background=float(settings.background[n]),
        direct=float(settings.direct[n]),
    )


def main() -> None:
    """Read the settings, print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--settings", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=40, help="timed single calls of each kind")
    parser.add_argument("--repeats", type=int, default=7, help="runs of the fast form")
    options = parser.parse_args()
    parts, tokens, grids = made_up()
    ranges = [parse_range(text, ManipulateConfig.parameters()) for text in RANGES]
    settings = columns(draw_settings(ranges, options.settings, seed=0), ManipulateConfig())

    def as_written(n: int) -> NDArray[np.float32]:
        k, alpha, beta = int(settings.k[n]), float(settings.alpha[n]), float(settings.beta[n])
        suppress = svd_manipulate(tokens[0][0], tokens[0][1:], grids[0], k=k, mode="suppress", alpha=alpha)
        boost = svd_manipulate(tokens[1][0], tokens[1][1:], grids[1], k=k, mode="boost", beta=beta)
        rest = background_embedding(tokens[1], *grids)[0]
        return combine(weights_of(settings, n), suppress=suppress, boost=boost, background=rest, direct=parts.direct)

    removed, added = parts.removed, parts.added
    if removed is None or added is None:
        raise SystemExit("the edit of this benchmark has both regions")

    def from_factors(n: int) -> NDArray[np.float32]:
        return manipulate(
            removed=removed, added=added, background=parts.background, direct=parts.direct,
            k=int(settings.k[n]), alpha=float(settings.alpha[n]), beta=float(settings.beta[n]),
            weights=weights_of(settings, n),
        ).embedding  # fmt: skip

    found = mix_many(parts, settings)
    worst = max(float(np.abs(found[n] - as_written(n)).max()) for n in range(5))
    written: list[float] = []
    cached: list[float] = []
    fast: list[float] = []
    for n in range(max(options.calls, options.repeats)):
        if n < options.calls:
            written.append(seconds(lambda: as_written(n)))  # noqa: B023
            cached.append(seconds(lambda: from_factors(n)))  # noqa: B023
        if n < options.repeats:
            fast.append(seconds(lambda: mix_many(parts, settings)))
    at_once = median(fast)
    print(f"{options.settings} settings at once: {at_once:.3f} s (fastest {min(fast):.3f}); goal under 1 s")
    for name, times, goal in (("as written", written, "goal 1000"), ("from cached factors", cached, "")):
        whole = median(times) * options.settings
        each = f"{median(times) * 1e3:.2f} ms a call, {whole:.1f} s"
        print(f"one call each, {name}: {each}; ratio {whole / at_once:.0f} {goal}".rstrip())
    print(f"largest difference of an entry from the method as written: {worst:.1e}")

    arrays = {f"{f}_{name}": getattr(region, f) for name, region in (("removed", parts.removed), ("added", parts.added))
              for f in ("u", "s", "vh", "weights")}  # fmt: skip
    arrays.update(background=parts.background, direct=parts.direct)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arrays.zarr"
        write_arrays(path, arrays)
        ended = subprocess.run(
            [sys.executable, "-c", CHANGE, str(path), json.dumps(list(arrays))],
            capture_output=True,
            text=True,
            check=True,
        )
    change = json.loads(ended.stdout)
    print(
        f"change of alpha to new embedding: {change['stored'] * 1e3:.1f} ms with reading the factors, "
        f"{change['memory'] * 1e3:.2f} ms from memory; goal under 50 ms; torch imported: {change['torch']}"
    )


if __name__ == "__main__":
    main()
