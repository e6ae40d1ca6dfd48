"""Who may use the studio, and from where."""

from __future__ import annotations

import pytest

from svdaudio.errors import InputError
from svdaudio.studio.access import access_for


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_local_addresses_need_no_password(host):
    access = access_for(host, None)
    assert access.is_signed_in(None)
    assert access.accepts_host("127.0.0.1:8000")
    assert access.accepts_host("localhost")
    assert not access.accepts_host("evil.example:8000"), "a foreign name that resolves to this machine"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "studio.example"])
def test_any_other_address_needs_one(host):
    with pytest.raises(InputError, match="needs a password"):
        access_for(host, None)
    access = access_for(host, "correct horse")
    assert not access.is_signed_in(None)
    assert access.sign_in("wrong horse") is None
    token = access.sign_in("correct horse")
    assert access.is_signed_in(token)
    assert not access.is_signed_in("another")
    assert access.accepts_host("studio.example:8000")


def test_a_short_password_is_refused():
    with pytest.raises(InputError, match="too short"):
        access_for("0.0.0.0", "1234567")


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        (None, True),
        ("http://127.0.0.1:8000", True),
        ("http://evil.example", False),
        ("http://127.0.0.1:9", False),
        ("null", False),
    ],
)
def test_only_requests_from_the_page_of_the_studio_may_change_state(origin, own):
    assert access_for("127.0.0.1", None).is_same_origin(origin, "127.0.0.1:8000") is own
