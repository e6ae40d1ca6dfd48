"""A local HTTP server of one file that can be made to misbehave, for the tests of downloads."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """The served file and the behaviour of the server."""

    content: bytes
    url: str = ""
    etag: str | None = '"one"'
    last_modified: str | None = None
    knows_ranges: bool = True
    tells_length: bool = True
    wrong_range: bool = False
    """Answer a range request with a different range."""
    cuts: list[int] = field(default_factory=list)
    """For each future request, the number of bytes of the body after which the connection is cut."""
    statuses: list[int] = field(default_factory=list)
    """For each future request, a status to answer with instead."""
    held_after: int | None = None
    """Number of bytes of a body after which to wait until `go` is set."""
    go: threading.Event = field(default_factory=threading.Event)
    redirect: str | None = None
    requests: list[Mapping[str, str]] = field(default_factory=list)
    """Headers of every request."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def ranges(self) -> list[str | None]:
        """The Range header of every request."""
        return [headers.get("Range") for headers in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: FileServer

    def log_message(self, *given: object) -> None:
        pass

    def do_GET(self) -> None:
        state = self.state
        state.requests.append(dict(self.headers))
        self.close_connection = True
        if state.redirect is not None:
            self._answer(302, {"Location": state.redirect})
            return
        if state.statuses and (status := state.statuses.pop(0)) != 200:
            self._answer(status, {})
            return
        start, n_bytes = self._start(), len(state.content)
        if start is not None and start >= n_bytes:
            self._answer(416, {"Content-Range": f"bytes */{n_bytes}"})
            return
        headers: dict[str, str | None] = {"ETag": state.etag, "Last-Modified": state.last_modified}
        if start is not None:
            headers["Content-Range"] = f"bytes {start + state.wrong_range}-{n_bytes - 1}/{n_bytes}"
        self._answer(200 if start is None else 206, headers, state.content[start or 0 :])

    def _answer(self, status: int, headers: Mapping[str, str | None], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        if self.state.tells_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        body = body[: self.state.cuts.pop(0)] if body and self.state.cuts else body
        n_first = len(body) if self.state.held_after is None else self.state.held_after
        with suppress(OSError):  # the client may have gone
            self.wfile.write(body[:n_first])
            if body[n_first:]:
                self.state.go.wait()
                self.wfile.write(body[n_first:])

    def _start(self) -> int | None:
        """The first byte that is requested; None for the whole file."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if match is None or not self.state.knows_ranges:
            return None
        if condition is not None and condition not in (self.state.etag, self.state.last_modified):
            return None
        return int(match[1])


@contextmanager
def serving(content: bytes) -> Generator[FileServer]:
    """Serve `content` on a free port until the context exits."""
    state = FileServer(content=content)
    handler = type("Handler", (_Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/file.bin"
    try:
        yield state
    finally:
        state.go.set()
        server.shutdown()
        thread.join()
        server.server_close()
