"""A bucket of an object store, accessed through obstore: small conditional operations, and errors with a remedy.

obstore retries a request on 5xx and on connection failures. It does not retry a response that breaks off, nor a
conditional write whose outcome is unknown; both are repeated here. Callers write conditionally only bytes that no other
process writes, so finding those bytes in place means that the write succeeded.

Bytes may be damaged in transit. An object that cannot be parsed is read again, and counts as damaged only if its bytes
are the same.
"""

from __future__ import annotations

import logging
import os
import random
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Literal, TypeVar
from urllib.parse import urlsplit

from svdaudio.errors import StoreError
from svdaudio.places import install_advice

if TYPE_CHECKING:
    from obstore import UpdateVersion
    from obstore.store import S3Store

log = logging.getLogger(__name__)

T = TypeVar("T")

SCHEME = "s3://"
N_PARALLEL = 16
DELETE_BATCH = 500
N_CONDITIONAL_TRIES = 4
N_READINGS = 3
"""How many times an object that cannot be parsed is read before it counts as damaged."""
LISTED_AT_ONCE = 1000
CLOCKS = "clocks"
"""Folder of objects that are written to read the server's clock, and then removed."""
HALF_A_SECOND_S = 0.5
"""How far a time truncated to whole seconds lags on average."""
LATER = "try again later"
NETWORK = "check the network and AWS_ENDPOINT_URL"
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_SENT_UNCHANGED = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
)
_METADATA_SERVICE = "/latest/api/token"
_OTHER_REGION = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for a store before giving up, and how often to retry."""

    timeout_s: float = 30.0
    """Limit for one request."""
    connect_timeout_s: float = 5.0
    n_retries: int = 8
    retry_s: float = 60.0
    """No retry starts later than this after the first attempt."""


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
    """The store did not answer, or answered with a server error: a later attempt may succeed."""

    given_up = False
    """obstore has already used up its retries."""


class NotImplementedByServerError(StoreError):
    """The server does not support a request, or a condition on it."""


class MisreadError(ValueError):
    """An object whose content cannot be parsed, even after it was read again.

    Args:
        stored: the object.
        why: what is wrong with it.
    """

    def __init__(self, stored: Stored, why: ValueError) -> None:
        super().__init__(str(why))
        self.stored = stored
        self.why = why


class Objects:
    """The objects below `s3://bucket/prefix`, by their paths relative to it.

    Credentials, region and endpoint come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION,
    AWS_ENDPOINT_URL, …), as the AWS tools take them.

    Args:
        location: `s3://bucket/prefix`; the prefix is optional.
        patience: time limits.

    Raises:
        StoreError: the location names no bucket.
    """

    def __init__(self, location: str, patience: Patience) -> None:
        bucket, _, prefix = location.removeprefix(SCHEME).partition("/")
        if not location.startswith(SCHEME) or not bucket:
            raise StoreError(f"the store {location} has no bucket", expected="s3://bucket/prefix", got=location)
        check_location(bucket, prefix.strip("/"))
        self.bucket = bucket
        self.location = f"{SCHEME}{bucket}/{prefix}".rstrip("/")
        self._prefix = prefix.strip("/")
        self._patience = patience

    @cached_property
    def _store(self) -> S3Store:
        """Opened on first use: unpickling a store in another process must neither fail nor wait."""
        return _open(self.bucket, self._prefix, self._patience, self._as_store_error)

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

        return self._repeat(read)

    def read(self, path: str, parse: Callable[[bytes], T]) -> tuple[Stored, T] | None:
        """An object and its parsed content, or None if there is none. If it cannot be parsed, it is read again.

        Raises:
            MisreadError: it still cannot be parsed.
        """
        seen: list[bytes] = []
        while (stored := self.get(path)) is not None:
            try:
                return stored, parse(stored.content)
            except ValueError as error:
                if stored.content in seen or len(seen) == N_READINGS:
                    raise MisreadError(stored, error) from error
                seen.append(stored.content)
        return None

    def get_all(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Those of `paths` that exist, read in parallel."""
        wanted = list(paths)
        with _threads(len(wanted)) as pool:
            found = zip(wanted, pool.map(self.get, wanted), strict=True)
            return {path: stored.content for path, stored in found if stored is not None}

    def put(self, path: str, content: bytes) -> None:
        """Write an object unconditionally."""
        import obstore

        self._repeat(lambda: obstore.put(self._store, path, content))

    def put_all(self, contents: Mapping[str, bytes]) -> None:
        """Write objects in parallel; returns once all are written."""
        with _threads(len(contents)) as pool:
            for _ in pool.map(self.put, contents, contents.values()):
                pass

    def create(self, path: str, content: bytes) -> str | None:
        """Write an object unless it exists.

        Args:
            path: path of the object.
            content: bytes that no other process writes there.

        Returns:
            Its tag, or None if another object already exists there.
        """
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        return self._conditional(path, content, None, (AlreadyExistsError, PreconditionError))

    def update(self, path: str, content: bytes, tag: str) -> str | None:
        """Replace an object that still has the given tag.

        Args:
            path: path of the object.
            content: bytes that no other process writes there.
            tag: tag of the object to replace.

        Returns:
            The new tag, or None if the object has changed or is gone.
        """
        from obstore.exceptions import PreconditionError

        return self._conditional(path, content, tag, (PreconditionError, FileNotFoundError))

    def delete(self, paths: Iterable[str]) -> None:
        """Remove objects; missing ones count as removed."""
        import obstore

        doomed = list(paths)
        for begin in range(0, len(doomed), DELETE_BATCH):
            batch = doomed[begin : begin + DELETE_BATCH]
            self._repeat(lambda batch=batch: obstore.delete(self._store, batch))

    def copy(self, source: str, target: str) -> None:
        """Copy an object on the server; does nothing if the source is missing."""
        import obstore

        def copy() -> None:
            try:
                obstore.copy(self._store, source, target)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise

        self._repeat(copy)

    def list(self, folder: str) -> Iterator[Listed]:
        """Every object below a folder, in the order of their paths.

        A listing that breaks off is resumed after the last object received.
        """
        tries = _Tries(self._patience)
        last: str | None = None
        while True:
            try:
                for listed in self._listing(folder, last):
                    last = listed.path
                    yield listed
                    tries = _Tries(self._patience)
            except UnreachableError as error:
                tries.wait_after(error)
            else:
                return

    def _listing(self, folder: str, last: str | None) -> Iterator[Listed]:
        """The part of a listing after an object, until it ends or breaks off."""
        import obstore

        listing = self._call(lambda: iter(obstore.list(self._store, folder, offset=last, chunk_size=LISTED_AT_ONCE)))
        while (batch := self._call(lambda: next(listing, None))) is not None:
            for meta in batch:
                modified_at = meta["last_modified"].replace(microsecond=0)  # as precise as HEAD and GET give it
                yield Listed(path=meta["path"], n_bytes=meta["size"], modified_at=modified_at)

    def unusable_conditions(self, path: str, content: bytes) -> list[str]:
        """How the server mishandles conditional writes, such as "ignores If-Match". The content stays unchanged.

        A server that ignores them writes the same content again, and lets two clients hold the same lock. One that
        rejects even the ETag that it returned (Ceph's RGW 16) would never let a lock be taken a second time.

        Args:
            path: path of an existing object.
            content: content of that object.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        def refused(mode: Literal["create"] | UpdateVersion) -> bool:
            try:
                obstore.put(self._store, path, content, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return True
            return False

        def meets_own_tag() -> bool:
            return not refused({"e_tag": obstore.head(self._store, path)["e_tag"]})

        ignored: list[str] = []
        modes: tuple[tuple[str, Literal["create"] | UpdateVersion], ...] = (
            ("If-None-Match", "create"),
            ("If-Match", {"e_tag": '"0123456789abcdef0123456789abcdef"'}),
        )
        for name, mode in modes:
            try:
                honored = self._repeat(lambda mode=mode: refused(mode))
            except NotImplementedByServerError:
                honored = False
            ignored += [] if honored else [name]
        if ignored:
            return [f"ignores {' and '.join(ignored)}"]
        return [] if self._repeat(meets_own_tag) else ["rejects If-Match with the ETag that it returned"]

    def now_s(self) -> float:
        """Unix time by the server's clock, which also sets the times of objects; accurate to about a second."""
        return time.monotonic() + self._epoch_s

    @cached_property
    def _epoch_s(self) -> float:
        """Unix time by the server's clock at which this machine's monotonic clock was 0.

        Measured by writing an object; without permission to write, taken from this machine's own clock.
        """
        path = f"{CLOCKS}/{secrets.token_hex(8)}"
        begin_s = middle_s = time.monotonic()
        try:
            self.put(path, b"")
            middle_s = (begin_s + time.monotonic()) / 2
            written = self.get(path)
            self.delete([path])
        except StoreError as error:
            log.debug("the clock of %s cannot be read: %s", self.location, error)
            written = None
        if written is None:
            return time.time() - time.monotonic()
        return written.modified_at.timestamp() + HALF_A_SECOND_S - middle_s

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
                # It may have been written anyway: the next attempt, or the check below, finds out.
                if n_tries == N_CONDITIONAL_TRIES:
                    raise
                time.sleep(random.uniform(0.5, 1.0) * 0.1 * 2**n_tries)  # noqa: S311 - jitter
                continue
            if written is None:
                there = self.get(path)
                return there.tag if there is not None and there.content == content else None
            return written
        raise AssertionError

    def _repeat(self, request: Callable[[], T]) -> T:
        """Repeat an idempotent request until its response arrives completely."""
        tries = _Tries(self._patience)
        while True:
            try:
                return self._call(request)
            except UnreachableError as error:
                tries.wait_after(error)

    def _call(self, request: Callable[[], T]) -> T:
        from obstore.exceptions import BaseError

        try:
            return request()
        except (BaseError, OSError, ValueError) as error:
            raise self._as_store_error(error) from error
        except BaseException as error:
            if is_panic(error):
                raise self._as_store_error(error) from error
            raise

    def _as_store_error(self, error: BaseException) -> StoreError:
        """An obstore error as one line with a remedy."""
        text = str(error).partition("\n\nDebug source")[0]
        code = _first(r"<Code>(\w+)</Code>", text)
        status = _first(r"status code: (\d+(?: [A-Z][a-z]+)*)", text)
        answer = " ".join(filter(None, (status, code))) or None
        endpoint = _first(r"Error performing \w+ (https?://[^/?\s]+)", text)
        where = f"the store {self.location}"
        if code == "NoSuchBucket":
            return StoreError(f"the bucket '{self.bucket}' does not exist", fix="create it, or choose another --store")
        if _METADATA_SERVICE in text:  # where obstore looks for credentials if the environment has none
            what, got, fix = "needs credentials", "none", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        elif code in _OTHER_REGION:
            what, got, fix = "is in another region", answer, "set AWS_REGION to the bucket's region"
        elif status and status.startswith(("401", "403")):
            what, got = "rejects these credentials", answer
            fix = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and their permissions"
        elif status and status.startswith("501"):
            return NotImplementedByServerError(f"{where} does not support a request", got=f"{answer} from {endpoint}")
        elif status and status.startswith(("5", "429")):
            trouble = UnreachableError(f"{where} reports a server error", got=f"{answer} from {endpoint}", fix=LATER)
            trouble.given_up = _is_given_up(str(error))
            return trouble
        elif status is None and "HTTP error" in text and "builder error" not in text:
            got = f"{_connection_trouble(str(error))}{f' at {endpoint}' if endpoint else ''}"
            trouble = UnreachableError(f"{where} cannot be reached", got=got, fix=NETWORK)
            trouble.given_up = _is_given_up(str(error))
            return trouble
        elif is_panic(error):
            what, got, fix = "cannot be accessed", text, "check the environment variables whose names start with AWS_"
        else:
            what, got, fix = "rejects a request", answer or text, None
        return StoreError(f"{where} {what}", got=got, fix=fix)


class _Tries:
    """The remaining attempts of one request."""

    def __init__(self, patience: Patience) -> None:
        self._n_left = patience.n_retries
        self._until_s = time.monotonic() + patience.retry_s
        self._pause_s = 0.1

    def wait_after(self, error: UnreachableError) -> None:
        """Wait until the next attempt.

        Raises:
            UnreachableError: the given one, if no attempts are left.
        """
        if error.given_up or self._n_left == 0 or time.monotonic() > self._until_s:
            raise error
        self._n_left -= 1
        time.sleep(random.uniform(0.5, 1.0) * self._pause_s)  # noqa: S311 - jitter
        self._pause_s = min(5.0, 2 * self._pause_s)


def is_panic(error: BaseException) -> bool:
    """Whether an error is a panic in obstore's Rust code. Panics are not derived from `Exception`."""
    return type(error).__name__ == "PanicException"


def check_location(bucket: str, prefix: str) -> None:
    """Reject a malformed bucket or prefix.

    Raises:
        StoreError: it is malformed.
    """
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", bucket) is None:
        raise StoreError(
            f"{bucket!r} is not a valid bucket name",
            expected="letters, digits, dots and hyphens",
            fix="check the --store, s3://bucket/prefix",
        )
    parts = prefix.split("/") if prefix else []
    if not prefix.isprintable() or any(part in ("", ".", "..") for part in parts):
        raise StoreError(
            f"{prefix!r} is not a valid store prefix",
            expected="names with slashes between them",
            fix="check the --store, s3://bucket/prefix",
        )


def check_environment(environment: Mapping[str, str]) -> str:
    """Reject a malformed endpoint or credentials: obstore would panic.

    Returns:
        The address of the server, empty for AWS itself.

    Raises:
        StoreError: a variable has an invalid value.
    """
    for name in _SENT_UNCHANGED:
        value = environment.get(name, "")
        if not (value.isascii() and value.isprintable()) or value != value.strip():
            got = f"{len(value)} characters, including whitespace or characters that cannot be sent"
            raise StoreError(f"{name} is not valid", got=got, fix="set it again, without a line break")
    endpoint = ""
    for name in _ENDPOINTS:
        value = environment.get(name, "")
        if value and not _is_address(value):
            raise StoreError(
                f"{name} is not a valid server address",
                expected="http://host:port or https://host:port",
                got=repr(value),
                fix="set it again",
            )
        endpoint = endpoint or value
    return endpoint


def _is_address(text: str) -> bool:
    if not (text.isascii() and text.isprintable()) or " " in text:
        return False
    try:
        address = urlsplit(text)
        return address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:  # a port out of range, or an incomplete IPv6 address
        return False


def require_obstore() -> None:
    """Check that obstore can be imported.

    Raises:
        StoreError: it cannot.
    """
    try:
        import_module("obstore")
    except ImportError as error:
        raise StoreError("a store in s3:// needs obstore", got=error, fix=install_advice("s3")) from error


def _open(bucket: str, prefix: str, patience: Patience, translated: Callable[[BaseException], StoreError]) -> S3Store:
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    endpoint = check_environment(os.environ)
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
    except BaseException as error:
        if is_panic(error):
            raise translated(error) from error
        raise


def _threads(n_wanted: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, min(N_PARALLEL, n_wanted)), thread_name_prefix="svdaudio-objects")


def _connection_trouble(text: str) -> str:
    """What went wrong below HTTP, extracted from obstore's chain of causes."""
    if "TimedOut" in text or "kind: Timeout" in text:
        return "no answer in time"
    if "IncompleteBody" in text or "IncompleteMessage" in text:
        return "the response broke off"
    return _first(r'message: "([^"]+)"', text) or _first(r'error: "([^"]+)"', text) or "a broken connection"


def _is_given_up(text: str) -> bool:
    """Whether obstore used up its retries, according to its message."""
    found = re.search(r"retries: (\d+),\s*max_retries: (\d+)", text)
    return found is not None and int(found[1]) >= int(found[2])


def _first(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text)
    return found.group(1) if found else None
