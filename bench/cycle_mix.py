"""Compare the speed of cycle_mix with that of the published loop, both measured in one run.

    python bench/cycle_mix.py                   # batch 1 and 16, at 64/64/64
    python bench/cycle_mix.py --full --batch 1  # the plain loop from its first round to its last

Networks have full size and made-up weights; each element of a batch has one whole-picture embedding and four objects.
Every round of the plain loop costs the same, so a few are timed, between the repeats of the fast form, and their median
is used for all its + 1 rounds. Torch uses one thread by default: on a busy machine, two would mostly wait for each
other. The fast form has one more thread, which draws its noise.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from made_up import made_up_ssv2a
from plain_cycle_mix import plain_rounds
from torch import Tensor
from torch.nn import functional

from svdaudio.models.ssv2a import SSV2A

GOALS = {1: 200, 16: 400}


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock seconds, and processor seconds of all threads."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def made_up_clips(model: SSV2A, n_batch: int, n_objects: int) -> Tensor:
    """Unit vectors in slot 0 and the objects' slots, zeros in the others."""
    clips = torch.zeros(n_batch, model.config.remixer.slot, model.config.clip_dim)
    drawn = torch.randn(n_batch, 1 + n_objects, clips.shape[-1], generator=torch.Generator().manual_seed(1))
    clips[:, : 1 + n_objects] = functional.normalize(drawn, dim=-1)
    return clips


def measure(model: SSV2A, n_batch: int, settings: argparse.Namespace) -> None:
    """Measure one batch size, and print its two lines."""
    clips = made_up_clips(model, n_batch, settings.objects)
    n_rounds = settings.its + 1
    counts = {"samples": settings.samples, "var_samples": settings.var_samples}
    rounds = plain_rounds(model, clips, **counts, generator=torch.Generator().manual_seed(2))
    model.cycle_mix(clips, 2, **counts, generator=torch.Generator().manual_seed(0))
    plain: list[tuple[float, float]] = []
    fast: list[tuple[float, float]] = []
    n_plain = n_rounds if settings.full else settings.rounds
    for n in range(max(n_plain, settings.repeats)):
        if n < n_plain:
            plain.append(timed(lambda: next(rounds)))
        if n < settings.repeats:
            generator = torch.Generator().manual_seed(n)
            fast.append(timed(lambda: model.cycle_mix(clips, settings.its, **counts, generator=generator)))  # noqa: B023
    kinds = zip(("clock", "processor"), zip(*plain, strict=True), zip(*fast, strict=True), strict=True)
    for kind, of_plain, of_fast in kinds:
        whole = sum(of_plain) if settings.full else median(of_plain) * n_rounds
        measured = "whole" if settings.full else f"{n_plain} of {n_rounds} rounds"
        ratio, goal = whole / median(of_fast), GOALS.get(n_batch)
        print(
            f"{n_batch:>5}  {kind:<9}  {whole:>10.1f}  {measured:<15}  {median(of_fast):>8.3f}"
            f"  {min(of_fast):>8.3f}  {ratio:>6.0f} x  {f'{goal} x' if goal else '':>6}"
        )


def main() -> None:
    """Read the settings, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16])
    for name in ("its", "samples", "var-samples"):
        parser.add_argument(f"--{name}", type=int, default=64)
    parser.add_argument("--objects", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the plain loop that are timed")
    parser.add_argument("--repeats", type=int, default=7, help="runs of the fast form")
    parser.add_argument("--full", action="store_true", help="time every round of the plain loop")
    settings = parser.parse_args()
    torch.set_num_threads(settings.threads)
    model = made_up_ssv2a()
    counts = f"{settings.its}/{settings.samples}/{settings.var_samples}"
    print(f"torch {torch.__version__}, {settings.threads} thread(s), {counts}")
    print("batch  seconds         plain  measured            fast  (fastest)   ratio    goal")
    for n_batch in settings.batch:
        measure(model, n_batch, settings)


if __name__ == "__main__":
    main()
