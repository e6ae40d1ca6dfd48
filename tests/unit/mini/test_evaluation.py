"""The held-out figures on a few samples each, from the shipped weights, through the real wrappers."""

from __future__ import annotations

import pytest

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.models import Models
from svdaudio.config import resolve
from svdaudio.errors import CheckpointError
from svdaudio.figures import at_least
from svdaudio.methods import other_parameters
from svdaudio.methods.baseline import METHOD
from svdaudio.mini import audio_evaluation, evaluation
from svdaudio.mini.recipes import ciap_image_encoder, guide, mapper, sound_encoder
from svdaudio.places import project_root

MINI = project_root() / "checkpoints" / "mini"
PRETRAINED = project_root() / "checkpoints" / "mini-pretrained"


def test_every_figure_of_the_table_has_its_section():
    cards = [section.card for section in evaluation.sections(MINI)]
    roles = ["segmenter", "detector", "image_encoder", "tagger", "autoencoder", "domain", "vocoder", None]
    pretrained = ["ciap_image_encoder", "sound_encoder", "guide", "mapper"]
    assert [card and card.stem for card in cards] == roles + pretrained
    assert all(card is None or card.is_file() for card in cards)


def test_a_folder_without_a_bundle_is_reported(tmp_path):
    with pytest.raises(CheckpointError, match="unknown bundle"):
        next(evaluation.sections(tmp_path / "nothing"))


def test_the_judge_hears_single_animals_and_pairs():
    single, pair, alarms = audio_evaluation.tagger_figures(MINI / "tagger.safetensors", n_sounds=9)
    assert single.value == 1.0
    assert pair.value > 0.8
    assert alarms.value < 0.3
    assert (single.n, single.goal) == (9, at_least(0.97))


def test_the_vocoder_is_nearer_than_griffin_lim():
    figures = {
        figure.name: figure.value
        for figure in audio_evaluation.vocoder_figures(
            MINI / "autoencoder.safetensors", MINI / "vocoder.safetensors", n_sounds=3
        )
    }
    for what in ("multi-resolution STFT distance", "log-mel error"):
        assert figures[f"vocoder: {what}"] < figures[f"Griffin-Lim: {what}"]
        assert figures[f"vocoder: {what}"] < figures[f"VAE and vocoder: {what}"]


def test_the_vae_keeps_most_of_a_sound():
    error, distance, _, least, _ = audio_evaluation.autoencoder_figures(MINI / "autoencoder.safetensors", n_sounds=3)
    assert error.value < 0.3
    assert least.value < distance.value < 1.5 * least.value


def test_pictures_are_embedded_near_their_sounds():
    models = Models(Bundle.open("mini-pretrained"), device="cpu", keep=True)
    near, near_two, right, _ = ciap_image_encoder.figures(
        models["ciap_image_encoder"], models["audio_encoder"], n_pictures=9
    )
    assert near.value > 0.95
    assert near_two.value > 0.9
    assert right.value == 1.0
    assert (near.goal, right.goal) == (at_least(0.93), at_least(0.95))


def test_sounds_are_embedded_near_their_words():
    one, two, apart = sound_encoder.figures(PRETRAINED / "sound_encoder.safetensors", n_sounds=9)
    assert (one.value, one.goal) == (1.0, at_least(0.97))
    assert two.value > 0.8
    assert apart.value > 0.5


def test_the_texts_of_the_guide_match_its_pictures():
    (right,) = guide.figures(PRETRAINED / "guide.safetensors", n_pictures=9)
    assert right.value > 0.7


def test_the_mapper_maps_pictures_near_their_sounds():
    models = Models(Bundle.open("mini-pretrained"), device="cpu", keep=True)
    one, two = mapper.figures(
        PRETRAINED / "mapper.safetensors", models["image_encoder"], models["audio_encoder"], n_pictures=9
    )
    assert one.value > 0.85
    assert two.value > 0.8


def test_a_picture_of_one_animal_sounds_like_it():
    bundle = Bundle.open("mini")
    given = {"generate.candidates": 1, "generate.steps": 8}
    config = resolve(
        METHOD.config, given=given, bundle_settings=lambda _: bundle.settings, elsewhere=other_parameters(METHOD)
    ).config
    (heard,) = audio_evaluation.hearing_figures(Models(bundle, device="cpu", keep=True), config, n_pictures=2)
    assert (heard.n, heard.value, heard.goal) == (2, 1.0, at_least(0.95))
