"""prefect.yaml: entrypoints that load, parameters that the flows take, and no key that Prefect would drop."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]

pytestmark = pytest.mark.filterwarnings("default")  # Prefect and what it stands on have warnings of their own


def known_keys(model):
    return {field.alias or name for name, field in model.model_fields.items()}


def test_no_key_is_unknown_to_prefect():
    from prefect.cli.deploy._models import DeploymentConfig, PrefectYamlModel, WorkPoolConfig

    assert yaml.safe_load((ROOT / "prefect.yaml").read_text()).keys() <= known_keys(PrefectYamlModel)
    for deployment in DEPLOYMENTS:
        assert deployment.keys() <= known_keys(DeploymentConfig)
        assert deployment["work_pool"].keys() <= known_keys(WorkPoolConfig)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["name"])
def test_entrypoints_load_and_take_their_parameters(deployment, monkeypatch):
    from prefect.flows import load_flow_from_entrypoint

    monkeypatch.chdir(ROOT)
    loaded = load_flow_from_entrypoint(deployment["entrypoint"])
    assert loaded.name == deployment["name"]
    inspect.signature(loaded.fn).bind(**deployment["parameters"])
    assert loaded.validate_parameters(deployment["parameters"])


def test_the_pictures_are_there():
    for deployment in DEPLOYMENTS:
        for name in ("original", "edited", "image"):
            path = deployment["parameters"].get(name)
            assert path is None or (ROOT / path).is_file()


def test_the_settings_are_parameters():
    from svdaudio.config import resolve

    settings = next(d for d in DEPLOYMENTS if d["name"] == "manipulate")["parameters"]["settings"]
    config = resolve(given=settings).config
    assert len(config.remove) == len(config.add) == 1
