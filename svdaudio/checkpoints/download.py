"""Download one large file over HTTP, with resumption, retries and limits on both.

Received bytes are kept in a `.partial` file next to a note of the address and version of the file, and survive a cut
connection, Ctrl-C or a crash. A resumed download uses `If-Range`, so bytes of two versions never mix; a server without
range support sends everything again.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from svdaudio.errors import CheckpointError, InputError
from svdaudio.files import found_instead
from svdaudio.weights.digests import hash_file

CHUNK = 1 << 20
RETRY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
BY_HAND = "download it with a browser, then run `svdaudio checkpoints import FILE`"
SPARE_BYTES = 64 << 20  # stay free on the disk

OnProgress = Callable[[int, int | None], None]
"""Called with the number of bytes received, and the total if it is known."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often to retry. Every byte that arrives resets the count."""

    n_tries: int = 4
    pause_s: float = 1.0
    """Pause before the second attempt; doubled each time."""
    timeout_s: float = 30.0
    """Time without data after which a connection counts as cut."""


Stopping = Callable[[], bool]
"""Called between chunks of a file and while waiting to retry; true ends the download."""
POLL_S = 0.1


class StoppedError(Exception):
    """The caller stopped the download. The received bytes are kept, and the next download resumes it."""


def never_stop() -> bool:
    """Default `stopping` callback: never stops."""
    return False


class _LostError(Exception):
    """A cut connection or a server error: worth retrying."""

    def __init__(self, reason: str, *, wait_s: float = 0.0, n_tries: int | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.n_tries = n_tries
        """Limit on attempts, if lower than usual."""


class _RefusedError(Exception):
    """This address will not serve the file, so retrying is useless."""


class _SameScheme(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but never from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise _RefusedError(f"redirects from https to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    urls: Sequence[str],
    partial: Path,
    *,
    sha256: str | None,
    n_bytes: int | None,
    on_progress: OnProgress | None = None,
    patience: Patience | None = None,
    stopping: Stopping = never_stop,
) -> str:
    """Download a file into `partial`, resuming a previous download, and check it.

    Args:
        urls: addresses of the same file, tried in order.
        partial: path for the bytes. It is kept on failure, unless its bytes are wrong.
        sha256: expected digest, if known.
        n_bytes: expected size, if known.
        on_progress: called with the progress.
        patience: limits on retries.
        stopping: called repeatedly; true ends the download.

    Returns:
        The sha256 of the downloaded file.

    Raises:
        CheckpointError: no address serves it, its digest or size differs, or the disk is full.
        StoppedError: `stopping` returned true.
    """
    patience = patience or Patience()
    report = on_progress or _ignore

    def progress(n_done: int, n_total: int | None) -> None:
        report(n_done, n_total)
        _check_stop(stopping)

    for path in (partial, _note(partial)):
        if path.is_symlink():
            path.unlink()  # the link's target must not be written to
        if (another := found_instead(path)) is not None:
            raise CheckpointError(f"{path} cannot be written to", expected="a file", got=another, fix="remove it")
    reasons: list[str] = []
    for url in urls:
        if urlsplit(url).scheme not in {"http", "https"}:
            raise InputError("the address cannot be used", expected="http or https", got=url)
        resumed = partial.is_file()
        try:
            digest = _from(url, partial, sha256, n_bytes, progress, patience, stopping)
            if sha256 is not None and digest != sha256 and resumed:
                # The partial file of an earlier download may be at fault: retry from the start.
                _forget(partial)
                digest = _from(url, partial, sha256, n_bytes, progress, patience, stopping)
        except (_LostError, _RefusedError) as error:
            reasons.append(f"{urlsplit(url).netloc}: {error}")
            continue
        if sha256 is None or digest == sha256:
            _note(partial).unlink(missing_ok=True)
            return digest
        _forget(partial)
        reasons.append(
            f"{urlsplit(url).netloc}: sent another file, with sha256 {digest[:12]}… instead of {sha256[:12]}…"
        )
    raise CheckpointError(f"cannot download {_name(partial)}", got="; ".join(reasons), fix=BY_HAND)


def check_space(folder: Path, n_bytes: int) -> None:
    """Reject a download that does not fit on the disk.

    Raises:
        CheckpointError: the disk has not enough space for `n_bytes` more.
    """
    free = shutil.disk_usage(folder).free
    if free < n_bytes + SPARE_BYTES:
        raise CheckpointError(
            f"not enough disk space for {folder}",
            expected=f"{(n_bytes + SPARE_BYTES) / 1e9:.1f} GB free",
            got=f"{free / 1e9:.1f} GB",
            fix="free some space, then run the same command again: it resumes",
        )


def disk_error(path: Path, error: OSError) -> CheckpointError:
    """The error for a failed write."""
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return CheckpointError(
        f"cannot write {path}",
        got="the disk is full" if full else error.strerror or str(error),
        fix="free some space, then run the same command again: it resumes"
        if full
        else "check the folder's permissions",
    )


def _from(
    url: str,
    partial: Path,
    sha256: str | None,
    n_bytes: int | None,
    on_progress: OnProgress,
    patience: Patience,
    stopping: Stopping,
) -> str:
    """Download from one address with retries; returns the digest."""
    n_failed = 0
    while True:
        _check_stop(stopping)
        before = _size(partial)
        try:
            _attempt(url, partial, sha256, n_bytes, on_progress, patience.timeout_s)
            return hash_file(partial)
        except _LostError as error:
            n_failed = 1 if _size(partial) > before else n_failed + 1
            if n_failed >= min(patience.n_tries, error.n_tries or patience.n_tries):
                raise
            until = time.monotonic() + min(max(patience.pause_s * 2 ** (n_failed - 1), error.wait_s), 60.0)
            while (left_s := until - time.monotonic()) > 0:
                time.sleep(min(POLL_S, left_s))
                _check_stop(stopping)


def _check_stop(stopping: Stopping) -> None:
    if stopping():
        raise StoppedError


def _attempt(
    url: str, partial: Path, sha256: str | None, n_bytes: int | None, on_progress: OnProgress, timeout_s: float
) -> None:
    start, headers = _resume_point(url, partial, sha256)
    if n_bytes is not None and start == n_bytes:
        return
    request = urllib.request.Request(url, headers={**headers, "User-Agent": "svdaudio", "Accept-Encoding": "identity"})  # noqa: S310 - http(s), checked
    try:
        with urllib.request.build_opener(_SameScheme).open(request, timeout=timeout_s) as response:
            start, total = _agreed(response, start, partial)
            if n_bytes is not None and total is not None and total != n_bytes:
                raise _RefusedError(f"offers {total} bytes, not the {n_bytes} of the published file")
            if total is not None:
                check_space(partial.parent, total - start)
            _receive(response, url, partial, start, total, on_progress)
    except urllib.error.HTTPError as error:
        _explain_status(error, partial, start)
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise _RefusedError(f"its certificate is not trusted ({error.reason.verify_message})") from error
        nameless = isinstance(error.reason, socket.gaierror)
        where = "unknown host, this machine may be offline" if nameless else error.reason
        raise _LostError(f"cannot be reached ({where})", n_tries=2 if nameless else None) from error
    except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        raise _LostError(f"cut the connection ({str(error) or type(error).__name__})") from error


def _resume_point(url: str, partial: Path, sha256: str | None) -> tuple[int, dict[str, str]]:
    """How much of the file is already here and usable, and the headers that request the rest."""
    size = _size(partial)
    if not size:
        return 0, {}
    note: Mapping[str, Any] = {}
    with contextlib.suppress(OSError, ValueError, RecursionError):
        read: object = json.loads(_note(partial).read_text())
        note = cast("Mapping[str, Any]", read) if isinstance(read, Mapping) else {}
    validator = note.get("validator") if note.get("url") == url else None
    if validator:
        return size, {"Range": f"bytes={size}-", "If-Range": str(validator)}
    # Without a validator two versions could mix; a known digest would reveal that at the end.
    return (size, {"Range": f"bytes={size}-"}) if sha256 is not None else (0, {})


def _agreed(response: Any, start: int, partial: Path) -> tuple[int, int | None]:
    """The offset from which the server sends, and the total size of the file."""
    length = response.headers.get("Content-Length")
    if response.status != http.client.PARTIAL_CONTENT:
        return 0, int(length) if length and length.isdigit() else None
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if match is None or int(match[1]) != start:
        _forget(partial)
        raise _LostError("answered with another range than requested")
    return start, None if match[2] == "*" else int(match[2])


def _receive(response: Any, url: str, partial: Path, start: int, total: int | None, on_progress: OnProgress) -> None:
    etag = response.headers.get("ETag", "")
    # A weak tag (W/) does not promise equal bytes, so it cannot be resumed with.
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
    try:
        _note(partial).write_text(json.dumps({"url": url, "validator": validator}))
        with partial.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            n_done = start
            on_progress(n_done, total)
            while data := _read(response):
                file.write(data)
                n_done += len(data)
                on_progress(n_done, total)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise disk_error(partial, error) from error
    if total is not None and n_done != total:
        raise _LostError(f"cut the connection after {n_done} of {total} bytes")


def _read(response: Any) -> bytes:
    """The bytes received so far, at least one until the end; network errors are distinguished from disk errors."""
    try:
        return cast("bytes", response.read1(CHUNK))  # `read` would wait for a whole chunk, and delay a stop
    except http.client.IncompleteRead as error:
        raise _LostError("cut the connection") from error
    except OSError as error:
        raise _LostError(f"cut the connection ({str(error) or type(error).__name__})") from error


def _explain_status(error: urllib.error.HTTPError, partial: Path, start: int) -> None:
    """Raise the error for a status; returns if the file is already complete."""
    if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and start:
        match = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", "").strip())
        if match is not None and int(match[1]) == start:
            return
        _forget(partial)
        raise _LostError("does not have the requested range")
    if error.code in RETRY_STATUS:
        wait = error.headers.get("Retry-After", "")
        raise _LostError(f"answered {error.code} {error.reason}", wait_s=float(wait) if wait.isdigit() else 0.0)
    raise _RefusedError(f"answered {error.code} {error.reason}")


def _size(partial: Path) -> int:
    return partial.stat().st_size if partial.is_file() else 0


def _note(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.json")


def _name(partial: Path) -> str:
    return partial.name.removeprefix(".").removesuffix(".partial")


def _forget(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _note(partial).unlink(missing_ok=True)


def _ignore(n_done: int, n_total: int | None) -> None:
    del n_done, n_total
