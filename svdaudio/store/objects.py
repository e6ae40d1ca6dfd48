"""A bucket of an object store by way of obstore: small conditional operations, and errors that say what to do.

Every request is retried by obstore on 5xx and on broken connections. What it must not repeat by itself, a
conditional write whose fate is unknown, is repeated here: whoever writes conditionally writes bytes that nobody else
writes, so that finding them in place means having written them.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from svdaudio.errors import StoreError

if TYPE_CHECKING:
    from obstore.store import S3Store

T = TypeVar("T")

SCHEME = "s3://"
N_PARALLEL = 16
DELETE_BATCH = 500
N_CONDITIONAL_TRIES = 4
_METADATA_SERVICE = "/latest/api/token"
_OTHER_REGION = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for a store before giving up, and how often to try."""

    timeout_s: float = 30.0
    """Of one request."""
    connect_timeout_s: float = 5.0
    n_retries: int = 8
    retry_s: float = 60.0
    """No retry begins later than this after the first try."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An object as it was read."""

    content: bytes
    tag: str
    """Its ETag: changes with the content."""
    modified_at: datetime


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An object as a listing shows it."""

    path: str
    n_bytes: int
    modified_at: datetime


class UnreachableError(StoreError):
    """The store did not answer, or answered that it is out of order: a later try may succeed."""


class Objects:
    """The objects below `s3://bucket/prefix`, by their paths relative to it.

    Credentials, region and endpoint come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION,
    AWS_ENDPOINT_URL, …), as the AWS tools take them.

    Args:
        location: `s3://bucket/prefix`; the prefix may be missing.
        patience: time limits.

    Raises:
        StoreError: the location names no bucket.
    """

    def __init__(self, location: str, patience: Patience) -> None:
        bucket, _, prefix = location.removeprefix(SCHEME).partition("/")
        if not location.startswith(SCHEME) or not bucket:
            raise StoreError(f"the store {location} has no bucket", expected="s3://bucket/prefix", got=location)
        self.bucket = bucket
        self.location = f"{SCHEME}{bucket}/{prefix}".rstrip("/")
        self._prefix = prefix.strip("/")
        self._patience = patience

    @cached_property
    def _store(self) -> S3Store:
        """Opened when first used: taking a store out of another process's message must neither fail nor wait."""
        return _open(self.bucket, self._prefix, self._patience, self._translated)

    def get(self, path: str) -> Stored | None:
        """An object, or None if there is none."""
        import obstore

        def read() -> Stored | None:
            try:
                reply = obstore.get(self._store, path)
                meta = reply.meta
                return Stored(content=bytes(reply.bytes()), tag=meta["e_tag"] or "", modified_at=meta["last_modified"])
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

        return self._call(read)

    def get_all(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Those of `paths` that are there, read in parallel."""
        wanted = list(paths)
        with _threads(len(wanted)) as pool:
            found = zip(wanted, pool.map(self.get, wanted), strict=True)
            return {path: stored.content for path, stored in found if stored is not None}

    def put(self, path: str, content: bytes) -> None:
        """Write an object, whatever was there."""
        import obstore

        self._call(lambda: obstore.put(self._store, path, content))

    def put_all(self, contents: Mapping[str, bytes]) -> None:
        """Write objects in parallel; returns once all are there."""
        with _threads(len(contents)) as pool:
            for _ in pool.map(self.put, contents, contents.values()):
                pass

    def create(self, path: str, content: bytes) -> str | None:
        """Write an object unless there is one.

        Args:
            path: of the object.
            content: bytes that nobody else writes there.

        Returns:
            Its tag, or None if another one was there before.
        """
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        return self._conditional(path, content, None, (AlreadyExistsError, PreconditionError))

    def update(self, path: str, content: bytes, tag: str) -> str | None:
        """Replace an object that still has the given tag.

        Args:
            path: of the object.
            content: bytes that nobody else writes there.
            tag: of the object that is to be replaced.

        Returns:
            The new tag, or None if the object is another by now, or gone.
        """
        from obstore.exceptions import PreconditionError

        return self._conditional(path, content, tag, (PreconditionError, FileNotFoundError))

    def delete(self, paths: Iterable[str]) -> None:
        """Remove objects; those that are not there count as removed."""
        import obstore

        doomed = list(paths)
        for begin in range(0, len(doomed), DELETE_BATCH):
            batch = doomed[begin : begin + DELETE_BATCH]
            self._call(lambda batch=batch: obstore.delete(self._store, batch))

    def copy(self, source: str, target: str) -> None:
        """Copy an object on the server; without a source nothing happens."""
        import obstore

        def copy() -> None:
            try:
                obstore.copy(self._store, source, target)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise

        self._call(copy)

    def list(self, folder: str) -> Iterator[Listed]:
        """Every object below a folder, in no order."""
        import obstore

        listing = self._call(lambda: iter(obstore.list(self._store, folder)))
        while True:
            batch = self._call(lambda: next(listing, None))
            if batch is None:
                return
            for meta in batch:
                yield Listed(path=meta["path"], n_bytes=meta["size"], modified_at=meta["last_modified"])

    def _conditional(
        self, path: str, content: bytes, tag: str | None, refusals: tuple[type[Exception], ...]
    ) -> str | None:
        import obstore

        def write() -> str | None:
            try:
                reply = obstore.put(
                    self._store, path, content, mode="create" if tag is None else {"e_tag": tag}, use_multipart=False
                )
                return reply["e_tag"] or ""
            except refusals as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

        for n_tries in range(1, N_CONDITIONAL_TRIES + 1):
            try:
                written = self._call(write)
            except UnreachableError:
                # It may have been written all the same: the next try, or the look below, finds out.
                if n_tries == N_CONDITIONAL_TRIES:
                    raise
                time.sleep(random.uniform(0.5, 1.0) * 0.1 * 2**n_tries)  # noqa: S311 - jitter
                continue
            if written is None:
                there = self.get(path)
                return there.tag if there is not None and there.content == content else None
            return written
        raise AssertionError

    def _call(self, request: Callable[[], T]) -> T:
        from obstore.exceptions import BaseError

        try:
            return request()
        except (BaseError, FileNotFoundError) as error:
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> StoreError:
        """What obstore has to say, in a line with a remedy."""
        text = str(error).partition("\n\nDebug source")[0]
        code = _first(r"<Code>(\w+)</Code>", text)
        status = _first(r"status code: (\d+(?: [A-Z][a-z]+)*)", text)
        answer = " ".join(filter(None, (status, code))) or None
        endpoint = _first(r"Error performing \w+ (https?://[^/?\s]+)", text)
        where = f"the store {self.location}"
        if code == "NoSuchBucket":
            return StoreError(f"there is no bucket '{self.bucket}'", fix="make it, or give another --store")
        if _METADATA_SERVICE in text:  # where obstore looks for credentials if the environment has none
            what, got, fix = "needs credentials", "none", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        elif code in _OTHER_REGION:
            what, got, fix = "is in another region", answer, "set AWS_REGION to the bucket's"
        elif status and status.startswith(("401", "403")):
            what, got = "refuses these credentials", answer
            fix = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what they are allowed to do"
        elif status and status.startswith(("5", "429")):
            return UnreachableError(f"{where} is out of order", got=f"{answer} from {endpoint}", fix="try again later")
        elif status is None and endpoint:
            got = f"{_connection_trouble(str(error))} at {endpoint}"
            return UnreachableError(f"{where} cannot be reached", got=got, fix="check the network and AWS_ENDPOINT_URL")
        else:
            what, got, fix = "refuses a request", answer or text, None
        return StoreError(f"{where} {what}", got=got, fix=fix)


def require_obstore() -> None:
    """See that obstore can be imported.

    Raises:
        StoreError: it cannot.
    """
    try:
        import_module("obstore")
    except ImportError as error:
        raise StoreError("a store in s3:// needs obstore", got=error, fix="run `uv sync --extra s3`") from error


def _open(bucket: str, prefix: str, patience: Patience, translated: Callable[[Exception], StoreError]) -> S3Store:
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    try:
        return S3Store(
            bucket,
            prefix=prefix or None,
            config={"endpoint": endpoint} if endpoint else None,
            client_options={
                "timeout": f"{patience.timeout_s:g}s",
                "connect_timeout": f"{patience.connect_timeout_s:g}s",
                "allow_http": endpoint.startswith("http://"),
            },
            retry_config={
                "max_retries": patience.n_retries,
                "retry_timeout": timedelta(seconds=patience.retry_s),
                "backoff": {
                    "init_backoff": timedelta(seconds=0.1),
                    "max_backoff": timedelta(seconds=5),
                    "base": 2,
                },
            },
        )
    except (BaseError, ValueError) as error:
        raise translated(error) from error


def _threads(n_wanted: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, min(N_PARALLEL, n_wanted)), thread_name_prefix="svdaudio-objects")


def _connection_trouble(text: str) -> str:
    """What went wrong below HTTP, out of obstore's account of its sources."""
    if "TimedOut" in text or "kind: Timeout" in text:
        return "no answer in time"
    return _first(r'message: "([^"]+)"', text) or _first(r'error: "([^"]+)"', text) or "a broken connection"


def _first(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text)
    return found.group(1) if found else None
