"""Measure what `keep_freed_memory` saves: the mini bundle's noise network, alternately with and without it.

    python bench/memory.py

Each round is a separate process with one thread, three sounds of ten seconds, five steps. It prints the ratio of
processor time with glibc's defaults to that with freed memory kept, and the page faults per step.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from statistics import median

N_STEPS = 5


def step_costs(*, kept: bool) -> dict[str, float]:
    """Processor seconds and page faults of a step, in this process."""
    import torch

    from svdaudio.memory import keep_freed_memory
    from svdaudio.models.audioldm.diffuser import load_diffuser
    from svdaudio.places import project_root

    torch.set_num_threads(1)
    if kept:
        keep_freed_memory()
    network = load_diffuser(project_root() / "checkpoints" / "mini" / "diffuser.safetensors", torch.device("cpu"))
    sample, times, condition = torch.randn(3, 8, 256, 16), torch.full((3,), 500), torch.randn(3, 512)
    with torch.inference_mode():
        for _ in range(2):
            network.noise(sample, times, condition)
        before = resource.getrusage(resource.RUSAGE_SELF)
        for _ in range(N_STEPS):
            network.noise(sample, times, condition)
    after = resource.getrusage(resource.RUSAGE_SELF)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds / N_STEPS, "faults": (after.ru_minflt - before.ru_minflt) / N_STEPS}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", choices=("kept", "default"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(step_costs(kept=arguments.one == "kept")))
        return
    costs: dict[str, list[dict[str, float]]] = {"default": [], "kept": []}
    for _ in range(arguments.rounds):
        for setting, found in costs.items():
            command = [sys.executable, __file__, "--one", setting]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            found.append(json.loads(done.stdout))
    times, faults = (
        {setting: median(one[what] for one in found) for setting, found in costs.items()}
        for what in ("seconds", "faults")
    )
    print(f"processor time of a step, default against kept: {times['default'] / times['kept']:.2f} to 1")
    print(f"page faults of a step: {faults['default']:.0f} and {faults['kept']:.0f}")


if __name__ == "__main__":
    main()
