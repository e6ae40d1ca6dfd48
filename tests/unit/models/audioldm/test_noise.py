import pytest
import torch

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.models import Models
from svdaudio.methods.stages import DIFFUSE, DIFFUSE_EACH, PICK
from svdaudio.models.audioldm.noise import batches, candidate_noise, joint_noise
from svdaudio.models.audioldm.settings import N_TOGETHER
from svdaudio.randomness import stage_generator

SHAPE = (8, 16, 16)
N_DRAWS = 3


def drawn(noise, n_rows):
    return torch.stack([noise((n_rows, *SHAPE)) for _ in range(N_DRAWS)], dim=1)


def noise_of(n_candidates):
    return torch.cat([drawn(candidate_noise(7, batch), len(batch)) for batch in batches(n_candidates)])


def test_noise_depends_only_on_the_number_of_the_candidate():
    every = noise_of(8)
    for n_candidates in range(1, 8):
        assert torch.equal(noise_of(n_candidates), every[:n_candidates])
    assert all(not torch.equal(every[i], every[j]) for i in range(8) for j in range(i))


def test_three_candidates_have_the_noise_of_earlier_versions():
    assert torch.equal(noise_of(N_TOGETHER), drawn(joint_noise(stage_generator(7, "diffuse")), N_TOGETHER))


def test_batches_do_not_depend_on_what_follows():
    assert [batches(n) for n in range(1, 6)] == [
        [[0]], [[0], [1]], [[0, 1, 2]], [[0, 1, 2], [3]], [[0, 1, 2], [3], [4]],
    ]  # fmt: skip


@pytest.fixture(scope="module")
def mini():
    diffuser = Models(Bundle.open("mini"), device="cpu")["diffuser"]
    clap = torch.nn.functional.normalize(torch.randn(512, generator=torch.Generator().manual_seed(1)), dim=0)
    settings = {
        "scheduler": "ddim", "steps": 4, "guidance_scale": 3.0, "duration_s": 0.6, "seed": 42, "backend": "diffusers",
        "precision": "float32",
    }  # fmt: skip

    def latents(n_candidates, stage=DIFFUSE_EACH):
        run = stage.load_body()
        found = run(clap=clap.numpy(), diffuser=diffuser, n_candidates=n_candidates, **settings)["latents"]
        return torch.from_numpy(found)

    return latents


def test_more_candidates_do_not_change_the_first_ones(mini):
    three, four, five = mini(3), mini(4), mini(5)
    assert torch.equal(five[:3], three)
    assert torch.equal(five[:4], four)
    assert torch.equal(three, mini(3, DIFFUSE)), "the default, as in earlier versions"


def test_fewer_than_three_candidates_are_the_same_up_to_rounding(mini):
    assert torch.allclose(mini(2), mini(3)[:2], atol=1e-4)
    assert torch.equal(mini(1), mini(2)[:1])


def test_a_pick_is_counted_from_1():
    waveforms = torch.sin(torch.arange(3)[:, None] + torch.arange(16_000) * 0.1)
    picked = PICK.load_body()(waveforms=waveforms.numpy(), number=2, duration_s=0.5)["waveform"]
    other = PICK.load_body()(waveforms=waveforms[1:2].numpy(), number=1, duration_s=0.5)["waveform"]
    assert picked.shape == (1, 11_025)
    assert (picked == other).all()
