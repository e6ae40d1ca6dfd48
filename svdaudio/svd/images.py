"""Read pictures from files, Pillow or arrays as upright 8-bit RGB, or refuse them with one clear error.

EXIF rotation is applied, so that clicks refer to the picture as every viewer shows it.
Transparency is composited over white. CMYK is converted by Pillow (colour profiles are not applied).
Sixteen-bit samples keep their high byte, as Pillow does for 16-bit RGB. Size is checked from the header, before
any pixel is decoded. Damaged metadata (EXIF, text, colour profiles) is ignored, and then the picture is not
rotated. A picture with damaged pixels, as reported by libjpeg, is refused.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image, ImageFile

from svdaudio.errors import InputError
from svdaudio.svd.png import essential_png

Pixels: TypeAlias = UInt8[NDArray[np.uint8], "_height _width 3"]
"""An upright picture [height, width, 3]: RGB, rows from top to bottom, 0 to 255. Several may differ in size."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MIN_SIDE_PX = 16  # one pixel for each of the 16 patches along a side
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
_SCALES = {"L;2": 85, "L;4": 17}
"""Pillow's factor for samples of less than eight bits, by its name for their packing."""
_JPEG_DAMAGE = ("Corrupt JPEG data", "Premature end of JPEG file")
"""How libjpeg's warnings of damaged pixels begin. Others concern odd headers that some cameras write."""
_pillow_lock = threading.Lock()


def read_image_bytes(path: Path) -> bytes:
    """The bytes of an image file, read once, so that hashing and decoding use the same bytes.

    Raises:
        InputError: the file does not exist, is not a regular file, cannot be read, or is implausibly large.
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
        InputError: the file is missing, not a regular file, empty, not an image, truncated or damaged, animated,
            smaller than 16 px or larger than 16 384 px along a side, or of more than 64 megapixels.
    """
    return decode_image(read_image_bytes(Path(path)), str(path))


def decode_image(data: bytes, name: str) -> Pixels:
    """Decode the bytes of an image file; `name` is its name in errors. See `load_image`."""
    with _opened(data, name) as image:
        _check_one_picture(image, name)
        try:
            packed = _packing(image)
            image.load()
            orientation = _orientation(image)
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
    """Decode an image file with its transparency, for masks: samples of 0 and 1 stay as they are.

    Raises:
        InputError: see `load_image`.
    """
    with _opened(data, name) as image:
        _check_one_picture(image, name)
        try:
            image.load()
            orientation = _orientation(image)
            if image.mode == "F":
                raise InputError(f"the image {name} has floating-point samples", expected="8 or 16 bits a sample")
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
    """Convert any kind of picture that the library takes to the form that `load_image` returns.

    Args:
        image: the path of an image file, a Pillow image, or a uint8 array or tensor [height, width, 3]. A Pillow image
            is treated as its file would be: turned upright, transparency over white, one picture, of a permitted size.
        name: its name in errors, if it is not a file.

    Returns:
        Upright RGB pixels [height, width, 3], uint8.

    Raises:
        InputError: see `load_image`; or it is of another kind.
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
            f"{name} is of an unknown kind", expected="a path, a Pillow image, or an array [H, W, 3] of uint8", got=kind
        )
    array: NDArray[Any] = image
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise InputError(
            f"{name} has another shape", expected="[H, W, 3] uint8", got=f"{list(array.shape)} {array.dtype}"
        )
    _check_sides(array.shape[1], array.shape[0], name)
    return np.ascontiguousarray(array)


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture as every viewer shows it, from its header alone.

    Raises:
        InputError: the file is missing, not a regular file, empty, not an image, too small or too large.
    """
    name = str(path)
    with _opened(read_image_bytes(path), name) as image:
        orientation = _orientation(image)
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
        InputError: empty, not an image, too small or too large.
    """
    if not data:
        raise InputError(f"the file {name} is empty", expected="an image", got="0 bytes")
    with _strict_pillow():
        try:
            image = Image.open(BytesIO(essential_png(data)), formats=FORMATS)
        except Exception as error:  # Pillow's parsers raise nearly anything on damaged headers
            raise _no_image(name, error) from error
        with image:
            _check_sides(*image.size, name)
            yield image


def _no_image(name: str, error: Exception) -> InputError:
    return InputError(f"{name} is not an image", expected=f"one of {', '.join(FORMATS)}", got=_reason(error))


@contextmanager
def _strict_pillow() -> Generator[None]:
    """Set Pillow's global switches as needed here, whatever another library has set.

    Some libraries let Pillow accept truncated files for the whole process; and Pillow's own size limit is a global
    number, which the limits of this module replace.
    """
    with _pillow_lock:
        saved = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
        ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = False, None
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = saved


def _from_pillow(image: Image.Image, name: str) -> Pixels:
    """Pixels of a Pillow image, as read from its file; from the file itself if Pillow has not decoded it yet."""
    name = str(getattr(image, "filename", "")) or name
    if (data := _undecoded(image)) is not None:
        pixels = decode_image(data, name)
        with suppress(Exception), _strict_pillow():
            image.load()  # which closes the file, as every use of a Pillow image does
        return pixels
    with _strict_pillow():
        _check_sides(*image.size, name)
        _check_one_picture(image, name)
        try:
            image.load()
            orientation = _orientation(image)
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
    """The bytes of the file that a Pillow image was opened from, if nothing of it has been decoded yet."""
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


def _check_sides(width: int, height: int, name: str) -> None:
    got = f"{width} x {height}"
    if min(width, height) < MIN_SIDE_PX:
        raise InputError(
            f"the image {name} is too small", expected=f"at least {MIN_SIDE_PX} px along each side", got=got
        )
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE_PX:
        expected = f"at most {MAX_PIXELS // 10**6} megapixels and {MAX_SIDE_PX} px along a side"
        raise InputError(f"the image {name} is too large", expected=expected, got=got, fix="scale it down")


def _check_jpeg(data: bytes, name: str) -> None:
    """Refuse a JPEG whose pixels libjpeg warns of: Pillow silently fills missing pixels with grey.

    The whole file is decoded once more, at an eighth of its size.
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


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none, or the metadata is damaged."""
    try:
        found: object = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001 - Pillow's parsers raise nearly anything
        return 1
    return found if isinstance(found, int) and found in _UPRIGHT else 1


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


def _truth_or_high_byte(image: Image.Image, name: str) -> Image.Image:
    """A mask of 16-bit samples as 8-bit: 0 and 1 as they are, else the high byte."""
    samples: NDArray[Any] = np.asarray(image)
    is_truth = samples.min() >= 0 and samples.max() <= 1
    return Image.fromarray(samples.astype(np.uint8)) if is_truth else _high_byte(image, name)


def _damaged(name: str, error: Exception) -> InputError:
    return InputError(
        f"the image {name} is truncated or damaged", got=_reason(error), fix="export or download it again"
    )


def _reason(error: Exception) -> str:
    """The decoder's message, without the memory address that Pillow prints when it does not know the file's name."""
    text = str(error).strip() or type(error).__name__
    return "unknown content" if "cannot identify" in text else text
