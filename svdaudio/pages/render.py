"""Rendering of self-contained pages: styles and scripts are inline, and a policy prevents loading anything else."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from svdaudio.pages.environment import environment

STATIC = Path(__file__).parent / "static"
_NOTHING = "'none'"


def render(template: str, *, scripts: tuple[str, ...] = (), styles: tuple[str, ...] = (), **values: Any) -> str:
    """A page as text.

    Every value is escaped. The page's Content-Security-Policy lists the digests of its scripts, so that unescaped text
    could not run either, and nothing is fetched from elsewhere.

    Args:
        template: name of a file in `templates/`.
        scripts: names of files in `static/`, in order.
        styles: names of files in `static/`, in order.
        values: of the template.
    """
    texts = [_static(name) for name in scripts]
    digests = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(t.encode()).digest()).decode()}'" for t in texts)
    policy = (
        "default-src 'none'; img-src data:; media-src data: blob:; base-uri 'none'; form-action 'none'; "
        f"style-src 'unsafe-inline'; script-src {digests or _NOTHING}"
    )
    style = Markup("\n".join(_static(name) for name in styles))  # noqa: S704 - our own files
    inline = [Markup(text) for text in texts]  # noqa: S704 - our own files
    return environment().get_template(template).render(policy=policy, style=style, scripts=inline, **values)


@cache
def _static(name: str) -> str:
    text = (STATIC / name).read_text(encoding="utf-8")
    if "</script" in text or "</style" in text:
        raise AssertionError(f"{name} would close its own element")
    return text
