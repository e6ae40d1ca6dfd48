"""Regions on the command line: clicks, boxes, mask files, one side or both, several objects."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from toy_method import PAIR, ToyBundle, install

from svdaudio.checkpoints.roles import LOADERS
from svdaudio.session import Session
from svdaudio.svd.factors import Factors
from svdaudio.svd.mix import MixWeights, combine, manipulate_one

FILES = PAIR[:2]


@pytest.fixture
def world(monkeypatch, tmp_path):
    """A folder with mask files next to the pictures."""
    install(monkeypatch, tmp_path)
    inside = np.zeros((48, 64), bool)
    inside[8:30, 10:40] = True
    Image.fromarray(inside).save("cat.png")
    np.save("dog.npy", inside[::-1, ::-1])
    Image.fromarray(inside[:40]).save("small.png")
    Path("10,20.png").write_bytes(Path("cat.png").read_bytes())
    Path("10,20").write_bytes(Path("cat.png").read_bytes())
    return SimpleNamespace(folder=tmp_path, store=tmp_path / "store", inside=inside)


def arrays_of(world, run):
    session = Session(world.store)
    return session.arrays(session.load(run), recompute=False)


def keys(result):
    return {stage["stage"]: stage["key"] for stage in result["stages"]}


def all_cached(result):
    return {stage["status"] for stage in result["stages"]} == {"cached"}


@pytest.mark.parametrize("side", ["remove", "add"])
def test_an_edit_may_only_remove_or_only_add(world, cli, side):
    region, other = {"remove": ("removed", "added"), "add": ("added", "removed")}[side]
    result = cli("run", *FILES, f"--{side}", "20,20", "--json").json()
    assert not [stage for stage in keys(result) if stage.startswith(other)]
    arrays = arrays_of(world, result["run"])
    mixed, factors = arrays["mix"], Factors(**arrays[f"{region}.factors"])
    (background,), direct = arrays["background"]["embedding"], arrays["edited.tokens"]["embedding"]
    tokens, grid = arrays["edited.tokens"]["tokens"][1:], arrays[f"{region}.align"]["grid"]
    np.testing.assert_allclose(background * np.linalg.norm(tokens[~grid].mean(0)), tokens[~grid].mean(0), atol=1e-6)
    factor, weight = {"remove": (0.3, 0.1), "add": (1.5, 0.4)}[side]
    parts = {"background": background, "direct": direct}
    weights = MixWeights(**{"suppress": 0.0, "boost": 0.0, {"remove": "suppress", "add": "boost"}[side]: weight})
    scaled, embedding = manipulate_one(
        region=factors, background=background[None], direct=direct, k=5,
        factor=factor, weight=weight, background_weight=0.1, direct_weight=0.4,
    )  # fmt: skip
    assert np.array_equal(mixed["region"], scaled)
    assert np.array_equal(mixed["embedding"], embedding)
    name = {"remove": "suppress", "add": "boost"}[side]
    np.testing.assert_array_equal(combine(weights, **{name: scaled}, **parts), embedding)
    shown = cli("show", result["run"], "--json").json()
    assert set(shown["results"]["cosines"]) == {"original", "edited", region}
    assert {f"{region}.mask", "overview"} <= set(shown["results"]["pictures"])
    assert cli("inspect", result["run"], "mix", "--plot", "--json").json()["pictures"]
    assert cli("show", result["run"], "--graph").code == 0
    sweep = cli("sweep", *FILES, f"--{side}", "20,20", "--grid", "svd.k=1,5", "--embeddings-only", "--json").json()
    columns = [name for name in sweep["settings"][0] if name.startswith("cosine.")]
    assert columns == ["cosine.original", "cosine.edited", f"cosine.{region}"]
    assert sweep["settings"][1]["cosine.edited"] == pytest.approx(shown["results"]["cosines"]["edited"], abs=2e-6)


def test_no_region_is_a_one_line_error(world, cli):
    result = cli("run", *FILES)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert "no region given to remove or add" in result.err
    assert not world.store.exists()


def test_the_same_picture_may_be_given_twice(world, cli):
    result = cli("run", "one.png", "one.png", "--remove", "20,20", "--no-baselines", "--json").json()
    assert keys(result)["original.tokens"] == keys(result)["edited.tokens"]


def test_a_mask_file_replaces_a_click(world, cli, finished_run):
    folder, clicked = finished_run
    shutil.copytree(folder / "store", world.store)
    assert cli("mask", "one.png", "--point", "20,20", "--out", "kept.png").code == 0
    assert cli("mask", "two.png", "--point", "40,30", "--out", "kept.npy").code == 0
    result = cli("run", *FILES, "--remove", "kept.png", "--add", "kept.npy", "--json").json()
    by_file, by_click = keys(result), keys(clicked)
    assert {name for name in by_click if by_click[name] != by_file[name]} == {"removed.mask", "added.mask"}
    shown = cli("show", result["run"], "--json").json()
    assert shown["config"]["remove.object.mask"] == {"value": "kept.png", "from": "command line"}
    again = cli("plan", *FILES, "--remove", world.folder / "kept.png", "--add", "kept.npy", "--json").json()
    assert all_cached(again)


def test_a_changed_mask_file_is_another_region(world, cli):
    before = cli("run", *FILES, "--remove", "cat.png", "--no-baselines", "--json").json()
    Image.fromarray(world.inside[::-1]).save("cat.png")
    after = cli("plan", *FILES, "--remove", "cat.png", "--no-baselines", "--json").json()
    reasons = {stage["stage"]: stage["reason"] for stage in after["stages"] if stage["status"] == "run"}
    assert list(reasons) == ["removed.mask"]
    assert "changed" in reasons["removed.mask"]
    assert "has changed" in cli("resume", before["run"]).err


def test_a_mask_file_is_recognised_whatever_its_name(world, cli):
    def words(command, name):
        return (command, *FILES, "--remove-mask", name, "--add-mask", "dog.npy", "--no-baselines", "--json")

    arrays = arrays_of(world, cli(*words("run", "10,20.png")).json()["run"])
    assert np.array_equal(arrays["removed.mask"]["mask"], world.inside)
    assert np.array_equal(arrays["added.mask"]["mask"], world.inside[::-1, ::-1])
    for name in ("10,20", "./10,20.png", "cat=10,20.png"):
        assert all_cached(cli(*words("plan", name)).json()), name


def test_several_objects_are_one_region(world, cli):
    prompts = ["--remove", "cat=cat.png", "--remove", "dog=50,30", "--remove", "owl=2,3,30,40", "--remove", "dog=3,3,0"]
    result = cli("run", *FILES, *prompts, "--add", "40,30", "--json")
    assert result.code == 0, result.err
    arrays = arrays_of(world, result.json()["run"])
    masks = [arrays[f"removed.{name}.mask"]["mask"] for name in ("cat", "dog", "owl")]
    assert np.array_equal(arrays["removed.mask"]["mask"], np.logical_or.reduce(masks))
    assert set(arrays["removed.mask"]) == {"mask"}
    pictures = cli("show", "latest", "--json").json()["results"]["pictures"]
    assert {"removed.mask", "removed.cat.mask", "removed.dog.mask", "removed.owl.mask", "overview"} <= set(pictures)
    named = ["--remove", "dog=50,30", "--remove", "dog=3,3,0", "--no-baselines", "--json"]
    alone = cli("run", *FILES, *named).json()
    assert keys(alone)["removed.mask"] == keys(result.json())["removed.dog.mask"]
    clicks = cli("plan", *FILES, "--remove", "50,30", "--remove", "3,3,0", "--no-baselines", "--json").json()
    assert all_cached(clicks), "the name of a single object is irrelevant"
    assert cli("resume", result.json()["run"]).code == 0


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        (["--remove", "cat=640,20"], "the click 'remove.cat' is outside the picture one.png"),
        (["--remove", "cat=1,2,0"], "no click given for 'remove.cat'. Give cat=X,Y, in pixels of the original"),
        (["--remove", "1,2,65,30"], "the box 'remove' is empty or reaches outside the picture one.png: expected LEFT"),
        (["--add", "d=1,2,30,40", "--add", "d=1,99"], "the click 'add.d' is outside the picture two.png"),
        (["--add", "small.png"], "the mask small.png has a different size than the picture two.png: expected 64 x 48"),
        (["--remove", "none.png"], "file not found: none.png"),
        (["--remove", "one.png"], "the mask one.png is mostly neither inside nor outside"),
        (["--remove", "cat.png", "--remove", "1,2"], "an object has a mask file and also clicks or a box"),
        (["--remove", "cat.png", "--remove", "dog.npy"], "one object has two mask files. Give each object its own"),
        (["--remove", "cat=1,2", "--remove", "1,2"], "some objects have names and others have none"),
        (["--remove", "12o,20"], "an object cannot be read: expected a click X,Y, a box"),
    ],
)
def test_an_invalid_region_is_a_one_line_error(world, cli, prompts, words):
    for command in ("run", "plan"):
        result = cli(command, *FILES, *prompts)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
        assert words in result.err
    assert not world.store.exists()


@pytest.mark.parametrize("prompt", [["--point", "20,20"], ["--box", "3,4,40,40"], ["--mask", "cat.png"]])
@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_a_saved_mask_gives_the_same_region(world, cli, prompt, suffix):
    out = world.folder / f"kept{suffix}"
    first = cli("mask", "one.png", *prompt, "--out", out, "--json").json()
    assert (first["mask"], (first["score"] is None)) == (str(out), prompt[0] == "--mask")
    before = out.read_bytes()
    again = cli("mask", "one.png", "--mask", out, "--json").json()
    assert (again["coverage"], again["patches"], again["mask"]) == (first["coverage"], first["patches"], None)
    assert cli("mask", "one.png", "--mask", out, "--out", out).code == 2
    assert out.read_bytes() == before


def test_mask_refuses_invalid_arguments(world, cli):
    for words, text in (
        (["--box", "1,2"], "--box is not valid: expected LEFT,TOP,RIGHT,BOTTOM, got 1,2"),
        (["--point", "1,2", "--out", "mask.jpg"], "a name that ends in .png or .npy"),
        (["--point", "1,2", "--mask", "cat.png"], "an object has a mask file and also clicks or a box"),
    ):
        result = cli("mask", "one.png", *words)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
        assert text in result.err


def test_batches_accept_every_form_of_region(world, cli):
    folder = world.folder / "pairs"
    folder.mkdir()
    (folder / "c.png").write_bytes(Path("cat.png").read_bytes())
    rows = {
        "click": '"20,20","40,30",',
        "only removed": "c.png,,",
        "only added": ',"2,3,30,40",',
        "two": '"cat=20,20;dog=c.png",c.png,',
        "column": ',,"3,3"',
    }
    lines = [f"../one.png,../two.png,{name},{cells}" for name, cells in rows.items()]
    (folder / "pairs.csv").write_text("\n".join(["original,edited,name,remove,add,remove.cat", *lines]))
    result = cli("batch", folder / "pairs.csv", "--no-baselines", "--json")
    assert result.code == 0, result.err
    assert [row["name"] for row in result.json()["pairs"]] == list(rows)
    assert "remove.cat" not in result.json()["pairs"][0], "regions are not settings"
    objects = [
        {"original": "../one.png", "edited": "../two.png", "remove": {"cat": {"points": [[20, 20]]}, "dog": "c.png"}},
        {"original": "../one.png", "edited": "../two.png", "remove": ["cat=20,20", "dog=c.png"]},
    ]
    (folder / "pairs.jsonl").write_text("\n".join(json.dumps(one) for one in objects))
    result = cli("batch", folder / "pairs.jsonl", "--no-baselines", "--json")
    assert result.code == 0, result.err
    runs = [keys(cli("show", row["run"], "--json").json()) for row in result.json()["pairs"]]
    assert runs[0] == runs[1]
    assert {"removed.cat.mask", "removed.dog.mask", "removed.mask"} <= runs[0].keys()
    (folder / "run.toml").write_text('add = "c.png"\n[remove]\ncat = "20,20"\n[remove.dog]\nmask = "c.png"\n')
    result = cli("run", *FILES, "--config", folder / "run.toml", "--no-baselines", "--json")
    assert result.code == 0, result.err
    assert keys(result.json())["removed.mask"] == runs[0]["removed.mask"]
    (folder / "pairs.csv").write_text("original,edited,remove\n../one.png,../two.png,gone.png\n")
    result = cli("batch", folder / "pairs.csv")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "pairs.csv, line 2: file not found:" in result.err


def test_a_flow_in_another_folder_finds_mask_files(world, monkeypatch):
    """As in scheduled runs: absolute paths by name, and settings as typed."""
    sessions = Session(
        world.store, open_bundle=lambda name: ToyBundle(), open_models=lambda bundle, config: dict.fromkeys(LOADERS)
    )
    settings = {"remove": {"cat": {"mask": "cat.png"}, "dog": {"points": [[50, 30]]}}}
    here = sessions.request("manipulate", [Path(name).absolute() for name in FILES], settings)
    files = {name: str(path.absolute()) for name, path in here.files.items()}
    assert list(files) == ["original", "edited", "remove.cat"]
    (world.folder / "elsewhere").mkdir()
    monkeypatch.chdir(world.folder / "elsewhere")
    there = sessions.request("manipulate", files, settings)
    assert there.file_digests == here.file_digests
    assert sessions.run(there).run.state == "finished"
