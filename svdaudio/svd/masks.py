"""Masks of objects in files: images, and numpy arrays.

What counts as inside:

- an image with transparency: what is opaque, as in a cut-out;
- any other image: what is white or coloured, on black; also 1 on 0;
- an array [height, width] in a .npy file: True, or numbers from 0 to 1 or from 0 to 255.

The threshold is half. A file in which most values are in between is not a mask, nor is one that holds logits.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped
from numpy.typing import NDArray
from PIL import Image

from svdaudio.errors import InputError
from svdaudio.svd.align import check_mask
from svdaudio.svd.image_files import read_image_bytes
from svdaudio.svd.images import decode_rgba

MASK_SUFFIXES = (".png", ".npy")
"""What `mask_bytes` writes."""
LEAST_CLEAR = 0.5
"""Least share of values that are clearly inside or outside."""
_WHITE = 255


def load_mask(path: Path) -> Bool[NDArray[np.bool_], "height width"]:
    """Read a mask from an image (as for pictures, turned upright) or a .npy file.

    Raises:
        InputError: the file cannot be read, does not hold one mask, or the mask is empty.
    """
    data, name = read_image_bytes(path), str(path)
    if path.suffix.lower() == ".npy":
        values = _array(data, name)
    else:
        rgba = decode_rgba(data, name)
        alpha = rgba[..., 3]
        values = rgba[..., :3].max(axis=2) if alpha.min() > _WHITE / 2 else alpha
    return as_mask(values, name)


def as_mask(values: Shaped[NDArray[Any], "height width"], name: str) -> Bool[NDArray[np.bool_], "height width"]:
    """Convert truth values, shares from 0 to 1, or grey values from 0 to 255 to a mask.

    Args:
        values: values of the mask.
        name: its name in errors.

    Raises:
        InputError: the values are not those of a mask, or the mask is empty.
    """
    mask = values if values.dtype == np.bool_ else _inside(values, name)
    if not mask.any():
        got = f"at most {float(values.max()):g}"
        raise InputError(f"the mask {name} is empty", expected="the object in white, opaque or 1", got=got)
    return mask


def check_mask_file(path: Path) -> None:
    """Refuse a file that is not a mask. See `load_mask`."""
    load_mask(path)


def check_mask_size(size: tuple[int, ...], expected: tuple[int, ...], *, mask: str, picture: str) -> None:
    """Refuse a mask whose size differs from its picture's.

    Args:
        size: width and height of the mask.
        expected: width and height of the picture.
        mask: the mask's name in the error.
        picture: the picture's name in the error.

    Raises:
        InputError: the sizes differ.
    """
    if size != expected:
        width_height = " x ".join(map(str, expected))
        raise InputError(
            f"the mask {mask} has a different size than {picture}",
            expected=width_height,
            got=" x ".join(map(str, size)),
            fix="export it in the size of the upright picture",
        )


def mask_bytes(mask: Bool[NDArray[np.bool_], "height width"], suffix: str) -> bytes:
    """A mask as the bytes of a file that `load_mask` reads: 8-bit grey PNG, 255 inside, or a bool array in .npy.

    Args:
        mask: the mask.
        suffix: ".png" or ".npy".
    """
    buffer = BytesIO()
    if suffix == ".npy":
        np.save(buffer, mask)
    else:
        Image.fromarray(mask.astype(np.uint8) * _WHITE).save(buffer, format="PNG")
    return buffer.getvalue()


def _array(data: bytes, name: str) -> NDArray[Any]:
    """A matrix from the bytes of a .npy file; axes of length 1 around it are dropped."""
    try:
        found: Any = np.load(BytesIO(data), allow_pickle=False)
        array: NDArray[Any] = found
        if array.ndim > 2:
            array = array.reshape([n for n in array.shape if n != 1])
        shape = array.shape
    except Exception as error:  # numpy raises nearly anything on damaged files
        raise InputError(
            f"the mask {name} is not a .npy file with one array", got=str(error).splitlines()[0][:200] or "no text"
        ) from error
    if len(shape) != 2 or not array.size:
        raise InputError(f"the mask {name} is not a matrix", expected="[height, width]", got=list(found.shape))
    return array


def _inside(values: Shaped[NDArray[Any], "height width"], name: str) -> Bool[NDArray[np.bool_], "height width"]:
    is_grey = values.dtype.kind in "iu" or bool(np.isin(values, (0, _WHITE)).all())
    white = _WHITE if is_grey and values.max() > 1 else 1
    shares = values / white if values.dtype.kind in "iuf" else values
    try:
        check_mask(shares)
    except InputError as error:
        got = f"{values.min():g} to {values.max():g}" if values.dtype.kind in "iuf" else values.dtype
        raise InputError(
            f"the mask {name} holds invalid values",
            expected="True and False, or numbers from 0 to 1 or 0 to 255",
            got=error.got if error.got == "NaN or infinity" else got,
            fix="compare logits with 0",
        ) from None
    clear = float(((shares < 1 / 8) | (shares > 7 / 8)).mean())
    if clear < LEAST_CLEAR:
        raise InputError(
            f"the mask {name} is mostly neither inside nor outside",
            expected="the object in white, opaque or 1, and the rest in black, transparent or 0",
            got=f"{1 - clear:.0%} between 1/8 and 7/8 of white",
            fix="give a mask, not a picture",
        )
    return shares >= 0.5
