"""Pictures: what is read, how it is rotated and converted, and what is refused with one clear line."""

from __future__ import annotations

import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile, PngImagePlugin

from svdaudio.errors import InputError
from svdaudio.places import project_root
from svdaudio.svd.image_files import upright_size
from svdaudio.svd.images import as_pixels, decode_image, load_image

HEIGHT, WIDTH = 24, 40


@pytest.fixture(scope="module")
def pixels():
    """A smooth picture without symmetry, so that a wrong rotation shows even after JPEG compression."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([x * 6, y * 10, (x + y) * 3], axis=-1).astype(np.uint8)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_preserve_the_pixels(pixels, kind):
    assert np.array_equal(decode_image(encoded(Image.fromarray(pixels), kind), "x"), pixels)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_approximate_the_pixels(pixels, kind):
    found = decode_image(encoded(Image.fromarray(pixels), kind, quality=95), "x")
    assert np.abs(found.astype(int) - pixels).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_undone(pixels, orientation):
    # What a camera stores so that a viewer that respects the tag shows `pixels`.
    stored = {
        1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1], 5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, 1), 7: np.rot90(pixels, 2).transpose(1, 0, 2), 8: np.rot90(pixels, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)
    assert np.array_equal(decode_image(data, "x"), pixels)


def test_grey_is_repeated_in_three_channels(pixels):
    grey = pixels[..., 0]
    assert np.array_equal(decode_image(encoded(Image.fromarray(grey)), "x"), np.repeat(grey[..., None], 3, axis=2))


def test_transparency_is_composited_on_white(pixels):
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[:, : WIDTH // 2] = 255
    found = decode_image(encoded(Image.fromarray(np.dstack([pixels, alpha]))), "x")
    assert np.array_equal(found[:, : WIDTH // 2], pixels[:, : WIDTH // 2])
    assert (found[:, WIDTH // 2 :] == 255).all()


def test_grey_with_alpha_is_composited_on_white(pixels):
    data = encoded(Image.fromarray(np.dstack([pixels[..., 0], np.zeros((HEIGHT, WIDTH), np.uint8)])))
    assert (decode_image(data, "x") == 255).all()


def test_a_palette_with_a_transparent_colour_is_composited_on_white():
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


def test_a_gif_of_one_frame_is_a_picture(pixels):
    assert decode_image(encoded(Image.fromarray(pixels), "GIF"), "x").shape == (HEIGHT, WIDTH, 3)


def test_reading_a_file_equals_decoding_its_bytes(tmp_path, pixels):
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
def test_invalid_pictures_are_refused_in_one_line(pixels, case):
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


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="file not found"):
        load_image(tmp_path / "none.png")
    with pytest.raises(InputError, match="is a folder"):
        load_image(tmp_path)


def test_settings_of_pillow_have_no_effect_and_are_restored(monkeypatch, pixels):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert np.array_equal(decode_image(encoded(Image.fromarray(pixels)), "x"), pixels)
    with pytest.raises(InputError, match="truncated"):
        decode_image(noise("JPEG")[:-900], "x")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True
    assert Image.MAX_IMAGE_PIXELS == 10


# Damaged pixels of JPEGs


def detailed(height=120, width=160):
    """A picture full of detail, so that its scan is long and damage to it shows."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height))


@pytest.fixture(scope="module")
def jpeg():
    return encoded(detailed(), "JPEG", quality=95)


def zeros_to_the_end(data):
    return data[: len(data) * 3 // 10] + bytes(len(data) - len(data) * 3 // 10)


DAMAGE = {
    "zeros to the end": zeros_to_the_end,
    "zeros in the middle": lambda data: data[: len(data) // 2] + bytes(1000) + data[len(data) // 2 + 1000 :],
    "a piece cut out": lambda data: data[: len(data) // 2] + data[len(data) // 2 + 1000 :],
    "zeros up to the end marker": lambda data: zeros_to_the_end(data)[:-2] + data[-2:],
    "another end put on": lambda data: data[: len(data) // 2] + b"\xff\xd9",
    "noise": lambda data: data[:2000] + np.random.default_rng(0).bytes(3000).replace(b"\xff", b"\x00") + data[5000:],
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}], ids=str)
def test_a_jpeg_that_libjpeg_warns_of_is_refused(kind, options):
    data = encoded(detailed(), "JPEG", quality=95, **options)
    assert len(data) > 7000
    with pytest.raises(InputError, match=r"holiday\.jpg is truncated or damaged: got .*(JPEG|truncated)"):
        decode_image(DAMAGE[kind](data), "holiday.jpg")


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {"quality": 1}), ("RGB", {"progressive": True}), ("RGB", {"optimize": True}),
        ("RGB", {"subsampling": 0}), ("RGB", {"subsampling": "4:1:1"}),
        ("RGB", {"restart_marker_blocks": 3}), ("RGB", {"keep_rgb": True}),
        ("L", {}), ("CMYK", {}),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("after", [b"", bytes(1000), b"\xff\xd8\xff trailing"], ids=["", "zeros after", "more after"])
def test_a_complete_jpeg_is_read_in_every_encoding(mode, options, after):
    data = encoded(detailed().convert(mode), "JPEG", **options) + after
    with Image.open(io.BytesIO(data)) as image:
        wanted = np.asarray(image.convert("RGB"))
    assert np.array_equal(decode_image(data, "x"), wanted)


def test_oddities_in_a_jpeg_header_are_not_damage(jpeg):
    scan = jpeg.index(b"\xff\xda")
    odd = bytearray(jpeg)
    odd[scan + 11 : scan + 14] = b"\x00\x00\x00"  # the end of the spectrum: some telephones write 0, and libjpeg warns
    assert np.array_equal(decode_image(bytes(odd), "x"), decode_image(jpeg, "x"))


def test_every_picture_of_this_project_is_undamaged():
    pictures = [path for path in (project_root() / "examples").rglob("*") if path.suffix in {".jpg", ".webp", ".png"}]
    assert len(pictures) > 30
    for path in pictures:
        assert load_image(path).ndim == 3


# PNG: what pixels do not need


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(data, new, *, at_end=False):
    """A PNG with one more chunk, before its pixels or after them."""
    place = data.index(b"IEND" if at_end else b"IDAT") - 4
    return data[:place] + new + data[place:]


BAD_CRC = chunk(b"tEXt", b"Comment\0hello")[:-4] + b"oops"
UNNEEDED = {
    "EXIF that is cut short": chunk(b"eXIf", b"Exif\0\0\0\x08\0\x02\x01\x12\0\x03"),
    "EXIF of nonsense": chunk(b"eXIf", b"nonsense"),
    "EXIF with a wrong check value": chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\0")[:-4] + b"oops",
    "raw EXIF that is not hexadecimal": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 4\nzz")),
    "raw EXIF that is a bomb": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(2 * 10**6))),
    "raw EXIF that is not packed": chunk(b"zTXt", b"Raw profile type exif\0\0not packed"),
    "2 MB of packed text": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2 * 10**6))),
    "2 MB of packed international text": chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(bytes(2 * 10**6))),
    "2 MB of packed XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(2 * 10**6))),
    "80 MB of text": b"".join(chunk(b"tEXt", b"Comment\0" + b"x" * 10**7) for _ in range(8)),
    "2 MB of colour profile": chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(2 * 10**6))),
    "a short density": chunk(b"pHYs", b"\0\0"),
    "a short rendering intent": chunk(b"sRGB", b""),
    "a short gamma": chunk(b"gAMA", b"\0"),
    "a comment with a wrong check value": BAD_CRC,
    "a chunk of somebody's own": chunk(b"prVt", b"anything"),
}


@pytest.mark.parametrize("kind", UNNEEDED)
@pytest.mark.parametrize("at_end", [False, True])
def test_a_png_with_damaged_metadata_is_read(pixels, kind, at_end, tmp_path):
    data = with_chunk(encoded(Image.fromarray(pixels)), UNNEEDED[kind], at_end=at_end)
    assert np.array_equal(decode_image(data, "x"), pixels)
    (tmp_path / "x.png").write_bytes(data)
    assert upright_size(tmp_path / "x.png") == (WIDTH, HEIGHT)


@pytest.mark.parametrize("how", ["EXIF", "raw EXIF", "XMP", "EXIF at the end"])
def test_a_png_is_rotated_by_any_orientation_tag(pixels, how):
    exif = Image.Exif()
    exif[0x0112] = 3
    stored = Image.fromarray(np.ascontiguousarray(pixels[::-1, ::-1]))
    info = PngImagePlugin.PngInfo()
    if how == "EXIF":
        data = encoded(stored, exif=exif)
    elif how == "EXIF at the end":
        data = with_chunk(encoded(stored), chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")), at_end=True)
    elif how == "raw EXIF":
        raw = exif.tobytes()
        info.add_text("Raw profile type exif", f"\nexif\n{len(raw)}\n{raw.hex()}\n", zip=True)
        data = encoded(stored, pnginfo=info)
    else:
        info.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="3"/>', zip=True)
        data = encoded(stored, pnginfo=info)
    assert np.array_equal(decode_image(data, "x"), pixels)


@pytest.mark.parametrize("kind", [b"IDAT", b"PLTE", b"tRNS"])
def test_damage_to_chunks_needed_for_pixels_is_still_refused(kind):
    image = Image.fromarray(np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH) % 2)
    image.putpalette([200, 0, 0, 0, 0, 200])
    data = bytearray(encoded(image, transparency=0))
    data[data.index(kind) + 4] ^= 1
    with pytest.raises(InputError, match="x is"):
        decode_image(bytes(data), "x")


def grey_png(samples, depth, transparent=None, *, colours=1):
    """A PNG of grey or RGB samples of any depth, with a transparent value."""
    rows = []
    for row in samples:
        bits = "".join(format(value, f"0{depth}b") for value in row.ravel().tolist())
        rows.append(b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big"))
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, 0 if colours == 1 else 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    if transparent is not None:
        data += chunk(b"tRNS", struct.pack(f">{colours}H", *np.atleast_1d(transparent).tolist()))
    return data + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_the_transparent_grey_of_a_png_is_composited_on_white(depth):
    top = 2**depth - 1
    samples = np.random.default_rng(0).integers(0, top + 1, (24, 32)).astype(np.int64)
    samples[3, :16] = samples[3, 0]
    wanted = samples >> 8 if depth == 16 else samples * (255 // top)
    wanted = np.where(samples == samples[3, 0], 255, wanted)
    for image in both_ways(grey_png(samples, depth, samples[3, 0])):
        assert np.array_equal(image, np.repeat(wanted[..., None], 3, axis=2))


@pytest.mark.parametrize("depth", [8, 16])
def test_the_transparent_colour_of_a_png_is_composited_on_white(depth):
    samples = np.random.default_rng(0).integers(0, 2**depth, (24, 32, 3)).astype(np.int64)
    samples[3, :16] = samples[3, 0]
    samples[4, :16] = samples[3, 0] ^ [1, 0, 0]  # with equal high bytes, but another colour
    wanted = samples >> 8 if depth == 16 else samples
    wanted = np.where((samples == samples[3, 0]).all(axis=2, keepdims=True), 255, wanted)
    for image in both_ways(grey_png(samples, depth, samples[3, 0], colours=3)):
        assert np.array_equal(image, wanted)


def both_ways(data):
    """Decodes a file, and Pillow's image of it."""
    return decode_image(data, "x"), as_pixels(Image.open(io.BytesIO(data)))


# One function for every kind of picture


@pytest.fixture(scope="module")
def files(tmp_path_factory, pixels):
    """Pictures of all kinds that need conversion."""
    folder = tmp_path_factory.mktemp("pictures")
    exif = Image.Exif()
    exif[0x0112] = 6
    alpha = np.dstack([pixels, np.linspace(0, 255, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8)])
    deep = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    palette = Image.fromarray(pixels).quantize(16)
    made = {
        "plain.png": (Image.fromarray(pixels), {}),
        "turned.jpg": (Image.fromarray(pixels), {"exif": exif}),
        "turned.png": (Image.fromarray(pixels), {"exif": exif}),
        "turned.webp": (Image.fromarray(pixels), {"exif": exif}),
        "alpha.png": (Image.fromarray(alpha), {}),
        "turned_alpha.png": (Image.fromarray(alpha), {"exif": exif}),
        "grey_alpha.png": (Image.fromarray(alpha[..., [0, 3]]), {}),
        "palette.png": (palette, {"transparency": 3}),
        "palette.gif": (palette, {"transparency": 3}),
        "deep.png": (Image.fromarray(deep), {}),
        "deep.tiff": (Image.fromarray(deep), {}),
        "cmyk.jpg": (Image.fromarray(pixels).convert("CMYK"), {}),
        "bits.png": (Image.fromarray(pixels).convert("1"), {}),
        "grey.ppm": (Image.fromarray(pixels).convert("L"), {}),
    }
    for name, (image, options) in made.items():
        image.save(folder / name, **options)
    (folder / "deep_transparent.png").write_bytes(grey_png(deep.astype(np.int64), 16, int(deep[5, 5])))
    return sorted(folder.iterdir())


def test_a_pillow_image_is_treated_like_its_file(files):
    for path in files:
        wanted = load_image(path)
        with Image.open(path) as image:
            assert np.array_equal(as_pixels(image), wanted), path.name
            assert np.array_equal(as_pixels(image), wanted), f"{path.name}, again"
            image.load()  # the image of the caller still works
            assert np.array_equal(as_pixels(image), wanted), f"{path.name}, once it is loaded"
            assert np.array_equal(as_pixels(image.copy()), wanted), f"{path.name}, a copy"
        assert np.array_equal(as_pixels(str(path)), wanted)
        assert np.array_equal(as_pixels(path), wanted)


def test_changes_to_a_pillow_image_take_effect(pixels):
    image = Image.open(io.BytesIO(encoded(Image.fromarray(pixels))))
    image.paste((1, 2, 3), (0, 0, 5, 5))
    found = as_pixels(image)
    assert (found[:5, :5] == [1, 2, 3]).all()
    assert np.array_equal(found[5:], pixels[5:])


def test_arrays_and_tensors_are_used_unchanged(pixels):
    for given in (pixels, torch.from_numpy(pixels.copy()), pixels[:, ::-1][:, ::-1], np.asfortranarray(pixels)):
        found = as_pixels(given)
        assert np.array_equal(found, pixels)
        assert found.flags.c_contiguous


def broken(data):
    """A Pillow image that opens but fails to load."""
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: 5, "the edit is of an unknown type: expected a path, a Pillow image, or an array"),
        (lambda p: None, "of an unknown type"),
        (lambda p: b"bytes", "of an unknown type"),
        (lambda p: [p], "of an unknown type"),
        (lambda p: p[..., 0], "the edit has the wrong shape or dtype"),
        (lambda p: p[..., :2], "has the wrong shape or dtype"),
        (lambda p: p.astype(np.float32) / 255, "has the wrong shape or dtype"),
        (lambda p: torch.from_numpy(p.copy()).permute(2, 0, 1), "has the wrong shape or dtype"),
        (lambda p: p[:3], "too small"),
        (lambda p: p[:0], "too small"),
        (lambda p: Image.fromarray(p[:3].copy()), "too small"),
        (lambda p: Image.fromarray(p[..., 0].astype(np.float32)), "floating-point"),
        (lambda p: Image.fromarray(p).convert("I").point(lambda v: v * 1000), "32-bit"),
        (lambda p: broken(animation(p)), "animated"),
        (lambda p: broken(noise("PNG")[:-900]), "truncated or damaged"),
        (lambda p: broken(zeros_to_the_end(encoded(detailed(), "JPEG", quality=95))), "truncated or damaged"),
        (lambda p: Path("none.png"), "file not found"),
    ],
)
def test_other_objects_are_refused_in_one_line(pixels, make, words):
    with pytest.raises(InputError, match=words) as caught:
        as_pixels(make(pixels), "the edit")
    assert re.search("\n", str(caught.value)) is None
