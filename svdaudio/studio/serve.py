"""Opening and serving a studio."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from svdaudio.errors import InputError
from svdaudio.resident.workers import Worker, threads_of_each
from svdaudio.session import Session
from svdaudio.studies.scenes import demo_scene
from svdaudio.studio.access import Access
from svdaudio.studio.app import Studio, create_app


def open_studio(session: Session, access: Access, *, bundle: str = "mini", n_workers: int = 1) -> Studio:
    """Opens a studio on a session, with the farm scene as its example. Models stay in memory once they are loaded.

    Args:
        session: computes the jobs.
        access: the access rules.
        bundle: the bundle that is selected first.
        n_workers: number of jobs computed at a time. With 1, this process computes them; otherwise each has a worker
            process with its own models.

    Raises:
        CheckpointError: the bundle does not exist.
    """
    scene = demo_scene()
    session.bundle(bundle)
    session.keep_models()
    numbers = range(1, n_workers + 1) if n_workers > 1 else ()
    workers = [Worker(number, n_threads=threads_of_each(n_workers)) for number in numbers]
    return Studio(session, {"farm": scene}, access, bundle=bundle, workers=workers)


def serve(studio: Studio, *, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serves a studio until interrupted.

    Args:
        studio: the studio.
        host: the address to bind.
        port: the port; 0 for a free one.
        ready: called with the URL of the page once it can be opened.

    Raises:
        InputError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise InputError(
                f"{host}:{port} cannot be used", got=error.strerror, fix="choose another --port"
            ) from error
        listener.listen()
        bound = listener.getsockname()
        ready(f"http://{f'[{bound[0]}]' if family == socket.AF_INET6 else bound[0]}:{bound[1]}/")
        config = uvicorn.Config(
            create_app(studio), log_level="warning", access_log=False, timeout_graceful_shutdown=2, server_header=False
        )
        uvicorn.Server(config).run(sockets=[listener])
