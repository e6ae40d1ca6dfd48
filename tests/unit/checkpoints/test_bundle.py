import gc
import hashlib
import json
import os
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from svdaudio.checkpoints.bundle import Bundle, load_entry
from svdaudio.checkpoints.description import MANIFEST
from svdaudio.checkpoints.models import Models, find_device
from svdaudio.checkpoints.roles import JUDGE, LOADERS
from svdaudio.errors import CheckpointError, ConfigError
from svdaudio.mini.catalogue import PRETRAINED
from svdaudio.models.mel_cnn.networks import AudioEmbedder, TaggerNetwork
from svdaudio.weights.own import Header, save_weights


def header(role, config, **extra):
    return Header(role=role, architecture="", config=config, recipe="", recipe_version=1, extra=extra)


@pytest.fixture
def root(tmp_path):
    """A bundle `toy` that fills two roles."""
    folder = tmp_path / "toy"
    shape = {"widths": [2, 2], "n_classes": 2}
    save_weights(
        folder / "tagger.safetensors",
        TaggerNetwork(**shape).state_dict(),
        header("tagger", shape, classes=["cat", "dog"]),
    )
    shape = {"n_dims": 16, **shape}
    save_weights(
        folder / "audio_encoder.safetensors", AudioEmbedder(**shape).state_dict(), header("audio_encoder", shape)
    )
    models = {}
    for role in ("tagger", "audio_encoder"):
        data = (folder / f"{role}.safetensors").read_bytes()
        models[role] = {"file": f"{role}.safetensors", "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    models["tagger"]["classes"] = ["cat", "dog"]
    (folder / MANIFEST).write_text(json.dumps({"title": "a toy", "settings": {"svd.k": 3}, "models": models}))
    return tmp_path


def test_a_bundle_lists_its_models(root):
    bundle = Bundle.open("toy", root)
    assert bundle.name == "toy"
    assert bundle.roles == ("tagger", "audio_encoder")
    assert bundle.settings == {"svd.k": 3}
    assert bundle.classes("tagger") == ("cat", "dog")
    assert bundle.digests("tagger") == hashlib.sha256((root / "toy" / "tagger.safetensors").read_bytes()).hexdigest()


def test_a_copied_bundle_has_the_name_of_its_folder(root):
    (root / "toy").rename(root / "other")
    assert Bundle.open("other", root).name == "other"


def test_one_model_is_resident_unless_all_are_kept(root):
    bundle = Bundle.open("toy", root)
    models = Models(bundle, device="cpu")
    tagger = models["tagger"]
    assert models["tagger"] is tagger
    assert tagger.classes == ("cat", "dog")
    _ = models["audio_encoder"]
    assert models["tagger"] is not tagger
    kept = Models(bundle, device="cpu", keep=True)
    tagger = kept["tagger"]
    _ = kept["audio_encoder"]
    assert kept["tagger"] is tagger


@pytest.mark.parametrize("where", ["model", "network", "nothing"])
def test_a_released_model_is_collected_only_if_it_refers_to_itself(root, monkeypatch, where):
    collected = []
    models = Models(Bundle.open("toy", root), device="cpu")
    tagger = models["tagger"]
    if where != "nothing":
        part = tagger if where == "model" else next(one for one in vars(tagger).values() if isinstance(one, nn.Module))
        object.__setattr__(part, "itself", part)
        del part
    gone = weakref.ref(tagger)
    del tagger
    collect = gc.collect
    monkeypatch.setattr("gc.collect", lambda: collected.append(collect()))
    gc.disable()
    try:
        _ = models["audio_encoder"]
    finally:
        gc.enable()
    assert gone() is None
    assert len(collected) == (where != "nothing")


def test_a_missing_bundle_lists_the_existing_ones(root):
    with pytest.raises(CheckpointError, match=r"unknown bundle 'full': expected toy\."):
        Bundle.open("full", root)


NONE = "0" * 64


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("models"),
        lambda d: d.update(models=[]),
        lambda d: d.update(title=None),
        lambda d: d.update(settings=[1]),
        lambda d: d.update(settings={"bundle": "mini"}),
        lambda d: d["models"].update(tagger="tagger.safetensors"),
        lambda d: d["models"]["tagger"].pop("file"),
        lambda d: d["models"]["tagger"].update(file=5),
        lambda d: d["models"]["tagger"].update(file=""),
        lambda d: d["models"]["tagger"].update(file="a\0b"),
        lambda d: d["models"]["tagger"].update(sha256="zz"),
        lambda d: d["models"]["tagger"].update(bytes="many"),
        lambda d: d["models"]["tagger"].update(bytes=-1),
        lambda d: d["models"]["tagger"].update(classes="cat"),
        lambda d: d["models"]["tagger"].update(classes=[1]),
        lambda d: d["models"]["tagger"].update(published="x; rm -r ~"),
        lambda d: d["models"]["tagger"].update(parts=[5]),
        # With a wrong digest, results would be stored under the key of other weights.
        lambda d: d["models"]["tagger"].update(parts=[{"file": "tagger.safetensors", "sha256": NONE, "bytes": 1}]),
        lambda d: d["models"]["tagger"].update(
            parts=[{"file": "audio_encoder.safetensors", "sha256": d["models"]["tagger"]["sha256"], "bytes": 1}]
        ),
    ],
)
def test_a_damaged_description_is_refused(root, change):
    path = root / "toy" / MANIFEST
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match=r"bundle\.json is damaged.*Restore it") as caught:
        Bundle.open("toy", root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b'{"title": 1e999}'])
def test_a_description_in_another_format_is_refused(root, text):
    (root / "toy" / MANIFEST).write_bytes(text)
    with pytest.raises(CheckpointError, match="is damaged"):
        Bundle.open("toy", root)


@pytest.mark.parametrize("how", ["above", "absolute", "link", "folder link", "circle", "part"])
def test_a_description_cannot_name_files_outside_its_folder(root, tmp_path_factory, how):
    folder, elsewhere = root / "toy", tmp_path_factory.mktemp("elsewhere")
    (folder / "tagger.safetensors").rename(elsewhere / "tagger.safetensors")
    if how == "link":
        (folder / "tagger.safetensors").symlink_to(elsewhere / "tagger.safetensors")
    elif how == "folder link":
        (folder / "sub").symlink_to(elsewhere)
    elif how == "circle":
        (folder / "tagger.safetensors").symlink_to(folder / "tagger.safetensors")
    relative = Path(os.path.relpath(elsewhere, folder))
    file = {
        "above": str(relative / "tagger.safetensors"), "absolute": str(elsewhere / "tagger.safetensors"),
        "folder link": "sub/tagger.safetensors", "part": str(relative / "tagger.safetensors"),
    }.get(how, "tagger.safetensors")  # fmt: skip
    description = json.loads((folder / MANIFEST).read_text())
    tagger = description["models"]["tagger"]
    if how == "part":
        tagger["parts"] = [{"file": file, "sha256": tagger["sha256"], "bytes": tagger["bytes"]}]
    tagger["file"] = file
    (folder / MANIFEST).write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match=r"is damaged: got .*(leads out of the bundle's folder|[Ll]oop)"):
        Bundle.open("toy", root)


def test_the_folder_of_a_bundle_may_be_a_link(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("disk") / "weights"
    (root / "toy").rename(elsewhere)
    (root / "toy").symlink_to(elsewhere)
    assert Models(Bundle.open("toy", root), device="cpu")["tagger"].classes == ("cat", "dog")


@pytest.mark.parametrize("name", ["../toy", "toy/", "/toy", ".", "..", ""])
def test_a_bundle_has_the_name_of_a_folder(root, name):
    with pytest.raises(CheckpointError):
        Bundle.open(name, root / "toy")


def test_a_pipe_in_place_of_a_description_does_not_block(root):
    (root / "toy" / MANIFEST).unlink()
    os.mkfifo(root / "toy" / MANIFEST)
    with pytest.raises(CheckpointError, match="unknown bundle 'toy'"):
        Bundle.open("toy", root)


@pytest.mark.parametrize("metadata", [{}, {"svdaudio": "{"}, {"svdaudio": "[]"}, {"svdaudio": '{"role": "tagger"}'}])
def test_a_weight_file_with_a_crafted_header_is_refused(root, metadata):
    path = root / "toy" / "tagger.safetensors"
    save_file({"a": torch.ones(1)}, path, metadata=metadata)
    redescribe(root / "toy", "tagger")
    with pytest.raises(CheckpointError, match=r"tagger\.safetensors (cannot be read|has no description)"):
        Models(Bundle.open("toy", root), device="cpu")["tagger"]


@pytest.mark.parametrize("config", [{}, {"widths": "ab"}, {"widths": [2, 2], "n_classes": -1}, {"widths": [[]]}])
def test_a_weight_file_that_describes_an_impossible_network_is_refused(root, config):
    save_weights(root / "toy" / "tagger.safetensors", {"a": torch.ones(1)}, header("tagger", config, classes=5))
    redescribe(root / "toy", "tagger")
    with pytest.raises(CheckpointError, match=r"tagger\.safetensors"):
        Models(Bundle.open("toy", root), device="cpu")["tagger"]


def redescribe(folder, role):
    """Updates the description to fit a changed file, as the author of a malicious bundle would."""
    description, data = json.loads((folder / MANIFEST).read_text()), (folder / f"{role}.safetensors").read_bytes()
    description["models"][role].update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    (folder / MANIFEST).write_text(json.dumps(description))


def test_a_missing_role_is_refused(root):
    with pytest.raises(CheckpointError, match="has no vocoder"):
        Models(Bundle.open("toy", root), device="cpu")["vocoder"]


def test_a_file_that_differs_from_its_description_is_not_loaded(root):
    path = root / "toy" / "tagger.safetensors"
    save_weights(path, nn.Linear(1, 1).state_dict(), header("tagger", {}))
    with pytest.raises(CheckpointError, match="does not match the description of the bundle 'toy'"):
        Models(Bundle.open("toy", root), device="cpu")["tagger"]
    path.unlink()
    with pytest.raises(CheckpointError, match="is missing"):
        Models(Bundle.open("toy", root), device="cpu")["tagger"]


def test_a_file_that_changes_after_its_first_load_is_not_loaded_again(root):
    models = Models(Bundle.open("toy", root), device="cpu")
    _ = models["tagger"], models["audio_encoder"]  # which releases the tagger
    shape = {"widths": [2, 2], "n_classes": 2}
    save_weights(
        root / "toy" / "tagger.safetensors",
        TaggerNetwork(**shape).state_dict(),
        header("tagger", shape, classes=["dog", "cat"]),
    )
    with pytest.raises(CheckpointError, match="does not match the description of the bundle 'toy'"):
        models["tagger"]


def test_a_file_that_changes_while_it_is_loaded_is_refused(root, monkeypatch):
    path = root / "toy" / "tagger.safetensors"
    save = path.read_bytes()

    def change(*given):
        model = load_entry(*given)
        path.write_bytes(save[:-1] + b"x")
        return model

    monkeypatch.setattr("svdaudio.checkpoints.models.load_entry", change)
    with pytest.raises(CheckpointError, match=r"the tagger .* changed while it was loaded"):
        Models(Bundle.open("toy", root), device="cpu")["tagger"]


def test_a_missing_device_is_refused(root, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(ConfigError, match="unknown device: expected cpu, got cuda"):
        Models(Bundle.open("toy", root), device="cuda")["tagger"]


@pytest.mark.parametrize(
    ("n_gpus", "name", "found"),
    [(0, "auto", "cpu"), (2, "auto", "cuda"), (2, "cpu", "cpu"), (1, "cuda", "cuda"), (2, "cuda:1", "cuda:1"),
     (1, "cuda:1", None), (0, "cuda:0", None), (1, "gpu", None)],
)  # fmt: skip
def test_devices_have_names(monkeypatch, n_gpus, name, found):
    monkeypatch.setattr("torch.cuda.device_count", lambda: n_gpus)
    if found is None:
        with pytest.raises(ConfigError, match="unknown device"):
            find_device(name)
    else:
        assert str(find_device(name)) == found


def test_every_role_has_a_loader():
    from importlib import import_module

    for place in (place for formats in LOADERS.values() for place in formats.values()):
        module, _, function = place.partition(":")
        assert callable(getattr(import_module(module), function))


def test_the_shipped_bundle_is_complete_and_small():
    bundle = Bundle.open("mini")
    assert set(bundle.roles) == set(LOADERS) - {JUDGE, *PRETRAINED}
    for role in bundle.roles:
        bundle.check(role)
    assert sum({(entry := bundle.entry(role)).path: entry.n_bytes for role in bundle.roles}.values()) <= 50_000_000


@pytest.fixture
def mine(root):
    """A bundle `mine` with its own tagger, whose base is `toy`."""
    folder = root / "mine"
    shape = {"widths": [2, 2], "n_classes": 2}
    torch.manual_seed(7)
    save_weights(
        folder / "tagger.safetensors",
        TaggerNetwork(**shape).state_dict(),
        header("tagger", shape, classes=["owl", "pig"]),
    )
    data = (folder / "tagger.safetensors").read_bytes()
    tagger = {"file": "tagger.safetensors", "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    described = {"title": "mine", "base": "toy", "settings": {"seed": 7}, "models": {"tagger": tagger}}
    (folder / MANIFEST).write_text(json.dumps(described))
    return root


def test_a_bundle_takes_missing_roles_from_its_base(mine):
    base, bundle = Bundle.open("toy", mine), Bundle.open("mine", mine)
    assert bundle.bases == ("toy",)
    assert set(bundle.roles) == set(base.roles)
    assert bundle.own_roles == ("tagger",)
    assert bundle.digests("audio_encoder") == base.digests("audio_encoder")
    assert bundle.digests("tagger") != base.digests("tagger")
    assert bundle.settings == {**base.settings, "seed": 7}
    models = Models(bundle, device="cpu")
    assert models["tagger"].classes == ("owl", "pig")
    assert models["audio_encoder"] is not None
    for role in bundle.roles:
        bundle.check(role)


def test_a_moved_bundle_finds_the_files_of_its_base(mine, monkeypatch, tmp_path):
    opened = Bundle.open("mine", mine)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("mine", "toy"):
        (mine / name).rename(elsewhere / name)
    monkeypatch.setenv("SVDAUDIO_CHECKPOINTS", str(elsewhere))
    here = opened.here()
    assert here.entry("tagger").path == elsewhere / "mine" / "tagger.safetensors"
    assert here.entry("audio_encoder").path == elsewhere / "toy" / opened.entry("audio_encoder").path.name
    for role in here.roles:
        here.check(role)


@pytest.mark.parametrize(
    ("base", "message"), [("mine", "its own base"), ("gone", "unknown bundle 'gone'"), (5, "damaged")]
)
def test_an_invalid_base_is_refused(mine, base, message):
    path = mine / "mine" / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "base": base}))
    with pytest.raises(CheckpointError, match=message):
        Bundle.open("mine", mine)


def test_a_circle_of_bases_is_refused(mine):
    path = mine / "toy" / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "base": "mine"}))
    with pytest.raises(CheckpointError, match="'toy' is its own base"):
        Bundle.open("mine", mine)


def test_a_missing_role_names_a_bundle_that_has_it(mine, monkeypatch):
    monkeypatch.setenv("SVDAUDIO_CHECKPOINTS", str(mine))
    with pytest.raises(CheckpointError, match=r"the bundle 'toy' has no segmenter.*Use --bundle mini\.$"):
        Bundle.open("toy").entry("segmenter")


def test_the_shipped_bundle_for_pretraining_is_complete_and_small():
    bundle = Bundle.open("mini-pretrained")
    assert bundle.bases == ("mini",)
    assert bundle.own_roles == PRETRAINED
    assert set(bundle.roles) == set(LOADERS) - {JUDGE}
    for role in bundle.own_roles:
        bundle.check(role)
    assert sum(bundle.entry(role).n_bytes for role in bundle.own_roles) <= 20_000_000
