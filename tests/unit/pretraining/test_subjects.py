import math

import numpy as np
import pytest
import torch
from pair_folder import CLASSES, write_pairs
from torch.nn import functional

from svdaudio.errors import InputError
from svdaudio.pretraining.checks import check_items
from svdaudio.pretraining.ciap import CiapSubject, embed_sounds
from svdaudio.pretraining.data_sets import Split
from svdaudio.pretraining.pairs import find_pairs
from svdaudio.pretraining.ranks import ALONE
from svdaudio.pretraining.settings import CiapSettings, SoundEncoderSettings
from svdaudio.pretraining.sound_encoder import SoundSubject, embed_with_guide, label_texts
from svdaudio.pretraining.subject import batch_targets, label_likeness

SMALL = {"widths": (8, 8, 8, 8)}
SPLIT = Split(training=(0, 1, 2), held_out=(3, 4, 5))
PLACES = [(0, 0), (0, 1), (0, 2), (0, 3)]


def ignore(*report):
    pass


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    items = find_pairs(write_pairs(folder / "data", 6)).items
    return check_items(items, folder / "memory.json", needs_picture=True, progress=ignore)


class FakeAudioEncoder:
    """An audio encoder whose embedding is the length of a sound and its first sample."""

    def __init__(self):
        self.heard = []

    def embed(self, waveforms, sample_rate_hz):
        self.heard.append((waveforms.shape[1], sample_rate_hz, float(waveforms[0, 0])))
        return functional.normalize(torch.ones(1, 512) + torch.arange(512) * waveforms[:, 1:2], dim=1)


class Clip:
    """A guide whose vectors are columns of a unit matrix, by class."""

    dim = 8
    texts = ()

    def embed_texts(self, texts):
        return np.eye(8, dtype=np.float32)[[[name in text for name in CLASSES].index(True) for text in texts]]

    def embed_pictures(self, pictures):
        return np.eye(8, dtype=np.float32)[[int(pixels.mean(axis=(0, 1)).argmax()) for pixels in pictures]]


def ciap_settings(**changes):
    network = {**SMALL, "image_size": 32}
    return CiapSettings.model_validate({"batch": 4, "network": network, "sound": {"duration_s": 1.5}, **changes})


def ciap_subject(data, tmp_path, settings, ear=None):
    heard = embed_sounds(lambda: ear or FakeAudioEncoder(), "digest", data, settings, folder=tmp_path, progress=ignore)
    return CiapSubject(settings, data, SPLIT, heard), heard


def test_sounds_are_repeated_to_their_length_and_embedded_once(data, tmp_path):
    ear = FakeAudioEncoder()
    _, heard = ciap_subject(data, tmp_path, ciap_settings(), ear)
    assert heard.shape == (6, 1, 512)
    assert [length for length, _, _ in ear.heard] == [12_000] * 6
    ciap_subject(data, tmp_path, ciap_settings(), ear)
    assert len(ear.heard) == 6
    ciap_subject(data, tmp_path, ciap_settings(sound={"duration_s": 0.5, "place": "random", "n_crops": 3}), ear)
    assert len(ear.heard) == 6 + 18
    assert len({first for _, _, first in ear.heard[6:9]}) == 3


def test_ciap_losses_agree_with_hand_computed_values(data, tmp_path):
    settings = ciap_settings(targets="identity", temperature=0.5, loss={"contrastive": 2.0, "cosine": 3.0})
    subject, heard = ciap_subject(data, tmp_path, settings)
    given = torch.randn(4, 512, generator=torch.Generator().manual_seed(0))
    found = subject.losses(lambda _: given, {"picture": torch.zeros(4, 3, 32, 32)}, PLACES, ALONE)
    seen, sounds = functional.normalize(given), torch.from_numpy(heard[:4, 0])
    logits = seen @ sounds.T / 0.5
    right = torch.arange(4)
    apart = (functional.cross_entropy(logits, right) + functional.cross_entropy(logits.T, right)) / 2
    assert found["contrastive"].item() == pytest.approx(2 * apart.item(), rel=1e-5)
    assert found["cosine"].item() == pytest.approx(3 * (1 - (seen * sounds).sum(dim=1)).mean().item(), rel=1e-5)


def test_ciap_learns_from_pictures_of_the_right_size(data, tmp_path):
    subject, _ = ciap_subject(data, tmp_path, ciap_settings())
    picture = subject.example(0, np.random.default_rng(0))["picture"]
    assert (picture.shape, picture.dtype) == ((3, 32, 32), np.float32)
    assert 0 <= picture.min() < picture.max() <= 1
    again, other = (subject.example(0, np.random.default_rng(seed))["picture"] for seed in (0, 1))
    assert np.array_equal(picture, again)
    assert not np.array_equal(picture, other)
    figures = subject.measure(subject.network, with_intervals=True)
    assert {one.n for one in figures} == {3}
    assert any("class recall@1" in one.name for one in figures)


def sound_subject(data, tmp_path, clip=None, **changes):
    settings = SoundEncoderSettings.model_validate({"batch": 4, "network": SMALL, **changes})
    guided = embed_with_guide(clip or Clip(), "digest", data, settings, folder=tmp_path, progress=ignore)
    return SoundSubject(settings, data, SPLIT, guided)


def test_both_views_of_a_sound(data, tmp_path):
    subject = sound_subject(data, tmp_path, sound={"place": "start"})
    views = subject.example(0, np.random.default_rng(0))
    assert views["sound"].shape == views["view"].shape == (1, 128, 512)
    assert (views["view"][views["view"] != 0] == views["sound"][views["view"] != 0]).all()
    assert (views["view"] == 0).sum() > (views["sound"] == 0).sum()
    moved = sound_subject(data, tmp_path, spec_augment={"rounds": 0}).example(0, np.random.default_rng(0))
    assert not np.array_equal(moved["sound"], moved["view"])
    assert sound_subject(data, tmp_path, loss={"view": 0}).example(0, np.random.default_rng(0)).keys() == {"sound"}


def test_sound_losses_agree_with_hand_computed_values(data, tmp_path):
    subject = sound_subject(
        data, tmp_path, targets="identity", temperature=1.0, loss={"text": 1.0, "picture": 3.0, "view": 0.0}
    )
    given = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    found = subject.losses(lambda _: given, {"sound": torch.zeros(4, 1, 128, 512)}, PLACES, ALONE)
    directions = torch.eye(8)[[0, 0, 1, 1]]  # classes of the four items, in whose directions text and picture lie
    logits, right = functional.normalize(given) @ directions.T, torch.arange(4)
    apart = (functional.cross_entropy(logits, right) + functional.cross_entropy(logits.T, right)).item() / 2
    assert found["text"].item() == pytest.approx(apart / 4, rel=1e-5)
    assert found["picture"].item() == pytest.approx(apart * 3 / 4, rel=1e-5)
    assert found["view"].item() == 0


def test_sounds_without_labels_or_pictures_contribute_to_the_other_losses(tmp_path):
    folder = write_pairs(tmp_path / "data", 6)
    (folder / "labels.csv").write_text("stem,label\ncat0,cat\ndog4,dog;cat\n")
    for name in ("cat0", "dog4"):
        (folder / f"{name}.png").unlink()
    items = find_pairs(folder).items
    data = check_items(items, tmp_path / "memory.json", needs_picture=False, progress=ignore)
    subject = sound_subject(data, tmp_path, targets="soft", soft_by="labels", loss={"view": 1.0})
    given = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))
    batch = {name: torch.zeros(6, 1, 128, 512) for name in ("sound", "view")}
    found = subject.losses(lambda _: given, batch, [(0, index) for index in range(6)], ALONE)
    assert all(term.item() > 0 for term in found.values())
    figures = {one.name: one for one in subject.measure(subject.network, with_intervals=False)}
    assert figures["sound to picture: recall@1"].n == 2  # of the three that are held out
    assert figures["sound to the text of its label, of 2: recall@1"].n == 1


def test_texts_of_labels_and_their_variants(data, tmp_path):
    text = {"template": "the sound of a {}", "n_variants": 3, "replace": 1, "synonyms": {"sound": ("noise",)}}
    settings = SoundEncoderSettings.model_validate({"text": text})
    assert label_texts(["cat"], settings.text, seed=0) == [
        ["the sound of a cat", "the noise of a cat", "the noise of a cat"]
    ]
    embedded = embed_with_guide(Clip(), "digest", data, settings, folder=tmp_path, progress=ignore)
    assert embedded.texts.shape == (3, 3, 8)

    class Limited(Clip):
        texts = ("cat", "dog")

    with pytest.raises(InputError, match=r"does not know the text of every label: .*got duck\. Rename them"):
        sound_subject(data, tmp_path, Limited())


def test_answers_by_labels_and_by_similarity():
    vectors = torch.eye(3)[[0, 0, 1]]
    labels = [frozenset("a"), frozenset("ab"), frozenset()]
    identity = batch_targets(CiapSettings(targets="identity"), vectors, labels)
    assert torch.equal(identity, torch.eye(3))
    soft = batch_targets(CiapSettings(targets="soft", soft_by="likeness"), vectors, labels)
    assert soft[0].tolist() == pytest.approx([0.5, 0.5, 0.0], abs=1e-6)
    assert label_likeness(labels).flatten().tolist() == pytest.approx(
        [1, math.sqrt(0.5), 0, math.sqrt(0.5), 1, 0, 0, 0, 1]
    )
    assert torch.equal(label_likeness([frozenset(), frozenset()]), torch.eye(2))
