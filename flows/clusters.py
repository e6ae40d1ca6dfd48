"""Dask and Ray clusters that compute the stages of a run, through Prefect's task runners.

Workers and flow share only the store: stages that read the user's files run in the flow's process, all others take
their inputs from the store. Each worker uses the weights of its own installation, checked against the digests that the
flow sends.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from svdaudio.errors import RunError
from svdaudio.places import install_advice

RunnerName = Literal["in-process", "prefect", "dask", "ray"]
ClusterKind = Literal["dask", "ray"]

N_WORKERS = 2
CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A Dask or Ray cluster: a running one, or one on this machine that ends with the flow."""

    kind: ClusterKind
    address: str | None = None
    """Address of the scheduler (`tcp://host:8786`, `ray://host:10001`); without one, a cluster is started here."""
    n_workers: int = N_WORKERS
    """Number of processes of a cluster that is started here."""

    def task_runner(self) -> Any:
        """Prefect's task runner for the cluster.

        Raises:
            RunError: the extra is not installed, or no cluster answers at the address.
        """
        if self.address is not None:
            _check_answers(self.kind, self.address)
        try:
            return self._dask() if self.kind == "dask" else self._ray()
        except ImportError as error:
            raise RunError(
                f"--runner {self.kind} needs prefect-{self.kind}", got=error, fix=install_advice(self.kind)
            ) from error

    def _dask(self) -> Any:
        from prefect_dask.task_runners import DaskTaskRunner

        if self.address is not None:
            return DaskTaskRunner(address=self.address)
        # One thread for each worker: models are large, and torch has its own threads.
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
        # Under `uv run`, Ray would copy the current folder and build an environment from it for every worker.
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        from prefect_ray import RayTaskRunner  # pyright: ignore[reportMissingImports] - an extra

        if self.address is not None:
            return cast("Any", RayTaskRunner)(address=self.address)
        return cast("Any", RayTaskRunner)(init_kwargs={"num_cpus": self.n_workers, "include_dashboard": False})


def worker_death(node: str, error: Exception) -> RunError | None:
    """The error for a stage whose workers died repeatedly; None for any other error."""
    if type(error).__name__ not in ("KilledWorker", "WorkerCrashedError", "OutOfMemoryError"):
        return None
    return RunError(
        f"every worker that computed {node} died",
        got=type(error).__name__,
        fix="check their logs; if memory ran out, use fewer workers on each machine",
    )


def _check_answers(kind: str, address: str) -> None:
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        where = (parts.hostname or "", parts.port or 0)
        with socket.create_connection(where, timeout=CONNECT_TIMEOUT_S):
            return
    except (OSError, ValueError, OverflowError) as error:
        raise RunError(
            f"no {kind.capitalize()} cluster answers at {address}",
            got=getattr(error, "strerror", None) or str(error),
            fix="give the address of its scheduler, or omit --cluster to start one here",
        ) from error
