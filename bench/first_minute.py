"""Measure the first commands of a user with the published weights, on made-up weights of full size.

Every file that `svdaudio checkpoints list` recommends is made up in its published format (4 GB). Then the commands of
docs/checkpoints.md run as for a user: import, list, verify, plan, and a run with the bundle `full` and few diffusion
steps. The checkout is not changed: bundle and store are in a separate folder.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from made_up_full import write_published

from svdaudio.studies.scenes import demo_scene

BENCH = Path(__file__).resolve().parent

COMMAND = """
import sys
from pathlib import Path
from svdaudio import places
places.checkout = lambda: Path({root!r})
from svdaudio.cli import main
sys.exit(main(sys.argv[1:]))
"""


def run(arguments: list[str], *, cwd: Path | None = None) -> tuple[float, float, int]:
    """Seconds, peak memory in GB and exit status of a process that inherits the terminal."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], cwd=cwd)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return time.perf_counter() - begun, used.ru_maxrss / 1e6, process.returncode


def main() -> None:
    """Run the commands and print a table."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--steps", type=int, default=2, help="diffusion steps")
    given.add_argument("--folder", type=Path, help="folder to keep, whose made-up files are reused")
    options = given.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        rows = go_through(folder, options.steps)
    print("| command | s | peak GB | status |\n|---|---|---|---|")
    for name, seconds, peak_gb, status in rows:
        print(f"| {name} | {seconds:.1f} | {peak_gb:.2f} | {status} |")


def go_through(folder: Path, n_steps: int) -> list[tuple[str, float, float, int]]:
    """Make up the files and run the commands; return (command, seconds, peak memory in GB, status) of each."""
    files, root = [str(path) for path in write_published(folder / "downloads")], folder / "checkout"
    (root / "checkpoints").mkdir(parents=True, exist_ok=True)
    if not (root / "checkpoints" / "mini").exists():
        (root / "checkpoints" / "mini").symlink_to(BENCH.parent / "checkpoints" / "mini")
    edit = [*demo_scene().arguments, "--bundle", "full"]
    quick = ["--set", f"generate.steps={n_steps}", "--set", "generate.candidates=1", "--no-baselines"]
    commands = {
        "checkpoints import … --trust": ["checkpoints", "import", *files, "--trust"],
        "checkpoints list": ["checkpoints", "list"],
        "checkpoints verify full": ["checkpoints", "verify", "full"],
        "plan … --bundle full": ["plan", *edit, *quick],
        f"run … --bundle full, {n_steps} steps": ["run", *edit, *quick],
        "the same again": ["run", *edit, *quick],
    }
    program = COMMAND.format(root=str(root))
    return [(name, *run(["-c", program, *arguments])) for name, arguments in commands.items()]


if __name__ == "__main__":
    main()
