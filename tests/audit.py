"""Looks for locked releases with known vulnerabilities, where an advisory service can be asked.

    uv run python tests/audit.py        # exit code 1 and one line for each; without a service, one line and 0

`uv audit` asks it. Options are passed on to it, such as `--ignore ID` for a vulnerability that does not concern us.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PATIENCE = {"UV_HTTP_TIMEOUT": "5", "UV_HTTP_CONNECT_TIMEOUT": "3", "UV_HTTP_RETRIES": "0"}
LONGEST_S = 20.0
COMMAND = ("uv", "audit", "--frozen", "--preview-features", "audit-command,json-output", "--output-format", "json")


def audit(options: Sequence[str] = (), *, longest_s: float = LONGEST_S) -> tuple[int, list[str]]:
    """Ask for advisories on every locked release.

    Args:
        options: of `uv audit`.
        longest_s: after which the service counts as unreachable.

    Returns:
        The exit code, 1 if a release is known to be vulnerable, and lines for the person who reads them.
    """
    try:
        done = subprocess.run(
            [*COMMAND, *options], cwd=ROOT, env={**os.environ, **PATIENCE}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=longest_s,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout) if done.returncode in (0, 1) else {}
        vulnerabilities: list[dict[str, Any]] = found["vulnerabilities"]
    except subprocess.TimeoutExpired:
        return 0, [f"not audited: no answer in {longest_s:g} s"]
    except OSError as error:
        return 0, [f"not audited: uv cannot be started: {error.strerror}"]
    except (ValueError, KeyError):
        reasons = [line.strip() for line in done.stderr.splitlines() if line.strip().startswith(("error:", "cause:"))]
        return 0, [f"not audited: {reasons[-1].partition(':')[2].strip() if reasons else 'uv audit gave no answer'}"]
    if vulnerabilities:
        return 1, [_line(one) for one in vulnerabilities]
    return 0, [f"no known vulnerability in {found['summary']['audited_packages']} packages"]


def _line(one: dict[str, Any]) -> str:
    package = one["dependency"]
    fixed = ", ".join(one["fix_versions"])
    remedy = f"`uv lock --upgrade-package {package['name']}` (fixed in {fixed})" if fixed else "no release fixes it"
    return f"{package['name']} {package['version']}: {one['id']}, {one['summary']}; {remedy}; {one['link']}"


if __name__ == "__main__":
    code, lines = audit(sys.argv[1:])
    print(*lines, sep="\n")
    sys.exit(code)
