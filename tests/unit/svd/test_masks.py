"""Masks in files, as programs export and save them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from svdaudio.errors import InputError
from svdaudio.svd.masks import check_mask_size, load_mask, mask_bytes
from svdaudio.tasks.picture.mask_file import run as read_mask
from svdaudio.tasks.picture.unite import run as unite

INSIDE = np.zeros((20, 30), bool)
INSIDE[5:15, 10:20] = True
GREY = INSIDE.astype(np.uint8) * 255
SOFT = np.where(INSIDE, 0.9, 0.05)
SOFT[5, 10:20] = 0.6


def coloured(alpha=None):
    rgb = np.stack([GREY, GREY // 4, GREY // 8], axis=2)
    return rgb if alpha is None else np.dstack([rgb, alpha])


IMAGES = {
    "grey": Image.fromarray(GREY),
    "one bit": Image.fromarray(INSIDE),
    "0 and 1": Image.fromarray(INSIDE.astype(np.uint8)),
    "16 bit": Image.fromarray(GREY.astype(np.uint16) * 257),
    "16 bit, 0 and 1": Image.fromarray(INSIDE.astype(np.uint16)),
    "red": Image.fromarray(coloured()),
    "palette": Image.fromarray(coloured()).quantize(4),
    "grey and opaque": Image.fromarray(coloured(np.full_like(GREY, 255))),
    "cut-out": Image.fromarray(np.dstack([np.full((20, 30, 3), 90, np.uint8), GREY])),
    "black cut-out": Image.fromarray(np.dstack([np.zeros((20, 30, 3), np.uint8), GREY])),
    "grey cut-out": Image.fromarray(np.dstack([np.full((20, 30), 90, np.uint8), GREY]), mode="LA"),
}
ARRAYS = {
    "bool": INSIDE,
    "0 and 1": INSIDE.astype(np.int64),
    "0 and 255": GREY,
    "0 and 255 as float": GREY.astype(np.float32),
    "shares": SOFT,
    "with other axes": INSIDE[None, None],
}


@pytest.mark.parametrize("kind", IMAGES)
def test_masks_in_image_files(kind, tmp_path):
    IMAGES[kind].save(tmp_path / "mask.png")
    assert (load_mask(tmp_path / "mask.png") == INSIDE).all()


@pytest.mark.parametrize("kind", ARRAYS)
def test_masks_in_array_files(kind, tmp_path):
    np.save(tmp_path / "mask.npy", ARRAYS[kind])
    assert (load_mask(tmp_path / "mask.npy") == INSIDE).all()


def test_a_mask_is_rotated_like_its_picture(tmp_path):
    turned = Image.fromarray(np.rot90(GREY, 1))
    exif = turned.getexif()
    exif[0x0112] = 6  # rotate clockwise
    turned.save(tmp_path / "mask.png", exif=exif)
    assert (load_mask(tmp_path / "mask.png") == INSIDE).all()


@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_a_mask_round_trips_through_a_file(suffix, tmp_path):
    path = tmp_path / f"mask{suffix}"
    path.write_bytes(mask_bytes(INSIDE, suffix))
    assert (load_mask(path) == INSIDE).all()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((20, 30)), "is empty: .* got at most 0"),
        (np.full((20, 30), np.nan), "holds invalid values: .* got NaN or infinity"),
        (SOFT * 10 - 5, "got -4.5 to 4. Compare logits with 0"),
        (GREY.astype(np.int64) * 4, "got 0 to 1020"),
        (INSIDE.astype(complex), "got complex128"),
        (np.full((20, 30), 0.4), "is mostly neither inside nor outside"),
        (np.zeros((3, 20, 30)), r"is not a matrix: .* got \[3, 20, 30\]"),
        (np.zeros((0, 30)), "is not a matrix"),
        (np.array(["a"]), "is not a matrix"),
        (np.array([[{}]]), "is not a .npy file with one array"),
    ],
)
def test_invalid_masks_are_refused_in_one_line(array, message, tmp_path):
    np.save(tmp_path / "mask.npy", array)
    with pytest.raises(InputError, match=message) as caught:
        load_mask(tmp_path / "mask.npy")
    assert "mask.npy" in caught.value.line()


def test_unreadable_files_are_refused(tmp_path):
    for name in ("a.npy", "a.png"):
        (tmp_path / name).write_bytes(b"no")
        with pytest.raises(InputError, match=name):
            load_mask(tmp_path / name)
    with pytest.raises(InputError, match="file not found"):
        load_mask(tmp_path / "missing.png")
    Image.fromarray(SOFT.astype(np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(InputError, match="floating-point"):
        load_mask(tmp_path / "a.tiff")
    photo = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8) // 2 + 60
    Image.fromarray(photo).save(tmp_path / "photo.jpg")
    with pytest.raises(InputError, match=r"photo\.jpg is mostly neither inside nor outside"):
        load_mask(tmp_path / "photo.jpg")


def test_a_mask_has_the_size_of_its_picture(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "mask.png")
    assert (read_mask(file=tmp_path / "mask.png", pixels=np.zeros((20, 30, 3), np.uint8))["mask"] == INSIDE).all()
    with pytest.raises(InputError, match=r"different size than the picture: expected 20 x 30, got 30 x 20"):
        read_mask(file=tmp_path / "mask.png", pixels=np.zeros((30, 20, 3), np.uint8))
    check_mask_size((30, 20), (30, 20), mask="a", picture="b")


def test_objects_are_united():
    assert (unite(masks={"a": INSIDE, "b": np.roll(INSIDE, 3)})["mask"] == (INSIDE | np.roll(INSIDE, 3))).all()
