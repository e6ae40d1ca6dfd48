"""A made-up published model that fills every role a bundle needs, served by a local server."""

from __future__ import annotations

from svdaudio.checkpoints.registry import Published, PublishedFile
from svdaudio.checkpoints.roles import LOADERS, OPTIONAL_ROLES

N_BYTES = 3_000_000
CONTENT = bytes(range(250)) * (N_BYTES // 250)


def everything(url: str, sha256: str | None) -> Published:
    """The model.

    Args:
        url: where its file is.
        sha256: its published digest, if there is one.
    """
    roles = tuple(role for role in LOADERS if role not in OPTIONAL_ROLES)
    file = PublishedFile(name="everything.ckpt", bytes=N_BYTES, sha256=sha256, urls=(url,) if url else ())
    return Published(
        name="everything", title="All networks in one file", purpose="fills every role", roles=roles,
        format="audioldm-ckpt", licence="CC BY 4.0", page="https://example.org/everything", recommended=True,
        files=(file,),
    )  # fmt: skip
