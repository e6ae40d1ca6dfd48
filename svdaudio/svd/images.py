"""Decode pictures from files, Pillow images or arrays as upright 8-bit RGB.

EXIF rotation is applied, so that clicks refer to the picture as every viewer shows it.
Transparency is composited over white. CMYK is converted by Pillow (colour profiles are not applied).
Sixteen-bit samples keep their high byte, as Pillow does for 16-bit RGB. Size is checked from the header, before
any pixel is decoded. Damaged metadata (EXIF, text, colour profiles) is ignored, and then the picture is not
rotated. A picture whose pixels are damaged, as reported by libjpeg, is refused.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image

from svdaudio.errors import InputError
from svdaudio.svd.image_files import (
    FORMATS,
    check_sides,
    opened,
    orientation_of,
    read_image_bytes,
    reason_of,
    strict_pillow,
)
from svdaudio.svd.png import essential_png

Pixels: TypeAlias = UInt8[NDArray[np.uint8], "_height _width 3"]
"""An upright picture [height, width, 3]: RGB, rows from top to bottom, 0 to 255. Several may differ in size."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture upright, by EXIF's orientation."""
_SCALES = {"L;2": 85, "L;4": 17}
"""Pillow's factor for samples of less than eight bits, by its name for their packing."""
_JPEG_DAMAGE = ("Corrupt JPEG data", "Premature end of JPEG file")
"""How libjpeg's warnings of damaged pixels begin. Others concern odd headers that some cameras write."""


def load_image(path: str | Path) -> Pixels:
    """Read a picture from a file.

    Args:
        path: a JPEG, PNG, WebP, BMP, GIF, TIFF or PPM file with one picture in it.

    Returns:
        Upright RGB pixels [height, width, 3], uint8.

    Raises:
        InputError: the file is missing, not a regular file, empty, not an image, truncated or damaged, animated,
            smaller than 16 px or larger than 16 384 px along a side, or of more than 64 megapixels.
    """
    return decode_image(read_image_bytes(Path(path)), str(path))


def decode_image(data: bytes, name: str) -> Pixels:
    """Decode the bytes of an image file; `name` is its name in errors. See `load_image`."""
    with opened(data, name) as image:
        _check_one_picture(image, name)
        try:
            packed = _packing(image)
            image.load()
            orientation = orientation_of(image)
            see_through = _see_through(image, packed, data)
            pixels = _to_rgb(image, name)
        except InputError:
            raise
        except Exception as error:
            raise _damaged(name, error) from error
        is_jpeg = image.format in {"JPEG", "MPO"}
    if is_jpeg:
        _check_jpeg(data, name)
    if see_through is not None:
        pixels[see_through] = 255
    return _turned(pixels, orientation)


def decode_rgba(data: bytes, name: str) -> UInt8[NDArray[np.uint8], "height width 4"]:
    """Decode an image file with its transparency, for masks: samples of 0 and 1 are kept.

    Raises:
        InputError: see `load_image`.
    """
    with opened(data, name) as image:
        _check_one_picture(image, name)
        try:
            image.load()
            orientation = orientation_of(image)
            if image.mode == "F":
                raise InputError(f"the picture {name} has floating-point samples", expected="8 or 16 bits a sample")
            grey = _truth_or_high_byte(image, name) if image.mode.startswith("I") else image
            pixels = np.array(grey.convert("RGBA"))
        except InputError:
            raise
        except Exception as error:
            raise _damaged(name, error) from error
        is_jpeg = image.format in {"JPEG", "MPO"}
    if is_jpeg:
        _check_jpeg(data, name)
    return _turned(pixels, orientation)


def as_pixels(image: Any, name: str = "the picture") -> Pixels:
    """Convert a picture of any supported type to the pixels that `load_image` returns.

    Args:
        image: the path of an image file, a Pillow image, or a uint8 array or tensor [height, width, 3]. A Pillow image
            is treated as its file would be: turned upright, transparency over white, one picture, of a permitted size.
        name: its name in errors, unless it is a file.

    Returns:
        Upright RGB pixels [height, width, 3], uint8.

    Raises:
        InputError: see `load_image`; or the image is of another type.
    """
    if isinstance(image, str | os.PathLike):
        return load_image(os.fspath(cast("str | os.PathLike[str]", image)))
    if isinstance(image, Image.Image):
        return _from_pillow(image, name)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(image, torch.Tensor):
        image = image.detach().cpu().numpy()
    if not isinstance(image, np.ndarray):
        kind = type(cast("object", image)).__name__
        raise InputError(
            f"{name} is of an unknown type", expected="a path, a Pillow image, or an array [H, W, 3] of uint8", got=kind
        )
    array: NDArray[Any] = image
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise InputError(
            f"{name} has the wrong shape or dtype", expected="[H, W, 3] uint8", got=f"{list(array.shape)} {array.dtype}"
        )
    check_sides(array.shape[1], array.shape[0], name)
    return np.ascontiguousarray(array)


def png_bytes(pixels: Pixels) -> bytes:
    """RGB pixels as the bytes of a PNG file."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _from_pillow(image: Image.Image, name: str) -> Pixels:
    """Pixels of a Pillow image, as read from its file; from the file itself if Pillow has not decoded it."""
    name = str(getattr(image, "filename", "")) or name
    if (data := _undecoded(image)) is not None:
        pixels = decode_image(data, name)
        with suppress(Exception), strict_pillow():
            image.load()  # closes the file, as every use of a Pillow image does
        return pixels
    with strict_pillow():
        check_sides(*image.size, name)
        _check_one_picture(image, name)
        try:
            image.load()
            orientation = orientation_of(image)
            see_through = _see_through(image, None, b"")
            pixels = _to_rgb(image, name)
        except InputError:
            raise
        except Exception as error:
            raise _damaged(name, error) from error
    if see_through is not None:
        pixels[see_through] = 255
    return _turned(pixels, orientation)


def _undecoded(image: Image.Image) -> bytes | None:
    """The bytes of the file that a Pillow image was opened from, if none of it has been decoded."""
    file: Any = getattr(image, "fp", None)
    if not getattr(image, "tile", None) or file is None or image.format not in (*FORMATS, "MPO"):
        return None
    try:
        place = file.tell()
        try:
            file.seek(0)
            return file.read()
        finally:
            file.seek(place)
    except (OSError, ValueError):
        return None


def _check_one_picture(image: Image.Image, name: str) -> None:
    try:
        # An MPO is a camera's JPEG with a preview behind it (Pillow opens it as JPEG), not an animation.
        n_frames = 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
    except Exception as error:
        raise _damaged(name, error) from error
    if n_frames > 1:
        raise InputError(f"{name} is animated or has several pages", expected="one picture", got=f"{n_frames} pictures")


def _check_jpeg(data: bytes, name: str) -> None:
    """Refuse a JPEG if libjpeg warns of damaged pixels: Pillow silently fills missing pixels with grey.

    The whole file is decoded again, at an eighth of its size.
    """
    import simplejpeg

    try:
        *_, colours, _ = simplejpeg.decode_jpeg_header(data, strict=False)
        wanted = "CMYK" if colours in {"CMYK", "YCCK"} else "GRAY"
        simplejpeg.decode_jpeg(data, colorspace=wanted, min_height=1, min_width=1, min_factor=8, strict=True)
    except ValueError as error:
        # Files that this decoder does not support are left to Pillow.
        if str(error).startswith(_JPEG_DAMAGE):
            raise _damaged(name, error) from error


def _turned(
    pixels: UInt8[NDArray[np.uint8], "_height _width channels"], orientation: int
) -> UInt8[NDArray[np.uint8], "_other_height _other_width channels"]:
    return pixels if orientation == 1 else np.array(Image.fromarray(pixels).transpose(_UPRIGHT[orientation]))


def _packing(image: Image.Image) -> str | None:
    """Pillow's name for the packing of a PNG's samples; available until the picture is loaded."""
    tiles: Any = getattr(image, "tile", None)
    packed: object = tiles[0][3] if image.format == "PNG" and tiles else None
    return packed if isinstance(packed, str) else None


def _see_through(image: Image.Image, packed: str | None, data: bytes) -> NDArray[np.bool_] | None:
    """Where the pixels of a loaded PNG have its transparent value, in cases that Pillow handles wrongly.

    Pillow compares eight bits of a sample with a value that has as many bits as the file's samples.
    """
    value: Any = image.info.get("transparency")
    if image.mode.startswith("I") and isinstance(value, int):
        return np.asarray(image) == value
    if image.mode == "L" and packed in _SCALES and isinstance(value, int):
        scale = _SCALES[packed]
        return np.asarray(image) == (value % (255 // scale + 1)) * scale
    if image.mode == "RGB" and packed == "RGB;16B" and isinstance(value, tuple):
        # Decode again for the low bytes: Pillow unpacks only the high ones.
        with Image.open(BytesIO(essential_png(data)), formats=("PNG",)) as again:
            again.tile = [tile._replace(args="RGB;16L") for tile in again.tile]
            low = np.asarray(again)
        samples = np.asarray(image).astype(np.uint16) * 256 + low
        return (samples == np.array(value, np.uint16)).all(axis=2)
    return None


def _to_rgb(image: Image.Image, name: str) -> Pixels:
    if image.mode.startswith("I"):
        image = _high_byte(image, name)
    elif image.mode == "F":
        raise InputError(f"the picture {name} has floating-point samples", expected="8 or 16 bits a sample")
    if image.mode in {"LA", "La", "PA", "RGBA", "RGBa"} or "transparency" in image.info:
        front = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", front.size, (255, 255, 255, 255)), front)
    return np.array(image.convert("RGB"), dtype=np.uint8)


def _high_byte(image: Image.Image, name: str) -> Image.Image:
    samples: NDArray[Any] = np.asarray(image)
    if samples.min() < 0 or samples.max() > 0xFFFF:
        raise InputError(f"the picture {name} has 32-bit samples", expected="8 or 16 bits a sample")
    return Image.fromarray((samples.astype(np.uint32) >> 8).astype(np.uint8))


def _truth_or_high_byte(image: Image.Image, name: str) -> Image.Image:
    """A mask of 16-bit samples as 8-bit: 0 and 1 are kept, of others the high byte."""
    samples: NDArray[Any] = np.asarray(image)
    is_truth = samples.min() >= 0 and samples.max() <= 1
    return Image.fromarray(samples.astype(np.uint8)) if is_truth else _high_byte(image, name)


def _damaged(name: str, error: Exception) -> InputError:
    return InputError(
        f"the picture {name} is truncated or damaged", got=reason_of(error), fix="export or download it again"
    )
