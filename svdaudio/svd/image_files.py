"""Read image files and check their headers. Imports no numpy; `svdaudio.svd.images` decodes the pixels."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageFile

from svdaudio.errors import InputError
from svdaudio.files import found_instead
from svdaudio.svd.png import essential_png

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MIN_SIDE_PX = 16  # one pixel for each of the 16 patches along a side
MAX_SIDE_PX = 16_384
MAX_PIXELS = 64_000_000
MAX_FILE_BYTES = 512 * 2**20

_ORIENTATION_TAG = 0x0112
_FIRST_SIDEWAYS = 5
"""EXIF's orientations from this one to 8 swap width and height."""
_pillow_lock = threading.Lock()


def read_image_bytes(path: Path) -> bytes:
    """The bytes of an image file, read once, so that hashing and decoding use the same bytes.

    Raises:
        InputError: the file does not exist, is not a regular file, cannot be read, or is implausibly large.
    """
    if (another := found_instead(path)) is not None:
        raise InputError(f"{path} is {another}", expected="an image file")
    if not path.is_file():
        raise InputError(f"file not found: {path}", fix="check the path")
    try:
        if (size := path.stat().st_size) > MAX_FILE_BYTES:
            raise InputError(
                f"the file {path} is too large", expected=f"at most {MAX_FILE_BYTES} bytes", got=f"{size} bytes"
            )
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read", got=error.strerror, fix="check its permissions") from error


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture as every viewer shows it, from its header alone.

    Raises:
        InputError: the file is missing, not a regular file, empty, not an image, too small or too large.
    """
    name = str(path)
    with opened(read_image_bytes(path), name) as image:
        orientation = orientation_of(image)
        width, height = image.size
    return (height, width) if orientation >= _FIRST_SIDEWAYS else (width, height)


@contextmanager
def opened(data: bytes, name: str) -> Generator[Image.Image]:
    """Open an image from the bytes of its file, and check its size; no pixel is decoded.

    Raises:
        InputError: the file is empty, not an image, too small or too large.
    """
    if not data:
        raise InputError(f"the file {name} is empty", expected="an image", got="0 bytes")
    with strict_pillow():
        try:
            image = Image.open(BytesIO(essential_png(data)), formats=FORMATS)
        except Exception as error:  # Pillow's parsers raise nearly anything on damaged headers
            raise InputError(
                f"{name} is not an image", expected=f"one of {', '.join(FORMATS)}", got=reason_of(error)
            ) from error
        with image:
            check_sides(*image.size, name)
            yield image


@contextmanager
def strict_pillow() -> Generator[None]:
    """Let Pillow refuse truncated files and accept any size, whatever other libraries have set.

    Both are global settings: some libraries let Pillow accept truncated files in the whole process, and the limits of
    this module replace Pillow's own.
    """
    with _pillow_lock:
        saved = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
        ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = False, None
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = saved


def check_sides(width: int, height: int, name: str) -> None:
    """Refuse a picture that is too small or too large.

    Raises:
        InputError: it is.
    """
    got = f"{width} x {height}"
    if min(width, height) < MIN_SIDE_PX:
        raise InputError(
            f"the picture {name} is too small", expected=f"at least {MIN_SIDE_PX} px along each side", got=got
        )
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE_PX:
        expected = f"at most {MAX_PIXELS // 10**6} megapixels and {MAX_SIDE_PX} px along a side"
        raise InputError(f"the picture {name} is too large", expected=expected, got=got, fix="scale it down")


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none, or the metadata is damaged."""
    try:
        found: object = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001 - Pillow's parsers raise nearly anything
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def reason_of(error: Exception) -> str:
    """The decoder's message, without the memory address that Pillow prints when it does not know the file's name."""
    text = str(error).strip() or type(error).__name__
    return "unknown content" if "cannot identify" in text else text
