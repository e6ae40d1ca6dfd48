"""The segmenter, on a tiny SAM 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sam2
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from sam2.sam2_image_predictor import SAM2ImagePredictor

from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.models import Models
from svdaudio.errors import CheckpointError, InputError
from svdaudio.models.sam2.segmenter import (
    MIN_WINDOW_PX,
    N_PICTURES_KEPT,
    Mask,
    Segmenter,
    SegmenterConfig,
    build_segmenter,
    check_points,
    load_segmenter,
    split_points,
    window_around,
)
from svdaudio.places import project_root
from svdaudio.svd.images import load_image
from svdaudio.tasks.picture import mask as mask_stage
from svdaudio.weights.own import Header, save_weights

TINY = {
    "image_size": 128,
    "embed_dim": 16,
    "num_heads": 1,
    "stages": [1, 1, 2, 1],
    "global_att_blocks": [3],
    "window_spec": [8, 4, 8, 4],
    "d_model": 32,
    "memory_layers": 1,
    "memory_feedforward": 32,
    "memory_dim": 16,
}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_segmenter(TINY)


@pytest.fixture(scope="module")
def segmenter(model):
    return Segmenter(model)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (90, 140, 3), np.uint8)


def published_config():
    """sam2's own description of SAM 2.1 Hiera-L."""
    return OmegaConf.load(Path(sam2.__path__[0]) / "configs/sam2.1/sam2.1_hiera_l.yaml").model


def test_it_is_the_published_network_in_another_size():
    """This project's builder against sam2's configuration, both reduced alike: same weights, same result."""
    config = published_config()
    trunk = {k: TINY[k] for k in ("embed_dim", "num_heads", "stages", "global_att_blocks", "window_spec")}
    config.image_encoder.trunk.update(trunk)
    config.image_encoder.neck.backbone_channel_list = [128, 64, 32, 16]
    config.image_size = 256
    torch.manual_seed(1)
    theirs = instantiate(config, _recursive_=True).eval()
    ours = build_segmenter({**trunk, "image_size": 256}).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    plain = (bool, int, float, str)
    for (name, one), (_, other) in zip(ours.named_modules(), theirs.named_modules(), strict=True):
        settings = {k: v for k, v in vars(one).items() if isinstance(v, plain)}
        assert settings == {k: v for k, v in vars(other).items() if isinstance(v, plain)}, name
    image = torch.randn(1, 3, 256, 256)
    with torch.inference_mode():
        one, other = ours.forward_image(image), theirs.forward_image(image)
    assert torch.equal(one["vision_features"], other["vision_features"])


def test_the_defaults_are_the_published_ones():
    config, ours = published_config(), SegmenterConfig()
    trunk = config.image_encoder.trunk
    for name in (
        "embed_dim",
        "num_heads",
        "stages",
        "global_att_blocks",
        "window_pos_embed_bkg_spatial_size",
        "window_spec",
    ):
        assert np.array_equal(getattr(ours, name), trunk[name])
    assert ours.image_size == config.image_size
    assert ours.d_model == config.image_encoder.neck.d_model
    assert ours.memory_layers == config.memory_attention.num_layers
    assert ours.memory_feedforward == config.memory_attention.layer.dim_feedforward
    assert ours.memory_dim == config.memory_encoder.out_dim


def test_a_mask_has_the_size_of_the_picture(segmenter, pixels):
    found = segmenter.segment(pixels, np.array([[70, 40]]), np.array([1]))
    assert found.mask.shape == (90, 140)
    assert found.mask.dtype == np.bool_
    assert 0 <= found.score <= 1
    assert found.logits.shape == (32, 32)
    assert found.logits.dtype == np.float32


def test_the_best_of_three_masks_is_kept(model, pixels, monkeypatch):
    segmenter = Segmenter(model)
    masks = np.stack([np.full((90, 140), value) for value in (0.0, 1.0, 0.0)])
    logits = np.stack([np.full((32, 32), value) for value in (1.0, 2.0, 3.0)])
    monkeypatch.setattr(segmenter._predictor, "predict", lambda *_, **__: (masks, np.array([0.2, 0.9, 0.5]), logits))
    found = segmenter.segment(pixels, np.array([[5, 5]]), np.array([1]))
    assert found.score == 0.9
    assert found.mask.all()
    assert (found.logits == 2).all()


def test_the_same_clicks_give_the_same_mask(segmenter, pixels):
    points, labels = np.array([[70, 40], [10, 80], [139, 89]]), np.array([1, 0, 1])
    first, second = (segmenter.segment(pixels, points, labels) for _ in range(2))
    assert np.array_equal(first.logits, second.logits)
    assert first.score == second.score


def test_embeddings_of_recent_pictures_are_cached(model, pixels, monkeypatch):
    embedded = []
    real = SAM2ImagePredictor.set_image
    monkeypatch.setattr(
        SAM2ImagePredictor, "set_image", lambda self, image: (embedded.append(image), real(self, image))
    )
    alone = [Segmenter(model).segment(pixels, *split_points([place])) for place in ((20, 30, 1), (100, 60, 1))]
    embedded.clear()
    kept = Segmenter(model)
    again = [kept.segment(pixels, *split_points([place])) for place in ((20, 30, 1), (100, 60, 1))]
    assert len(embedded) == 1
    for one, other in zip(alone, again, strict=True):
        assert np.array_equal(one.logits, other.logits)
    for shade in range(N_PICTURES_KEPT):
        kept.segment(np.full_like(pixels, shade), *split_points([(20, 30, 1)]))
    embedded.clear()
    kept.segment(pixels, *split_points([(20, 30, 1)]))
    assert len(embedded) == 1, "others have replaced it"


def test_other_clicks_give_another_mask(segmenter, pixels):
    one = segmenter.segment(pixels, np.array([[70, 40]]), np.array([1]))
    other = segmenter.segment(pixels, np.array([[70, 40], [10, 10]]), np.array([1, 0]))
    assert not np.array_equal(one.logits, other.logits)


@pytest.mark.parametrize("point", [(-1, 5), (5, -0.5), (140, 5), (5, 90), (float("nan"), 5), (1e9, 1)])
def test_a_point_outside_of_the_picture_is_refused(segmenter, pixels, point):
    with pytest.raises(InputError, match=r"outside the picture: expected x in 0\.\.139, y in 0\.\.89"):
        segmenter.segment(pixels, np.array([point]), np.array([1]))


@pytest.mark.parametrize(
    ("points", "labels", "words"),
    [
        (np.zeros((0, 2)), np.zeros(0, int), "no point given"),
        (np.array([[1, 1]]), np.array([0]), "at least one point with label 1"),
        (np.array([[1, 1]]), np.array([2]), "unknown label"),
        (np.array([[1, 1]]), np.array([1, 1]), "do not match"),
    ],
)
def test_invalid_clicks_are_refused(points, labels, words):
    with pytest.raises(InputError, match=words):
        check_points(points, labels, 10, 10)


def test_points_are_split_into_coordinates_and_labels():
    points, labels = split_points([[1, 2.5, 1], [3, 4, 0]])
    assert points.tolist() == [[1, 2.5], [3, 4]]
    assert labels.tolist() == [1, 0]
    assert split_points([])[0].shape == (0, 2)


def test_weights_round_trip_through_a_file(tmp_path, model, pixels):
    path = tmp_path / "segmenter.safetensors"
    rounded = {name: tensor.half().float() for name, tensor in model.state_dict().items()}
    save_weights(
        path, rounded, Header(role="segmenter", architecture="SAM2", config=TINY, recipe="-", recipe_version=1)
    )
    same = build_segmenter(TINY)
    same.load_state_dict(rounded)
    points, labels = np.array([[70, 40]]), np.array([1])
    expected = Segmenter(same).segment(pixels, points, labels)
    assert np.array_equal(load_segmenter(path).segment(pixels, points, labels).logits, expected.logits)


def test_weights_of_another_shape_are_refused(tmp_path, model):
    path = tmp_path / "segmenter.safetensors"
    config = {**TINY, "d_model": 16}
    save_weights(
        path,
        model.state_dict(),
        Header(role="segmenter", architecture="SAM2", config=config, recipe="-", recipe_version=1),
    )
    with pytest.raises(CheckpointError, match="does not match its own description"):
        load_segmenter(path)


class Scripted(Segmenter):
    """Returns boxes as masks: one for each click on its own, and another for all clicks together."""

    def __init__(self, together, alone, score=0.9):
        self.together, self.alone, self.prompts, self._takes_boxes = together, alone, [], False

    def _one_object(self, pixels, where, kind):
        clicks = [(x, y, label) for (x, y), label in zip(where.tolist(), kind.tolist(), strict=True)]
        self.prompts.append(clicks)
        included = [(x, y) for x, y, label in clicks if label]
        rows, columns, score = self.alone[included[0]] if len(included) == 1 else (*self.together, 0.5)
        mask = box(*pixels.shape[:2], rows, columns)
        return Mask(mask=mask, score=score, logits=np.where(mask[:32, :32], score, -1).astype(np.float32))


CAT, DOG = (slice(10, 30), slice(10, 30), 0.8), (slice(50, 80), slice(60, 90), 0.9)
ALONE = {(20.0, 20.0): CAT, (22.0, 22.0): CAT, (70.0, 60.0): DOG}
NEITHER = (slice(35, 45), slice(40, 55))


def segment_clicks(segmenter, pixels, *clicks):
    table = np.array(clicks, float)
    return segmenter.segment(pixels, table[:, :2], table[:, 2].astype(int))


def test_clicks_on_several_objects_give_the_union_of_their_masks(pixels):
    segmenter = Scripted(NEITHER, ALONE)
    found = segment_clicks(segmenter, pixels, (20, 20, 1), (5, 85, 0), (22, 22, 1), (70, 60, 1))
    wanted = box(90, 140, *CAT[:2]) | box(90, 140, *DOG[:2])
    assert np.array_equal(found.mask, wanted)
    assert (found.n_united, found.missed, found.unwanted) == (2, (), ())
    assert found.score == 0.8
    assert np.array_equal(found.logits > 0, wanted[:32, :32])
    # Together; then one by one, unless it is covered by now, and always with what is excluded.
    assert segmenter.prompts[1:] == [[(20, 20, 1), (5, 85, 0)], [(5, 85, 0), (70, 60, 1)]]
    assert found.remarks == ("the mask of all clicks together misses some of them, so 2 masks are merged",)


def test_clicks_covered_by_their_joint_mask_are_segmented_only_together(pixels):
    segmenter = Scripted((slice(0, 90), slice(0, 140)), {})
    found = segment_clicks(segmenter, pixels, (20, 20, 1), (70, 60, 1))
    assert (len(segmenter.prompts), found.n_united, found.remarks, found.score) == (1, 1, (), 0.5)


def test_a_union_is_taken_only_if_fewer_clicks_contradict_it(pixels):
    nowhere = {place: (slice(0, 5), slice(100, 105), 0.9) for place in ALONE}
    found = segment_clicks(Scripted(NEITHER, nowhere), pixels, (20, 20, 1), (70, 60, 1))
    assert np.array_equal(found.mask, box(90, 140, *NEITHER))
    assert (found.n_united, found.missed) == (1, ((20, 20), (70, 60)))
    assert found.remarks == ("the mask does not cover the clicks at (20, 20), (70, 60); click elsewhere on the object",)
    # The dog's own mask covers what is excluded: as many clicks contradict the union as the cat's mask alone.
    found = segment_clicks(Scripted(CAT[:2], ALONE), pixels, (20, 20, 1), (70, 60, 1), (75, 65, 0))
    assert (found.n_united, found.missed, found.unwanted) == (1, ((70, 60),), ())


@pytest.mark.parametrize("place", [(20.875, 29.75), (10, 10), (29.5, 10.5)])
def test_a_click_anywhere_in_a_covered_pixel_is_covered(pixels, place):
    found = segment_clicks(Scripted(NEITHER, {place: CAT}), pixels, (*place, 1))
    assert (found.missed, found.remarks) == ((), ())


def test_missed_and_wrongly_covered_clicks_are_reported(pixels):
    found = segment_clicks(Scripted(NEITHER, {(30.0, 20.0): CAT}), pixels, (30, 20, 1), (12.5, 13, 0))
    assert (found.missed, found.unwanted) == (((30, 20),), ((12.5, 13),))
    assert found.remarks == (
        "the mask does not cover the click at (30, 20); click elsewhere on the object",
        "the mask covers the click at (12.5, 13), which is excluded; move or add clicks",
    )


BOX = (10.0, 8.5, 30.0, 30.0)


def test_the_mask_of_a_box_is_cut_to_it(pixels):
    segmenter = Scripted(NEITHER, {(20.0, 19.25): (slice(0, 40), slice(0, 25), 0.8)})
    found = segmenter.segment_box(pixels, BOX, np.zeros((0, 2)), np.zeros(0, int))
    assert segmenter.prompts == [[(20, 19.25, 1)]], "its centre serves as a click"
    assert np.array_equal(found.mask, box(90, 140, slice(8, 30), slice(10, 25)))
    assert (found.missed, found.unwanted) == ((), ())


def test_clicks_given_with_a_box_replace_its_centre(pixels):
    segmenter = Scripted(NEITHER, {(12.0, 12.0): CAT, (20.0, 19.25): CAT})
    found = segmenter.segment_box(pixels, BOX, np.array([[12.0, 12.0], [15.0, 15.0]]), np.array([1, 0]))
    assert segmenter.prompts == [[(12, 12, 1), (15, 15, 0)]]
    assert found.unwanted == ((15, 15),)
    segmenter.segment_box(pixels, BOX, np.array([[15.0, 15.0]]), np.array([0]))
    assert segmenter.prompts[1:] == [[(15, 15, 0), (20, 19.25, 1)]], "unless they only exclude"
    segmenter = Scripted(CAT[:2], {(5.0, 5.0): CAT})
    assert segmenter.segment_box(pixels, BOX, np.array([[5.0, 5.0]]), np.array([1])).missed == ((5, 5),)


def test_a_network_that_takes_boxes_gets_the_box(model, pixels, monkeypatch):
    segmenter, calls = Segmenter(model, takes_boxes=True), []

    def predict(where, kind, *, box, multimask_output):
        calls.append((where, kind, box.tolist(), multimask_output))
        return np.ones((1, *pixels.shape[:2])), np.array([0.7]), np.zeros((1, 8, 8))

    monkeypatch.setattr(segmenter._predictor, "predict", predict)
    found = segmenter.segment_box(pixels, BOX, np.zeros((0, 2)), np.zeros(0, int))
    assert calls == [(None, None, list(BOX), False)]
    assert found.score == 0.7
    assert np.array_equal(found.mask, box(90, 140, slice(8, 30), slice(10, 30)))
    monkeypatch.undo()
    found = segmenter.segment_box(pixels, BOX, np.array([[15.0, 15.0]]), np.array([0]))
    assert found.mask.shape == pixels.shape[:2], "the real network takes it as well"


@pytest.mark.parametrize("wrong", [(30, 8, 10, 30), (-1, 8, 10, 30), (10, 8, 141, 30), (10, 8, 30, 91)])
def test_a_box_outside_of_the_picture_is_refused(segmenter, pixels, wrong):
    with pytest.raises(InputError, match="the box is empty or reaches outside"):
        segmenter.segment_box(pixels, wrong, np.zeros((0, 2)), np.zeros(0, int))
    with pytest.raises(InputError, match="the point is outside"):
        segmenter.segment_box(pixels, BOX, np.array([[500.0, 15.0]]), np.array([0]))


def test_the_mini_bundle_on_a_cat_and_a_dog():
    """Segmented as one object, they gave one cut-off animal that covered neither click, with a score of 0.9."""
    segmenter = Models(Bundle.open("mini"), device="cpu")["segmenter"]
    picture = load_image(project_root() / "examples" / "dog_cat.jpg")
    cat, dog = (segment_clicks(segmenter, picture, (*place, 1)) for place in ((756, 581), (425, 468)))
    both = segment_clicks(segmenter, picture, (756, 581, 1), (425, 468, 1))
    assert (both.n_united, both.missed) == (2, ())
    assert np.array_equal(both.mask, cat.mask | dog.mask)
    notes = []
    arrays = mask_stage.run(
        pixels=picture, points=[[756, 581, 1], [425, 468, 1]], segmenter=segmenter, note=notes.append
    )
    assert notes == list(both.remarks)
    assert np.array_equal(arrays["mask"], both.mask)


def box(height, width, rows, columns):
    mask = np.zeros((height, width), bool)
    mask[rows, columns] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "point", "margin", "wanted"),
    [
        (box(400, 600, slice(100, 200), slice(300, 400)), (350, 150), 1.0, (slice(52, 249), slice(252, 449))),
        (box(400, 600, slice(0, 100), slice(500, 600)), (550, 50), 1.0, (slice(0, 197), slice(403, 600))),
        (box(400, 600, slice(300, 305), slice(20, 25)), (22, 302), 0.5, (slice(270, 335), slice(0, 65))),
        (box(400, 600, slice(100, 300), slice(0, 600)), (50, 150), 0.5, (slice(0, 400), slice(0, 600))),
    ],
    ids=["in the middle", "in a corner", "tiny", "wider than the picture is high"],
)
def test_a_second_pass_crops_a_square_around_the_mask(mask, point, margin, wanted):
    window = window_around(mask, np.array([point], np.float32), margin)
    for found, expected in zip(window, wanted, strict=True):
        assert abs(found.start - expected.start) <= 2  # a hundredth of the mask sticks out
        assert abs(found.stop - expected.stop) <= 2
        assert found.stop - found.start >= min(MIN_WINDOW_PX, mask.shape[1])


def test_a_second_pass_includes_a_click_that_the_first_missed():
    rows, columns = window_around(
        box(400, 600, slice(100, 150), slice(100, 150)), np.array([[420, 300]], np.float32), 0.3
    )
    assert rows.start <= 300 < rows.stop
    assert columns.start <= 420 < columns.stop


def test_a_second_pass_does_not_depend_on_mirroring(model):
    """The mirror image is segmented as well, so that a mirrored crop yields the mirrored mask."""
    twice = Segmenter(model, second_looks=(0.5,))
    pixels = np.random.default_rng(3).integers(0, 256, (128, 128, 3), np.uint8)
    window = (slice(0, 128), slice(0, 128))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("svdaudio.models.sam2.segmenter.window_around", lambda *_: window)
        patched.setattr("svdaudio.models.sam2.segmenter.MIN_REFINED_PX", 0)
        there = twice.segment(pixels, np.array([[40, 60]]), np.array([1]))
        back = twice.segment(pixels[:, ::-1].copy(), np.array([[127 - 40, 60]]), np.array([1]))
    np.testing.assert_allclose(there.logits, back.logits[:, ::-1], atol=2e-4)
    np.testing.assert_allclose(there.score, back.score, atol=1e-5)


def test_pixels_outside_the_second_crop_are_not_part_of_the_object(model):
    twice = Segmenter(model, second_looks=(0.1,))
    pixels = np.random.default_rng(4).integers(0, 256, (200, 300, 3), np.uint8)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("svdaudio.models.sam2.segmenter.window_around", lambda *_: (slice(20, 90), slice(30, 100)))
        patched.setattr("svdaudio.models.sam2.segmenter.MIN_REFINED_PX", 0)
        found = twice.segment(pixels, np.array([[50, 60], [250, 150]]), np.array([1, 0])).mask
    assert found.shape == (200, 300)
    assert not found[90:].any()
    assert not found[:, 100:].any()
