"""The whole method on a simulated GPU, and on a real one if available."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from farm_scene import FEW_STEPS, PICTURES, SCENE
from pretend_gpu import GPU, PretendGpu

from svdaudio.session import Session

TARGETS = ("manipulated.vocode", "manipulated.scores")
SETTINGS = {**SCENE.clicks, **FEW_STEPS, "generate.candidates": 2, "remix.cycle_its": 2}


def edit(folder, device):
    """Run the edit on a device: action keys and outputs of every stage."""
    session = Session(folder)
    given = {**SETTINGS, "execution.device": device.type}
    request = session.request("manipulate", PICTURES, given, targets=TARGETS)
    session.models(request).device = device
    run = session.run(request, pictures=False).run
    return {one.node: one.key for one in run.stages}, {one.node: session.store.load(one.key) for one in run.stages}


@pytest.fixture(scope="module")
def on_cpu(tmp_path_factory):
    return edit(tmp_path_factory.mktemp("cpu"), torch.device("cpu"))


def test_every_stage_puts_its_tensors_on_the_device_of_its_model(on_cpu, tmp_path):
    """On a simulated GPU, any misplaced tensor is an error, and results are bit-identical.

    Except those of the noise network, which uses another memory layout there and so sums in another order.
    """
    with PretendGpu():
        keys, outputs = edit(tmp_path, GPU)
    expected_keys, expected = on_cpu
    assert keys.keys() == expected_keys.keys()
    rounded = [f"manipulated.{stage}" for stage in ("diffuse", "decode", "vocode", "choose", "scores")]
    for node in expected.keys() - rounded:
        assert keys[node] == expected_keys[node]
        for name, array in expected[node].items():
            np.testing.assert_array_equal(outputs[node][name], array, err_msg=f"{node}.{name}")
    for node, name, atol in zip(rounded, ("latents", "mel"), (1e-3, 1e-2), strict=False):
        np.testing.assert_allclose(outputs[node][name], expected[node][name], atol=atol, err_msg=f"{node}.{name}")
    assert keys["manipulated.diffuse"] == expected_keys["manipulated.diffuse"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_real_gpu_differs_only_by_rounding(on_cpu, tmp_path):
    keys, outputs = edit(tmp_path, torch.device("cuda"))
    expected_keys, expected = on_cpu
    for node in ("original.tokens", "removed.mask", "edited.locals"):
        assert keys[node] == expected_keys[node]
    for node in ("removed.mask", "added.mask"):
        assert (outputs[node]["mask"] == expected[node]["mask"]).mean() > 0.99
    for node, name in (("original.tokens", "embedding"), ("mix", "embedding")):
        one, other = (np.ravel(found[node][name]) for found in (outputs, expected))
        assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.999
    assert np.isfinite(outputs["manipulated.vocode"]["waveforms"]).all()
