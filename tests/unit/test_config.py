from __future__ import annotations

import pytest

from svdaudio.config import PARAMETERS, Point, RunConfig, nearest_parameter, parse_point, resolve
from svdaudio.errors import ConfigError


def test_defaults_are_those_of_the_method():
    flat = resolve().config.flat()
    assert flat["svd.k"] == 5
    assert (flat["svd.alpha"], flat["svd.beta"]) == (0.3, 1.5)
    assert [flat[f"mix.{n}"] for n in ("alpha", "beta", "gamma", "direct")] == [0.1, 0.4, 0.1, 0.4]
    assert flat["align.threshold"] == 0.5
    assert [flat[f"remix.{n}"] for n in ("cycle_its", "cycle_samples", "var_samples")] == [64, 64, 64]
    assert (flat["generate.steps"], flat["generate.guidance_scale"], flat["generate.candidates"]) == (200, 2.5, 3)
    assert (flat["generate.duration_s"], flat["seed"], flat["geometry"]) == (10.0, 42, "squash")
    assert resolve().remarks == []
    assert flat.keys() == PARAMETERS.keys()


def test_every_parameter_says_what_it_is():
    for parameter in PARAMETERS.values():
        assert parameter.meaning
        assert parameter.expected
        if parameter.recommended:
            assert parameter.recommended[0] <= parameter.default <= parameter.recommended[1]


def test_sources_by_rank(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('seed = 1\n[svd]\nk = 7\nalpha = 0.2\n[mix]\nbeta = 0.5\n[generate]\nscheduler = "dpm-solver++"\n')
    settings = {"svd.k": 3, "generate.steps": 20, "generate.scheduler": "ddim"}
    asked = []

    def bundle_settings(name):
        asked.append(name)
        return settings

    resolved = resolve(
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
        *("generate.steps=0", "generate.steps=1000", "generate.duration_s=1e6"),
        *("remove=[[1,2,3]]", "remove=[[1]]", "remove=7"),
    ],
)
def test_values_without_a_meaning_are_refused(text):
    name = text.partition("=")[0]
    with pytest.raises(ConfigError, match=name) as caught:
        resolve(overrides=[text])
    assert caught.value.expected == PARAMETERS[name].expected
    assert "\n" not in caught.value.line()


@pytest.mark.parametrize(("steps", "nearest"), [(30, 25), (300, 250), (501, 500), (999, 500)])
def test_steps_that_ddim_cannot_spread_evenly_are_refused_with_the_nearest(steps, nearest):
    with pytest.raises(ConfigError, match=rf"divides 1000.*generate\.steps={nearest}"):
        resolve(overrides=[f"generate.steps={steps}"])
    given = [f"generate.steps={steps}", "generate.scheduler=dpm-solver++"]
    assert resolve(overrides=given).config.generate.steps == steps


def test_some_mixing_weight_is_needed():
    with pytest.raises(ConfigError, match="every mixing weight is 0"):
        resolve(overrides=[f"mix.{n}=0" for n in ("alpha", "beta", "gamma", "direct")])


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("svd.k=16", "svd.k = 16 is outside the recommended 1 to 15"),
        ("svd.alpha=0", "svd.alpha = 0 is outside the recommended 0.1 to 0.5"),
        ("svd.beta=1", "svd.beta = 1 is outside the recommended 1.1 to 3"),
        ("align.threshold=0.7", "align.threshold = 0.7 is outside the recommended 0.4 to 0.6"),
        ("mix.direct=0", "mix.direct = 0 is outside the recommended 0.2 to 0.6"),
    ],
)
def test_unusual_values_are_remarked_on(text, remark):
    assert resolve(overrides=[text]).remarks == [remark]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("svd.kk", "svd.k"), ("svd.alhpa", "svd.alpha"), ("k", "svd.k"), ("steps", "generate.steps"),
        ("svd.threshold", "align.threshold"),
        ("Seed", "seed"), ("generate.guidance", "generate.guidance_scale"), ("removed", "remove"), ("zzzzz", None),
    ],
)  # fmt: skip
def test_unknown_names_and_the_nearest_one(name, near, tmp_path):
    assert nearest_parameter(name) == near
    (tmp_path / "run.toml").write_text(f"{name} = 1")
    for arguments in ({"overrides": [f"{name}=1"]}, {"given": {name: 1}}, {"config_file": tmp_path / "run.toml"},
                      {"bundle_settings": lambda _: {name: 1}}):  # fmt: skip
        with pytest.raises(ConfigError, match=f"no parameter '{name}'") as caught:
            resolve(**arguments)
        assert (near or "lists them") in caught.value.fix


def test_a_section_is_no_parameter():
    with pytest.raises(ConfigError, match="no parameter 'svd'"):
        resolve(overrides=["svd=1"])
    with pytest.raises(ConfigError, match="no parameter 'svd'"):
        RunConfig().value("svd")


def test_overrides_that_cannot_be_read():
    for text in ("svd.k", "=3", ""):
        with pytest.raises(ConfigError, match="an override cannot be read"):
            resolve(overrides=[text])


def test_the_same_parameter_twice():
    with pytest.raises(ConfigError, match=r"'svd.k' is given twice: got 3 and 4"):
        resolve(overrides=["svd.k=3", "svd.k=4"])
    with pytest.raises(ConfigError, match="given twice"):
        resolve(overrides=["seed=4"], given={"seed": 3})
    assert resolve(overrides=["seed=3"], given={"seed": 3}).config.seed == 3


@pytest.mark.parametrize(
    "value", ["120,80;30,40.5,0", ["120,80", "30,40.5,0"], [[120, 80, 1], [30, 40.5, 0]], [[120, 80], [30, 40.5, 0]],
              (Point(120, 80), Point(30, 40.5, 0))]
)  # fmt: skip
def test_points_in_every_way(value):
    config = resolve(given={"remove": value}).config
    assert config.remove == (Point(120.0, 80.0, 1), Point(30.0, 40.5, 0))
    assert config.value("remove") == [[120.0, 80.0, 1], [30.0, 40.5, 0]]
    assert RunConfig.model_validate(config.model_dump(mode="json")) == config


def test_one_point_by_set():
    assert resolve(overrides=["add=756,570"]).config.value("add") == [[756.0, 570.0, 1]]
    assert resolve(overrides=["add=[[756, 570]]"]).config.value("add") == [[756.0, 570.0, 1]]


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "1,2,1,4", "a,b", "1;2"])
def test_points_that_cannot_be_read(text):
    with pytest.raises(ConfigError, match="a point cannot be read"):
        parse_point(text)
    with pytest.raises(ConfigError):
        resolve(given={"remove": [text]})


def test_points_must_be_finite():
    with pytest.raises(ConfigError):
        resolve(given={"remove": ["nan,3"]})


def test_configuration_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        resolve(config_file=tmp_path / "none.toml")
    (tmp_path / "a.toml").write_text("svd = [")
    with pytest.raises(ConfigError, match="is not TOML"):
        resolve(config_file=tmp_path / "a.toml")
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not TOML"):
        resolve(config_file=tmp_path / "a.toml")
    (tmp_path / "a.toml").write_text("[svd]\nk = 0")
    with pytest.raises(ConfigError, match=r"svd.k has no meaning with this value \(from a.toml\)"):
        resolve(config_file=tmp_path / "a.toml")


def test_a_configuration_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().seed = 3
