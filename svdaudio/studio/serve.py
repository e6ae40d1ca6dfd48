"""Opening and serving a studio."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from svdaudio.errors import InputError
from svdaudio.session import Session
from svdaudio.studies.scenes import demo_scene
from svdaudio.studio.access import Access
from svdaudio.studio.app import Studio, create_app


def open_studio(session: Session, access: Access, *, bundle: str = "mini") -> Studio:
    """A studio on a session, with the farm scene as its example. Models are kept once they are loaded.

    Raises:
        CheckpointError: there is no such bundle.
    """
    scene = demo_scene()
    session.bundle(bundle)
    session.keep_models()
    return Studio(session, {"farm": scene}, access, bundle=bundle)


def serve(studio: Studio, *, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until interrupted.

    Args:
        studio: what to serve.
        host: the address to bind.
        port: 0 for a free one.
        ready: called with the address of the page, once it can be opened.

    Raises:
        InputError: the address cannot be used.
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
