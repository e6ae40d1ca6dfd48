"""Access to the studio: free on this machine, with a password from any other address."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from svdaudio.errors import InputError

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
MIN_PASSWORD = 8


@dataclass(frozen=True, kw_only=True)
class Access:
    """Checks requests.

    Args:
        password: None if only this machine can reach the studio.
        names: accepted host names; with a password, every name is accepted.
    """

    password: str | None
    names: tuple[str, ...] = LOCAL_NAMES
    _tokens: set[str] = field(default_factory=set[str], repr=False)

    def accepts_host(self, host: str) -> bool:
        """Whether the Host header of a request is a name of this studio.

        A foreign page could let its own name point to this machine (DNS rebinding).
        """
        return self.password is not None or host.rpartition(":")[0] in self.names or host in self.names

    def is_same_origin(self, origin: str | None, host: str) -> bool:
        """Whether a request that changes something comes from the studio's page."""
        return origin is None or urlsplit(origin).netloc == host

    def is_signed_in(self, token: str | None) -> bool:
        """Whether `sign_in` has issued this token; always, without a password."""
        return self.password is None or (token is not None and token in self._tokens)

    def sign_in(self, password: str) -> str | None:
        """Returns a token, or None if the password is wrong."""
        if self.password is None or not hmac.compare_digest(password.encode(), self.password.encode()):
            return None
        token = secrets.token_urlsafe(24)
        self._tokens.add(token)
        return token


def access_for(host: str, password: str | None) -> Access:
    """Returns the access rules of a studio at an address.

    Raises:
        InputError: other machines can reach the address and the password is missing; or the password is too short.
    """
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if not local and password is None:
        raise InputError(
            f"a studio at {host}, which other machines can reach, needs a password",
            fix="set SVDAUDIO_STUDIO_PASSWORD",
        )
    if password is not None and len(password) < MIN_PASSWORD:
        raise InputError("the password is too short", expected=f"at least {MIN_PASSWORD} characters", got=len(password))
    return Access(password=password)
