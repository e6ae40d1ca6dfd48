"""Serves a studio in a thread, for browser tests."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import uvicorn

from svdaudio.studio.app import create_app


@contextmanager
def serving_studio(studio: Any) -> Generator[str]:
    """Serve on a free port until the context exits; yields the address of the page."""
    server = uvicorn.Server(
        uvicorn.Config(create_app(studio), port=0, log_level="warning", ws="none", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:  # the test's timeout bounds it
            threading.Event().wait(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()
