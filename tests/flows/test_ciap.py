"""`svdaudio ciap` with the bundled weights: a sound, a faded object, and errors."""

from __future__ import annotations

import json

import pytest
from farm_scene import AUDIBLE_ARGUMENTS, FEW_STEPS, PICTURES

from svdaudio.session import Session


@pytest.fixture
def ciap(cli, tmp_path):
    def run(*arguments):
        ran = cli("ciap", PICTURES[0], *arguments, "--store", tmp_path / "store", "--json")
        return json.loads(ran.out)

    return run


def test_a_picture_gets_a_sound_and_one_of_its_objects_is_faded(ciap):
    result = ciap("--object", "cat=756,581", "--gain", "cat=-inf", *AUDIBLE_ARGUMENTS)
    assert result["bundle"] == "mini-pretrained"
    assert result["scores"]["original"]["cat"] > 0.9
    assert result["scores"]["original"]["dog"] > 0.9
    assert result["scores"]["mix"]["cat"] < 0.1
    assert result["scores"]["mix"]["dog"] > 0.9
    [finding] = result["verdict"]
    assert (finding["object"], finding["ok"]) == ("cat", True)

    plain = ciap(*AUDIBLE_ARGUMENTS)
    assert {stage["status"] for stage in plain["stages"]} == {"cached"}, "both runs include the plain sound"
    assert plain["audio"].keys() == {"original"}


def test_stages_after_the_embedding_share_keys_with_other_methods(tmp_path):
    """The diffusion of a CLAP embedding is one artifact, whichever conditioner made it."""
    session = Session(tmp_path)
    requests = [
        session.request(method, [PICTURES[0]], {"bundle": "mini-pretrained", **few})
        for method, few in (
            ("ciap", {name: value for name, value in FEW_STEPS.items() if name.startswith("generate.")}),
            ("baseline", FEW_STEPS),
        )
    ]
    mine, theirs = ({node.name: node for node in request.nodes} for request in requests)
    for stage in ("diffuse", "decode", "vocode", "choose", "finish", "scores"):
        assert mine[f"original.{stage}"].stage is theirs[f"original.{stage}"].stage


def test_a_bundle_without_the_encoder_is_an_error_that_names_one_with_it(cli, tmp_path):
    ran = cli("ciap", PICTURES[0], "--bundle", "mini", "--store", tmp_path)
    assert ran.code == 3
    assert "the bundle 'mini' has no ciap_image_encoder" in ran.err
    assert "Use --bundle mini-pretrained." in ran.err
