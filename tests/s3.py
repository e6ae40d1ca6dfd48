"""An S3 server for tests: moto's, on a free port, with faults on demand.

A front end adds what moto lacks: conditional writes that are atomic under threads, a check of the access key, and
faults (`Fault`) of chosen requests: an error instead of the answer, no answer, an answer that is lost after the work
was done, one that is cut off half way, one with a flipped bit, a condition (If-Match, If-None-Match) that is ignored,
or an If-Match that never matches.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

ACCESS_KEY = "tester"
BUCKET = "sounds"
STATUS = {
    500: "500 Internal Server Error",
    501: "501 Not Implemented",
    503: "503 Service Unavailable",
    403: "403 Forbidden",
}

ERRORS = {"500": "InternalError", "501": "NotImplemented", "503": "SlowDown"}

Kind = Literal["500", "501", "503", "silent", "lost", "cut", "flipped", "unconditional", "mistaken"]


@dataclass(kw_only=True)
class Fault:
    """What happens to the next `n` requests of a method whose path contains `path`."""

    kind: Kind
    method: str = ""
    path: str = ""
    n: int = 1

    def strikes(self, environ: dict[str, Any]) -> bool:
        return self.n > 0 and self.method in environ["REQUEST_METHOD"] and self.path in environ["PATH_INFO"]


@dataclass
class S3Server:
    """The running server: its URL, the pending faults, and every request so far as "METHOD /path"."""

    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    silence_s: float = 3.0
    page_size: int = 1000
    """Number of objects on one page of a listing."""

    def location(self, prefix: str) -> str:
        return f"s3://{BUCKET}/{prefix}"

    def environment(self) -> dict[str, str]:
        """Environment variables for a client."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }


class _Front:
    def __init__(self, server: S3Server, moto: Callable[..., Iterable[bytes]]) -> None:
        self.server = server
        self.moto = moto
        self.lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.server.requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        with self.lock:
            fault = next((fault for fault in self.server.faults if fault.strikes(environ)), None)
            if fault is not None:
                fault.n -= 1
        kind = fault.kind if fault else None
        if f"Credential={ACCESS_KEY}/" not in environ.get("HTTP_AUTHORIZATION", ""):
            return _error(start_response, environ, 403, "InvalidAccessKeyId")
        if kind in ERRORS:
            return _error(start_response, environ, int(kind), ERRORS[kind])
        if kind == "silent":
            time.sleep(self.server.silence_s)
            return _error(start_response, environ, 500, "InternalError")
        if kind == "unconditional":
            for name in ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"):
                environ.pop(name, None)
        elif kind == "mistaken" and "HTTP_IF_MATCH" in environ:
            environ["HTTP_IF_MATCH"] = '"of another version"'
        if "list-type=2" in environ["QUERY_STRING"]:
            environ["QUERY_STRING"] += f"&max-keys={self.server.page_size}"
        with self.lock:
            body = b"".join(self.moto(environ, start_response))
        if kind == "lost":
            time.sleep(self.server.silence_s)
        elif kind == "cut":  # the headers give the full length
            return _cut(body)
        elif kind == "flipped" and body:
            place = len(body) // 2
            body = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        return [body]


def _cut(body: bytes) -> Iterator[bytes]:
    """Half of an answer, then a closed connection."""
    yield body[: len(body) // 2]
    raise ConnectionResetError


class _Quiet(WSGIRequestHandler):
    def log_request(self, *facts: Any) -> None:
        """Log nothing: `S3Server.requests` has every request."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Log nothing about connections that were cut on purpose."""


def _error(start_response: Callable[..., Any], environ: dict[str, Any], status: int, code: str) -> Iterable[bytes]:
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>as the test wants it</Message></Error>'.encode()
    start_response(STATUS[status], [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server with one bucket, until the context exits."""
    server = S3Server()
    moto = DomainDispatcherApplication(create_backend_app)
    http = make_server("127.0.0.1", 0, _Front(server, moto), threaded=True, request_handler=_Quiet)
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        _make_bucket(server)
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def _make_bucket(server: S3Server) -> None:
    from urllib.request import Request, urlopen

    headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20250101/us-east-1/s3/aws4_request"}
    with urlopen(Request(f"{server.url}/{BUCKET}", method="PUT", headers=headers)) as reply:
        assert reply.status == 200
