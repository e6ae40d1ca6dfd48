"""Downloads from a server that cuts connections, sends wrong headers, fails and ignores ranges."""

from __future__ import annotations

import errno
import json
import random
import shutil
from types import SimpleNamespace

import pytest
from file_server import serving

from svdaudio.checkpoints.download import CHUNK, Patience, StoppedError, download
from svdaudio.errors import CheckpointError, InputError

CONTENT = random.Random(0).randbytes(3 * CHUNK + 17)
QUICK = Patience(n_tries=3, pause_s=0.0, timeout_s=5.0)


@pytest.fixture
def server():
    with serving(CONTENT) as state:
        yield state


@pytest.fixture
def partial(tmp_path):
    return tmp_path / ".file.bin.partial"


def get(server, partial, **options):
    given = {"sha256": server.sha256, "n_bytes": len(server.content), "patience": QUICK, **options}
    return download([server.url], partial, **given)


def begin(server, partial, n_bytes, **options):
    """A download that ends after `n_bytes`."""
    server.cuts = [n_bytes, 0, 0, 0]
    with pytest.raises(CheckpointError, match="cut the connection"):
        get(server, partial, **options)
    server.cuts = []
    server.requests.clear()


def test_a_file_is_downloaded_with_progress(server, partial):
    progress = []
    assert get(server, partial, on_progress=lambda n_done, n_total: progress.append((n_done, n_total))) == server.sha256
    assert partial.read_bytes() == CONTENT
    assert progress[0] == (0, len(CONTENT))
    assert progress[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in partial.parent.iterdir()] == [partial.name]


def test_cut_connections_resume_where_they_ended(server, partial):
    server.cuts = [CHUNK, 5, 0, CHUNK // 2]
    assert get(server, partial) == server.sha256
    assert server.ranges == [None, *(f"bytes={at}-" for at in (CHUNK, CHUNK + 5, CHUNK + 5, CHUNK + 5 + CHUNK // 2))]
    assert server.requests[1]["If-Range"] == '"one"'


def test_a_stalled_download_fails_and_keeps_its_partial_file(server, partial):
    server.cuts = [100, 0, 0, 0]
    with pytest.raises(CheckpointError, match=r"cannot download file\.bin.*cut the connection.*checkpoints import"):
        get(server, partial)
    assert partial.read_bytes() == CONTENT[:100]


def test_a_later_call_resumes_the_download(server, partial):
    begin(server, partial, CHUNK + 1)
    assert get(server, partial) == server.sha256
    assert server.ranges == [f"bytes={CHUNK + 1}-"]


def test_a_complete_file_is_not_requested(server, partial):
    partial.write_bytes(CONTENT)
    assert get(server, partial) == server.sha256
    assert server.requests == []


def test_a_refused_range_shows_that_a_file_of_unknown_size_is_complete(server, partial):
    partial.write_bytes(CONTENT)
    assert get(server, partial, n_bytes=None) == server.sha256
    assert server.ranges == [f"bytes={len(CONTENT)}-"]


def test_a_server_without_ranges_sends_everything_again(server, partial):
    server.knows_ranges = False
    server.cuts = [CHUNK]
    assert get(server, partial) == server.sha256
    assert server.ranges == [None, f"bytes={CHUNK}-"]


def test_a_file_that_changed_on_the_server_is_downloaded_again(server, partial):
    begin(server, partial, 1000, sha256=None)
    server.content = CONTENT[::-1]
    server.etag = '"two"'
    assert get(server, partial, sha256=None) == server.sha256
    assert partial.read_bytes() == CONTENT[::-1]


def test_without_digest_and_validator_nothing_is_resumed(server, partial):
    server.etag = 'W/"weak"'
    begin(server, partial, 1000, sha256=None)
    assert get(server, partial, sha256=None) == server.sha256
    assert server.ranges == [None]


def test_the_last_modified_date_serves_as_validator(server, partial):
    server.etag, server.last_modified = None, "Wed, 21 Oct 2015 07:28:00 GMT"
    begin(server, partial, 1000, sha256=None)
    assert get(server, partial, sha256=None) == server.sha256
    assert server.ranges == ["bytes=1000-"]


def test_a_wrong_range_is_rejected(server, partial):
    begin(server, partial, 1000)
    server.wrong_range = True
    assert get(server, partial) == server.sha256
    assert server.ranges == ["bytes=1000-", None]


def test_a_damaged_partial_file_is_discarded_once(server, partial):
    partial.write_bytes(b"x" * 1000)
    assert get(server, partial) == server.sha256
    assert server.ranges == ["bytes=1000-", None]


def test_a_wrong_digest_is_refused_and_the_file_removed(server, partial):
    with pytest.raises(CheckpointError, match="sent another file"):
        get(server, partial, sha256="0" * 64)
    assert list(partial.parent.iterdir()) == []


def test_a_wrong_size_is_refused_before_reading(server, partial):
    with pytest.raises(CheckpointError, match=f"offers {len(CONTENT)} bytes, not the 12"):
        get(server, partial, n_bytes=12)
    assert not partial.exists()


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_server_errors_are_retried(server, partial, status):
    server.statuses = [status, status]
    assert get(server, partial) == server.sha256
    assert len(server.requests) == 3


def test_lasting_server_errors_name_the_server(server, partial):
    server.statuses = [503] * 9
    with pytest.raises(CheckpointError, match=r"127\.0\.0\.1:\d+: answered 503"):
        get(server, partial)
    assert len(server.requests) == QUICK.n_tries


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_missing_file_is_requested_once(server, partial, status):
    server.statuses = [status]
    with pytest.raises(CheckpointError, match=f"answered {status}"):
        get(server, partial)
    assert len(server.requests) == 1


def test_the_next_address_resumes_where_the_first_ended(server, partial):
    with serving(CONTENT) as other:
        server.cuts = [CHUNK, 0, 0]
        digest = download([server.url, other.url], partial, sha256=other.sha256, n_bytes=len(CONTENT), patience=QUICK)
        assert digest == other.sha256
        assert other.ranges == [f"bytes={CHUNK}-"]


def test_a_file_of_unknown_length_is_downloaded(server, partial):
    server.tells_length = False
    assert get(server, partial, n_bytes=None) == server.sha256


def test_a_refused_connection(partial):
    with pytest.raises(CheckpointError, match="cannot be reached"):
        download(["http://127.0.0.1:9/x"], partial, sha256=None, n_bytes=None, patience=QUICK)


def test_an_offline_machine(partial):
    with pytest.raises(CheckpointError, match=r"may be offline.*checkpoints import FILE"):
        download(["http://nowhere.invalid/x"], partial, sha256=None, n_bytes=None, patience=QUICK)


def test_only_web_addresses_are_accepted(partial):
    with pytest.raises(InputError, match="http or https"):
        download(["file:///etc/hostname"], partial, sha256=None, n_bytes=None)


def test_a_redirect_is_followed(server, partial):
    with serving(CONTENT) as first:
        first.redirect = server.url
        assert get(first, partial) == server.sha256


def test_insufficient_disk_space_is_detected_beforehand(server, partial, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(CheckpointError, match=r"not enough disk space .*: expected .* GB free.*it resumes"):
        get(server, partial)
    assert not partial.exists()


def test_a_disk_that_fills_up_keeps_the_partial_file(server, partial, monkeypatch):
    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, data):
            if self.file.tell() >= CHUNK:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(data)

    original = type(partial).open

    def opened(path, *given, **also):
        file = original(path, *given, **also)
        return Full(file) if path == partial else file

    monkeypatch.setattr(type(partial), "open", opened)
    with pytest.raises(CheckpointError, match=r"cannot write .*: got the disk is full. Free some space"):
        get(server, partial)
    monkeypatch.undo()
    kept = partial.read_bytes()
    assert len(kept) >= CHUNK
    assert CONTENT.startswith(kept)
    assert get(server, partial) == server.sha256
    assert server.ranges[-1] == f"bytes={len(kept)}-"


def test_damaged_metadata_restart_the_download(server, partial):
    begin(server, partial, 1000, sha256=None)
    note = partial.with_name(f"{partial.name}.json")
    assert json.loads(note.read_text())["validator"] == '"one"'
    note.write_text("{")
    assert get(server, partial, sha256=None) == server.sha256
    assert server.ranges == [None]


def test_a_stopped_download_keeps_its_partial_file_and_resumes(server, partial):
    came = []
    with pytest.raises(StoppedError):
        get(server, partial, on_progress=lambda n_done, n_total: came.append(n_done), stopping=lambda: len(came) > 1)
    assert partial.stat().st_size == came[-1] > 0
    get(server, partial)
    assert partial.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={came[-1]}-"]


def test_a_download_can_be_stopped_while_it_waits_to_retry(server, partial):
    server.statuses = [503]
    with pytest.raises(StoppedError):
        get(server, partial, patience=Patience(pause_s=60.0), stopping=lambda: bool(server.requests))
    assert len(server.requests) == 1
