"""Files of pairs: their content, and the error of each mistake, with its line."""

from __future__ import annotations

import json
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from svdaudio.errors import ConfigError, InputError, SvdAudioError
from svdaudio.methods import find_method
from svdaudio.places import project_root
from svdaudio.session import Session
from svdaudio.studies import pairs
from svdaudio.studies.pairs import Common, RowsError
from svdaudio.svd.image_files import upright_size

BUNDLE = SimpleNamespace(
    name="mini", settings={"generate.steps": 20}, digests=lambda role: role, check_domain=lambda: None
)
MANIPULATE, BASELINE = find_method("manipulate"), find_method("baseline")


def read_rows(path, method=MANIPULATE):
    return pairs.read_rows(path, method)


def prepare(rows, common, method=MANIPULATE):
    with TemporaryDirectory() as place:
        return pairs.prepare(Session(place, open_bundle=lambda name: BUNDLE), rows, method, common)


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
    (row,) = read_rows(written(folder, text))
    assert (row.name, row.files) == ("a", {"original": folder / "one.png", "edited": folder / "two.png"})
    assert row.out == folder / "x" / "a.wav"
    assert row.where == "pairs.csv, line 2"
    (one,) = prepare([row], Common())
    assert (one.request.method, dict(one.request.files)) == (MANIPULATE, row.files)
    config = one.request.config
    assert (config.svd.k, config.geometry, config.add) == (7, "crop", ((40, 30, 1), (1, 2, 0)))
    assert config.generate.steps == 20
    assert one.settings == {"svd.k": 7, "geometry": "crop"}
    assert one.resolved.sources["svd.k"] == "pairs.csv, line 2"


def test_json_lines_take_nested_and_dotted_names_alike(folder):
    common = {"original": "one.png", "edited": "two.png", "remove": "20,20", "add": [[40, 30]]}
    rows = [{**common, "svd": {"k": 7}}, {**common, "svd.k": 7, "name": "b"}, common]
    text = "\n\n".join(json.dumps(row) for row in rows)
    found = read_rows(written(folder, text, "pairs.jsonl"))
    assert [row.name for row in found] == ["one-two", "b", "one-two-2"]
    assert [row.where for row in found] == [f"pairs.jsonl, line {n}" for n in (1, 3, 5)]
    assert [one.request.config.svd.k for one in prepare(found, Common())] == [7, 7, 5]


def test_a_line_takes_precedence_over_common_parameters(folder):
    rows = [
        "original,edited,remove,add,svd.k,seed",
        *(f'one.png,two.png,"20,20","40,30",{end}' for end in ("7,", ",3")),
    ]
    text = "\n".join(rows)
    common = Common(overrides=["svd.k=9", "svd.alpha=0.2"], given={"seed": 5})
    first, second = prepare(read_rows(written(folder, text)), common)
    assert [(one.request.config.svd.k, one.request.config.seed) for one in (first, second)] == [(7, 5), (9, 3)]
    assert first.resolved.sources["seed"] == "command line"
    assert second.resolved.sources["seed"] == "pairs.csv, line 3"
    assert first.resolved.sources["svd.alpha"] == "--set"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_files_of_spreadsheets_are_read(folder, separator):
    heading = separator.join(["original", "edited", "remove", "add", "svd.alpha", "locals.augment", "svd.k", "", ""])
    cells = separator.join(["one.png", "two.png", '"20,20"', '"40,30"', " .5 ", "TRUE", "7.0", "", ""])
    empty = separator * 8
    text = f"\ufeff\r\n{empty}\r\n{heading}\r\n{empty}\r\n{cells}\r\n{empty}\r\n"
    (row,) = read_rows(written(folder, text))
    assert row.where == "pairs.csv, line 5"
    (one,) = prepare([row], Common())
    config = one.request.config
    assert (config.svd.alpha, config.svd.k, config.locals.augment) == (0.5, 7, True)


def test_the_files_are_those_of_the_method(folder):
    text = "original,seed,out\none.png,3,x/a.wav\ntwo.png,,\n"
    rows = read_rows(written(folder, text), BASELINE)
    assert [(row.name, row.files) for row in rows] == [
        ("one", {"original": folder / "one.png"}), ("two", {"original": folder / "two.png"})
    ]  # fmt: skip
    first, second = prepare(rows, Common(given={"seed": 7}), BASELINE)
    assert (first.request.kind, first.request.config.seed, second.request.config.seed) == ("baseline", 3, 7)
    for column in ("edited", "svd.k", "remove"):
        with pytest.raises(ConfigError, match=rf"unknown parameter '{column}' \(from pairs\.csv, line 1\)"):
            read_rows(written(folder, f"original,{column}\n"), BASELINE)
    with pytest.raises(InputError, match="no pairs found in"):
        read_rows(project_root() / "examples", BASELINE)


def test_targets_and_variants_apply_to_all_lines(folder):
    rows = read_rows(written(folder, 'original,edited,remove,add\none.png,two.png,"20,20","40,30"\n'))
    for common, targets in (
        (Common(), MANIPULATE.default_targets(MANIPULATE.config())),
        (
            Common(variant="no_baselines"),
            ("manipulated.finish", "manipulated.scores", "removed.reach", "added.reach"),
        ),
        (Common(targets=("mix",)), ("mix",)),
    ):
        assert prepare(rows, common)[0].request.targets == targets


def test_an_output_for_a_sound_that_is_not_generated_is_refused(folder):
    text = 'original,edited,remove,add,out\none.png,two.png,"20,20","40,30",a.wav\n'
    with pytest.raises(InputError, match="line 2: manipulate makes no sound to copy: got mix"):
        prepare(read_rows(written(folder, text)), Common(targets=("mix",)))
    assert prepare(read_rows(written(folder, text)), Common(variant="no_baselines"))[0].out == folder / "a.wav"


def test_different_names_of_one_output_file_are_refused(folder):
    (folder / "link").symlink_to(folder)
    text = "original,edited,out\none.png,two.png,a.wav\none.png,two.png,link/x/../a.wav\n"
    with pytest.raises(InputError, match="line 3: the output file is already used"):
        read_rows(written(folder, text))


def test_a_folder_means_its_file_of_pairs_or_its_scenes(folder):
    path = written(folder, 'original,edited,remove,add\none.png,two.png,"20,20","40,30"\n')
    assert read_rows(folder) == read_rows(path)
    (scene,) = read_rows(project_root() / "examples")
    assert scene.name == "scenes"
    (one,) = prepare([scene], Common())
    assert one.request.config.remove == ((756, 581, 1),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the column 'original' is missing"),
        ("original,edited\n", "no pairs found"),
        ("original,edited,svd.kk\n", "unknown parameter 'svd.kk'"),
        ("original,edited,edited\n", "a column occurs twice"),
        ("original,edited,remove,add\none.png,two.png,20,20,40,30\n", "line 2: more cells than columns"),
        ("original,edited,remove,add\none.png,,1,1\n", "line 2: the picture 'edited' is missing"),
        ("original,edited,name\none.png,two.png,a\none.png,two.png,a\n", "line 3: the name is already used"),
        ("original,edited,out\none.png,two.png,a\none.png,two.png,a\n", "line 3: the output file is already used"),
        ('original,edited\n"one.png,two.png\n', "line 2 is not valid CSV"),
        ("original,,edited\n", "line 1: column 2 has no name"),
        ("\n\noriginal\n", "line 3: the column 'edited' is missing: got original"),
    ],
)
def test_the_error_of_an_unreadable_file_names_the_line(folder, text, message):
    with pytest.raises(SvdAudioError, match=message) as caught:
        read_rows(written(folder, text))
    assert "\n" not in caught.value.line()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: the line is not valid JSON"),
        ("[]", "line 1: the line is not a JSON object"),
        ('{"original": 1, "edited": "two.png"}', "line 1: the picture 'original' is missing"),
        ('{"original": "one.png", "edited": "two.png", "name": 3}', "line 1: 'name' is not text"),
        ('{"original": "one.png", "edited": "two.png", "svd": {"kk": 3}}', "unknown parameter 'svd.kk'"),
        ('{"original": "one.png", "edited": "two.png", "seed": 1, "seed": 2}', "line 1: 'seed' occurs twice"),
        ('{"original": "one.png", "edited": "two.png", "svd": {"k": 1}, "svd.k": 2}', r"'svd\.k' is given twice"),
        (
            r'{"original": "one\u0000.png", "edited": "two.png"}',
            "'original' contains characters that file names",
        ),
    ],
)
def test_an_empty_json_line_is_reported(folder, line, message):
    with pytest.raises(SvdAudioError, match=message):
        read_rows(written(folder, line, "pairs.jsonl"))


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ('nowhere.png,two.png,"20,20","40,30",5', "line 2: file not found:"),
        ('pairs.csv,two.png,"20,20","40,30",5', "is not an image"),
        ('one.png,two.png,"64,20","40,30",5', r"line 2: the click 'remove' is outside the picture one.png"),
        ('one.png,two.png,"20,20","40,-1",5', "the click 'add' is outside the picture two.png"),
        ("one.png,two.png,,,5", "no region given to remove or add"),
        ('one.png,two.png,"20,20,0","40,30",5', "no click given for 'remove'"),
        ('one.png,two.png,here,"40,30",5', "an object cannot be read"),
        ('one.png,two.png,"20,20","40,30",0', r"svd.k has an invalid value \(from pairs.csv, line 2\)"),
        ('one.png,two.png,"20,20","40,30",many', "svd.k has an invalid value"),
    ],
)
def test_an_invalid_line_is_reported_with_its_number(folder, cells, message):
    path = written(folder, f"original,edited,remove,add,svd.k\n{cells}\n")
    with pytest.raises(SvdAudioError, match=message) as caught:
        prepare(read_rows(path), Common())
    assert caught.value.line().startswith("pairs.csv, line 2: ")


def test_all_faults_are_reported_and_the_first_is_the_error(folder):
    pictures = ("x.png,two.png", "one.png,two.png", "one.png,y.png")
    text = "\n".join(["original,edited,remove,add", *(f'{both},"1,1","1,1"' for both in pictures)])
    rows = read_rows(written(folder, text))
    with pytest.raises(InputError, match=r"^pairs\.csv, line 2: file not found: .*x.png \(and 1 more\)") as caught:
        prepare(rows, Common())
    assert isinstance(caught.value, RowsError)
    assert [reason.partition(": ")[0] for reason in caught.value.reasons] == ["pairs.csv, line 2", "pairs.csv, line 4"]
    assert "x.png" in caught.value.reasons[0]
    assert "y.png" in caught.value.reasons[1]


def test_unusable_files_of_pairs_are_refused(folder):
    with pytest.raises(InputError, match="is not a file of pairs"):
        read_rows(folder / "one.png")
    with pytest.raises(InputError, match="cannot be read"):
        read_rows(folder / "none.csv")
    with pytest.raises(InputError, match="no pairs found in"):
        read_rows(folder)


def test_an_invalid_parameter_file_fails_as_for_a_single_run(folder):
    path = written(folder, 'original,edited,remove,add\none.png,two.png,"1,1","1,1"\n')
    with pytest.raises(RowsError, match=r"the configuration .* cannot be read") as caught:
        prepare(read_rows(path), Common(config_file=folder / "none.toml"))
    assert caught.value.exit_code == ConfigError.exit_code


@pytest.mark.parametrize(("orientation", "size"), [(1, (64, 48)), (3, (64, 48)), (6, (48, 64)), (8, (48, 64))])
def test_the_size_of_a_picture_respects_its_orientation(tmp_path, orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    assert upright_size(tmp_path / "a.jpg") == size
