"""prefect.yaml: entrypoints that load, parameters that the flows take, and no key that Prefect would drop."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCUMENT = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS = DOCUMENT["deployments"]

pytestmark = pytest.mark.filterwarnings("default")  # Prefect and what it stands on have warnings of their own


def known_keys(model):
    return {field.alias or name for name, field in model.model_fields.items()}


def unknown_keys(document):
    """Every key of a prefect.yaml that Prefect would drop, by the path that leads to it."""
    from prefect.cli.deploy._models import DeploymentConfig, PrefectYamlModel, RawScheduleConfig, WorkPoolConfig
    from prefect.workers.process import ProcessVariables

    def of(model, mapping, path):
        return [f"{path}.{key}".lstrip(".") for key in mapping if key not in known_keys(model)]

    found = of(PrefectYamlModel, document, "")
    for deployment in document["deployments"]:
        path = deployment["name"]
        found += of(DeploymentConfig, deployment, path)
        pool = deployment.get("work_pool", {})
        found += of(WorkPoolConfig, pool, f"{path}.work_pool")
        found += of(ProcessVariables, pool.get("job_variables", {}), f"{path}.work_pool.job_variables")
        for number, schedule in enumerate(deployment.get("schedules", ())):
            found += of(RawScheduleConfig, schedule, f"{path}.schedules[{number}]")
    return found


def test_no_key_is_unknown_to_prefect():
    assert unknown_keys(DOCUMENT) == []


def test_unknown_keys_are_found_at_every_level():
    wrong = copy.deepcopy(DOCUMENT)
    wrong["deployment"] = []
    gc = next(deployment for deployment in wrong["deployments"] if deployment["name"] == "gc")
    gc["parameter"] = {}
    gc["work_pool"]["pool"] = "svdaudio"
    gc["work_pool"]["job_variables"]["environment"] = {}
    gc["schedules"][0]["time_zone"] = "UTC"
    others = ("manipulate", "baseline", "batch", "evaluate")
    assert [name for name in unknown_keys(wrong) if not name.startswith(others)] == [
        "deployment",
        "gc.parameter",
        "gc.work_pool.pool",
        "gc.work_pool.job_variables.environment",
        "gc.schedules[0].time_zone",
    ]


def test_there_is_one_for_every_flow_on_our_pool():
    from flows.schedules import POOL, QUIET

    assert [deployment["name"] for deployment in DEPLOYMENTS] == ["manipulate", "baseline", "batch", "evaluate", "gc"]
    for deployment in DEPLOYMENTS:
        assert deployment["work_pool"] == {"name": POOL, "job_variables": {"env": QUIET}}


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["name"])
def test_entrypoints_load_and_take_their_parameters(deployment, monkeypatch):
    from prefect.flows import load_flow_from_entrypoint

    monkeypatch.chdir(ROOT)
    loaded = load_flow_from_entrypoint(deployment["entrypoint"])
    assert loaded.name == deployment["name"]
    inspect.signature(loaded.fn).bind(**deployment["parameters"])
    assert loaded.validate_parameters(deployment["parameters"])


def test_schedules_can_be_understood():
    from prefect.client.schemas.schedules import CronSchedule

    for deployment in DEPLOYMENTS:
        for entry in deployment.get("schedules", ()):
            CronSchedule(cron=entry["cron"], timezone=entry["timezone"])
            assert entry["active"] is False, "a deployment of everything must not start to delete by itself"


def test_the_pictures_and_pairs_are_there():
    from svdaudio.studies.pairs import read_pairs

    for deployment in DEPLOYMENTS:
        for name in ("original", "edited", "image"):
            path = deployment["parameters"].get(name)
            assert path is None or (ROOT / path).is_file()
        if "pairs" in deployment["parameters"]:
            assert read_pairs(ROOT / deployment["parameters"]["pairs"])


def test_the_settings_are_parameters():
    from svdaudio.config import resolve

    settings = next(d for d in DEPLOYMENTS if d["name"] == "manipulate")["parameters"]["settings"]
    config = resolve(given=settings).config
    assert len(config.remove) == len(config.add) == 1
