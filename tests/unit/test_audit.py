"""`just audit`: fails for a vulnerable release, never because of the network."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import audit
import pytest

VULNERABLE = {
    "dependency": {"name": "numpy", "version": "2.4.6"},
    "id": "PYSEC-1",
    "summary": "overflow",
    "link": "https://advisories.example/PYSEC-1",
    "fix_versions": ["2.4.7"],
}


@pytest.fixture
def uv(tmp_path, monkeypatch):
    """Puts a `uv` that runs a piece of Python before the real one."""

    def replace(code):
        file = tmp_path / "uv"
        file.write_text(f"#!{sys.executable}\nimport json, sys, time\n{code}\n")
        file.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return replace


def answer(*vulnerabilities, code):
    found = {"summary": {"audited_packages": 288}, "vulnerabilities": vulnerabilities, "adverse_statuses": ["old"]}
    return f"sys.stdout.write({json.dumps(found)!r}); sys.exit({code})"


def test_a_vulnerable_release_fails_with_its_remedy(uv):
    uv(answer(VULNERABLE, code=1))
    code, (line,) = audit.audit()
    assert code == 1
    assert line == (
        "numpy 2.4.6: PYSEC-1, overflow; `uv lock --upgrade-package numpy` (fixed in 2.4.7); "
        "https://advisories.example/PYSEC-1"
    )


@pytest.mark.parametrize("code", [0, 1])  # 1 also for a project that is only archived
def test_without_vulnerable_releases_it_succeeds(uv, code):
    uv(answer(code=code))
    assert audit.audit() == (0, ["no known vulnerability in 288 packages"])


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("sys.exit('error: error sending request\\n  cause: dns error\\n  cause: Name not known')", "Name not known"),
        ("sys.stderr.write('error: unrecognized subcommand audit'); sys.exit(2)", "unrecognized subcommand audit"),
        ("print('<html>')", "uv audit gave no answer"),
        ("time.sleep(60)", "no answer in 0.5 s"),
    ],
    ids=["no network", "an old uv", "another answer", "no answer"],
)
def test_an_unreachable_service_is_reported_in_one_line_and_succeeds(uv, code, reason):
    uv(code)
    assert audit.audit(timeout_s=0.5 if "sleep" in code else 20) == (0, [f"not audited: {reason}"])


def test_uv_accepts_the_options_and_does_not_hang_on_an_unreachable_service():
    code, (line,) = audit.audit(["--service-url", "http://127.0.0.1:9/"])
    assert code == 0
    assert line.startswith("not audited: ")
    assert "unexpected argument" not in line


def test_the_recipe_is_among_the_checks():
    text = (audit.ROOT / "justfile").read_text()
    checks = next(line for line in text.splitlines() if line.startswith("check:"))
    assert "audit" in checks.split()


def test_it_runs_as_a_script(uv):
    uv(answer(VULNERABLE, code=1))
    done = subprocess.run([sys.executable, audit.__file__], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("numpy 2.4.6: PYSEC-1")
