"""Layouts of data sets: items, folds, groups, missing files, and one clear line for each fault."""

from __future__ import annotations

import data_sets
import pytest
from PIL import Image

from svdaudio.errors import InputError
from svdaudio.pretraining.layouts import LAYOUTS, audioset, recognise, vggsound

ESC50_ROWS = (
    "1-100032-A-0.wav,1,0,dog,True,100032,A",
    "1-100038-A-20.wav,1,20,crying_baby,True,100038,A",
    "5-100038-B-20.wav,5,20,crying_baby,True,100039,B",
)


def read(name, folder):
    return LAYOUTS[name].read(folder)


def test_esc50_keeps_folds_and_groups_by_recording(tmp_path):
    data_sets.esc50(tmp_path, ESC50_ROWS, without=["1-100038-A-20.wav"])
    data = read("esc50", tmp_path)
    assert [(item.name, item.labels, item.group, item.fold) for item in data.items] == [
        ("1-100032-A-0", ("dog",), "100032", "1"),
        ("5-100038-B-20", ("crying baby",), "100039", "5"),
    ]
    assert data.items[0].sound == tmp_path / "audio/1-100032-A-0.wav"
    assert data.missing == ("esc50.csv, line 3: audio/1-100038-A-20.wav",)
    assert data.classes == ("dog", "crying baby")  # by target, whatever is missing


def test_a_picture_of_the_same_stem_belongs_to_a_sound(tmp_path):
    data_sets.esc50(tmp_path, ESC50_ROWS)
    for number in range(3):
        path = tmp_path / f"frame_{number}" / "1-100032-A-0.jpg"
        path.parent.mkdir()
        Image.new("RGB", (16, 16)).save(path)
    first, second, _ = read("esc50", tmp_path).items
    assert first.picture == tmp_path / "frame_1/1-100032-A-0.jpg"
    assert second.picture is None


def test_urbansound8k_reads_slices_whole(tmp_path):
    rows = ["100263-2-0-117.wav,100263,58.5,62.5,1,5,2,children_playing", "7-3-0-0.wav,7,0,0.3,1,10,3,dog_bark"]
    first, second = read("urbansound8k", data_sets.urbansound8k(tmp_path, rows)).items
    assert (first.labels, first.group, first.fold) == (("children playing",), "100263", "5")
    assert second.sound == tmp_path / "audio/fold10/7-3-0-0.wav"


VGGSOUND = (
    '-0yRK50zyTI,30,"bird chirping, tweeting",test\nAAAAAAAAAAA,5,dog barking,train\nAAAAAAAAAAA,60,cat purring,train\n'
)


@pytest.mark.parametrize(
    "name",
    ["audio/-0yRK50zyTI_000030.wav", "-0yRK50zyTI_30000_40000.flac", "a/b/-0yRK50zyTI_30_40.ogg",
     "wav/-0yRK50zyTI_30.wav", "-0yRK50zyTI.wav"],
)  # fmt: skip
def test_vggsound_finds_the_names_that_users_have(tmp_path, name):
    data_sets.write_text(tmp_path / "vggsound.csv", VGGSOUND)
    data_sets.write_sound(tmp_path / name)
    data_sets.write_sound(tmp_path / "AAAAAAAAAAA.wav")  # of an unnamed clip
    data = read("vggsound", tmp_path)
    (item,) = data.items
    assert (item.name, item.group, item.fold) == ("-0yRK50zyTI_000030", "-0yRK50zyTI", "test")
    assert (item.labels, item.sound) == (("bird chirping, tweeting",), tmp_path / name)
    assert data.missing == ("vggsound.csv, line 2: AAAAAAAAAAA_000005", "vggsound.csv, line 3: AAAAAAAAAAA_000060")
    assert data.classes == ("bird chirping, tweeting", "cat purring", "dog barking")


AUDIOSET = '-0RWZT-miFs, 420.000, 430.000, "/m/0bt9lr,/m/0jbk"\nBBBBBBBBBBB, 0.000, 9.500, "/m/09x0r"\n'


@pytest.fixture
def segments(tmp_path):
    """A folder with AudioSet's tables."""
    data_sets.write_text(tmp_path / "class_labels_indices.csv", data_sets.AUDIOSET_CLASSES)
    data_sets.write_text(tmp_path / "metadata/eval_segments.csv", data_sets.AUDIOSET_COMMENTS + AUDIOSET)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    ["eval_segments/Y-0RWZT-miFs.wav", "-0RWZT-miFs.flac", "x/-0RWZT-miFs_420000_430000.flac",
     "Dog/-0RWZT-miFs_420.0-430.0.ogg", "-0RWZT-miFs_420.000_430.000.wav", "-0RWZT-miFs_420.0_430.0.wav",
     "-0RWZT-miFs-420.0-430.0.wav", "-0RWZT-miFs_420_430.wav", "-0RWZT-miFs_420.wav", "-0RWZT-miFs_000420.wav"],
)  # fmt: skip
def test_audioset_finds_the_names_that_users_have(segments, name):
    data_sets.write_sound(segments / name)
    data = read("audioset", segments)
    (item,) = data.items
    assert (item.name, item.group, item.fold) == ("-0RWZT-miFs", "-0RWZT-miFs", "eval")
    assert (item.labels, item.sound) == (("Dog", "Animal, pet"), segments / name)
    assert data.missing == ("eval_segments.csv, line 5: BBBBBBBBBBB",)
    assert data.classes == ("Speech", "Dog", "Animal, pet")


def test_among_copies_the_one_nearest_the_root_is_used(segments):
    for folder in ("Dog/copies", "Dog", "Animal, pet"):
        data_sets.write_sound(segments / folder / "Y-0RWZT-miFs.wav")
    data_sets.write_sound(segments / ".hidden" / "YBBBBBBBBBBB.wav")
    assert [item.sound for item in read("audioset", segments).items] == [segments / "Animal, pet/Y-0RWZT-miFs.wav"]


def test_file_names_of_a_clip_begin_with_its_id():
    assert all(stem.startswith("ID") for stem in vggsound.stems_of("ID", 30, alone=True))
    assert len(set(audioset.stems_of("ID", 30.0, 40.0))) == 10


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("x.wav,6,0,dog,True,1,A", "line 2, column 'fold': unknown fold: expected 1 to 5, got 6"),
        ("x.wav,a,0,dog,True,1,A", "line 2, column 'fold': the cell is invalid: expected a whole number, got a"),
        ("../x.wav,1,0,dog,True,1,A", "line 2, column 'filename': the cell is invalid: expected a file name"),
        (",1,0,dog,True,1,A", "line 2, column 'filename': the cell is empty"),
        ("x.wav,1,0,,True,1,A", "line 2, column 'category': the cell is empty"),
        ("x.wav,1,0,dog,True,,A", "line 2, column 'src_file': the cell is empty"),
        ("x.wav,1,0,dog,True,1", "line 2: wrong number of cells: expected 7"),
        ('x.wav,1,0,"dog,True,1,A', "line 2 is not valid CSV"),
        ("x.wav,1,0,dog,True,1,A\nx.wav,1,0,dog,True,1,A", "line 3, column 'filename': the file is already in line 2"),
        ("x.wav,1,0,dog,True,1,A\ny.wav,1,0,cat,True,1,A", "line 3, column 'category': target 0 has two names"),
        ("x.wav,1,0,dog,True,1,A\ny.wav,1,1,dog,True,1,A", "line 3, column 'target': 'dog' has two numbers"),
        ("", "has no rows"),
    ],
)
def test_a_wrong_row_is_one_line_with_its_place(tmp_path, row, says):
    data_sets.write_text(tmp_path / "meta/esc50.csv", f"{data_sets.ESC50_HEADER}\n{row}\n")
    for name in "xy":
        data_sets.write_sound(tmp_path / f"audio/{name}.wav")
    with pytest.raises(InputError) as caught:
        read("esc50", tmp_path)
    assert says in caught.value.line()
    assert "esc50.csv" in caught.value.line()


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("name,fold,target,category,esc10,src_file,take", "line 1, column 1: the column 'filename' is missing"),
        ("filename,fold,fold,target,category,esc10,src_file,take", "column 2: the column 'fold' occurs more than once"),
    ],
)
def test_a_wrong_header_is_named(tmp_path, header, says):
    data_sets.write_text(tmp_path / "meta/esc50.csv", f"{header}\n")
    with pytest.raises(InputError, match=says):
        read("esc50", tmp_path)


def test_an_unreadable_table_is_named(tmp_path):
    data_sets.esc50(tmp_path, ESC50_ROWS)
    (tmp_path / "meta/esc50.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"esc50\.csv cannot be read: got text that is not UTF-8"):
        read("esc50", tmp_path)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ('CCCCCCCCCCC, 0, 10, "/m/none"', "line 6, column 'positive_labels': unknown label"),
        ('CCCCCCCCCCC, ten, 10, "/m/09x0r"', "column 'start_seconds': the cell is invalid: expected a time in seconds"),
        ('CCCCCCCCCCC, 10, 10, "/m/09x0r"', "column 'end_seconds': the clip ends before it begins"),
        ("CCCCCCCCCCC, 0, 10, /m/09x0r,/m/0jbk", "line 6: wrong number of cells: expected 4"),
        ('-0RWZT-miFs, 0, 10, "/m/09x0r"', "column 'YTID': the clip is already in eval_segments.csv, line 4"),
    ],
)
def test_a_wrong_segment_is_one_line_with_its_place(segments, row, says):
    with (segments / "metadata/eval_segments.csv").open("a") as file:
        file.write(f"{row}\n")
    with pytest.raises(InputError) as caught:
        read("audioset", segments)
    assert says in caught.value.line()


def test_audioset_needs_its_label_names(segments):
    (segments / "class_labels_indices.csv").unlink()
    with pytest.raises(InputError, match=r"no class_labels_indices\.csv"):
        read("audioset", segments)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("CCCCCCCCCCC,3,dog,val", "column 'split': unknown split: expected train or test, got val"),
        ("CCCCCCCCCCC,3.5,dog,test", "column 'start seconds': the cell is invalid"),
        ("CCCCCCCCCCC,3,bird, tweeting,test", "wrong number of cells: expected 4"),
        ("-0yRK50zyTI,30,dog,test", "column 'YouTube id': the clip is already in line 1"),
    ],
)
def test_a_wrong_clip_is_one_line_with_its_place(tmp_path, row, says):
    data_sets.write_text(tmp_path / "vggsound.csv", f"{VGGSOUND}{row}\n")
    with pytest.raises(InputError) as caught:
        read("vggsound", tmp_path)
    assert "vggsound.csv, line 4" in caught.value.line()
    assert says in caught.value.line()


def test_a_folder_without_any_sound_is_refused(tmp_path):
    data_sets.write_text(tmp_path / "vggsound.csv", VGGSOUND)
    (tmp_path / "-0yRK50zyTI_000030.mp4").touch()
    with pytest.raises(
        InputError, match=r"no row of the tables in .* has a file: got 3 rows such as vggsound\.csv, line 1"
    ):
        read("vggsound", tmp_path)


def test_a_folder_is_recognised_by_its_tables(tmp_path, segments):
    assert recognise(segments) is LAYOUTS["audioset"]
    other = data_sets.esc50(tmp_path / "esc50", ESC50_ROWS)
    assert recognise(other) is LAYOUTS["esc50"]
    assert recognise(other / "audio") is None
    data_sets.write_text(other / "vggsound.csv", VGGSOUND)
    with pytest.raises(InputError, match="several data sets: got esc50 and vggsound"):
        recognise(other)
