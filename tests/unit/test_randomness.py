import torch

from svdaudio.randomness import stage_generator, stage_seed


def test_seeds_of_stages_are_pinned():
    # another value would change every sound generated so far
    assert stage_seed(42, "diffuse") == 8_687_692_095_342_192_870
    assert stage_seed(42, "remix") != stage_seed(42, "diffuse") != stage_seed(43, "diffuse")


def test_a_generator_is_independent_of_the_global_state():
    torch.manual_seed(0)
    first = torch.randn(4, generator=stage_generator(1, "remix"))
    torch.manual_seed(99)
    assert torch.equal(first, torch.randn(4, generator=stage_generator(1, "remix")))
