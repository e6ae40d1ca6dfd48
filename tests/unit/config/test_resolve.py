"""One configuration from every source: precedence, and the error of each mistake."""

from __future__ import annotations

import pytest

from svdaudio.config import resolve
from svdaudio.errors import ConfigError
from svdaudio.methods.baseline import METHOD as BASELINE
from svdaudio.methods.manipulate import ManipulateConfig

PARAMETERS = ManipulateConfig.parameters()


def test_stronger_sources_take_precedence(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('seed = 1\n[svd]\nk = 7\nalpha = 0.2\n[mix]\nbeta = 0.5\n[generate]\nscheduler = "dpm-solver++"\n')
    settings = {"svd.k": 3, "generate.steps": 20, "generate.scheduler": "ddim"}
    asked = []

    def bundle_settings(name):
        asked.append(name)
        return settings

    resolved = resolve(
        ManipulateConfig,
        config_file=file,
        given={"seed": 2, "svd.beta": None, "bundle": "full"},
        overrides=["svd.alpha=0.4", " mix.gamma = 0.2 "],
        bundle_settings=bundle_settings,
    )
    values = {n: (resolved.config.value(n), resolved.sources[n]) for n in PARAMETERS}
    assert asked == ["full"]
    assert values["svd.k"] == (7, "run.toml")
    assert values["seed"] == (2, "command line")
    assert values["svd.alpha"] == (0.4, "--set")
    assert values["mix.gamma"] == (0.2, "--set")
    assert values["mix.beta"] == (0.5, "run.toml")
    assert values["generate.steps"] == (20, "bundle full")
    assert values["generate.scheduler"] == ("dpm-solver++", "run.toml")
    assert values["svd.beta"] == (1.5, "default")


@pytest.mark.parametrize(
    "text",
    [
        *(f"svd.k={value}" for value in ("0", "-1", "2.5", "true", "many", "")),
        *(f"svd.alpha={value}" for value in ("nan", "inf", "-0.1")),
        *("align.threshold=0", "align.threshold=1.5", "seed=-1", "locals.augment=1", "geometry=round", "bundle="),
        *("execution.device=mps", "execution.threads=0", "generate.duration_s=0.4"),
        *("generate.steps=0", "generate.steps=1001", "generate.duration_s=1e6"),
        *("remove=[[1,2,3]]", "remove=[[1]]", "remove=7"),
    ],
)
def test_invalid_values_are_refused(text):
    name = text.partition("=")[0]
    with pytest.raises(ConfigError, match=name) as caught:
        resolve(ManipulateConfig, overrides=[text])
    assert caught.value.expected == PARAMETERS[name].expected
    assert "\n" not in caught.value.line()


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("svd.k=16", "svd.k = 16 is outside the recommended 1 to 15"),
        ("svd.alpha=0", "svd.alpha = 0 is outside the recommended 0.1 to 0.5"),
        ("svd.beta=1", "svd.beta = 1 is outside the recommended 1.1 to 3"),
        ("align.threshold=0.7", "align.threshold = 0.7 is outside the recommended 0.4 to 0.6"),
        ("mix.direct=0", "mix.direct = 0 is outside the recommended 0.2 to 0.6"),
    ],
)
def test_unusual_values_are_noted(text, note):
    assert resolve(ManipulateConfig, overrides=[text]).remarks == [note]


@pytest.mark.parametrize(
    ("name", "near"), [("svd.alhpa", "svd.alpha"), ("k", "svd.k"), ("removed", "remove"), ("zzzzz", None)]
)
def test_an_unknown_name_is_refused_in_every_source_and_the_nearest_suggested(name, near, tmp_path):
    (tmp_path / "run.toml").write_text(f"{name} = 1")
    for arguments in ({"overrides": [f"{name}=1"]}, {"given": {name: 1}}, {"config_file": tmp_path / "run.toml"},
                      {"bundle_settings": lambda _: {name: 1}}):  # fmt: skip
        with pytest.raises(ConfigError, match=f"unknown parameter '{name}'") as caught:
            resolve(ManipulateConfig, **arguments)
        assert (near or "lists them") in caught.value.fix


def test_parameters_of_other_methods_are_ignored_where_sources_serve_several(tmp_path):
    (tmp_path / "run.toml").write_text("seed = 3\n[svd]\nk = 7\n")
    elsewhere = PARAMETERS.keys() - BASELINE.config.parameters().keys()
    resolved = resolve(
        BASELINE.config,
        config_file=tmp_path / "run.toml",
        bundle_settings=lambda _: {"svd.k": 3, "generate.steps": 20},
        elsewhere=elsewhere,
    )
    assert (resolved.config.seed, resolved.config.generate.steps) == (3, 20)
    assert resolved.remarks == ["svd.k is not a parameter of this method and is ignored"]
    for arguments in ({"overrides": ["svd.k=7"]}, {"given": {"svd.k": 7}}):
        with pytest.raises(ConfigError, match=r"unknown parameter 'svd\.k'"):
            resolve(BASELINE.config, elsewhere=elsewhere, **arguments)
    with pytest.raises(ConfigError, match=r"unknown parameter 'svd\.k' \(from run\.toml\)"):
        resolve(BASELINE.config, config_file=tmp_path / "run.toml")
    with pytest.raises(ConfigError, match=r"unknown parameter 'svd\.kk' \(from bundle mini\)"):
        resolve(BASELINE.config, bundle_settings=lambda _: {"svd.kk": 3}, elsewhere=elsewhere)


def test_unreadable_overrides_are_refused():
    for text in ("svd.k", "=3", ""):
        with pytest.raises(ConfigError, match="an override cannot be read"):
            resolve(ManipulateConfig, overrides=[text])


def test_a_parameter_given_twice():
    with pytest.raises(ConfigError, match=r"'svd.k' is given twice: got 3 and 4"):
        resolve(ManipulateConfig, overrides=["svd.k=3", "svd.k=4"])
    with pytest.raises(ConfigError, match="given twice"):
        resolve(ManipulateConfig, overrides=["seed=4"], given={"seed": 3})
    assert resolve(ManipulateConfig, overrides=["seed=3"], given={"seed": 3}).config.seed == 3


def test_unreadable_configuration_files_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        resolve(ManipulateConfig, config_file=tmp_path / "none.toml")
    (tmp_path / "a.toml").write_text("svd = [")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        resolve(ManipulateConfig, config_file=tmp_path / "a.toml")
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        resolve(ManipulateConfig, config_file=tmp_path / "a.toml")
    (tmp_path / "a.toml").write_text("[svd]\nk = 0")
    with pytest.raises(ConfigError, match=r"svd.k has an invalid value \(from a.toml\)"):
        resolve(ManipulateConfig, config_file=tmp_path / "a.toml")
