"""The wheel, installed without a checkout and run in a folder with modules of conflicting names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FEW_STEPS = [
    word for name, value in {"steps": 2, "candidates": 1}.items() for word in ("--set", f"generate.{name}={value}")
]
TROUBLE = 'raise SystemExit("a module of the current folder was imported")\n'
EVERY_WAY_IN = """
import multiprocessing, pickle, sys
import svdaudio
from svdaudio.methods.stages import STAGES
print(svdaudio.__file__)
for stage in STAGES.values():
    stage.load_body()
from prefect.flows import load_flow_from_entrypoint
from svdaudio.flows.schedules import ENTRYPOINTS
from svdaudio.flows.stages import execute_node
for entrypoint in ENTRYPOINTS.values():
    load_flow_from_entrypoint(entrypoint)
assert pickle.loads(pickle.dumps(execute_node)) is execute_node
with multiprocessing.get_context("spawn").Pool(1) as workers:
    body = STAGES["image"].load_body
    assert workers.apply(body) is body()
from svdaudio.mini.farm import background, cutout, recording
cutout("cat", "photo"), background("meadow.jpg"), recording("dog")
assert not {"flows", "tasks"} & sys.modules.keys()
"""

pytestmark = pytest.mark.timeout(600)


def scene(site):
    """Arguments of `run` that name the demo's scene."""
    examples = site / "svdaudio" / "data" / "examples"
    return [examples / "dog_cat.jpg", examples / "dog_duck.jpg", "--remove", "756,581", "--add", "756,570"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv, which builds the wheel, is not installed")
    out = tmp_path_factory.mktemp("wheel")
    command = [uv, "build", "--wheel", "--quiet", "--out-dir", str(out), str(ROOT)]
    tries = [[*command, "--offline"], command]  # hatchling may be in uv's cache
    for one in tries:
        built = subprocess.run(one, capture_output=True, text=True, check=False, timeout=120)
        if built.returncode == 0:
            return next(out.glob("*.whl"))
    if "hatchling" in built.stderr:
        pytest.skip(f"hatchling, which builds the wheel, is not available: {built.stderr.strip().splitlines()[-1]}")
    return pytest.fail(built.stderr)


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """A folder with the installed package; dependencies come from this environment."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        ["uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--python", sys.executable,
         "--target", str(folder), str(wheel)],
        check=True, timeout=120,
    )  # fmt: skip
    return folder


@pytest.fixture
def here(tmp_path):
    """A folder with a `tasks.py` and a `flows.py` that must not be imported."""
    folder = tmp_path / "here"
    folder.mkdir()
    for name in ("tasks.py", "flows.py"):
        (folder / name).write_text(TROUBLE)
    return folder


@pytest.fixture
def python(site, here, tmp_path):
    """Run the installed package in `here`, which is first on the path of `python -c` and `python -m`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SVDAUDIO_", "PREFECT_"))}
    environment = {
        **kept, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "share"), "PYTHONPATH": str(site),
        "PREFECT_HOME": str(tmp_path / "prefect"), "OMP_NUM_THREADS": "1",
    }  # fmt: skip

    def run(*arguments, code=0):
        result = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=here, env=environment, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert result.returncode == code, result.stderr
        return result

    return run


def test_the_wheel_has_one_package_with_weights_and_scenes(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"svdaudio"}
    assert len(names) == len(set(names))
    expected = ["flows/run.py", "tasks/picture/mask.py", "checkpoints/registry.toml"]
    expected += [
        f"data/examples/{name}" for name in ("scenes.json", "dog_cat.jpg", "dog_duck.jpg", "first_steps.ipynb")
    ]
    expected += [
        f"data/checkpoints/{bundle}/{path.name}"
        for bundle in ("mini", "mini-pretrained")
        for path in (ROOT / "checkpoints" / bundle).iterdir()
    ]
    assert {f"svdaudio/{name}" for name in expected} <= set(names)
    assert wheel.stat().st_size < 75e6, "README.md states its size"


def test_bodies_flows_and_data_come_from_the_package(python, site):
    found = Path(python("-c", EVERY_WAY_IN).stdout.strip())
    assert found == site / "svdaudio" / "__init__.py"


def test_the_demo_runs_in_any_folder(python, here, site):
    python("-m", "svdaudio.cli", "plan", *scene(site), *FEW_STEPS)
    done = json.loads(python("-m", "svdaudio.cli", "demo", *FEW_STEPS, "--json").stdout)
    sounds = [Path(path) for path in done["audio"].values()]
    assert len(sounds) == 3
    assert all((here / "artifacts" / "out") in path.parents and path.is_file() for path in sounds)


def test_mini_comes_from_the_package_and_full_from_the_user_folder(python, site, tmp_path):
    lines = python("-m", "svdaudio.cli", "checkpoints", "list", "--json").stdout
    assert json.loads(lines)["bundles"][0]["bundle"] == "mini"
    where = python(
        "-c", "from svdaudio.checkpoints.bundle import Bundle; print(Bundle.open('mini').entry('tagger').path)"
    )
    assert Path(where.stdout.strip()) == site / "svdaudio" / "data" / "checkpoints" / "mini" / "tagger.safetensors"
    refused = python("-m", "svdaudio.cli", "run", *scene(site), "--bundle", "full", code=3).stderr
    assert str(tmp_path / "share" / "svdaudio" / "checkpoints" / "full") in refused
    assert "git" not in refused


def test_a_damaged_file_of_the_package_is_reinstalled(python, site, tmp_path):
    damaged = tmp_path / "share" / "svdaudio" / "checkpoints" / "mini"
    shutil.copytree(site / "svdaudio" / "data" / "checkpoints" / "mini", damaged)
    (damaged / "segmenter.safetensors").write_bytes(b"x")
    picture = site / "svdaudio" / "data" / "examples" / "dog_cat.jpg"
    error = python("-m", "svdaudio.cli", "mask", picture, "--point", "756,581", code=3).stderr
    assert "Reinstall svdaudio" in error
    assert "git" not in error
