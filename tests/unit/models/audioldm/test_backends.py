import importlib.util

import pytest

from svdaudio.config import GenerateConfig, resolve
from svdaudio.errors import ConfigError
from svdaudio.methods.baseline import METHOD
from svdaudio.methods.stages import STAGES
from svdaudio.models.audioldm.autoencoder import decode
from svdaudio.models.audioldm.backends import open_backend
from svdaudio.models.audioldm.diffuse import diffuse
from svdaudio.models.audioldm.settings import BACKENDS, check_backend
from svdaudio.models.audioldm.vocoder import vocode


def test_the_default_backend_is_this_projects_code():
    assert GenerateConfig().backend == BACKENDS[0]
    own = open_backend(BACKENDS[0])
    assert (own.diffuse, own.decode, own.vocode) == (diffuse, decode, vocode)


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for way in (check_backend, open_backend):
        with pytest.raises(ConfigError, match=r"audioldm is not installed.*uv sync --extra audioldm"):
            way("audioldm")


def test_an_unknown_backend_is_refused():
    with pytest.raises(ConfigError, match="unknown backend"):
        check_backend("tensorflow")
    with pytest.raises(ConfigError, match=r"generate\.backend"):
        resolve(METHOD.config, given={"generate.backend": "tensorflow"})


def test_a_scheduler_that_the_package_lacks_is_refused_before_anything_runs(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    check_backend("audioldm", "ddim")
    with pytest.raises(ConfigError, match="does not support this scheduler: expected ddim"):
        check_backend("audioldm", "dpm-solver++")


def test_backend_and_precision_enter_keys_but_compilation_does_not():
    named = {dotted for stage in STAGES.values() for dotted in stage.parameters.values()}
    assert {"generate.backend", "generate.precision"} <= named
    assert all("backend" in STAGES[name].parameters for name in ("diffuse", "decode", "vocode"))
    assert not any(name.startswith("execution.") for name in named)
