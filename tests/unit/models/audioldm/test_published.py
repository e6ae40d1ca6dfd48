import json
import logging
import pickle
import zipfile

import pytest
import torch
from made_up import save_audioldm
from pretend_gpu import GPU, PretendGpu
from safetensors.torch import load_file, save_file
from tiny_audioldm import TINY

from svdaudio.errors import CheckpointError, ConfigError
from svdaudio.models.audioldm.autoencoder import decode
from svdaudio.models.audioldm.convert import to_checkpoint, to_folder
from svdaudio.models.audioldm.loaders import load_audio_encoder, load_autoencoder, load_diffuser, load_vocoder
from svdaudio.models.audioldm.published import load_text_encoder, open_published
from svdaudio.models.audioldm.vocoder import vocode


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_audioldm(tmp_path_factory.mktemp("published") / "tiny.ckpt", TINY)


@pytest.fixture(scope="module")
def folder(checkpoint):
    made = checkpoint.with_name("folder")
    to_folder(checkpoint, made, architecture=TINY)
    return made


@pytest.fixture
def damage(checkpoint, tmp_path):
    """Writes a changed copy of the checkpoint."""

    def write(change):
        state = dict(torch.load(checkpoint, weights_only=True)["state_dict"])
        change(state)
        torch.save({"state_dict": state}, tmp_path / "damaged.ckpt")
        return tmp_path / "damaged.ckpt"

    return write


def sound(n_samples=40_000):
    return 0.3 * torch.randn(1, n_samples, generator=torch.Generator().manual_seed(0))


def outputs(path, device="cpu"):
    """The output of each network for the same input."""
    where = {"device": device, "architecture": TINY}
    numbers = torch.randn(1, 8, 16, 16, generator=torch.Generator().manual_seed(1))
    diffuser = load_diffuser(path, **where)
    mel = decode(load_autoencoder(path, **where), numbers)
    encoder = load_audio_encoder(path, **where)
    return {
        "noise": diffuser.noise(numbers.to(device), torch.tensor([400]).to(device), diffuser.unconditional[None]).cpu(),
        "mel": mel,
        "sound": vocode(load_vocoder(path, **where), mel[:, :20]),
        "heard": encoder.embed(sound(), 16_000).cpu(),
        "read": load_text_encoder(path, **where).embed_tokens(torch.tensor([[0, 8, 2]])).cpu(),
    }


@torch.no_grad()
def test_both_formats_yield_the_same_networks_and_round_trip(checkpoint, folder, tmp_path):
    to_checkpoint(folder, tmp_path / "back.ckpt")
    wanted = outputs(checkpoint)
    for path in (folder, folder / "unet", tmp_path / "back.ckpt"):
        given = outputs(path)
        assert all(torch.equal(given[name], wanted[name]) for name in wanted)
    assert all(torch.isfinite(t).all() and float(t.std()) > 0 for t in wanted.values())


@torch.no_grad()
def test_they_work_on_a_gpu(folder):
    with PretendGpu():
        there = outputs(folder, GPU)
    assert all(torch.equal(there[name], wanted) for name, wanted in outputs(folder).items())


def test_averaged_weights_are_used_if_present(checkpoint, damage):
    averaged = load_diffuser(checkpoint, architecture=TINY).unet.conv_in.weight
    assert float(averaged.abs().sum()) > 0
    plain = damage(lambda state: [state.pop(name) for name in list(state) if name.startswith("model_ema.")])
    assert float(load_diffuser(plain, architecture=TINY).unet.conv_in.weight.abs().sum()) == 0.0


def test_the_empty_text_is_a_unit_vector(checkpoint):
    diffuser = load_diffuser(checkpoint, architecture=TINY)
    assert float(diffuser.unconditional.norm()) == pytest.approx(1.0, abs=1e-5)
    text = load_text_encoder(checkpoint, architecture=TINY)
    assert torch.equal(diffuser.unconditional, text.embed_empty_text())


def test_the_scaling_factor_comes_from_the_checkpoint(checkpoint):
    assert load_autoencoder(checkpoint, architecture=TINY).config["scaling_factor"] == pytest.approx(0.9227914)


@pytest.mark.parametrize(
    ("lost", "load"),
    [
        ("model_ema.diffusion_modelout2bias", load_diffuser),
        ("cond_stage_model.model.text_branch.pooler.dense.bias", load_diffuser),
        ("cond_stage_model.model.text_branch.embeddings.position_embeddings.weight", load_diffuser),
        ("first_stage_model.decoder.mid.attn_1.q.weight", load_autoencoder),
        ("scale_factor", load_autoencoder),
        ("first_stage_model.vocoder.ups.1.bias", load_vocoder),
        ("cond_stage_model.model.audio_branch.layers.1.blocks.0.attn.qkv.weight", load_audio_encoder),
    ],
)
def test_a_missing_tensor_is_named(damage, lost, load):
    path = damage(lambda state: state.pop(lost))
    with pytest.raises(CheckpointError, match=r"lacks|running averages that do not match"):
        load(path, architecture=TINY)


@pytest.mark.parametrize(
    ("stranger", "load"),
    [
        ("model.diffusion_model.extra.weight", load_vocoder),
        ("first_stage_model.decoder.extra", load_autoencoder),
        ("first_stage_model.vocoder.extra", load_vocoder),
        ("cond_stage_model.model.audio_branch.extra", load_audio_encoder),
        ("cond_stage_model.model.extra", load_vocoder),
        ("cond_stage_model.model.text_branch.extra", load_text_encoder),
        ("something.else", load_vocoder),
    ],
)
def test_an_unexpected_tensor_is_refused(damage, stranger, load):
    path = damage(lambda state: state.update({stranger: torch.zeros(1)}))
    if stranger.startswith("model."):
        load = load_diffuser
    with pytest.raises(CheckpointError, match=r"extra|something\.else"):
        load(path, architecture=TINY)


def test_unneeded_tensors_are_known(damage):
    path = damage(
        lambda state: state.update(
            {
                "betas": torch.zeros(1000),
                "logvar": torch.zeros(1000),
                "model_ema.decay": torch.tensor(0.9999),
                "model_ema.num_updates": torch.tensor(5),
                "cond_stage_model.model.logit_scale_a": torch.tensor(1.0),
                "cond_stage_model.model.audio_branch.head.weight": torch.zeros(3, 3),
                "cond_stage_model.model.text_branch.embeddings.position_ids": torch.arange(20)[None],
            }
        )
    )
    assert len(outputs(path)) == 5


def test_other_sizes_and_other_filters_are_refused(checkpoint, damage):
    with pytest.raises(CheckpointError, match="AudioLDM"):
        load_vocoder(checkpoint)  # full size
    path = damage(
        lambda state: state.update({"cond_stage_model.model.audio_branch.logmel_extractor.melW": torch.zeros(513, 64)})
    )
    with pytest.raises(CheckpointError, match="other mel filters"):
        load_audio_encoder(path, architecture=TINY)


class ModelCheckpoint:
    """Simulates an object that a training framework leaves in its checkpoints."""

    def __setstate__(self, state):
        raise AssertionError("it was brought to life")


def test_training_state_next_to_the_tensors_is_ignored(checkpoint, tmp_path):
    found = torch.load(checkpoint, weights_only=True)
    callback = ModelCheckpoint()
    callback.best = 0.5
    path = tmp_path / "trained.ckpt"
    torch.save({**found, "epoch": 3, "callbacks": {ModelCheckpoint: {"best": callback}}}, path)
    ours, theirs = (load_vocoder(one, architecture=TINY).state_dict() for one in (path, checkpoint))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="file not found:"):
        open_published(tmp_path / "none.ckpt")
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_published(tmp_path / "text.ckpt")
    (tmp_path / "code.ckpt").write_bytes(pickle.dumps(print))
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_published(tmp_path / "code.ckpt")
    torch.save({"weights": {"a": torch.zeros(1)}}, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match="not an AudioLDM checkpoint"):
        open_published(tmp_path / "other.ckpt")
    torch.save({"state_dict": {"a": "b"}}, tmp_path / "plain.ckpt")
    with pytest.raises(CheckpointError, match="something other than tensors"):
        open_published(tmp_path / "plain.ckpt")
    with zipfile.ZipFile(tmp_path / "zip.ckpt", "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_published(tmp_path / "zip.ckpt")


def test_a_folder_as_old_as_the_published_one(folder, tmp_path, caplog):
    old = tmp_path / "old"
    weights = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    names = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    for new, was in names.items():
        weights = {name.replace(new, was) if "attentions" in name else name: t for name, t in weights.items()}
    assert any(".proj_attn." in name for name in weights)
    for part in ("vae", "unet", "text_encoder"):
        (old / part).mkdir(parents=True)
        (old / part / "config.json").write_text((folder / part / "config.json").read_text())
    save_file(weights, old / "vae" / "diffusion_pytorch_model.safetensors")
    latents = torch.randn(1, 8, 8, 16)
    assert torch.equal(decode(load_autoencoder(old), latents), decode(load_autoencoder(folder), latents))

    config = json.loads((old / "unet" / "config.json").read_text())
    (old / "unet" / "config.json").write_text(json.dumps({**config, "attention_head_dim": 8}))
    torch.save(
        load_file(folder / "unet" / "diffusion_pytorch_model.safetensors"),
        old / "unet" / "diffusion_pytorch_model.bin",
    )
    text = load_file(folder / "text_encoder" / "model.safetensors")
    save_file(
        {name: t for name, t in text.items() if not name.endswith("_ids")}, old / "text_encoder" / "model.safetensors"
    )
    with caplog.at_level(logging.WARNING):
        diffuser = load_diffuser(old)
    assert diffuser.unet.config["attention_head_dim"] == [1, 2]
    assert "heads of 32 channels" in caplog.text


def test_an_incomplete_folder_names_the_missing_files(folder, tmp_path):
    (tmp_path / "unet").mkdir()
    with pytest.raises(CheckpointError, match=r"unet|text_encoder/config\.json"):
        load_diffuser(tmp_path)
    (tmp_path / "vocoder").mkdir()
    (tmp_path / "vocoder" / "config.json").write_text((folder / "vocoder" / "config.json").read_text())
    with pytest.raises(CheckpointError, match="has no weights"):
        load_vocoder(tmp_path)
    (tmp_path / "vocoder" / "model.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_vocoder(tmp_path)
    (tmp_path / "vocoder" / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="damaged"):
        load_vocoder(tmp_path)


def test_text_needs_a_tokenizer(checkpoint):
    with pytest.raises(ConfigError, match="no tokenizer"):
        load_text_encoder(checkpoint, architecture=TINY).embed(["a cat"])


def test_a_folder_is_not_overwritten(checkpoint, folder):
    with pytest.raises(CheckpointError, match="already exists"):
        to_folder(checkpoint, folder, architecture=TINY)


def test_sounds_of_any_length_and_rate(checkpoint):
    encoder = load_audio_encoder(checkpoint, architecture=TINY)
    long = sound(170_000)
    both = encoder.embed(torch.cat([long, -long]), 16_000)
    assert both.shape == (2, 512)
    assert torch.allclose(both.norm(dim=1), torch.ones(2), atol=1e-5)
    first_ten = encoder.embed(long[:, :160_000], 16_000)
    assert torch.allclose(both[:1], first_ten, atol=1e-3)
