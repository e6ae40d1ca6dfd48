import json

import numpy as np
import soundfile
from pair_folder import RATE_HZ, tone, write_pairs

from svdaudio.pretraining import checks
from svdaudio.pretraining.checks import check_items
from svdaudio.pretraining.pairs import find_pairs


def check(folder, memory, *, needs_picture=True):
    seen = []
    items = find_pairs(folder).items
    found = check_items(items, memory, needs_picture=needs_picture, progress=lambda n, total: seen.append((n, total)))
    assert seen[-1] == (len(items), len(items))
    return found


def test_unusable_files_are_listed(tmp_path):
    data = write_pairs(tmp_path / "data", 7)
    (data / "cat0.png").write_bytes(b"no picture")
    (data / "dog1.wav").write_bytes(b"no sound")
    soundfile.write(data / "duck2.wav", np.zeros(RATE_HZ), RATE_HZ)
    soundfile.write(data / "cat3.wav", tone(300, 0.01), RATE_HZ)
    soundfile.write(data / "dog4.wav", np.array([0.1, np.inf] * 4000), RATE_HZ, subtype="FLOAT")
    (data / "duck5.png").unlink()
    found = check(data, tmp_path / "memory.json")
    assert [item.name for item in found.items] == ["cat6"]
    lines = [str(fault) for fault in found.faults]
    assert len(lines) == 6
    for part in (
        "cat0: ",
        "cat3: cat3.wav is too short: 0.010 s, 0.1 s needed",
        "dog1: ",
        "dog4: dog4.wav has samples that are not finite",
        "duck2: duck2.wav is silent",
        "duck5: a sound without a picture of the same name",
    ):
        assert any(line.startswith(part) for line in lines), part
    assert "is not an image" in lines[0]


def test_a_sound_without_picture_needs_a_label(tmp_path):
    data = write_pairs(tmp_path / "data", 3)
    (data / "cat0.png").unlink()
    soundfile.write(data / "bare.wav", tone(500), RATE_HZ)
    found = check(data, tmp_path / "memory.json", needs_picture=False)
    assert [item.name for item in found.items] == ["cat0", "dog1", "duck2"]
    assert [str(fault) for fault in found.faults] == ["bare: a sound without a picture and without labels"]


def test_items_that_share_a_file_are_one_group(tmp_path):
    data = write_pairs(tmp_path / "data", 6)
    (data / "dog1.wav").write_bytes((data / "cat0.wav").read_bytes())
    (data / "duck2.png").write_bytes((data / "dog1.png").read_bytes())
    groups = {item.name: item.group for item in check(data, tmp_path / "memory.json").items}
    assert groups["cat0"] == groups["dog1"] == groups["duck2"]
    assert len(set(groups.values())) == 4


def test_findings_are_cached_until_a_file_changes(tmp_path, monkeypatch):
    data, memory, looked = write_pairs(tmp_path / "data", 3), tmp_path / "memory.json", []
    look = checks._read_files
    monkeypatch.setattr(checks, "_read_files", lambda item: looked.append(item.name) or look(item))
    first = check(data, memory)
    assert sorted(looked) == ["cat0", "dog1", "duck2"]
    assert check(data, memory) == first
    assert len(looked) == 3
    soundfile.write(data / "dog1.wav", tone(700, 1.5), RATE_HZ)
    assert check(data, memory).facts[1] != first.facts[1]
    assert looked[3:] == ["dog1"]
    memory.write_text(json.dumps(1)[:0])
    assert check(data, memory).items == first.items
