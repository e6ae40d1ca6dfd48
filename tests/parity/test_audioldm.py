"""Module by module against the installed `audioldm` package, from a checkpoint that the package wrote."""

from __future__ import annotations

import importlib.util
import json
import warnings

import pytest
import torch
from audioldm_package import SCALE_FACTOR, SMALL, build_package_model, offline, package_config, save_checkpoint
from pretend_gpu import GPU, PretendGpu

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.errors import CheckpointError, ConfigError
from svdaudio.models.audioldm import naming
from svdaudio.models.audioldm.architecture import AUDIOLDM_S_FULL_V2
from svdaudio.models.audioldm.autoencoder import build_autoencoder, decode
from svdaudio.models.audioldm.backends import open_backend
from svdaudio.models.audioldm.clap import N_TEXT_TOKENS
from svdaudio.models.audioldm.convert import to_checkpoint, to_folder
from svdaudio.models.audioldm.diffuse import diffuse
from svdaudio.models.audioldm.diffuser import build_unet
from svdaudio.models.audioldm.diffuser import load_diffuser as load_own_diffuser
from svdaudio.models.audioldm.loaders import load_audio_encoder, load_autoencoder, load_diffuser, load_vocoder
from svdaudio.models.audioldm.magnitude_vocoder import MagnitudeVocoder
from svdaudio.models.audioldm.noise import joint_noise
from svdaudio.models.audioldm.published import UNET, load_text_encoder, names_of
from svdaudio.models.audioldm.settings import BACKENDS, DiffusionSettings
from svdaudio.models.audioldm.vocoder import build_vocoder, vocode

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("audioldm") is None,
        reason="the audioldm package is not installed: `uv sync --extra audioldm`",
    ),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::SyntaxWarning"),
    pytest.mark.filterwarnings("ignore:.*weight_norm.*", "ignore:.*torch.meshgrid.*", "ignore:.*mixed-case.*"),
    pytest.mark.timeout(900),  # importing the package takes minutes on a cold disk
]
CLOSE = 1e-4


@pytest.fixture(scope="module")
def package():
    with pytest.MonkeyPatch.context() as monkeypatch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = build_package_model(monkeypatch)
        model.scale_factor.fill_(SCALE_FACTOR)
        yield model


@pytest.fixture(scope="module")
def checkpoint(package, tmp_path_factory):
    return save_checkpoint(package, tmp_path_factory.mktemp("audioldm") / "small.ckpt")


@pytest.fixture(scope="module")
def folder(checkpoint):
    made = checkpoint.with_name("folder")
    to_folder(checkpoint, made, architecture=SMALL)
    return made


@pytest.fixture(params=["checkpoint", "folder"])
def published(request):
    return request.getfixturevalue(request.param)


def numbers(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def unit(*shape, seed=0):
    return torch.nn.functional.normalize(numbers(*shape, seed=seed), dim=-1)


def off(ours, theirs):
    """The largest difference, in units of the largest number."""
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1.0))


@torch.no_grad()
def test_the_noise_network(package, published):
    diffuser = load_diffuser(published, architecture=SMALL)
    latents, clap, steps = numbers(2, 8, 32, 16), unit(2, 512, seed=1), torch.tensor([991, 301])
    with package.ema_scope():
        theirs = package.apply_model(latents, steps, clap[:, None])
    assert float(theirs.std()) > 0.1
    assert off(diffuser.noise(latents, steps, clap), theirs) < CLOSE
    assert off(package.apply_model(latents, steps, clap[:, None]), theirs) > 0.01  # the averages are different weights


@torch.no_grad()
def test_the_vae_decodes_alike(package, published):
    latents = numbers(2, 8, 32, 16, seed=2)
    theirs = package.decode_first_stage(latents)[:, 0]
    assert float(theirs.std()) > 0.1
    assert off(decode(load_autoencoder(published, architecture=SMALL), latents), theirs) < CLOSE


@torch.no_grad()
def test_the_vae_encodes_alike(package, published):
    mel = numbers(1, 1, 64, 64, seed=3)
    ours = load_autoencoder(published, architecture=SMALL).encode(mel).latent_dist.mean
    assert off(ours, package.encode_first_stage(mel).mode()) < CLOSE


@torch.no_grad()
def test_the_vocoder(package, published):
    mel = numbers(1, 40, 64, seed=4) - 4.0
    theirs = torch.from_numpy(package.mel_spectrogram_to_waveform(mel))[:, 0, : 40 * 160]
    assert float(theirs.std()) > 0.01
    assert off(vocode(load_vocoder(published, architecture=SMALL), mel), theirs) < CLOSE


@torch.no_grad()
def test_the_text_branch(package, published):
    tokens = torch.tensor([[0, 17, 5, 33, 8, 2], [0, 9, 2, 1, 1, 1]])
    mask = (tokens != 1).long()
    theirs = package.cond_stage_model.model.get_text_embedding({"input_ids": tokens, "attention_mask": mask})
    encoder = load_text_encoder(published, architecture=SMALL)
    assert off(encoder.embed_tokens(tokens, mask), theirs) < CLOSE


@torch.no_grad()
def test_the_empty_text_is_the_unconditional_input(package, published):
    tokens = torch.ones(1, N_TEXT_TOKENS, dtype=torch.long)
    tokens[0, 0], tokens[0, 1] = 0, 2
    padded = {"input_ids": tokens, "attention_mask": (tokens != 1).long()}
    theirs = package.cond_stage_model.model.get_text_embedding(padded)[0]
    assert off(load_diffuser(published, architecture=SMALL).unconditional, theirs) < CLOSE


@torch.no_grad()
@pytest.mark.parametrize("seconds", [10.0, 2.3])
def test_the_audio_branch(package, published, seconds):
    time = torch.arange(round(seconds * 16_000)) / 16_000
    sound = (0.4 * torch.sin(2 * torch.pi * (300 + 200 * time) * time) + 0.05 * numbers(len(time)))[None]
    theirs = clap_audio_embedding(package.cond_stage_model, sound)
    encoder = load_audio_encoder(published, architecture=SMALL)
    assert off(encoder.embed(sound, 16_000), theirs) < CLOSE


def clap_audio_embedding(clap, sound):
    """As the package's conditioning model computes it, without the additional empty text."""
    import torchaudio
    from audioldm.clap.training.data import get_audio_features

    sound = torchaudio.functional.resample(sound, orig_freq=16_000, new_freq=48_000)
    features = get_audio_features(
        {}, sound[0], 480_000, data_truncating="rand_trunc", data_filling="repeatpad",
        audio_cfg=clap.model_cfg["audio_cfg"],
    )  # fmt: skip
    return clap.model.get_audio_embedding([features])


@torch.no_grad()
def test_ten_steps_of_ddim_with_the_same_noise(package, checkpoint, monkeypatch):
    from audioldm.latent_diffusion.ddim import DDIMSampler

    diffuser = load_diffuser(checkpoint, architecture=SMALL)
    clap = unit(512, seed=5)
    ours = diffuse(
        diffuser,
        clap,
        DiffusionSettings(scheduler="ddim", n_steps=10, guidance_scale=2.5, n_candidates=2, duration_s=1.2),
        noise=joint_noise(torch.Generator().manual_seed(7)),
    )

    def keep(self, name, value):  # the package's method requests a GPU whatever the device of the model
        setattr(self, name, value)

    monkeypatch.setattr(DDIMSampler, "register_buffer", keep)
    with torch.random.fork_rng(), package.ema_scope():
        torch.manual_seed(7)
        theirs, _ = DDIMSampler(package).sample(
            10, 2, tuple(ours.shape[1:]), clap.expand(2, 1, -1), verbose=False, eta=1.0,
            unconditional_guidance_scale=2.5, unconditional_conditioning=diffuser.unconditional.expand(2, 1, -1),
        )  # fmt: skip
    assert float(theirs.std()) > 0.1
    assert off(ours, theirs) < 1e-3


def test_every_tensor_of_the_full_size_is_mapped(monkeypatch):
    offline(monkeypatch)
    from audioldm import hifigan
    from audioldm.hifigan.utilities import HIFIGAN_16K_64
    from audioldm.latent_diffusion.openaimodel import UNetModel
    from audioldm.variational_autoencoder import autoencoder as vae

    monkeypatch.setitem(HIFIGAN_16K_64, "upsample_initial_channel", 1024)  # as published, whatever other tests set

    def vocoder(*_):
        generator = hifigan.Generator(hifigan.AttrDict(HIFIGAN_16K_64))
        generator.remove_weight_norm()
        return generator

    monkeypatch.setattr(vae, "get_vocoder", vocoder)  # the package's moves it to the CPU, allocating memory
    params = package_config(base=128)
    with torch.device("meta"):
        noise = UNetModel(**params["unet_config"]["params"])
        first = vae.AutoencoderKL(**params["first_stage_config"]["params"])
    config = {**AUDIOLDM_S_FULL_V2.autoencoder, "scaling_factor": 1.0}
    tables = [
        (noise, "", build_unet, AUDIOLDM_S_FULL_V2.unet, naming.unet_places),
        (first, "", build_autoencoder, config, naming.autoencoder_places),
        (first, "vocoder.", build_vocoder, AUDIOLDM_S_FULL_V2.vocoder, lambda names, _: naming.vocoder_places(names)),
    ]
    covered: dict[int, set[str]] = {}
    for theirs, prefix, build, ours, places_of in tables:
        with torch.device("meta"):
            state = build(dict(ours)).state_dict()
        places = places_of(names_of(build, ours), ours)
        published = naming.to_published({n: t for n, t in state.items() if n in places}, places)
        shapes = {name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()}
        assert {prefix + name: tuple(t.shape) for name, t in published.items()}.items() <= shapes.items()
        covered.setdefault(id(theirs), set()).update(prefix + name for name in published)
    assert covered == {id(noise): set(noise.state_dict()), id(first): set(first.state_dict())}


def test_a_round_trip_gives_a_checkpoint_that_the_package_loads(package, checkpoint, folder, tmp_path):
    to_checkpoint(folder, tmp_path / "back.ckpt")
    back = torch.load(tmp_path / "back.ckpt", weights_only=True)["state_dict"]
    was = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert back.keys() == was.keys()
    package.load_state_dict(back)
    averaged = {n for n in was if n.startswith(UNET)}
    assert all(torch.equal(back[name], was[name]) for name in was if name not in averaged)
    package.load_state_dict(was)


def test_the_folder_is_one_that_diffusers_and_transformers_read(folder):
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import ClapAudioModelWithProjection, ClapTextModelWithProjection, SpeechT5HifiGan

    ours = load_diffuser(folder).unet.state_dict()
    theirs = UNet2DConditionModel.from_pretrained(folder / "unet")
    assert theirs.config.attention_head_dim == SMALL.unet["attention_head_dim"]
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.state_dict().items())
    for part, kind in {
        "vae": AutoencoderKL,
        "vocoder": SpeechT5HifiGan,
        "text_encoder": ClapTextModelWithProjection,
        "audio_encoder": ClapAudioModelWithProjection,
    }.items():
        _, problems = kind.from_pretrained(folder / part, output_loading_info=True)
        assert not problems["missing_keys"], part
        assert not problems["unexpected_keys"], part
        assert not problems["mismatched_keys"], part
    assert DDIMScheduler.from_pretrained(folder / "scheduler").config.beta_end == 0.0195
    assert json.loads((folder / "model_index.json").read_text())["_class_name"] == "AudioLDMPipeline"


def test_a_folder_without_the_audio_branch_is_reported(folder, tmp_path):
    import shutil

    shutil.copytree(folder, tmp_path / "published", ignore=shutil.ignore_patterns("audio_encoder", "rest.*"))
    with pytest.raises(CheckpointError, match=r"no CLAP audio branch.*\.ckpt"):
        load_audio_encoder(tmp_path / "published")
    with pytest.raises(CheckpointError, match="no CLAP audio branch"):
        to_checkpoint(tmp_path / "published", tmp_path / "back.ckpt")
    assert not (tmp_path / "back.ckpt").exists()


GENERATION = {"scheduler": "ddim", "n_steps": 5, "guidance_scale": 2.5, "n_candidates": 2, "duration_s": 0.6}


def test_the_package_as_backend_differs_only_by_rounding(package, checkpoint):
    given = {name: generated(checkpoint, name) for name in BACKENDS}
    assert all(float(theirs.std()) > 0 for theirs in given["audioldm"])
    assert all(off(*pair) < 1e-3 for pair in zip(given["diffusers"], given["audioldm"], strict=True))


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_runs_on_the_device_of_its_networks(package, checkpoint, name):
    with PretendGpu():
        there = generated(checkpoint, name, device=GPU)
    # The memory layout of the noise network on a GPU changes the order of sums.
    assert all(off(*pair) < 1e-3 for pair in zip(there, generated(checkpoint, name), strict=True))


def generated(checkpoint, name, device="cpu"):
    """Generate latents, spectrograms and sounds with a backend."""
    backend, where = open_backend(name), {"device": device, "architecture": SMALL}
    generator = torch.Generator().manual_seed(3)
    latents = backend.diffuse(
        load_diffuser(checkpoint, **where),
        unit(512, seed=8),
        DiffusionSettings(**GENERATION),
        noise=joint_noise(generator),
    )
    mel = backend.decode(load_autoencoder(checkpoint, **where), latents)
    assert torch.equal(generator.get_state(), drawn(2, 6, latents[0].shape))  # the start, and one draw per step
    return latents, mel, backend.vocode(load_vocoder(checkpoint, **where), mel)


def drawn(n_candidates, n_draws, shape):
    """The state of the generator after so many draws."""
    generator = torch.Generator().manual_seed(3)
    for _ in range(n_draws):
        torch.randn((n_candidates, *shape), generator=generator)
    return generator.get_state()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheduler": "dpm-solver++"}, "does not support this scheduler"),
        ({"n_steps": 300}, "does not reach all noise levels in 300 steps"),
        ({"n_steps": 1000}, "does not reach all noise levels"),
    ],
)
def test_settings_that_the_package_lacks_are_refused(checkpoint, changes, message):
    diffuser = load_diffuser(checkpoint, architecture=SMALL)
    with pytest.raises(ConfigError, match=message):
        open_backend("audioldm").diffuse(
            diffuser, unit(512), DiffusionSettings(**{**GENERATION, **changes}), noise=joint_noise(torch.Generator())
        )


def test_networks_that_the_package_cannot_build_are_refused():
    bundle = Bundle.open("mini")
    diffuser = load_own_diffuser(bundle.entry("diffuser").path)
    with pytest.raises(ConfigError, match="cannot run the noise network of this bundle"):
        open_backend("audioldm").diffuse(
            diffuser, unit(512), DiffusionSettings(**GENERATION), noise=joint_noise(torch.Generator())
        )
    with pytest.raises(ConfigError, match="cannot run the vocoder of this bundle"):
        open_backend("audioldm").vocode(MagnitudeVocoder(width=8, n_blocks=1, n_rounds=1), numbers(1, 20, 64))
