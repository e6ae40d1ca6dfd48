"""`svdaudio checkpoints` on the command line."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import zipfile

import made_up_files
import pytest
import torch
from file_server import serving

from svdaudio.checkpoints import install, registry
from svdaudio.cli import main


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A checkout without bundles."""
    monkeypatch.setattr("svdaudio.places.checkout", lambda: tmp_path)
    (tmp_path / "checkpoints" / "mini").mkdir(parents=True)
    empty = {"title": "nothing", "settings": {}, "models": {}}
    (tmp_path / "checkpoints" / "mini" / "bundle.json").write_text(json.dumps(empty))
    return tmp_path


@pytest.fixture(scope="module")
def yolo_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("yolo") / "found.pt"
    made_up_files.write_yolo(path, made_up_files.yolo(scale="n", names={0: "Cat", 1: "Dog"}))
    return path


def listed(capsys):
    assert main(["checkpoints", "list", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def state(found, name):
    return next(row for row in found["published"] if row["name"] == name)


def test_an_import_fills_a_role_that_is_listed_and_verified(root, yolo_file, capsys):
    assert state(listed(capsys), "yolov8x-oiv7")["fills"] == []
    assert main(["checkpoints", "import", str(yolo_file)]) == 3
    assert "is not published" in capsys.readouterr().err
    assert main(["checkpoints", "import", str(yolo_file), "--trust", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["imported"][0]["pinned_now"] == ["yolov8x-oiv7.pt"]
    assert "yolov8x-oiv7 fills detector" in err
    found = listed(capsys)
    assert state(found, "yolov8x-oiv7")["fills"] == ["detector"]
    assert "segmenter" in found["bundles"][1]["missing"]
    assert main(["checkpoints", "verify", "full", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["models"]
    assert (row["role"], row["error"], row["format"]) == ("detector", None, "ultralytics")
    assert main(["checkpoints", "list"]) == 0
    assert "still missing: segmenter" in capsys.readouterr().out


def zipped(**records):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in records.items():
            archive.writestr(f"x/{name}", data)
    return buffer.getvalue()


def tar_of_pipes():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("sys_info", "storages", "tensors", "pickle"):
            member = tarfile.TarInfo(name)
            member.type = tarfile.FIFOTYPE
            archive.addfile(member)
    return buffer.getvalue()


def saved(contents, *, old_format=False):
    buffer = io.BytesIO()
    torch.save(contents, buffer, _use_new_zipfile_serialization=not old_format)
    return buffer.getvalue()


BROKEN = {
    "empty": lambda yolo: b"",
    "cut": lambda yolo: yolo[: len(yolo) // 2],
    "zeros": lambda yolo: yolo[:2000] + bytes(len(yolo) - 2000),
    "not a zip file": lambda yolo: b"PK\x03\x04" + bytes(500),
    "an empty archive": lambda yolo: zipped(),
    "an archive without storages": lambda yolo: zipped(**{"data.pkl": pickle.dumps({"model": 1}, 2), "version": b"3"}),
    "TorchScript without a module": lambda yolo: zipped(**{"data.pkl": b"N.", "constants.pkl": b"", "version": b"3"}),
    "a pipe in a tar file": lambda yolo: tar_of_pipes(),
    "a list": lambda yolo: saved([1, 2]),
    "numbers instead of a model": lambda yolo: saved({"model": 5, "ema": torch.ones(4)}),
    "odd keys": lambda yolo: saved({"model": {1: torch.ones(1), "a": 2, (1, 2): 3}}, old_format=True),
    "deep": lambda yolo: b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b".",
    "promises": lambda yolo: b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b".",
    "a large memo index": lambda yolo: b"\x80\x02Nr\xff\xff\xff\x7f.",
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("name", ["yolov8x-oiv7.pt", "ViT-L-14.pt", "audioldm-s-full-v2.ckpt"])
def test_a_damaged_file_is_a_one_line_error(root, yolo_file, tmp_path, capsys, kind, name):
    path = tmp_path / name
    path.write_bytes(BROKEN[kind](yolo_file.read_bytes()))
    published = name.partition(".")[0].replace("ViT-L-14", "clip-vit-l-14")
    for arguments in ([], ["--as", published]):
        assert main(["checkpoints", "import", str(path), "--trust", *arguments]) == 3
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith(f"error: {path}")


def test_a_file_that_differs_from_the_published_one_is_reported(root, tmp_path, capsys):
    path = tmp_path / "x.pt"
    made_up_files.write_clip_archive(path, made_up_files.clip(width=64, layers=1, text_width=64, text_layers=1))
    assert main(["checkpoints", "import", str(path)]) == 3
    assert "is not the published ViT-L-14.pt" in capsys.readouterr().err
    assert main(["checkpoints", "import", str(path), "--trust", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["imported"][0]["not_the_published"] == ["ViT-L-14.pt"]
    assert "ViT-L-14.pt is not the published file: its sha256 differs from the published one" in " ".join(err.split())
    assert "is not published" not in err


def test_doctor_lists_what_the_full_bundle_lacks(root, yolo_file, capsys):
    main(["checkpoints", "import", str(yolo_file), "--trust"])
    capsys.readouterr()
    assert main(["doctor", "--bundle", "full", "--json"]) == 1
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert "bundle full: detector" not in checks
    assert "svdaudio checkpoints fetch panns-cnn14" in checks["bundle full: tagger"]["found"]


def test_a_run_names_the_missing_model_and_the_command_that_fetches_it(root, yolo_file, capsys):
    main(["checkpoints", "import", str(yolo_file), "--trust"])
    capsys.readouterr()
    picture = str(yolo_file.parent / "x.png")
    from PIL import Image

    Image.new("RGB", (64, 64)).save(picture)
    assert main(["plan", picture, picture, "--remove", "1,1", "--add", "1,1", "--bundle", "full"]) == 3
    assert "svdaudio checkpoints fetch clip-vit-l-14" in capsys.readouterr().err


def test_a_fetch_reports_progress_and_resumes(root, yolo_file, capsys, monkeypatch):
    from svdaudio.checkpoints.download import Patience

    data = yolo_file.read_bytes()
    monkeypatch.setattr("svdaudio.checkpoints.download.Patience", lambda: Patience(n_tries=1, pause_s=0.0))
    with serving(data) as server:
        published = registry.find("yolov8x-oiv7")
        file = published.files[0].model_copy(update={"urls": (server.url,), "sha256": server.sha256})
        monkeypatch.setattr(registry, "find", lambda name: published.model_copy(update={"files": (file,)}))
        server.cuts = [len(data) // 2]
        assert main(["checkpoints", "fetch", "yolov8x-oiv7"]) == 3
        assert "cut the connection" in capsys.readouterr().err
        assert state(listed(capsys), "yolov8x-oiv7")["bytes_begun"] > 0
        assert main(["checkpoints", "fetch", "yolov8x-oiv7", "--json"]) == 0
        out, err = capsys.readouterr()
        assert server.ranges[-1] == f"bytes={len(data) // 2}-"
    assert json.loads(out)["fetched"][0]["new"] == 1
    assert "yolov8x-oiv7.pt: " in err
    assert "MB" in err


def test_a_failed_download_does_not_stop_the_others(root, capsys, monkeypatch):
    def fetch(published, folder, **options):
        from svdaudio.errors import CheckpointError

        raise CheckpointError(f"no luck with {published.name}")

    monkeypatch.setattr(install, "fetch", fetch)
    assert main(["checkpoints", "fetch"]) == 3
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == sum(published.recommended for published in registry.registry())
    assert all(line.startswith("error: ") for line in lines)


def test_unknown_names_are_refused(root, capsys):
    assert main(["checkpoints", "fetch", "gpt"]) == 2
    assert "no published model is named 'gpt'" in capsys.readouterr().err
    assert main(["checkpoints", "import", "no/such/file.pt"]) == 2
    assert "file not found: no/such/file.pt" in capsys.readouterr().err
