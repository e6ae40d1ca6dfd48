"""Pictures and sounds as data: URIs, so that a page needs no other files."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

from svdaudio.sounds.rates import OUTPUT_RATE_HZ
from svdaudio.views.plots import LOWEST_DB, Scale, band_levels

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_SIDE_PX = 1100
WEBP_QUALITY = 82
N_WAVE_COLUMNS = 480
WAVE_HEIGHT = 100
HIGHEST_HZ = 8000.0
MARKS_HZ: Mapping[Scale, tuple[int, ...]] = {
    "mel": (0, 500, 1000, 2000, 4000, 8000),
    "linear": (0, 2000, 4000, 6000, 8000),
}


def data_uri(data: bytes, kind: str) -> str:
    """Bytes as a data: URI of a MIME type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def picture_uri(pixels: UInt8[NDArray[np.uint8], "height width 3"]) -> str:
    """A picture as WebP, at most `MAX_SIDE_PX` on its longer side."""
    from PIL import Image as Images

    image = Images.fromarray(pixels)
    image.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
    return _webp(image)


def _webp(image: Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=WEBP_QUALITY)
    return data_uri(buffer.getvalue(), "image/webp")


def flac_uri(wav: bytes) -> str:
    """A WAV file as 16-bit FLAC: lossless for PCM; samples beyond ±1 are clipped."""
    import soundfile

    samples, rate_hz = soundfile.read(io.BytesIO(wav), dtype="float64")
    pcm = np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)
    return data_uri(_encoded(pcm, rate_hz, "FLAC", "PCM_16"), "audio/flac")


def mp3_uri(waveform: Float[NDArray[Any], " sample"], sample_rate_hz: int) -> str:
    """A waveform as MP3, a fifth the size of FLAC, for listening only; equal waveforms have equal bytes."""
    return data_uri(_encoded(np.clip(waveform, -1, 1), sample_rate_hz, "MP3", "MPEG_LAYER_III"), "audio/mpeg")


def _encoded(samples: NDArray[Any], rate_hz: int, name: str, subtype: str) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format=name, subtype=subtype)
    return buffer.getvalue()


def wave_path(waveform: Float[NDArray[Any], " sample"]) -> str:
    """The envelope of a waveform as an SVG path, `N_WAVE_COLUMNS` wide and `WAVE_HEIGHT` high for full scale, ±1."""
    edges = np.linspace(0, len(waveform), N_WAVE_COLUMNS + 1).astype(int)
    columns = [waveform[a : max(b, a + 1)] for a, b in pairwise(edges.tolist()) if a < len(waveform)]
    middle = WAVE_HEIGHT / 2
    high = [middle * (1 - min(1.0, float(column.max()))) for column in columns]
    low = [middle * (1 - max(-1.0, float(column.min()))) for column in columns]
    there = " ".join(f"{x},{y:.1f}" for x, y in enumerate(high))
    back = " ".join(f"{x},{max(y, high[x] + 0.6):.1f}" for x, y in reversed(list(enumerate(low))))
    return f"M{there} {back}z"


def spectrogram_uris(
    waveforms: Mapping[str, Float[NDArray[Any], " sample"]], scale: Scale, *, sample_rate_hz: int = OUTPUT_RATE_HZ
) -> dict[str, str]:
    """Spectrograms of sounds on one colour scale (magma), which starts 80 dB below the loudest sound.

    Args:
        waveforms: name → waveform.
        scale: of the frequencies, from 0 to `HIGHEST_HZ`.
        sample_rate_hz: of all waveforms.

    Returns:
        Name → WebP, one pixel per frame and band, low frequencies at the bottom.
    """
    levels = band_levels(waveforms, sample_rate_hz=sample_rate_hz, highest_hz=HIGHEST_HZ, scale=scale)
    return {name: shaded_uri(1 - found / LOWEST_DB) for name, found in levels.items()}


def shaded_uri(levels: Float[NDArray[Any], "frame band"]) -> str:
    """Levels from 0 to 1 in magma's colours, as WebP: one pixel per frame and band, low bands at the bottom."""
    from matplotlib import colormaps
    from PIL import Image as Images

    colours = (np.asarray(colormaps["magma"](np.arange(256)))[:, :3] * 255).round().astype(np.uint8)
    return _webp(Images.fromarray(colours[np.rint(levels * 255).astype(np.uint8).T[::-1]]))


def frequency_marks(scale: Scale) -> list[tuple[str, float]]:
    """Ticks of the frequency axis: text in kHz, and position as a share of the height from the bottom."""
    return [(f"{hz / 1000:g}", round(_position(hz, scale) / _position(HIGHEST_HZ, scale), 4)) for hz in MARKS_HZ[scale]]


def _position(hz: float, scale: Scale) -> float:
    return math.log10(1 + hz / 700) if scale == "mel" else hz


def outline_path(mask: Bool[NDArray[np.bool_], "height width"]) -> str:
    """The outline of a mask as an SVG path in the picture's pixels, simplified, to be filled by the even-odd rule."""
    import cv2

    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    tolerance_px = max(0.75, max(mask.shape) / 900)
    parts: list[str] = []
    for contour in contours:
        points = cv2.approxPolyDP(contour, tolerance_px, closed=True).reshape(-1, 2)
        if len(points) > 2:
            parts.append("M" + " ".join(f"{x + 0.5:g},{y + 0.5:g}" for x, y in points) + "z")
    return "".join(parts)
