"""Pictures: what is read, how it is turned and converted, and what is refused with one clear line."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageFile

from svdaudio.errors import InputError
from svdaudio.svd.images import decode_image, load_image

HEIGHT, WIDTH = 24, 40


@pytest.fixture(scope="module")
def pixels():
    """A smooth picture that looks different from every side, so that a wrong turn shows even through JPEG."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([x * 6, y * 10, (x + y) * 3], axis=-1).astype(np.uint8)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_give_back_the_pixels(pixels, kind):
    assert np.array_equal(decode_image(encoded(Image.fromarray(pixels), kind), "x"), pixels)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_come_close(pixels, kind):
    found = decode_image(encoded(Image.fromarray(pixels), kind, quality=95), "x")
    assert np.abs(found.astype(int) - pixels).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_undone(pixels, orientation):
    # What a camera stores so that a viewer that honours the tag shows `pixels`.
    stored = {
        1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1], 5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, 1), 7: np.rot90(pixels, 2).transpose(1, 0, 2), 8: np.rot90(pixels, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)
    assert np.array_equal(decode_image(data, "x"), pixels)


def test_grey_is_spread_over_three_channels(pixels):
    grey = pixels[..., 0]
    assert np.array_equal(decode_image(encoded(Image.fromarray(grey)), "x"), np.repeat(grey[..., None], 3, axis=2))


def test_transparency_is_laid_over_white(pixels):
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[:, : WIDTH // 2] = 255
    found = decode_image(encoded(Image.fromarray(np.dstack([pixels, alpha]))), "x")
    assert np.array_equal(found[:, : WIDTH // 2], pixels[:, : WIDTH // 2])
    assert (found[:, WIDTH // 2 :] == 255).all()


def test_grey_with_alpha_is_laid_over_white(pixels):
    data = encoded(Image.fromarray(np.dstack([pixels[..., 0], np.zeros((HEIGHT, WIDTH), np.uint8)])))
    assert (decode_image(data, "x") == 255).all()


def test_a_palette_with_a_transparent_colour_is_laid_over_white():
    indices = np.zeros((HEIGHT, WIDTH), np.uint8)
    indices[:, 10:] = 1
    image = Image.fromarray(indices)
    image.putpalette([200, 0, 0, 0, 0, 200])
    found = decode_image(encoded(image, transparency=0), "x")
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[0, 20].tolist() == [0, 0, 200]


def test_a_palette_is_looked_up(pixels):
    image = Image.fromarray(pixels).quantize(16)
    assert np.array_equal(decode_image(encoded(image), "x"), np.asarray(image.convert("RGB")))


def test_cmyk_is_converted(pixels):
    data = encoded(Image.fromarray(pixels).convert("CMYK"), "JPEG", quality=95)
    assert np.abs(decode_image(data, "x").astype(int) - pixels).mean() < 8


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_high_byte(kind):
    samples = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    found = decode_image(encoded(Image.fromarray(samples), kind), "x")
    assert np.array_equal(found, np.repeat((samples >> 8).astype(np.uint8)[..., None], 3, axis=2))


def test_one_frame_of_a_gif_is_a_picture(pixels):
    assert decode_image(encoded(Image.fromarray(pixels), "GIF"), "x").shape == (HEIGHT, WIDTH, 3)


def test_a_file_is_read_as_its_bytes_are_decoded(tmp_path, pixels):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.fromarray(pixels)))
    assert np.array_equal(load_image(path), pixels)


def animation(pixels):
    frames = [Image.fromarray(pixels), Image.fromarray(255 - pixels)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


def noise(kind):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    return encoded(picture, kind)


REFUSED = {
    "empty": (lambda _: b"", "is empty"),
    "text": (lambda _: b"this is no picture at all", "not an image"),
    "truncated JPEG": (lambda _: noise("JPEG")[:-900], "truncated or damaged"),
    "truncated PNG": (lambda _: noise("PNG")[:-900], "truncated or damaged"),
    "truncated WebP": (lambda _: noise("WEBP")[:-900], "image"),
    "truncated TIFF": (lambda _: noise("TIFF")[:-900], "image"),
    "only a header": (lambda _: noise("PNG")[:20], "image"),
    "animated": (animation, "animated"),
    "one pixel": (lambda p: encoded(Image.fromarray(p[:1, :1])), "too small"),
    "a line": (lambda p: encoded(Image.fromarray(p[:3])), "too small"),
    "floating point": (lambda p: encoded(Image.fromarray(p[..., 0].astype(np.float32)), "TIFF"), "floating-point"),
    "32 bits": (lambda p: encoded(Image.fromarray(p[..., 0].astype(np.int32) * 1000), "TIFF"), "32-bit"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_with_one_line(pixels, case):
    make, words = REFUSED[case]
    with pytest.raises(InputError, match=words) as caught:
        decode_image(make(pixels), "holiday.jpg")
    assert "holiday.jpg" in str(caught.value)
    assert "\n" not in str(caught.value)


def huge_png(width, height):
    """A PNG whose header promises an enormous picture, and which has no pixels: decoding it would fail otherwise."""
    data = bytearray(encoded(Image.new("RGB", (32, 32))))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    import zlib

    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize("size", [(30_000, 30_000), (10_000, 10_000), (40_000, 20)])
def test_enormous_pictures_are_refused_by_their_header(size):
    with pytest.raises(InputError, match="too large") as caught:
        decode_image(huge_png(*size), "x")
    assert f"{size[0]} x {size[1]}" in str(caught.value)


def test_missing_files_and_directories_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is no image"):
        load_image(tmp_path / "none.png")
    with pytest.raises(InputError, match="is a directory"):
        load_image(tmp_path)


def test_switches_of_pillow_change_nothing_and_are_put_back(monkeypatch, pixels):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert np.array_equal(decode_image(encoded(Image.fromarray(pixels)), "x"), pixels)
    with pytest.raises(InputError, match="truncated"):
        decode_image(noise("JPEG")[:-900], "x")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True
    assert Image.MAX_IMAGE_PIXELS == 10
