"""The real stage table with the mini bundle, at few steps: deployed flow and in-process runner give the same bytes."""

from __future__ import annotations

import pytest
from farm_scene import FEW_STEPS, PICTURES, SCENE

from svdaudio.config import resolve
from svdaudio.engine.plan import manipulate_request, plan
from svdaudio.engine.request import new_run
from svdaudio.engine.run import execute_run
from svdaudio.store import open_store

SETTINGS = {**SCENE.clicks, **FEW_STEPS}

pytestmark = pytest.mark.filterwarnings("default")  # Prefect and what it stands on have warnings of their own


def test_the_deployed_flow_gives_the_bytes_of_the_in_process_runner(prefect_api, tmp_path):
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from svdaudio.flows.manipulate import manipulate

    from svdaudio.checkpoints.bundle import Bundle, Models

    with temporary_settings({PREFECT_API_URL: prefect_api}):
        result = manipulate(*PICTURES, SETTINGS, store=str(tmp_path / "prefect"))
    there = open_store(tmp_path / "prefect").runs.load(result["run"])
    assert there.state == "finished"
    assert there.results["audio"].keys() == {"original", "edited", "manipulated"}

    bundle = Bundle.open("mini")
    config = resolve(given=SETTINGS, bundle_settings=lambda _: bundle.settings).config
    request = manipulate_request(*PICTURES, config, bundle)
    store = open_store(tmp_path / "in process")
    here = execute_run(request, store, Models(bundle, keep=True), run=new_run(request))
    assert {e.node: (e.key, dict(e.outputs)) for e in here.stages} == {
        e.node: (e.key, dict(e.outputs)) for e in there.stages
    }
    assert {e.status for e in here.stages} == {"computed"}
    assert {p.status for p in plan(request, store)} == {"cached"}
