"""Measure loading times of full-size published models, from their files and from their quick copies.

Every recommended file is made up at full size and imported. Each load is a separate process, timed after its imports
(listed separately) from the check of the digest to a model that is ready. Files are in the disk's cache in both cases,
so the ratio shows the work that the quick copy saves.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from made_up_full import WRITERS, write_published

from svdaudio.checkpoints import install
from svdaudio.checkpoints.bundle import Bundle, Entry
from svdaudio.weights.quick_copy import cache_path, forget

LOAD = """
import sys, time
begun = time.perf_counter()
from importlib import import_module
from pathlib import Path
import torch
from svdaudio.checkpoints.bundle import Bundle, load_entry
from svdaudio.checkpoints.roles import LOADERS
bundle, role = Bundle.open("full", Path(sys.argv[1])), sys.argv[2]
import_module(LOADERS[role][bundle.entry(role).format].partition(":")[0])
imported = time.perf_counter()
bundle.check(role)
load_entry(bundle.entry(role), torch.device("cpu"))
ready = time.perf_counter()
# of this process only: the peak that getrusage returns is inherited from the parent
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(imported - begun, ready - imported, int(peak.split()[1]) * 1024 / 1e9)
"""


def load(root: Path, role: str) -> tuple[float, float, float]:
    """Seconds of the imports, seconds of the load, and peak memory in GB, of a new process."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(root), role], capture_output=True, text=True, check=True
    ).stdout.split()
    return float(done[0]), float(done[1]), float(done[2])


def measured(root: Path, entry: Entry, n_repeats: int) -> str:
    """One line of the table: the best of several loads, without and with the quick copy."""
    cold: list[tuple[float, float, float]] = []
    warm: list[tuple[float, float, float]] = []
    for _ in range(n_repeats):
        forget(entry.path, entry.role)
        cold.append(load(root, entry.role))
        warm.append(load(root, entry.role))
    imports = min(seconds for seconds, _, _ in cold + warm)
    before, after = (min(seconds for _, seconds, _ in runs) for runs in (cold, warm))
    peak_gb = max(peak for _, _, peak in warm)
    copy = cache_path(entry.path, entry.role)
    kept = f"{copy.stat().st_size / 1e6:.0f} MB" if copy.is_file() else "none needed"
    return (
        f"| {entry.role} | {imports:.1f} | {before:.2f} | {after:.2f} | {before / after:.1f} | {kept} | {peak_gb:.2f} |"
    )


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--folder", type=Path, help="folder to keep, whose made-up files are reused")
    arguments.add_argument("--files", nargs="+", choices=tuple(WRITERS), default=tuple(WRITERS))
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        root = folder / "checkpoints"
        for path in write_published(folder / "downloads", given.files):
            install.take(path, root / "full", trust=True)
        bundle = Bundle.open("full", root)
        print("| role | imports, s | first load, s | warm load, s | ratio | quick copy | peak GB |")
        print("|---|---|---|---|---|---|---|")
        for role in bundle.roles:
            print(measured(root, bundle.entry(role), given.repeats), flush=True)


if __name__ == "__main__":
    main()
