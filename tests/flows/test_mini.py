"""The real stages with the mini bundle, at few steps: deployed flow and in-process runner give the same bytes."""

from __future__ import annotations

import pytest
from farm_scene import FEW_STEPS, PICTURES, SCENE

from svdaudio.session import Session
from svdaudio.store import open_store

SETTINGS = {**SCENE.clicks, **FEW_STEPS}

pytestmark = pytest.mark.filterwarnings("default")  # Prefect and its dependencies emit warnings


def test_the_deployed_flow_gives_the_bytes_of_the_in_process_runner(prefect_api, tmp_path):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from svdaudio.flows.run import manipulate

    files = {"original": PICTURES[0], "edited": PICTURES[1]}
    with temporary_settings({PREFECT_API_URL: prefect_api}):
        result = manipulate("manipulate", files, SETTINGS, store=str(tmp_path / "prefect"))
    there = open_store(tmp_path / "prefect").runs.load(result["run"])
    assert there.state == "finished"
    assert there.results["audio"].keys() == {"original", "edited", "manipulated"}

    session = Session(tmp_path / "in process")
    request = session.request("manipulate", files, SETTINGS)
    here = session.run(request).run
    assert {e.node: (e.key, dict(e.outputs)) for e in here.stages} == {
        e.node: (e.key, dict(e.outputs)) for e in there.stages
    }
    assert {e.status for e in here.stages} == {"computed"}
    assert {node.status for node in session.plan(request)} == {"cached"}
