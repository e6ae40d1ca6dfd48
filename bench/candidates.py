"""Measure the cost of batches that do not depend on the number of candidates, with the mini bundle.

Prints the processor time of the diffusion with `generate.noise = own`, as a share of that with `joint`, where all
candidates form one batch.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.models import Models
from svdaudio.methods.stages import DIFFUSE, DIFFUSE_EACH


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--device", default="cpu")
    options.add_argument("--duration", type=float, default=10.0)
    options.add_argument("--repeats", type=int, default=3)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    diffuser = Models(Bundle.open("mini"), device=chosen.device)["diffuser"]
    clap = np.random.default_rng(0).standard_normal(512).astype(np.float32)
    settings: dict[str, Any] = {
        "scheduler": "ddim", "steps": 5, "guidance_scale": 3.0, "duration_s": chosen.duration, "seed": 0,
        "backend": "diffusers", "precision": "float32",
    }  # fmt: skip
    clock = time.process_time if chosen.device == "cpu" else time.perf_counter
    print("| candidates | time relative to one batch |\n|---|---|")
    for n_candidates in (1, 2, 3, 4, 5, 10):
        ratios: list[float] = []
        for _ in range(chosen.repeats):
            seconds: list[float] = []
            for stage in (DIFFUSE, DIFFUSE_EACH):
                run = stage.load_body()
                run(clap=clap / np.linalg.norm(clap), diffuser=diffuser, n_candidates=1, **settings)
                begun = clock()
                run(clap=clap / np.linalg.norm(clap), diffuser=diffuser, n_candidates=n_candidates, **settings)
                seconds.append(clock() - begun)
            ratios.append(seconds[1] / seconds[0])
        print(f"| {n_candidates} | {np.median(ratios):.2f} |")


if __name__ == "__main__":
    main()
