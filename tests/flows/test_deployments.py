"""prefect.yaml: entrypoints load, parameters match the flows, and Prefect drops no key."""

from __future__ import annotations

import copy
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCUMENT = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS = DOCUMENT["deployments"]

pytestmark = pytest.mark.filterwarnings("default")  # Prefect and its dependencies emit warnings


def known_keys(model):
    return {field.alias or name for name, field in model.model_fields.items()}


def unknown_keys(document):
    """Every key of a prefect.yaml that Prefect would drop, by its path in the document."""
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


def test_every_flow_has_a_deployment_in_our_pool():
    from svdaudio.flows.schedules import POOL, QUIET

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


def test_schedules_are_valid():
    from prefect.client.schemas.schedules import CronSchedule

    for deployment in DEPLOYMENTS:
        for entry in deployment.get("schedules", ()):
            CronSchedule(cron=entry["cron"], timezone=entry["timezone"])
            assert entry["active"] is False, "deploying all flows must not start scheduled deletions"


def test_the_pictures_and_pairs_exist():
    from svdaudio.methods import find_method
    from svdaudio.studies.pairs import read_rows

    for deployment in DEPLOYMENTS:
        for path in deployment["parameters"].get("files", {}).values():
            assert (ROOT / path).is_file()
        if "pairs" in deployment["parameters"]:
            assert read_rows(ROOT / deployment["parameters"]["pairs"], find_method("manipulate"))


def test_the_settings_are_parameters():
    from svdaudio.config import resolve
    from svdaudio.methods import find_method

    parameters = next(d for d in DEPLOYMENTS if d["name"] == "manipulate")["parameters"]
    method = find_method(parameters["method"])
    config = resolve(method.config, given=parameters["settings"]).config
    assert len(config.remove) == len(config.add) == 1
    assert parameters["files"].keys() == method.files.keys()


def test_flows_of_one_name_have_one_schema():
    from prefect import Flow
    from prefect.utilities.callables import parameter_schema

    from svdaudio.flows import batch, evaluate, gc, run

    schemas = {}
    for module in (batch, evaluate, gc, run):
        for value in vars(module).values():
            if isinstance(value, Flow):
                schema = parameter_schema(value).model_dump_json()
                assert schemas.setdefault(value.name, schema) == schema
    assert schemas.keys() == {"run", "manipulate", "baseline", "batch", "evaluate", "gc"}


def test_prefect_deploys_all_flows(prefect_api, monkeypatch):
    """With Prefect's command, as docs/schedules.md describes."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from svdaudio.flows import schedules

    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    schedules.ensure_pool()
    deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    result = subprocess.run(deploy, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    with temporary_settings({PREFECT_API_URL: prefect_api}), get_client(sync_client=True) as client:
        for deployment in DEPLOYMENTS:
            name = deployment["name"]
            assert client.read_deployment_by_name(f"{name}/{name}").entrypoint == deployment["entrypoint"]
