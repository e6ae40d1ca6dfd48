"""Checks of a page in a browser."""

from __future__ import annotations


def serious_faults_of_access(page):
    """Rules of axe-core that a page breaks with serious or critical impact, and where."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return {
        one["id"]: [node["target"] for node in one["nodes"]]
        for one in found
        if one["impact"] in ("serious", "critical")
    }
