"""Who may use the studio: this machine without a question, any other address only with a password."""

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
        password: None where only this machine can reach the studio.
        names: host names by which it may be addressed; any, if there is a password.
    """

    password: str | None
    names: tuple[str, ...] = LOCAL_NAMES
    _tokens: set[str] = field(default_factory=set[str], repr=False)

    def is_addressed(self, host: str) -> bool:
        """Whether a request was sent to a name of this studio.

        A page elsewhere could let its own name stand for this machine (DNS rebinding).
        """
        return self.password is not None or host.rpartition(":")[0] in self.names or host in self.names

    def is_own(self, origin: str | None, host: str) -> bool:
        """Whether a request that changes something comes from the studio's own page."""
        return origin is None or urlsplit(origin).netloc == host

    def may(self, token: str | None) -> bool:
        """Whether a token is one that `sign_in` has issued; without a password, none is needed."""
        return self.password is None or (token is not None and token in self._tokens)

    def sign_in(self, password: str) -> str | None:
        """A token for the password; None if it is wrong."""
        if self.password is None or not hmac.compare_digest(password.encode(), self.password.encode()):
            return None
        token = secrets.token_urlsafe(24)
        self._tokens.add(token)
        return token


def access_for(host: str, password: str | None) -> Access:
    """The access to a studio at an address.

    Raises:
        InputError: others could reach it, and there is no password, or a short one.
    """
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if not local and password is None:
        raise InputError(
            f"the studio would be open to everybody who reaches {host}",
            fix="give a password in SVDAUDIO_STUDIO_PASSWORD",
        )
    if password is not None and len(password) < MIN_PASSWORD:
        raise InputError("the password is too short", expected=f"at least {MIN_PASSWORD} letters", got=len(password))
    return Access(password=password)
