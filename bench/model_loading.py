"""How long a full-size published checkpoint takes to load: from itself, and from its quick copy.

A made-up CLIP ViT-L/14 in OpenAI's TorchScript archive (0.9 GB). Each load is a process of its own, timed from after
its imports to a model that is ready, so that no run helps another but through the disk's cache.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent
LOAD = """
import resource, sys, time
from pathlib import Path
from svdaudio.checkpoints.openai_clip import load_image_encoder
begun = time.perf_counter()
load_image_encoder(Path(sys.argv[1]), digest=sys.argv[2])
print(time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""
WRITE = """
import sys
from pathlib import Path
import made_up_files
made_up_files.write_clip_archive(Path(sys.argv[1]), made_up_files.clip())
"""


def load(path: Path) -> tuple[float, float]:
    """Seconds and peak memory in GB of one load in a new process."""
    command = [sys.executable, "-c", LOAD, str(path), "made up"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, peak_gb = map(float, done.stdout.split())
    return seconds, peak_gb


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repeats", type=int, default=3)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ViT-L-14.pt"
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", WRITE, str(path)], cwd=BENCH, check=True)
        print(f"made up {path.stat().st_size / 1e6:.0f} MB in {time.perf_counter() - begun:.0f} s")
        cold, warm = [], []
        for _ in range(given.repeats):
            for copy in path.parent.glob(".*.safetensors"):
                copy.unlink()
            cold.append(load(path))
            warm.append(load(path))
    for name, runs in (("cold", cold), ("warm", warm)):
        times = ", ".join(f"{seconds:.2f}" for seconds, _ in runs)
        print(f"{name}: {times} s; peak memory {max(peak for _, peak in runs):.2f} GB")
    print(f"ratio of the best: {min(cold)[0] / min(warm)[0]:.1f}")


if __name__ == "__main__":
    main()
