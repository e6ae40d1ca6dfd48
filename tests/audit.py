"""Reports locked releases with known vulnerabilities, if an advisory service is reachable.

    uv run python tests/audit.py        # one line and exit code 1 for each; 0 if no service answers

Options are passed on to `uv audit`, such as `--ignore ID` for a vulnerability that does not affect this project.
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
UV_TIMEOUTS = {"UV_HTTP_TIMEOUT": "5", "UV_HTTP_CONNECT_TIMEOUT": "3", "UV_HTTP_RETRIES": "0"}
TIMEOUT_S = 20.0
COMMAND = ("uv", "audit", "--frozen", "--preview-features", "audit-command,json-output", "--output-format", "json")


def audit(options: Sequence[str] = (), *, timeout_s: float = TIMEOUT_S) -> tuple[int, list[str]]:
    """Check every locked release against the advisories.

    Args:
        options: Options of `uv audit`.
        timeout_s: Time after which the service counts as unreachable.

    Returns:
        The exit code, 1 if a release is known to be vulnerable, and the lines to print.
    """
    try:
        result = subprocess.run(
            [*COMMAND, *options], cwd=ROOT, env={**os.environ, **UV_TIMEOUTS}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=timeout_s,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(result.stdout) if result.returncode in (0, 1) else {}
        vulnerabilities: list[dict[str, Any]] = found["vulnerabilities"]
    except subprocess.TimeoutExpired:
        return 0, [f"not audited: no answer in {timeout_s:g} s"]
    except OSError as error:
        return 0, [f"not audited: uv cannot be started: {error.strerror}"]
    except (ValueError, KeyError):
        reasons = [line.strip() for line in result.stderr.splitlines() if line.strip().startswith(("error:", "cause:"))]
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
