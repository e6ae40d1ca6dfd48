"""Fetching and importing published weights into the bundle."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import warnings
from pathlib import Path

import made_up_files
import pytest
import torch
from file_server import serving

from svdaudio.checkpoints import install, recognise, registry
from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.description import MANIFEST
from svdaudio.checkpoints.download import Patience
from svdaudio.checkpoints.models import Models
from svdaudio.checkpoints.registry import Published, PublishedFile, find
from svdaudio.errors import CheckpointError, InputError
from svdaudio.models.ssv2a import Config
from svdaudio.models.ssv2a.config import MLPConfig, RemixerConfig, StylerConfig
from svdaudio.store.locks import file_lock
from svdaudio.weights.reading import read_inert, read_plain

QUICK = Patience(n_tries=2, pause_s=0.0, timeout_s=5.0)
SMALL_SSV2A = Config(
    manifold=MLPConfig(layers=(16, 16, 24)),
    generator=MLPConfig(layers=(16, 12, 20)),
    remixer=RemixerConfig(slot=64, styler=StylerConfig(embed_dim=16, nhead=4)),
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints" / "full"


@pytest.fixture
def ssv2a_file(tmp_path):
    (tmp_path / "downloads").mkdir()
    return made_up_files.write_ssv2a(tmp_path / "downloads", SMALL_SSV2A)


def opened(folder):
    return Bundle.open("full", folder.parent)


def known(published, **changes):
    """A registry entry whose only file has other digests or addresses."""
    return published.model_copy(update={"files": (published.files[0].model_copy(update=changes),)})


@pytest.fixture
def as_published(monkeypatch):
    """Gives the registry other digests and addresses."""

    def publish(*entries):
        names = {entry.name for entry in entries}
        everything = (*entries, *(one for one in registry.registry() if one.name not in names))
        for module in (registry, recognise):
            monkeypatch.setattr(module, "registry", lambda: everything)

    return publish


def test_a_known_file_is_downloaded_checked_and_described(folder, yolo_file):
    data = yolo_file.read_bytes()
    with serving(data) as server:
        published = known(find("yolov8x-oiv7"), urls=(server.url,), sha256=server.sha256, bytes=len(data))
        progress = []
        done = install.fetch(published, folder, on_progress=lambda *news: progress.append(news), patience=QUICK)
        assert (done.n_fetched, done.newly_pinned) == (1, ())
        assert progress[-1] == ("yolov8x-oiv7.pt", len(data), len(data))
        assert install.fetch(published, folder, patience=QUICK).n_fetched == 0
        assert len(server.requests) == 1
    bundle = opened(folder)
    assert bundle.digests("detector") == hashlib.sha256(data).hexdigest()
    assert bundle.classes("detector") == ("Cat", "Dog", "Duck")
    assert Models(bundle, device="cpu")["detector"].names == ("Cat", "Dog", "Duck")
    assert (folder / ".yolov8x-oiv7.pt.detector.safetensors").is_file()


def test_an_unknown_digest_needs_trust_and_is_pinned(folder, yolo_file):
    data = yolo_file.read_bytes()
    with serving(data) as server:
        published = known(find("yolov8x-oiv7"), urls=(server.url,))
        with pytest.raises(CheckpointError, match=r"is not published.*fetch yolov8x-oiv7` with --trust"):
            install.fetch(published, folder, patience=QUICK)
        assert server.requests == []
        assert install.fetch(published, folder, trust=True, patience=QUICK).newly_pinned == ("yolov8x-oiv7.pt",)
        # From now on the digest is pinned: a lost file may be fetched again, but no other file is accepted.
        (folder / "yolov8x-oiv7.pt").unlink()
        assert install.fetch(published, folder, patience=QUICK).newly_pinned == ()
        (folder / "yolov8x-oiv7.pt").unlink()
        server.content = data[:-1] + b"x"
        with pytest.raises(CheckpointError, match="sent another file"):
            install.fetch(published, folder, patience=QUICK)
    assert not (folder / "yolov8x-oiv7.pt").exists()


def test_a_sign_in_page_is_not_taken_for_weights(folder):
    with serving(b"<html>sign in</html>") as server:
        published = known(find("yolov8x-oiv7"), urls=(server.url,))
        with pytest.raises(CheckpointError, match="of another kind"):
            install.fetch(published, folder, trust=True, patience=QUICK)
    assert not (folder / "yolov8x-oiv7.pt").exists()
    assert not (folder / MANIFEST).exists()


def test_files_that_must_be_downloaded_by_hand(folder):
    with pytest.raises(
        CheckpointError, match=r"cannot be downloaded automatically.*drive\.google\.com.*import ssv2a\.pth"
    ):
        install.fetch(find("ssv2a"), folder)


def test_a_pair_is_imported_by_either_of_its_files(folder, ssv2a_file):
    with pytest.raises(CheckpointError, match=r"the sha256 of ssv2a.pth is not published"):
        install.take(ssv2a_file, folder)
    done = install.take(ssv2a_file, folder, trust=True)
    assert {path.name for path in done.files} == {"ssv2a.pth", "ssv2a.json"}
    assert done.newly_pinned == ("ssv2a.pth", "ssv2a.json")
    assert install.take(ssv2a_file.with_suffix(".json"), folder, trust=True).newly_pinned == ()
    bundle = opened(folder)
    assert Models(bundle, device="cpu")["ssv2a"].config == SMALL_SSV2A
    before = bundle.digests("ssv2a")
    document = json.loads(ssv2a_file.with_suffix(".json").read_text())
    ssv2a_file.with_suffix(".json").write_text(json.dumps(document, indent=1))
    install.take(ssv2a_file, folder, trust=True)
    assert opened(folder).digests("ssv2a") != before


def test_an_incomplete_pair_is_refused(folder, ssv2a_file):
    ssv2a_file.with_suffix(".json").unlink()
    with pytest.raises(CheckpointError, match=r"ssv2a is incomplete: expected .*ssv2a\.json"):
        install.take(ssv2a_file, folder, trust=True)
    assert not (folder / "ssv2a.pth").exists()


def test_an_import_links_instead_of_copying_where_possible(folder, yolo_file, tmp_path, monkeypatch):
    other = tmp_path / "anything.pt"
    other.write_bytes(yolo_file.read_bytes())
    install.take(other, folder, trust=True)
    assert (folder / "yolov8x-oiv7.pt").samefile(other)
    (folder / "yolov8x-oiv7.pt").unlink()

    def refuse(*paths):
        raise OSError("another device")

    monkeypatch.setattr(os, "link", refuse)
    progress = []
    install.take(other, folder, trust=True, on_progress=lambda *news: progress.append(news))
    assert not (folder / "yolov8x-oiv7.pt").samefile(other)
    assert (folder / "yolov8x-oiv7.pt").read_bytes() == other.read_bytes()
    assert progress[-1][1] == other.stat().st_size


def test_a_file_is_recognised_by_its_digest(folder, yolo_file, tmp_path, as_published):
    digest = hashlib.sha256(yolo_file.read_bytes()).hexdigest()
    as_published(known(find("yolov8x-oiv7"), sha256=digest, bytes=yolo_file.stat().st_size))
    other = tmp_path / "download (1)"
    other.write_bytes(yolo_file.read_bytes())
    assert install.take(other, folder).published.name == "yolov8x-oiv7"


def test_another_version_of_a_known_file(folder, yolo_file, as_published):
    as_published(known(find("yolov8x-oiv7"), sha256="0" * 64, bytes=10**9))
    with pytest.raises(CheckpointError, match=r"is not the published yolov8x-oiv7.pt.*too short.*--trust"):
        install.take(yolo_file, folder)
    assert install.take(yolo_file, folder, trust=True).newly_pinned == ("yolov8x-oiv7.pt",)


@pytest.fixture
def payload(tmp_path, clip_model):
    """Writes a TorchScript archive with the entries of CLIP, which fills a file when `torch.jit.load` opens it."""

    def write(path, marker, entries):
        source = tmp_path / "payload.py"
        source.write_text(PAYLOAD.format(marker=str(marker)))
        spec = importlib.util.spec_from_file_location("payload", source)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        root = made_up_files.clip_tree(entries)
        root.add_module("visual_payload", module.Payload())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.script(root.eval()).save(path)

    return write


PAYLOAD = """
import torch
from typing import Tuple

class Payload(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x

    @torch.jit.export
    def __getstate__(self):
        return (self.training, self.a)

    @torch.jit.export
    def __setstate__(self, state: Tuple[bool, torch.Tensor]) -> None:
        self.training = state[0]
        written = torch.from_file("{marker}", True, 16, dtype=torch.uint8)
        written.fill_(65)
        self.a = written.to(torch.float32)
"""


def test_torchscript_is_never_run(folder, tmp_path, payload, clip_model):
    path, marker = tmp_path / "x.pt", tmp_path / "marker"
    entries = {key: value.detach() for key, value in clip_model.state_dict().items()}
    payload(path, marker, entries)
    with pytest.raises(CheckpointError, match=r"is not the published ViT-L-14\.pt"):
        install.take(path, folder)
    done = install.take(path, folder, trust=True)
    assert (done.newly_pinned, done.differing) == (("ViT-L-14.pt",), ("ViT-L-14.pt",))
    visual = Models(opened(folder), device="cpu")["image_encoder"].visual.state_dict()
    assert all(torch.equal(value, entries[f"visual.{key}"]) for key, value in visual.items())
    for read in (lambda: recognise.recognise_format(path), lambda: read_inert(path), lambda: read_plain(path)):
        with contextlib.suppress(CheckpointError):
            read()
    # Imported as another model, it reaches the reader of that format.
    text = (folder / MANIFEST).read_text().replace("image_encoder", "detector").replace("openai-clip", "ultralytics")
    (folder / MANIFEST).write_text(text)
    with pytest.raises(CheckpointError, match="expected a dict, got TorchScript"):
        Models(opened(folder), device="cpu")["detector"]
    assert not marker.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.load(path)  # what running the code would do
    assert marker.read_bytes() == b"A" * 16


def test_torchscript_that_is_not_clip_is_not_taken_for_it(folder, tmp_path, payload):
    payload(tmp_path / "x.pt", tmp_path / "marker", {})
    with pytest.raises(CheckpointError, match="not a published checkpoint"):
        install.take(tmp_path / "x.pt", folder, trust=True)
    with pytest.raises(CheckpointError, match="of another kind"):
        install.take(tmp_path / "x.pt", folder, name="clip-vit-l-14", trust=True)
    assert not (tmp_path / "marker").exists()


def test_pipes_and_devices_do_not_block(folder, tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "model_index.json")
    os.mkfifo(tmp_path / "folder" / "config.json")
    for given in (tmp_path / "pipe.pt", Path("/dev/zero"), Path("x" * 5000)):
        with pytest.raises(InputError):
            install.take(given, folder, trust=True)
    with pytest.raises(CheckpointError, match="not a published checkpoint"):
        install.take(tmp_path / "folder", folder, trust=True)


def test_nothing_is_written_through_links_in_the_folder(folder, yolo_file, tmp_path):
    """A foreign folder may contain links in place of this program's cache files."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder.mkdir(parents=True)
    for name in (".yolov8x-oiv7.pt.sha256.json", ".yolov8x-oiv7.pt.partial", ".yolov8x-oiv7.pt.partial.json"):
        (folder / name).symlink_to(victim)
    with serving(yolo_file.read_bytes()) as server:
        published = known(find("yolov8x-oiv7"), urls=(server.url,), sha256=server.sha256)
        install.fetch(published, folder, patience=QUICK)
    assert victim.read_text() == "mine"
    (tmp_path / "elsewhere").mkdir()
    (folder / "ast-audioset").symlink_to(tmp_path / "elsewhere")
    made_up_files.write_ast(
        tmp_path / "ast", hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    with pytest.raises(CheckpointError, match="leads out of the bundle's folder"):
        install.take(tmp_path / "ast", folder, trust=True)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_unpublished_files_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match="file not found"):
        install.take(tmp_path / "x.pt", folder)
    for content in (b"", b"text", b"PK\x03\x04"):
        (tmp_path / "x.pt").write_bytes(content)
        with pytest.raises(CheckpointError, match="not a published checkpoint"):
            install.take(tmp_path / "x.pt", folder)
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError, match="not a published checkpoint"):
        install.take(tmp_path / "folder", folder)
    torch.save({"model": {"weight": torch.ones(1)}}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="of another kind"):
        install.take(tmp_path / "x.pt", folder, name="sam2.1-hiera-large", trust=True)
    assert not folder.exists() or not (folder / MANIFEST).exists()


def test_every_format_is_recognised(clip_archive, clip_model, sam_file, yolo_file, ssv2a_file, tmp_path):
    def format_of(path):
        return recognise.recognise_format(path)

    assert format_of(clip_archive) == "openai-clip"
    torch.save(dict(clip_model.state_dict()), tmp_path / "clip.pt")
    assert format_of(tmp_path / "clip.pt") == "openai-clip"
    assert format_of(sam_file) == "sam2"
    assert format_of(yolo_file) == "ultralytics"
    assert format_of(ssv2a_file) == format_of(ssv2a_file.with_suffix(".json")) == "ssv2a"
    torch.save({"model": {"conv_block1.conv1.weight": torch.ones(1)}}, tmp_path / "panns.pth")
    assert format_of(tmp_path / "panns.pth") == "panns-cnn14"
    (tmp_path / "config.json").write_text('{"model_type": "audio-spectrogram-transformer"}')
    assert format_of(tmp_path) == "transformers-ast"


def test_sound_encoders_of_clip_space_are_recognised(folder, tmp_path):
    """Of the two CLIPs, the one with patches of 32 px; the sound encoder brings the preset of its pictures."""
    sound, clip = tmp_path / "found.pth", tmp_path / "found.pt"
    made_up_files.write_sgsim(sound, prefix="module.")
    model = made_up_files.clip(width=64, layers=1, text_width=64, text_layers=1, patch_size=32, dim=512)
    made_up_files.write_clip_archive(clip, model)
    with pytest.raises(CheckpointError, match=r"the sha256 of resnet18_57.pth is not published"):
        install.take(sound, folder)
    with pytest.raises(CheckpointError, match=r"is not the published ViT-B-32\.pt: expected sha256 40d365715913"):
        install.take(clip, folder)
    assert install.take(sound, folder, trust=True).published.roles == ("sound_encoder",)
    assert install.take(clip, folder, trust=True).published.roles == ("guide",)
    bundle = opened(folder)
    assert bundle.settings == {"hear.preset": "published"}
    models = Models(bundle, device="cpu")
    assert models["sound_encoder"].dim == models["guide"].dim == 512
    with pytest.raises(CheckpointError, match=r"github\.com/kuai-lab.*import resnet18_57\.pth"):
        install.fetch(find("sgsim-resnet18"), tmp_path / "other")


def test_a_folder_is_imported_whole(folder, tmp_path):
    source = tmp_path / "downloads"
    made_up_files.write_ast(source, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    done = install.take(source, folder, trust=True)
    assert done.published.name == "ast-audioset"
    bundle = opened(folder)
    assert bundle.entry("tagger").path == folder / "ast-audioset"
    assert len(bundle.entry("tagger").parts) == 3
    assert len(bundle.classes("tagger")) == 527
    assert Models(bundle, device="cpu")["tagger"].classes == bundle.classes("tagger")
    (folder / "ast-audioset" / "config.json").write_text("{}")
    with pytest.raises(
        CheckpointError, match=r"config\.json does not match the description.*Delete it and run .*fetch ast-audioset"
    ):
        Models(bundle, device="cpu")["tagger"]


def test_a_later_change_to_a_file_is_detected(folder, yolo_file):
    install.take(yolo_file, folder, trust=True)
    (folder / "yolov8x-oiv7.pt").unlink()
    (folder / "yolov8x-oiv7.pt").write_bytes(yolo_file.read_bytes() + b"x")
    with pytest.raises(CheckpointError, match="does not match the description of the bundle 'full'"):
        opened(folder).check("detector")
    with pytest.raises(CheckpointError, match=r"is not the published yolov8x-oiv7.pt.*Delete it"):
        install.fetch(find("yolov8x-oiv7"), folder)


def test_an_unchanged_file_is_hashed_again_only_on_request(folder, yolo_file, monkeypatch):
    install.take(yolo_file, folder, trust=True)
    bundle = opened(folder)
    monkeypatch.setattr("svdaudio.weights.digests.hash_file", lambda path: pytest.fail("it was hashed"))
    bundle.check("detector")
    monkeypatch.setattr("svdaudio.weights.digests.hash_file", lambda path: "0" * 64)
    with pytest.raises(CheckpointError, match="does not match the description"):
        bundle.check("detector", rehash=True)


def test_a_missing_role_names_the_command_that_installs_it(folder, yolo_file):
    with pytest.raises(CheckpointError, match=r"unknown bundle 'full'.*svdaudio checkpoints fetch"):
        opened(folder)
    install.take(yolo_file, folder, trust=True)
    bundle = opened(folder)
    with pytest.raises(CheckpointError, match=r"has no segmenter.*svdaudio checkpoints fetch sam2.1-hiera-large"):
        bundle.digests("segmenter")
    (folder / "yolov8x-oiv7.pt").unlink()
    with pytest.raises(CheckpointError, match=r"is missing.*svdaudio checkpoints fetch yolov8x-oiv7"):
        bundle.check("detector")


def test_an_unknown_format_is_refused(folder, yolo_file):
    install.take(yolo_file, folder, trust=True)
    text = (folder / MANIFEST).read_text().replace('"ultralytics"', '"onnx"')
    (folder / MANIFEST).write_text(text)
    with pytest.raises(CheckpointError, match="unknown format: expected svdaudio or ultralytics, got onnx"):
        Models(opened(folder), device="cpu")["detector"]


def test_one_process_at_a_time(folder, yolo_file):
    folder.mkdir(parents=True)
    with (
        file_lock(folder / ".lock", lambda: None),
        pytest.raises(CheckpointError, match="another process is fetching or importing"),
    ):
        install.take(yolo_file, folder, trust=True)


def test_a_damaged_description_is_not_overwritten(folder, yolo_file):
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text("{")
    with pytest.raises(CheckpointError, match="damaged"):
        install.take(yolo_file, folder, trust=True)
    assert (folder / MANIFEST).read_text() == "{"


def test_several_roles_from_one_file(folder, yolo_file):
    made = Published(
        name="many", title="", purpose="", roles=("detector", "segmenter"), format="ultralytics", licence="", page="",
        files=(PublishedFile(name="many.pt", sha256=hashlib.sha256(yolo_file.read_bytes()).hexdigest()),),
    )  # fmt: skip
    with serving(yolo_file.read_bytes()) as server:
        install.fetch(known(made, urls=(server.url,)), folder, patience=QUICK)
    bundle = opened(folder)
    assert bundle.entry("detector").path == bundle.entry("segmenter").path
