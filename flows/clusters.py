"""Where the stages of a run are computed when that is not this process: Prefect's Dask and Ray task runners.

The store is all that the workers and the flow share: stages that read the user's own files stay with the flow, every
other takes what it needs out of the store. Weights are those of the worker's own checkout, checked against the
digests that the flow names.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from svdaudio.errors import RunError

RunnerName = Literal["in-process", "prefect", "dask", "ray"]
ClusterKind = Literal["dask", "ray"]

N_WORKERS = 2
CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A Dask or Ray cluster: one that runs, or one of this machine that lives as long as the flow."""

    kind: ClusterKind
    address: str | None = None
    """Of the scheduler (`tcp://host:8786`, `ray://host:10001`); without one, a cluster is started here."""
    n_workers: int = N_WORKERS
    """Processes of a cluster that is started here."""

    def task_runner(self) -> Any:
        """Prefect's task runner for it.

        Raises:
            RunError: the extra is not installed, or nobody answers at the address.
        """
        if self.address is not None:
            _check_answers(self.kind, self.address)
        return self._dask() if self.kind == "dask" else self._ray()

    def _dask(self) -> Any:
        try:
            from prefect_dask.task_runners import DaskTaskRunner
        except ImportError as error:
            raise _missing("dask", error) from error
        if self.address is not None:
            return DaskTaskRunner(address=self.address)
        # One thread a worker: models are large, and torch has threads of its own.
        options = {
            "n_workers": self.n_workers,
            "threads_per_worker": 1,
            "processes": True,
            "dashboard_address": None,
            "memory_limit": 0,
        }
        return DaskTaskRunner(cluster_kwargs=options)

    def _ray(self) -> Any:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            from prefect_ray import RayTaskRunner  # pyright: ignore[reportMissingImports] - an extra
        except ImportError as error:
            raise _missing("ray", error) from error
        if self.address is not None:
            return cast("Any", RayTaskRunner)(address=self.address)
        return cast("Any", RayTaskRunner)(init_kwargs={"num_cpus": self.n_workers, "include_dashboard": False})


def is_worker_death(error: Exception) -> bool:
    """Whether a stage failed because the processes that were to compute it died, again and again."""
    return type(error).__name__ in ("KilledWorker", "WorkerCrashedError", "OutOfMemoryError")


def _check_answers(kind: str, address: str) -> None:
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        where = (parts.hostname or "", parts.port or 0)
        with socket.create_connection(where, timeout=CONNECT_TIMEOUT_S):
            return
    except (OSError, ValueError) as error:
        raise RunError(
            f"there is no {kind.capitalize()} cluster at {address}",
            got=getattr(error, "strerror", None) or str(error),
            fix="give the address of its scheduler, or none to start one here",
        ) from error


def _missing(extra: str, error: ImportError) -> RunError:
    return RunError(f"--runner {extra} needs prefect-{extra}", got=error, fix=f"run `uv sync --extra {extra}`")
