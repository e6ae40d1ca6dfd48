"""The example notebook, executed by a kernel of this interpreter with fewer steps."""

from __future__ import annotations

import json
import os
import sys

import nbclient
import nbformat
import pytest
from traitlets.config import Config

from svdaudio.places import examples_folder

NOTEBOOK = examples_folder() / "first_steps.ipynb"
MAX_BYTES = 300_000


@pytest.fixture(scope="module")
def written():
    """The notebook as it is in the repository."""
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def executed(written, tmp_path_factory):
    """The notebook with its outputs. The folders of Jupyter and IPython are isolated from the user's."""
    folder = tmp_path_factory.mktemp("notebook")
    kernel = folder / "share" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "Python 3", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder / "share"))
        patch.setenv("SVDAUDIO_STORE", str(folder / "store"))
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            patch.setenv(name, str(folder / name.lower()))
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        quick = nbformat.reads(nbformat.writes(written).replace('steps\\": 10', 'steps\\": 4'), as_version=4)
        assert quick != written
        config = Config({"KernelManager": {"transport": "ipc"}})
        nbclient.NotebookClient(quick, kernel_name="python3", config=config, timeout=240).execute()
    return quick


def outputs(notebook, kind):
    """The contents of one MIME type of all cells, in order."""
    found = [one for cell in notebook.cells for one in cell.get("outputs", ())]
    return ["".join(one["data"][kind]) for one in found if kind in one.get("data", {})]


def test_no_cell_fails_or_warns(executed):
    found = [one for cell in executed.cells for one in cell.get("outputs", ())]
    assert {one.output_type for one in found} == {"stream", "display_data", "execute_result"}
    assert [one.text for one in found if one.output_type == "stream" and one.name == "stderr"] == []


def test_results_have_players_and_verdicts(executed):
    edit, mute = [html for html in outputs(executed, "text/html") if "svdaudio-result" in html]
    assert edit.count('<audio controls preload="metadata"') == 3
    assert mute.count('<audio controls preload="metadata"') == 2
    for html, text in ((edit, "duck heard ("), (edit, "cat gone ("), (mute, "cat: silenced (")):
        assert f'aria-label="as intended" title="as intended">✓</span>{text}' in html


def test_progress_is_one_line_for_each_run(executed):
    edit, changed, mute = [html for html in outputs(executed, "text/html") if html.startswith("<progress")]
    assert "37 of 37 stages: 37 computed; " in edit
    assert "37 of 37 stages: 27 cached, 10 computed; " in changed
    assert "22 of 22 stages: 11 cached, 11 computed; " in mute


def test_the_notebook_is_stored_without_outputs(written):
    assert NOTEBOOK.stat().st_size < MAX_BYTES
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in written.cells)
    assert nbformat.validator.isvalid(json.loads(NOTEBOOK.read_text()))
