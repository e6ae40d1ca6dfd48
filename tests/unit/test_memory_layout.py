"""Every weight has the canonical layout, whatever file it comes from; equal weights then give equal bits."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import made_up_files
import numpy as np
import pytest
import torch
from made_up import save_audioldm
from made_up_files import SMALL_SAM
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_audioldm import TINY, write_tokenizer
from torch import nn
from torch.nn import functional

import svdaudio
from svdaudio.checkpoints.bundle import Bundle, load_entry
from svdaudio.checkpoints.roles import DOMAIN, LOADERS, OWN_FORMAT
from svdaudio.memory_layout import canonical, canonicalize_network, fill_network, is_canonical, to_tensor
from svdaudio.mini.harness import made_once
from svdaudio.models.audioldm import loaders as audioldm
from svdaudio.models.audioldm import published
from svdaudio.models.audioldm.convert import to_folder
from svdaudio.models.ciap import published as ciap
from svdaudio.models.clip import published as openai_clip
from svdaudio.models.sam2 import published as sam2_hiera
from svdaudio.models.sound_clip import published as sound_clip
from svdaudio.models.ssv2a import Config, load
from svdaudio.models.ssv2a.load import load_pair
from svdaudio.models.taggers import cnn14, spectrogram_transformer
from svdaudio.models.yolo import published as ultralytics_pt
from svdaudio.weights.own import load_weights
from svdaudio.weights.quick_copy import PADDING, cache_path, save_aligned
from svdaudio.weights.reading import fill, read_plain

CPU = torch.device("cpu")
AUDIOLDM = ("diffuser", "autoencoder", "vocoder", "audio_encoder")
SMALL_AST = {"hidden_size": 36, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 20}


def at(offset, tensor):
    """A copy of a tensor that many bytes past a multiple of 64."""
    memory = torch.empty(tensor.nbytes + 128, dtype=torch.uint8)
    begin = -memory.data_ptr() % 64 + offset
    return memory[begin : begin + tensor.nbytes].view(tensor.dtype).view(tensor.shape).copy_(tensor)


def tensors_of(thing, seen=None):
    """All tensors that an object holds, at any depth."""
    seen = {} if seen is None else seen
    if id(thing) in seen:
        return
    seen[id(thing)] = thing
    if isinstance(thing, torch.Tensor):
        yield thing
    elif isinstance(thing, Mapping):
        yield from (t for value in thing.values() for t in tensors_of(value, seen))
    elif isinstance(thing, list | tuple | set):
        yield from (t for value in thing for t in tensors_of(value, seen))
    elif hasattr(thing, "__dict__") and not isinstance(thing, type):
        yield from tensors_of(vars(thing), seen)


def assert_canonical(model):
    found = list(tensors_of(model))
    assert sum(tensor.numel() for tensor in found) > 100
    assert [tensor.shape for tensor in found if not is_canonical(tensor)] == []


def test_canonical_layouts_are_recognised():
    aligned = torch.arange(12.0).view(3, 4)
    assert is_canonical(aligned)
    assert canonical(aligned) is aligned
    assert is_canonical(torch.tensor(3))
    assert is_canonical(torch.empty(0, 3))
    assert is_canonical(torch.empty(2, 2, device="meta").T)
    one_pixel = torch.ones(4, 3, 1, 1)
    others = {
        "at 44 bytes": at(44, aligned), "at 16 bytes": at(16, aligned), "a row": aligned[1],
        "transposed": torch.arange(12.0).view(4, 3).T, "repeated": torch.ones(1, 3).expand(4, 3),
        "channels last": one_pixel.to(memory_format=torch.channels_last),
    }  # fmt: skip
    for name, tensor in others.items():
        assert not is_canonical(tensor), name
        copied = canonical(tensor)
        assert is_canonical(copied)
        assert torch.equal(copied, tensor)
    assert one_pixel.to(memory_format=torch.channels_last).is_contiguous()  # which is why strides are compared


def test_arrays_are_passed_on_in_the_canonical_layout():
    memory = np.zeros(1024, np.uint8)
    for offset in range(0, 68, 4):
        array = memory[offset : offset + 48].view(np.float32).reshape(3, 4)
        assert is_canonical(to_tensor(array))
    assert is_canonical(to_tensor(np.ones((3, 4), np.float32).T))


def test_networks_are_filled_in_the_canonical_layout():
    state = {"weight": at(44, torch.ones(5, 7)), "bias": torch.ones(10)[::2]}
    network = nn.Linear(7, 5)
    fill_network(network, state)
    assert_canonical(nn.Sequential(network, nn.Linear(64, 2)))
    given = nn.Linear(7, 5)
    given.weight.data = at(4, torch.ones(5, 7))
    before = given.weight
    canonicalize_network(given)
    assert is_canonical(given.weight)
    assert given.weight is before
    with pytest.raises(RuntimeError, match="Missing key"):
        fill_network(nn.Linear(7, 5), {"weight": state["weight"]})


def test_the_layout_of_a_file_does_not_change_a_result():
    """MKL rounds the product of a matrix and one row by address, which revealed the fault."""
    generator = torch.Generator().manual_seed(0)
    weight, row = torch.randn(300, 257, generator=generator), torch.randn(1, 257, generator=generator)
    layouts = [at(offset, weight) for offset in range(0, 64, 4)] + [weight.T.contiguous().T]
    results = set()
    for layout in layouts:
        network = fill(lambda: nn.Linear(257, 300), {"weight": layout, "bias": torch.zeros(300)}, Path("x"))
        with torch.inference_mode():
            results.add(functional.normalize(network(row)).numpy().tobytes())
    assert len(results) == 1


@pytest.mark.parametrize("role", set(Bundle.open("mini").roles) - {DOMAIN})  # no network reads that one
def test_the_mini_bundle(role):
    assert_canonical(load_entry(Bundle.open("mini").entry(role), CPU))


def test_every_tensor_of_our_own_format():
    path = Bundle.open("mini").entry("audio_encoder").path
    assert all(is_canonical(tensor) for tensor in load_weights(path, role="audio_encoder")[0].values())


@pytest.fixture
def odd(clip_model, tmp_path):
    """Files of one CLIP whose tensors have unusual layouts."""
    state = {key: value.contiguous() for key, value in clip_model.state_dict().items()}
    turned = {key: value.T.contiguous().T if value.ndim == 2 else value for key, value in state.items()}
    save_file(state, tmp_path / "x.safetensors", metadata={"odd": "x" * 5})
    torch.save(turned, tmp_path / "turned.pt")
    torch.save(turned, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    return [tmp_path / name for name in ("x.safetensors", "turned.pt", "old.pt")]


def test_clip(clip_archive, odd, tmp_path):
    archive = tmp_path / "x.pt"
    archive.write_bytes(clip_archive.read_bytes())
    with safe_open(odd[0], framework="pt") as file:
        assert not all(is_canonical(file.get_tensor(key)) for key in file.keys())  # noqa: SIM118 - no Mapping
    for path in (archive, *odd):
        for digest in (None, "d", "d"):
            assert_canonical(openai_clip.load_image_encoder(path, digest=digest))
            assert_canonical(openai_clip.load_guide(path, digest=digest))


def test_sam(sam_file, tmp_path):
    path, old = tmp_path / "sam.pt", tmp_path / "old.pt"
    path.write_bytes(sam_file.read_bytes())
    torch.save(read_plain(sam_file), old, _use_new_zipfile_serialization=False)
    for file in (path, old):
        for digest in (None, "d", "d"):
            assert_canonical(sam2_hiera.load_segmenter(file, digest=digest, config=SMALL_SAM))


def test_yolo(yolo_file, tmp_path):
    path = tmp_path / "yolo.pt"
    path.write_bytes(yolo_file.read_bytes())
    for digest in (None, "d", "d"):
        assert_canonical(ultralytics_pt.load_detector(path, digest=digest))


@pytest.mark.parametrize("old_format", [True, False])
def test_ssv2a(tmp_path, old_format):
    path = made_up_files.write_ssv2a(tmp_path, Config())
    torch.save(torch.load(path, weights_only=True), path, _use_new_zipfile_serialization=not old_format)
    assert_canonical(load_pair(path))
    assert_canonical(load(path, path.with_suffix(".json")))


@pytest.mark.parametrize("older", [False, True])
def test_ciap(tmp_path, older):
    path = tmp_path / "x.pt"
    made_up_files.write_ciap(path, older=older)
    for digest in (None, "d", "d"):
        assert_canonical(ciap.load_image_encoder(path, digest=digest))


def test_the_sound_encoder(tmp_path):
    path = tmp_path / "x.pth"
    made_up_files.write_sgsim(path)
    for digest in (None, "d", "d"):
        assert_canonical(sound_clip.load_sound_encoder(path, digest=digest))


@pytest.mark.parametrize("old_format", [True, False])
def test_cnn14(tmp_path, old_format):
    path = tmp_path / "x.pth"
    made_up_files.write_cnn14(path, old_format=old_format)
    for digest in (None, "d", "d"):
        assert_canonical(cnn14.load_tagger(path, digest=digest))


def test_the_spectrogram_transformer(tmp_path):
    made_up_files.write_ast(tmp_path, **SMALL_AST)
    assert_canonical(spectrogram_transformer.load_tagger(tmp_path))


@pytest.mark.parametrize("form", ["ckpt", "diffusers"])
def test_audioldm(tmp_path, form):
    path = save_audioldm(tmp_path / "tiny.ckpt", TINY)
    if form == "diffusers":
        to_folder(path, tmp_path / "folder", architecture=TINY)
        path = tmp_path / "folder"
    for role in AUDIOLDM:
        load_role = getattr(audioldm, f"load_{role}")
        for digest in (None, "d", "d"):
            assert_canonical(load_role(path, digest=digest, architecture=TINY))
        assert cache_path(path, role).is_file()
    assert_canonical(published.load_text_encoder(path, architecture=TINY))
    if form == "diffusers":
        write_tokenizer(path / "tokenizer")
        assert_canonical(audioldm.load_text_encoder(path))


def test_every_format_is_tested_here():
    forms = {"audioldm-ckpt", "audioldm-diffusers"}
    tried = {
        "segmenter": {"sam2"}, "image_encoder": {"openai-clip"}, "detector": {"ultralytics"}, "ssv2a": {"ssv2a"},
        "diffuser": forms, "autoencoder": forms, "vocoder": forms, "audio_encoder": {"audioldm-ckpt"},
        "text_encoder": {"audioldm-text"}, "tagger": {"panns-cnn14", "transformers-ast"},
        "judge": {"panns-cnn14", "transformers-ast"}, "domain": set(),
        "sound_encoder": {"sgsim-resnet18"}, "guide": {"openai-clip"}, "ciap_image_encoder": {"ciap-resnet18"},
        "mapper": set(),
    }  # fmt: skip
    assert {role: set(formats) - {OWN_FORMAT} for role, formats in LOADERS.items()} == tried


def test_networks_are_only_filled_by_fill_network():
    """A loader of a new format must call `fill_network` as well."""
    folder = Path(svdaudio.__file__).parent
    calls = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("load_state_dict", "assign")
    }
    # A training starts or resumes in the tensors that its optimizers hold, which torch has allocated.
    trainings = {"pretraining/loop.py", "pretraining/initial.py", "studies/pretraining_bundle.py"}
    assert calls == {"memory_layout.py", *trainings}


def test_quick_copies_are_memory_mapped_and_not_copied(tmp_path):
    tensors = {
        "half": torch.ones(3, dtype=torch.float16), "a": torch.arange(6.0).view(2, 3), "flag": torch.tensor(True),
        "b": torch.ones(2, 5, dtype=torch.bfloat16).T, "none": torch.empty(0, 4), "count": torch.tensor(7),
    }  # fmt: skip
    save_aligned(tensors, tmp_path / "x.safetensors", metadata={"who": "me"})
    with safe_open(tmp_path / "x.safetensors", framework="pt") as file:
        assert file.metadata() == {"who": "me"}
        found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no Mapping
    assert {key for key in found if not key.startswith(PADDING)} == tensors.keys()
    for key, tensor in tensors.items():
        assert torch.equal(found[key], tensor)
        assert found[key].dtype == tensor.dtype
        assert is_canonical(found[key])


def test_examples_of_a_training_have_equal_layouts_when_made_and_when_loaded(tmp_path):
    (tmp_path / "weights").write_bytes(b"w")
    rows = [{"a": torch.ones(3), "bcd": torch.ones(1, dtype=torch.float16)} for _ in range(5)]
    for _ in range(2):
        kept = made_once(tmp_path, "x", lambda: rows, weights=tmp_path / "weights")
        assert all(is_canonical(tensor) for tensor in kept.values())
