"""Pictures from files: upright, RGB, eight bits, or one clear refusal.

What is decided here: EXIF rotation is applied, so that a point means the picture as every viewer shows it.
Transparency is laid over white. CMYK goes through Pillow's plain conversion (colour profiles are not applied).
Sixteen-bit samples keep their high byte, as Pillow does for 16-bit RGB. Size is judged from the header, before
any pixel is decoded.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image, ImageFile

from svdaudio.errors import InputError

Pixels: TypeAlias = UInt8[NDArray[np.uint8], "_height _width 3"]
"""An upright picture [height, width, 3]: RGB, rows from top to bottom, 0 to 255. Several may differ in size."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MIN_SIDE_PX = 16  # one pixel for each of the 16 patches along a side; with fewer, patches have nothing to show
MAX_SIDE_PX = 16_384
MAX_PIXELS = 64_000_000
MAX_FILE_BYTES = 512 * 2**20

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
)
_pillow_lock = threading.Lock()


def read_image_bytes(path: Path) -> bytes:
    """The bytes of an image file, so that what is hashed and what is decoded are the same.

    Raises:
        InputError: there is no such file, it is no plain file, it cannot be read, or it is implausibly large.
    """
    if path.exists() and not path.is_file():
        kind = "a directory" if path.is_dir() else "a device or a pipe"
        raise InputError(f"{path} is {kind}", expected="an image file")
    if not path.is_file():
        raise InputError(f"there is no image {path}", fix="check the path")
    try:
        if (size := path.stat().st_size) > MAX_FILE_BYTES:
            raise InputError(
                f"the file {path} is too large", expected=f"at most {MAX_FILE_BYTES} bytes", got=f"{size} bytes"
            )
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"the image {path} cannot be read", got=error.strerror, fix="check its permissions") from error


def load_image(path: str | Path) -> Pixels:
    """Read a picture from a file.

    Args:
        path: a JPEG, PNG, WebP, BMP, GIF, TIFF or PPM file with one picture in it.

    Returns:
        Upright RGB pixels [height, width, 3], uint8.

    Raises:
        InputError: the file is missing, no plain file, empty, no image, truncated or damaged, animated, smaller
            than 16 px or larger than 16 384 px along a side, or of more than 64 megapixels.
    """
    return decode_image(read_image_bytes(Path(path)), str(path))


def decode_image(data: bytes, name: str) -> Pixels:
    """Decode the bytes of an image file; `name` is what errors call it. See `load_image`."""
    with _opened(data, name) as image:
        try:
            # An MPO is a camera's JPEG with a preview behind it (Pillow opens it as JPEG), not an animation.
            n_frames = 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
        except Exception as error:
            raise _damaged(name, error) from error
        if n_frames > 1:
            raise InputError(
                f"{name} is animated or has several pages", expected="one picture", got=f"{n_frames} pictures"
            )
        try:
            image.load()
            orientation = image.getexif().get(_ORIENTATION_TAG, 1)
            upright = image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image
            return _to_rgb(upright, name)
        except InputError:
            raise
        except Exception as error:
            raise _damaged(name, error) from error


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture as every viewer shows it, from its header alone.

    Raises:
        InputError: the file is missing, no plain file, empty, no image, too small or too large.
    """
    name = str(path)
    with _opened(read_image_bytes(path), name) as image:
        try:
            orientation = image.getexif().get(_ORIENTATION_TAG, 1)
        except Exception as error:
            raise _no_image(name, error) from error
        width, height = image.size
    turned = _UPRIGHT.get(orientation) in _ON_ITS_SIDE
    return (height, width) if turned else (width, height)


def png_bytes(pixels: Pixels) -> bytes:
    """RGB pixels as the bytes of a PNG file."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


@contextmanager
def _opened(data: bytes, name: str) -> Generator[Image.Image]:
    """The picture in the bytes of a file, its header read and its size checked, nothing decoded.

    Raises:
        InputError: empty, no image, too small or too large.
    """
    if not data:
        raise InputError(f"the file {name} is empty", expected="an image", got="0 bytes")
    with _strict_pillow():
        try:
            image = Image.open(BytesIO(data), formats=FORMATS)
        except Exception as error:  # Pillow's parsers raise nearly anything on damaged headers
            raise _no_image(name, error) from error
        with image:
            _check_size(image, name)
            yield image


def _no_image(name: str, error: Exception) -> InputError:
    return InputError(f"{name} is not an image", expected=f"one of {', '.join(FORMATS)}", got=_reason(error))


@contextmanager
def _strict_pillow() -> Generator[None]:
    """Pillow with its own switches as we need them, whatever another library has set.

    Some libraries let Pillow accept truncated files for the whole process; and Pillow's own size limit warns or
    raises by a global number, where ours is to decide.
    """
    with _pillow_lock:
        saved = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
        ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = False, None
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = saved


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    got = f"{width} x {height}"
    if min(width, height) < MIN_SIDE_PX:
        raise InputError(
            f"the image {name} is too small", expected=f"at least {MIN_SIDE_PX} px along each side", got=got
        )
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE_PX:
        expected = f"at most {MAX_PIXELS // 10**6} megapixels and {MAX_SIDE_PX} px along a side"
        raise InputError(f"the image {name} is too large", expected=expected, got=got, fix="scale it down")


def _to_rgb(image: Image.Image, name: str) -> Pixels:
    if image.mode.startswith("I"):
        image = _high_byte(image, name)
    elif image.mode == "F":
        raise InputError(f"the image {name} has floating-point samples", expected="8 or 16 bits a sample")
    if image.mode in {"LA", "La", "PA", "RGBA", "RGBa"} or "transparency" in image.info:
        front = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", front.size, (255, 255, 255, 255)), front)
    return np.array(image.convert("RGB"), dtype=np.uint8)


def _high_byte(image: Image.Image, name: str) -> Image.Image:
    samples: NDArray[Any] = np.asarray(image)
    if samples.min() < 0 or samples.max() > 0xFFFF:
        raise InputError(f"the image {name} has 32-bit samples", expected="8 or 16 bits a sample")
    return Image.fromarray((samples.astype(np.uint32) >> 8).astype(np.uint8))


def _damaged(name: str, error: Exception) -> InputError:
    return InputError(
        f"the image {name} is truncated or damaged", got=_reason(error), fix="export or download it again"
    )


def _reason(error: Exception) -> str:
    """The decoder's own words; Pillow repeats a memory address where it does not know the file's name."""
    text = str(error).strip() or type(error).__name__
    return "unknown content" if "cannot identify" in text else text
