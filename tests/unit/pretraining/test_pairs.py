import pytest
from pair_folder import write_pairs

from svdaudio.errors import InputError
from svdaudio.pretraining.pairs import PAIRS, find_pairs


def put(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_files_with_the_same_stem_form_an_item_in_any_folder(tmp_path):
    put(tmp_path, "a.jpg", "a.wav", "street/b.PNG", "street/b.flac", "c.opus", "notes.txt", ".cache/d.wav")
    found = find_pairs(tmp_path)
    assert found.faults == ()
    facts = [(item.name, item.sound.name, item.picture and item.picture.name, item.group) for item in found.items]
    assert facts == [
        ("a", "a.wav", "a.jpg", "a"),
        ("c", "c.opus", None, "c"),
        ("street/b", "b.flac", "b.PNG", "street/b"),
    ]
    assert PAIRS.recognises(tmp_path)
    assert not PAIRS.recognises(tmp_path / ".cache" / "none")


def test_labels_come_from_the_table(tmp_path):
    put(tmp_path, "a.wav", "b.wav", "street/c.wav")
    (tmp_path / "labels.csv").write_text('stem,label,group\na,"dog; rain",one\na,owl,one\nc,cat,\n\nb,,two\n')
    found = find_pairs(tmp_path)
    assert found.faults == ()
    assert [(item.labels, item.group) for item in found.items] == [
        (("dog", "rain", "owl"), "one"),
        ((), "two"),
        (("cat",), "street/c"),
    ]


def test_all_faults_are_found_at_once(tmp_path):
    put(tmp_path, "a.wav", "a.flac", "a.png", "a.jpg", "lonely.png", "x/b.wav", "y/b.wav", "torn.wav")
    (tmp_path / "labels.csv").write_text("stem,label,group\nb,dog,\nnobody,dog,\na,,\ntorn,dog,1\ntorn,cat,2\n")
    assert [str(fault) for fault in find_pairs(tmp_path).faults] == [
        "a.wav: has the same name as a.flac",
        "a.png: has the same name as a.jpg",
        "lonely.png: a picture without a sound of the same name (.wav .flac .ogg .oga .opus .mp3 .aif .aiff .au .caf)",
        "labels.csv, line 2: 2 items are named 'b'; add the folder to the name",
        "labels.csv, line 3: no files named 'nobody'",
        "labels.csv, line 4: no label for 'a'",
        "labels.csv, torn: more than one group: 1 and 2",
    ]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,class\na,dog\n", "has the wrong first line: expected stem,label or stem,label,group, got name,class"),
        ("", "got an empty table"),
        ("stem,label\na,dog,more\n", "expected 2 columns, got 3 in line 2. Quote cells"),
        ('stem,label\na,"dog\n', "cannot be read: expected CSV"),
    ],
)
def test_an_unreadable_table_is_refused(tmp_path, table, message):
    put(tmp_path, "a.wav")
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(InputError) as caught:
        find_pairs(tmp_path)
    assert message in str(caught.value)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="folder not found"):
        find_pairs(tmp_path / "none")


def test_the_folder_of_the_other_tests_has_no_faults(tmp_path):
    found = PAIRS.read(write_pairs(tmp_path, 4))
    assert [item.labels for item in found.items] == [("cat",), ("cat",), ("dog",), ("duck",)]
    assert (found.classes, found.faults, found.missing) == (("cat", "dog", "duck"), (), ())
