"""Files of pairs: what is read from them, and how each mistake is told, with its line."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from svdaudio.errors import ConfigError, InputError, SvdAudioError
from svdaudio.places import project_root
from svdaudio.studies.pairs import Common, prepare, read_pairs
from svdaudio.svd.images import upright_size

BUNDLE = SimpleNamespace(name="mini", settings={"generate.steps": 20}, digests=lambda role: role)


@pytest.fixture
def folder(tmp_path):
    for name in ("one", "two"):
        Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / f"{name}.png")
    return tmp_path


def written(folder, text, name="pairs.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_line_is_a_pair_with_its_parameters(folder):
    text = (
        'original,edited,remove,add,name,out,svd.k,geometry\none.png,two.png,"20,20","40,30;1,2,0",a,x/a.wav,7,crop\n'
    )
    (pair,) = read_pairs(written(folder, text))
    assert (pair.name, pair.original, pair.edited) == ("a", folder / "one.png", folder / "two.png")
    assert pair.out == folder / "x" / "a.wav"
    assert pair.where == "pairs.csv, line 2"
    (one,) = prepare([pair], Common(), lambda name: BUNDLE)
    config = one.request.config
    assert (config.svd.k, config.geometry, config.add) == (7, "crop", ((40, 30, 1), (1, 2, 0)))
    assert config.generate.steps == 20
    assert one.settings == {"svd.k": 7, "geometry": "crop"}
    assert one.resolved.sources["svd.k"] == "pairs.csv, line 2"


def test_json_lines_take_nested_and_dotted_names_alike(folder):
    common = {"original": "one.png", "edited": "two.png", "remove": "20,20", "add": [[40, 30]]}
    rows = [{**common, "svd": {"k": 7}}, {**common, "svd.k": 7, "name": "b"}, common]
    text = "\n\n".join(json.dumps(row) for row in rows)
    pairs = read_pairs(written(folder, text, "pairs.jsonl"))
    assert [pair.name for pair in pairs] == ["one-two", "b", "one-two-2"]
    assert [pair.where for pair in pairs] == [f"pairs.jsonl, line {n}" for n in (1, 3, 5)]
    assert [one.request.config.svd.k for one in prepare(pairs, Common(), lambda name: BUNDLE)] == [7, 7, 5]


def test_a_line_is_stronger_than_what_holds_for_all(folder):
    rows = [
        "original,edited,remove,add,svd.k,seed",
        *(f'one.png,two.png,"20,20","40,30",{end}' for end in ("7,", ",3")),
    ]
    text = "\n".join(rows)
    common = Common(overrides=["svd.k=9", "svd.alpha=0.2"], given={"seed": 5})
    first, second = prepare(read_pairs(written(folder, text)), common, lambda name: BUNDLE)
    assert [(one.request.config.svd.k, one.request.config.seed) for one in (first, second)] == [(7, 5), (9, 3)]
    assert first.resolved.sources["seed"] == "command line"
    assert second.resolved.sources["seed"] == "pairs.csv, line 3"
    assert first.resolved.sources["svd.alpha"] == "--set"


def test_a_folder_stands_for_the_file_or_the_scenes_in_it(folder):
    path = written(folder, 'original,edited,remove,add\none.png,two.png,"20,20","40,30"\n')
    assert read_pairs(folder) == read_pairs(path)
    (scene,) = read_pairs(project_root() / "examples")
    assert scene.name == "scenes"
    (one,) = prepare([scene], Common(), lambda name: BUNDLE)
    assert one.request.config.remove == ((756, 581, 1),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: there is no column 'original'"),
        ("original,edited\n", "there are no pairs"),
        ("original,edited,svd.kk\n", "there is no parameter 'svd.kk'"),
        ("original,edited,edited\n", "a column is there twice"),
        ("original,edited,remove,add\none.png,two.png,20,20,40,30\n", "line 2: there are more cells than columns"),
        ("original,edited,remove,add\none.png,,1,1\n", "line 2: the picture 'edited' is missing"),
        ("original,edited,name\none.png,two.png,a\none.png,two.png,a\n", "line 3: the name is taken already"),
        ("original,edited,out\none.png,two.png,a\none.png,two.png,a\n", "line 3: the file is taken already"),
        ('original,edited\n"one.png,two.png\n', "is no CSV"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(folder, text, message):
    with pytest.raises(SvdAudioError, match=message) as caught:
        read_pairs(written(folder, text))
    assert "\n" not in caught.value.line()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: this is no JSON"),
        ("[]", "line 1: this is no JSON object"),
        ('{"original": 1, "edited": "two.png"}', "line 1: the picture 'original' is missing"),
        ('{"original": "one.png", "edited": "two.png", "name": 3}', "line 1: 'name' is no text"),
        ('{"original": "one.png", "edited": "two.png", "svd": {"kk": 3}}', "no parameter 'svd.kk'"),
    ],
)
def test_a_json_line_that_says_nothing_is_told(folder, line, message):
    with pytest.raises(SvdAudioError, match=message):
        read_pairs(written(folder, line, "pairs.jsonl"))


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ('nowhere.png,two.png,"20,20","40,30",5', "line 2: there is no image"),
        ('pairs.csv,two.png,"20,20","40,30",5', "is not an image"),
        ('one.png,two.png,"64,20","40,30",5', r"line 2: the click 'remove' is outside the image one.png"),
        ('one.png,two.png,"20,20","40,-1",5', "the click 'add' is outside the image two.png"),
        ('one.png,two.png,,"40,30",5', "no click says what goes"),
        ('one.png,two.png,here,"40,30",5', "a point cannot be read"),
        ('one.png,two.png,"20,20","40,30",0', r"svd.k has no meaning with this value \(from pairs.csv, line 2\)"),
        ('one.png,two.png,"20,20","40,30",many', "svd.k has no meaning"),
    ],
)
def test_a_line_that_cannot_run_is_told_with_its_number(folder, cells, message):
    path = written(folder, f"original,edited,remove,add,svd.k\n{cells}\n")
    with pytest.raises(SvdAudioError, match=message) as caught:
        prepare(read_pairs(path), Common(), lambda name: BUNDLE)
    assert caught.value.line().startswith("pairs.csv, line 2: ")


def test_the_first_fault_is_told_in_full_and_the_others_by_their_place(folder):
    pictures = ("x.png,two.png", "one.png,two.png", "one.png,y.png")
    text = "\n".join(["original,edited,remove,add", *(f'{both},"1,1","1,1"' for both in pictures)])
    pairs = read_pairs(written(folder, text))
    with pytest.raises(InputError, match=r"line 2: there is no image .*x.png \(and 1 more: pairs.csv, line 4\)"):
        prepare(pairs, Common(), lambda name: BUNDLE)


def test_what_is_no_file_of_pairs_is_refused(folder):
    with pytest.raises(InputError, match="no file of pairs"):
        read_pairs(folder / "one.png")
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs(folder / "none.csv")
    with pytest.raises(InputError, match="there are no pairs in"):
        read_pairs(folder)


def test_a_wrong_file_of_parameters_is_told_once_for_all(folder):
    path = written(folder, 'original,edited,remove,add\none.png,two.png,"1,1","1,1"\n')
    with pytest.raises(ConfigError, match="cannot be read"):
        prepare(read_pairs(path), Common(config_file=folder / "none.toml"), lambda name: BUNDLE)


@pytest.mark.parametrize(("orientation", "size"), [(1, (64, 48)), (3, (64, 48)), (6, (48, 64)), (8, (48, 64))])
def test_the_size_of_a_picture_is_that_of_the_upright_one(tmp_path, orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    assert upright_size(tmp_path / "a.jpg") == size
