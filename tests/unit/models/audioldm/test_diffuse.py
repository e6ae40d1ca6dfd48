import pytest
import torch

from svdaudio.errors import ConfigError
from svdaudio.models.audioldm.diffuse import SCHEDULERS, diffuse, n_latent_frames, scheduler_of
from svdaudio.models.audioldm.diffuser import SCHEDULE, Diffuser, NegativePromptDiffuser
from svdaudio.models.audioldm.noise import joint_noise
from svdaudio.models.audioldm.settings import DiffusionSettings

CONFIG = {
    "sample_size": [16, 16],
    "in_channels": 8,
    "out_channels": 8,
    "block_out_channels": [8, 8],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "cross_attention_dim": [8, 8],
    "attention_head_dim": [1, 1],
    "norm_num_groups": 4,
    "class_embed_type": "simple_projection",
    "projection_class_embeddings_input_dim": 512,
    "class_embeddings_concat": True,
}


@pytest.fixture(scope="module")
def diffuser():
    torch.manual_seed(0)
    model = Diffuser(CONFIG).eval().requires_grad_(False)
    model.unconditional[0] = 1.0
    return model


@pytest.fixture(scope="module")
def clap():
    return torch.nn.functional.normalize(torch.randn(512, generator=torch.Generator().manual_seed(1)), dim=0)


def run(diffuser, clap, *, seed=0, scheduler="ddim", guidance_scale=2.5, n_candidates=2, precision="float32"):
    return diffuse(
        diffuser,
        clap,
        DiffusionSettings(
            scheduler=scheduler, n_steps=4, guidance_scale=guidance_scale, n_candidates=n_candidates, duration_s=0.6,
            precision=precision,
        ),
        noise=joint_noise(torch.Generator().manual_seed(seed)),
    )  # fmt: skip


def test_guidance_moves_away_from_another_embedding(diffuser, clap):
    before = diffuser.unconditional.clone()
    away = torch.nn.functional.normalize(torch.randn(512, generator=torch.Generator().manual_seed(2)), dim=0)
    led = NegativePromptDiffuser(diffuser, away)
    assert led.unet is diffuser.unet
    assert not torch.equal(run(led, clap), run(diffuser, clap))
    assert torch.equal(run(NegativePromptDiffuser(diffuser, before), clap), run(diffuser, clap)), (
        "the empty text is the default"
    )
    torch.testing.assert_close(
        run(NegativePromptDiffuser(diffuser, clap), clap), run(diffuser, clap, guidance_scale=1.0)
    )
    assert torch.equal(diffuser.unconditional, before)


def test_ten_seconds_are_256_frames():
    assert n_latent_frames(10.0) == 256
    assert all(n_latent_frames(d) % 8 == 0 and n_latent_frames(d) >= 25 * d for d in (0.5, 1.0, 3.3, 10.24))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_seed_determines_the_latents(diffuser, clap, scheduler):
    first = run(diffuser, clap, scheduler=scheduler)
    assert first.shape == (2, 8, 16, 16)
    assert torch.isfinite(first).all()
    torch.manual_seed(5)
    assert torch.equal(first, run(diffuser, clap, scheduler=scheduler))
    assert not torch.equal(first, run(diffuser, clap, scheduler=scheduler, seed=1))
    assert not torch.equal(first[0], first[1])


def test_the_condition_matters_and_guidance_1_ignores_the_empty_text(diffuser, clap):
    assert not torch.allclose(run(diffuser, clap), run(diffuser, -clap))
    plain = run(diffuser, clap, guidance_scale=1.0)
    other = Diffuser(CONFIG).eval()
    other.load_state_dict(diffuser.state_dict())
    other.unconditional = -clap
    assert torch.allclose(plain, run(other, clap, guidance_scale=1.0), atol=1e-4)
    assert not torch.allclose(run(diffuser, clap), run(other, clap), atol=1e-4)


def test_guidance_towards_the_empty_text_itself_changes_nothing(diffuser):
    strong = run(diffuser, diffuser.unconditional, guidance_scale=9.0)
    assert torch.allclose(strong, run(diffuser, diffuser.unconditional, guidance_scale=1.0), atol=1e-4)


def test_an_unknown_scheduler_is_refused(diffuser, clap):
    with pytest.raises(ConfigError, match="unknown scheduler"):
        run(diffuser, clap, scheduler="euler")


def test_bfloat16_is_close_but_not_equal(diffuser, clap):
    exact, near = run(diffuser, clap), run(diffuser, clap, precision="bfloat16")
    assert near.dtype == torch.float32
    assert not torch.equal(exact, near)
    assert float((exact - near).abs().max() / exact.abs().max()) < 0.1


def test_compiling_needs_a_compiler(diffuser, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match=r"cannot be compiled.*C\+\+"):
        diffuser.compile_noise()


@pytest.mark.parametrize("n_steps", [1000, 250])
def test_ddpm_is_the_published_ancestral_sampling(n_steps):
    """One step of this project's DDPM against that of diffusers, from the same noise, at several levels."""
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    ours = scheduler_of("ddpm")
    theirs = DDPMScheduler(**SCHEDULE, clip_sample=False, variance_type="fixed_small")
    for one in (ours, theirs):
        one.set_timesteps(n_steps)
    assert ours.timesteps.tolist() == theirs.timesteps.tolist()
    latents, estimate = torch.randn(2, 1, 8, 8, 16, generator=torch.Generator().manual_seed(0))
    for time in [*ours.timesteps[:: n_steps // 5].tolist(), 0]:
        fresh = torch.randn(latents.shape, generator=torch.Generator().manual_seed(time))
        given = ours.step(estimate, time, latents, eta=1.0, variance_noise=fresh).prev_sample
        wanted = theirs.step(estimate, time, latents, generator=torch.Generator().manual_seed(time)).prev_sample
        torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-4)
