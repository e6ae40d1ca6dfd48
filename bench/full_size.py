"""Measure the whole method at full size through the real flow: time, memory and a roofline bound of every stage.

    python bench/full_size.py                   # both baselines and the edit, five diffusion steps
    python bench/full_size.py --no-baselines    # the edit alone
    python bench/full_size.py --folder DIR      # keep the made-up files (4 GB) for reuse
    python bench/full_size.py --bundle mini     # the small models, to test the script
    python bench/full_size.py --device cuda     # on a GPU, with its peak memory

Weights are made up, in the formats and sizes of the published files, imported like a user's, and loaded by the usual
loaders. Pictures, clicks and settings are real, except for the few diffusion steps, whose time is also printed per
step. The values of the weights affect the number of detected objects, but hardly any other cost.

The bound is the least time that this machine needs: arithmetic (torch's formulas) over the rate of a large matrix
product, or bytes (every operand of every operation that is not a view, read or written once) over the rate of a large
copy, whichever takes longer. Both rates are measured first. Operations are counted during the timed run of a stage's
first node, which costs some microseconds per operation; a stage of many small operations runs once more to be counted.
Stages without models have no bound. The table has the time of the first node, which on a GPU also prepares kernels, and
the least of all nodes.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from clock import seconds
from made_up_full import write_published
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from svdaudio.checkpoints import install
from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.models import Models
from svdaudio.engine.run import RunWork, execute_run
from svdaudio.engine.stage import Body, Stage
from svdaudio.session import Session
from svdaudio.studies.scenes import demo_scene

N_MATRIX = 2048
N_MATRIX_GPU = 8192
N_COPY = 64 * 1024 * 1024
COUNTED_APART = frozenset({"remix"})
"""Stages of many small operations, which counting would slow down."""


@dataclass(kw_only=True)
class Cost:
    """The cost of the nodes of one stage."""

    seconds: list[float] = field(default_factory=list[float])
    """Wall-clock time of each node, without loading its models."""
    processor_s: list[float] = field(default_factory=list[float])
    load_s: list[float] = field(default_factory=list[float])
    flops: float = 0.0
    """Operations of one node."""
    n_bytes: float = 0.0
    """Bytes moved by one node."""
    peak_gb: float = 0.0
    """Peak resident memory, mapped weights included; on a GPU, the peak memory of tensors."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Peak rates of the machine."""

    flops: float
    """Operations per second."""
    n_bytes: float
    """Bytes copied per second."""


class TimedModels:
    """Models by role, and the time to load them."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.seconds = 0.0

    def __getitem__(self, role: str) -> Any:
        """The model of a role."""
        begun = time.perf_counter()
        model = self.models[role]
        self.seconds += time.perf_counter() - begun
        return model

    def keep_only(self, roles: Iterable[str]) -> None:
        """Keep these models in memory together, and release all others."""
        self.models.keep_only(roles)


class Measured:
    """Finds bodies of stages, wrapped to measure their cost."""

    def __init__(self, models: TimedModels, device: torch.device, report: Callable[[str], None]) -> None:
        self.costs: dict[str, Cost] = defaultdict(Cost)
        self.models = models
        self.device = device
        self.report = report

    def body(self, stage: Stage) -> Body:
        """The body of a stage. Its models are loaded after this call and before the body is called."""
        real = stage.load_body()
        cost, counter = self.costs[stage.name], Counter()
        is_counted = bool(stage.models) and not cost.seconds
        loaded_s = self.models.seconds
        reset_peak(self.device)

        @functools.wraps(real)  # keeps the signature, which shows whether the body takes `note`
        def run(**arguments: Any) -> Mapping[str, Any]:
            cost.load_s.append(self.models.seconds - loaded_s)
            begun, processor = time.perf_counter(), time.process_time()
            with counter if is_counted and stage.name not in COUNTED_APART else contextlib.nullcontext():
                given = real(**arguments)
            cost.seconds.append(time.perf_counter() - begun)
            cost.processor_s.append(time.process_time() - processor)
            cost.peak_gb = max(cost.peak_gb, peak_gb(self.device))
            self.report(f"{stage.name}: {cost.seconds[-1]:.1f} s, {cost.peak_gb:.2f} GB")
            if is_counted:
                if stage.name in COUNTED_APART:
                    with counter:
                        real(**arguments)
                cost.flops, cost.n_bytes = counter.flops, counter.n_bytes
            return given

        return run


class Counter(TorchDispatchMode):
    """Counts floating-point operations, and bytes read and written by operations, of the code that runs within it.

    torch's own `FlopCounterMode` hooks into modules as well, which fails on parameters in inference mode.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0.0
        self.n_bytes = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the operation, or, in inference mode, its parts. Views cost nothing."""
        kwargs = kwargs or {}
        with self:
            result = func.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
        result = func(*args, **kwargs)
        if func._overloadpacket in FLOPS:  # noqa: SLF001 - as torch's registry is keyed
            self.flops += FLOPS[func._overloadpacket](*args, **kwargs, out_val=result)  # noqa: SLF001
        read = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        written = [each for each in tree_leaves(result) if isinstance(each, Tensor)]
        places = {each.untyped_storage().data_ptr() for each in read}
        if func._schema.is_mutable or any(each.untyped_storage().data_ptr() not in places for each in written):  # noqa: SLF001
            self.n_bytes += sum(each.numel() * each.element_size() for each in (*read, *written))
        return result


def attention_flops(query: Tensor, *operands: Any, out_val: Any, **others: Any) -> int:
    """Operations of torch's fused attention block: four projections, and two products of all tokens with all."""
    del operands, out_val, others
    n_rows, n_tokens, width = query.shape
    return 2 * n_rows * n_tokens * 4 * width**2 + 4 * n_rows * n_tokens**2 * width


FLOPS = {**flop_registry, torch.ops.aten._native_multi_head_attention: attention_flops}  # noqa: SLF001 - torch's lacks it


def reset_peak(device: torch.device) -> None:
    """Reset the peak of a GPU's memory, or the kernel's peak of resident memory (Linux)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        Path("/proc/self/clear_refs").write_text("5")


def peak_gb(device: torch.device) -> float:
    """The peak since `reset_peak`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    line = next(each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e9


def measure_rates(device: torch.device, n_tries: int = 7) -> Rates:
    """The best of several large matrix products and copies."""
    n = N_MATRIX if device.type == "cpu" else N_MATRIX_GPU
    one, other = (torch.randn(n, n, device=device) for _ in range(2))
    source, target = torch.zeros(N_COPY, device=device), torch.empty(N_COPY, device=device)

    def finished(work: Callable[[], object]) -> None:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    product_s = min(seconds(lambda: finished(lambda: one @ other)) for _ in range(n_tries))
    copy_s = min(seconds(lambda: finished(lambda: target.copy_(source))) for _ in range(n_tries))
    return Rates(flops=2 * n**3 / product_s, n_bytes=2 * 4 * N_COPY / copy_s)


def table(costs: Mapping[str, Cost], rates: Rates) -> Iterable[str]:
    """Lines of Markdown, one per stage."""
    yield "| stage | nodes | load, s | first, s | least, s | processor s | GFLOP | GB moved | bound, s | of | peak GB |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for stage, cost in costs.items():
        n = len(cost.seconds)
        first, least, processor = cost.seconds[0], min(cost.seconds), min(cost.processor_s)
        arithmetic, memory = cost.flops / rates.flops, cost.n_bytes / rates.n_bytes
        loads = [load for load in cost.load_s if load >= 0.01]
        load = f"{sum(loads) / len(loads):.1f}" if loads else ""
        bound = "| | |"
        if cost.n_bytes:
            kind = "arithmetic" if arithmetic > memory else "memory"
            bound = f"{cost.flops / 1e9:.0f} | {cost.n_bytes / 1e9:.1f} | {max(arithmetic, memory):.2g} | {kind}"
        yield f"| {stage} | {n} | {load} | {first:.2f} | {least:.3g} | {processor:.3g} | {bound} | {cost.peak_gb:.2f} |"


def main() -> None:
    """Make up and import weights, run the method, and print the table."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--folder", type=Path, help="folder for made-up files, bundle and store")
    options.add_argument("--bundle", choices=("full", "mini"), default="full", help="models to run")
    options.add_argument("--no-baselines", action="store_true", help="the edit alone")
    options.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter")
    options.add_argument("--steps", type=int, default=5, help="diffusion steps")
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="cpu, cuda or cuda:N")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        bundle = Bundle.open("mini") if given.bundle == "mini" else open_bundle(folder)
        rates = measure_rates(given.device)
        print(
            f"torch {torch.__version__}, {given.device}, {given.threads} thread(s), float32: "
            f"{rates.flops / 1e9:.0f} GFLOP/s in matrix products, {rates.n_bytes / 1e9:.1f} GB/s in copies; "
            f"{given.steps} diffusion steps\n",
            flush=True,
        )
        run(folder, bundle, rates, given)


def open_bundle(folder: Path) -> Bundle:
    """The bundle `full` of made-up files, imported if it does not exist yet."""
    root = folder / "checkpoints"
    if not (root / "full" / "bundle.json").is_file():
        for path in write_published(folder / "downloads"):
            install.take(path, root / "full", trust=True)
    return Bundle.open("full", root)


def run(folder: Path, bundle: Bundle, rates: Rates, given: argparse.Namespace) -> None:
    """Run once with a new store, and print the table."""
    overrides = [f"generate.steps={given.steps}", *given.set]
    scene = demo_scene()
    models = TimedModels(Models(bundle, device=str(given.device)))
    measured = Measured(models, given.device, lambda text: print(f"    {text}", flush=True))
    with tempfile.TemporaryDirectory(dir=folder) as place:
        session = Session(place, open_bundle=lambda _: bundle)
        request = session.request(
            "manipulate",
            {"original": scene.original, "edited": scene.edited},
            {**scene.clicks, "bundle": bundle.name},
            overrides=overrides,
            variant="no_baselines" if given.no_baselines else None,
        )
        begun = time.perf_counter()
        run = session.new_run(request)
        record = execute_run(RunWork(request=request, store=session.store, models=models, run=run, body=measured.body))
        whole = time.perf_counter() - begun
    print("", *table(measured.costs, rates), sep="\n")
    step = min(measured.costs["diffuse"].seconds) / given.steps
    print(f"\n{step:.3g} s a diffusion step of all candidates: {200 * step:.0f} s for the 200 steps of AudioLDM")
    peak = max(each.peak_gb for each in measured.costs.values())
    print(f"{whole:.0f} s in all, counting included; {record.state}; at most {peak:.2f} GB")


if __name__ == "__main__":
    main()
