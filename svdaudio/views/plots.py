"""Pictures of stage outputs: masks, patch grids, singular values, boxes, spectrograms, scores.

Every function takes numpy arrays and returns a matplotlib figure; `save` writes it as a PNG whose bytes depend
only on the figure. matplotlib is imported on first use; its global `pyplot` is never imported.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from svdaudio.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

REMOVED_COLOUR = "#D55E00"
ADDED_COLOUR = "#0072B2"
NEUTRAL_COLOUR = "#8A8A8A"
SERIES_COLOURS = ("#8A8A8A", "#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
DOTS_PER_INCH = 110
PICTURE_WIDTH_IN = 6.4
MAX_PICTURE_WIDTH_PX = 2048
SMALL_PICTURE_PX = 512
"""Longer side of a picture in an overview."""
BELOW_LOUDEST = "dB re loudest"
LOWEST_DB = -80.0
PATCH_GRID_SIZE = 16
COMPRESSION = 3
"""zlib's level for PNG files."""

Scale = Literal["mel", "linear"]
"""Of the frequencies of a spectrogram."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """A region with the clicks and boxes that it was segmented from, to be drawn over a picture.

    Args:
        mask: [H, W] bool, in the pixels of the upright picture.
        points: [n, 3], x and y in pixels, and label 1 (inside) or 0 (outside).
        boxes: [n, 4], left, top, right and bottom in pixels.
        colour: of the overlay.
        title: of the picture.
    """

    mask: NDArray[Any]
    points: Sequence[Sequence[float]]
    colour: str
    title: str
    boxes: Sequence[Sequence[float]] = ()


def png_bytes(figure: Figure) -> bytes:
    """A figure as PNG, without a date, so that the same figure has the same bytes.

    `Figure.savefig` would draw it twice and write an opaque alpha channel; it takes four times as long, and its files
    are larger.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())
    picture = Image.fromarray(pixels if pixels[..., 3].min() < 255 else np.ascontiguousarray(pixels[..., :3]))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=COMPRESSION, dpi=(figure.dpi, figure.dpi))
    return buffer.getvalue()


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, atomically."""
    write_bytes(path, png_bytes(figure))
    return path


def mask_overlay(pixels: NDArray[Any], region: Region) -> Figure:
    """The picture with a region tinted and outlined, and its clicks.

    Args:
        pixels: [H, W, 3] uint8.
        region: the region.
    """
    figure = _figure_for(pixels)
    _draw_region(figure.subplots(), pixels, region)
    return figure


def patch_grid(
    pixels: NDArray[Any],
    coverage: NDArray[Any],
    grid: NDArray[Any],
    *,
    geometry: str,
    threshold: float,
    title: str,
    colour: str,
) -> Figure:
    """The coverage of each patch, drawn over the picture; patches in the grid are framed.

    Args:
        pixels: [H, W, 3] uint8.
        coverage: [256], 0 to 1, row by row.
        grid: [256], 1 where the patch counts.
        geometry: "squash" or "crop": which part of the picture the 16 x 16 patches span.
        threshold: least coverage of a patch that counts.
        title: of the picture.
        colour: of the region.
    """
    from matplotlib.patches import Rectangle

    n = PATCH_GRID_SIZE
    left, top, width, height = patched_area(pixels, geometry)
    figure = _figure_for(pixels)
    axes = figure.subplots()
    axes.imshow(pixels)
    axes.imshow(
        _tint(np.asarray(coverage, dtype=np.float64).reshape(n, n), colour, opacity=0.65),
        extent=(left - 0.5, left + width - 0.5, top + height - 0.5, top - 0.5),
        interpolation="nearest",
    )
    inside = np.asarray(grid).reshape(n, n) > 0
    for row, column in np.argwhere(inside):
        corner = (left + column * width / n - 0.5, top + row * height / n - 0.5)
        axes.add_patch(Rectangle(corner, width / n, height / n, fill=False, edgecolor="white", linewidth=1.0))
    _picture_axes(axes, f"{title}: {int(inside.sum())} of {n * n} patches, coverage at least {threshold:g}")
    _whole_picture(axes, pixels)
    return figure


def patch_map(pixels: NDArray[Any], values: NDArray[Any], *, geometry: str, title: str, label: str) -> Figure:
    """One number per patch, as colours over the picture.

    Args:
        pixels: [H, W, 3] uint8.
        values: [256], row by row.
        geometry: "squash" or "crop": which part of the picture the 16 x 16 patches span.
        title: of the picture.
        label: of the numbers.
    """
    left, top, width, height = patched_area(pixels, geometry)
    figure = _figure_for(pixels)
    axes = figure.subplots()
    axes.imshow(np.asarray(pixels).mean(axis=2), cmap="gray", vmin=0, vmax=255)
    image = axes.imshow(
        np.asarray(values, dtype=np.float64).reshape(PATCH_GRID_SIZE, PATCH_GRID_SIZE),
        extent=(left - 0.5, left + width - 0.5, top + height - 0.5, top - 0.5),
        interpolation="nearest",
        cmap="viridis",
        alpha=0.7,
    )
    _picture_axes(axes, title)
    _whole_picture(axes, pixels)
    figure.colorbar(image, ax=axes, shrink=0.8, label=label)
    return figure


def singular_values(before: NDArray[Any], after: NDArray[Any], *, k: int, factor: float, title: str) -> Figure:
    """Singular values of a region before and after the first `k` are multiplied.

    Args:
        before: [r], descending.
        after: [r], as manipulated.
        k: number of multiplied values.
        factor: the factor.
        title: of the picture.
    """
    figure = new_figure(PICTURE_WIDTH_IN, 3.4)
    axes = figure.subplots()
    place = np.arange(1, len(before) + 1)
    axes.plot(place, before, marker="o", markersize=4, color=NEUTRAL_COLOUR, label="before")
    axes.plot(
        place, after, marker="o", markersize=4, color=REMOVED_COLOUR if factor < 1 else ADDED_COLOUR, label="after"
    )
    axes.axvspan(0.5, min(k, len(before)) + 0.5, color="#000000", alpha=0.06, linewidth=0)
    axes.set_ylim(bottom=0)
    axes.set_xlim(0.5, max(len(before), 2) + 0.5)
    axes.set_xlabel("singular value, by size")
    axes.set_ylabel("value")
    axes.set_title(f"{title}: the first {k} times {factor:g}", fontsize=10)
    axes.legend(frameon=False)
    hide_spines(axes)
    return figure


def boxes(
    pixels: NDArray[Any], corners: NDArray[Any], scores: NDArray[Any], names: Sequence[str], *, title: str
) -> Figure:
    """The detected objects.

    Args:
        pixels: [H, W, 3] uint8.
        corners: [n, 4], left, top, right, bottom, in pixels.
        scores: [n], 0 to 1.
        names: n class names.
        title: of the picture.
    """
    from matplotlib.patches import Rectangle

    figure = _figure_for(pixels)
    axes = figure.subplots()
    axes.imshow(pixels)
    for place, (left, top, right, bottom) in enumerate(np.asarray(corners, dtype=np.float64).reshape(-1, 4)):
        colour = SERIES_COLOURS[1:][place % (len(SERIES_COLOURS) - 1)]
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=2))
        axes.text(
            left, top, f" {names[place]} {float(scores[place]):.2f} ",
            color="white", fontsize=9, verticalalignment="bottom", backgroundcolor=colour,
        )  # fmt: skip
    _picture_axes(axes, title)
    return figure


def spectrogram(
    levels: NDArray[Any], *, duration_s: float, title: str, highest_hz: float | None = None, unit: str = BELOW_LOUDEST
) -> Figure:
    """A log-mel spectrogram, time from left to right, low frequencies at the bottom.

    Args:
        levels: [frame, band], in `unit`.
        duration_s: duration of the frames.
        title: of the picture.
        highest_hz: upper end of the highest band; if None, the axis counts bands.
        unit: of the levels, for the label of the colour bar.
    """
    figure = new_figure(PICTURE_WIDTH_IN, 2.8)
    axes = figure.subplots()
    image = _draw_spectrogram(axes, levels, duration_s=duration_s, title=title, highest_hz=highest_hz)
    figure.colorbar(image, ax=axes, label=unit, pad=0.01)
    return figure


def similarities(embeddings: Mapping[str, NDArray[Any]], *, title: str) -> Figure:
    """Cosine of every embedding with every other one.

    Args:
        embeddings: name → [width], all of one width; none of them zero.
        title: of the picture.
    """
    rows = np.stack([np.asarray(e, dtype=np.float64).ravel() for e in embeddings.values()])
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = rows @ rows.T
    side = 2.4 + 0.55 * len(rows)
    figure = new_figure(side + 0.8, side)
    axes = figure.subplots()
    image = axes.imshow(cosines, vmin=-1, vmax=1, cmap="RdBu_r")
    ticks = range(len(rows))
    axes.set_xticks(ticks, list(embeddings), rotation=35, horizontalalignment="right", fontsize=8)
    axes.set_yticks(ticks, list(embeddings), fontsize=8)
    for row in ticks:
        for column in ticks:
            value = cosines[row, column]
            colour = "white" if abs(value) > 0.6 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_title(title, fontsize=10)
    figure.colorbar(image, ax=axes, shrink=0.8, label="cosine")
    return figure


def score_bars(scores: Mapping[str, Mapping[str, float]], *, title: str) -> Figure:
    """Class scores of several sounds side by side.

    Args:
        scores: name of the sound → class → score, 0 to 1.
        title: of the picture.
    """
    figure = new_figure(PICTURE_WIDTH_IN, 3.0)
    _draw_scores(figure.subplots(), scores, title)
    return figure


def overview(
    pictures: Sequence[tuple[NDArray[Any], Region]],
    sounds: Mapping[str, tuple[NDArray[Any], float]],
    scores: Mapping[str, Mapping[str, float]],
    *,
    highest_hz: float,
    title: str,
) -> Figure:
    """A whole run on one page: the regions at the top, the spectrograms and scores of the sounds below.

    Args:
        pictures: pairs of a picture [H, W, 3] and its region.
        sounds: name → (log-mel spectrogram [frame, band] in dB relative to the loudest of all, duration in seconds).
        scores: name of the sound → class → score.
        highest_hz: upper end of the spectrograms.
        title: of the page.
    """
    figure = new_figure(10.5, 4.2 + 1.5 * len(sounds))
    halves: Any = figure.subfigures(2, 1, height_ratios=[4.0, 1.5 * len(sounds)])
    above, below = halves
    figure.suptitle(title, fontsize=11)
    for axes, (pixels, region) in zip(np.atleast_1d(above.subplots(1, len(pictures))), pictures, strict=True):
        _draw_region(axes, pixels, region, at_most_px=SMALL_PICTURE_PX)
    left, right = below.subfigures(1, 2, width_ratios=[1.9, 1.0])
    rows = np.atleast_1d(left.subplots(len(sounds), 1, sharex=True))
    images = [
        _draw_spectrogram(axes, levels, duration_s=duration_s, title=name, highest_hz=highest_hz)
        for axes, (name, (levels, duration_s)) in zip(rows, sounds.items(), strict=True)
    ]
    for axes in rows[:-1]:
        axes.set_xlabel("")
    for image in images:
        image.set_clim(LOWEST_DB, 0.0)
    left.colorbar(images[0], ax=list(rows), label=BELOW_LOUDEST, pad=0.01)
    _draw_scores(right.subplots(), scores, "scores of the tagger")
    return figure


def log_mel(
    waveform: NDArray[Any], *, sample_rate_hz: int, n_bands: int = 96, highest_hz: float = 8000.0
) -> NDArray[Any]:
    """The log-mel spectrogram of one sound; see `band_levels`."""
    return band_levels({"": waveform}, sample_rate_hz=sample_rate_hz, n_bands=n_bands, highest_hz=highest_hz)[""]


def band_levels(
    waveforms: Mapping[str, NDArray[Any]],
    *,
    sample_rate_hz: int,
    n_bands: int = 96,
    highest_hz: float = 8000.0,
    scale: Scale = "mel",
) -> dict[str, NDArray[Any]]:
    """Spectrograms for display: [frame, band] in dB relative to the loudest of all, clipped at `LOWEST_DB`.

    Frames of 2048 samples, 512 apart, Hann window; triangular bands, evenly spaced in mel (O'Shaughnessy 1987) or
    in Hz.

    Args:
        waveforms: name → [n_samples], or [1, n_samples].
        sample_rate_hz: of the waveforms.
        n_bands: bands between 0 and `highest_hz`.
        highest_hz: upper end of the highest band.
        scale: "mel" or "linear".
    """
    frame, hop = 2048, 512
    if scale == "mel":
        edges_mel = np.linspace(0.0, 2595 * np.log10(1 + highest_hz / 700), n_bands + 2)
        edges_hz = 700 * (10 ** (edges_mel / 2595) - 1)
    else:
        edges_hz = np.linspace(0.0, highest_hz, n_bands + 2)
    bins_hz = np.fft.rfftfreq(frame, 1 / sample_rate_hz)
    low, middle, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    bands = np.clip(np.minimum((bins_hz - low) / (middle - low), (high - bins_hz) / (high - middle)), 0, None)
    powers: dict[str, NDArray[Any]] = {}
    for name, waveform in waveforms.items():
        samples = np.asarray(waveform, dtype=np.float64).ravel()
        samples = np.pad(samples, (frame // 2, frame // 2 + max(0, frame - len(samples))))
        frames = np.lib.stride_tricks.sliding_window_view(samples, frame)[::hop]
        powers[name] = np.abs(np.fft.rfft(frames * np.hanning(frame), axis=1)) ** 2 @ bands.T
    loudest = max((float(power.max()) for power in powers.values()), default=0.0) or 1.0  # silence stays at the floor
    lowest = 10 ** (LOWEST_DB / 10)
    return {name: 10 * np.log10(np.maximum(power / loudest, lowest)) for name, power in powers.items()}


def new_figure(width_in: float, height_in: float, *, dots_per_inch: float = DOTS_PER_INCH) -> Figure:
    """An empty figure, which draws without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=dots_per_inch, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _figure_for(pixels: NDArray[Any]) -> Figure:
    """A figure with the proportions of the picture, within limits, and room for a title.

    It has the width of the picture in pixels, but at least 704 and at most `MAX_PICTURE_WIDTH_PX`.
    """
    height, width = pixels.shape[:2]
    dots_per_inch = max(DOTS_PER_INCH, min(width, MAX_PICTURE_WIDTH_PX) / PICTURE_WIDTH_IN)
    proportion = min(max(height / width, 0.3), 2.0)
    return new_figure(PICTURE_WIDTH_IN, PICTURE_WIDTH_IN * proportion + 0.35, dots_per_inch=dots_per_inch)


def _draw_region(axes: Axes, pixels: NDArray[Any], region: Region, *, at_most_px: int | None = None) -> None:
    """Draw a region over its picture, in the picture's coordinates.

    Args:
        axes: to draw on.
        pixels: [H, W, 3] uint8.
        region: the region.
        at_most_px: longer side to draw; more pixels than are visible only take matplotlib longer.
    """
    height, width = pixels.shape[:2]
    step = 1 if at_most_px is None else max(1, max(height, width) // at_most_px)
    mask = np.asarray(region.mask, dtype=bool)[::step, ::step]
    rows, columns = np.arange(0, height, step), np.arange(0, width, step)
    extent = (-0.5, columns.size * step - 0.5, rows.size * step - 0.5, -0.5)
    axes.imshow(pixels[::step, ::step], extent=extent)
    axes.imshow(_tint(mask.astype(np.float64), region.colour, opacity=0.45), extent=extent)
    if mask.any() and not mask.all() and min(mask.shape) > 1:
        axes.contour(columns, rows, mask.astype(np.float64), levels=[0.5], colors=[region.colour], linewidths=1.5)
    for left, top, right, bottom in region.boxes:
        sides = [left, right, right, left, left], [top, top, bottom, bottom, top]
        axes.plot(*sides, color="white", linewidth=1.5, linestyle="--")
    for x, y, label in region.points:
        axes.plot(
            [x], [y],
            marker="o" if label else "X", markersize=9, color="white" if label else "black",
            markeredgecolor=region.colour, markeredgewidth=2.5,
        )  # fmt: skip
    _picture_axes(axes, region.title)


def _draw_spectrogram(
    axes: Axes, levels: NDArray[Any], *, duration_s: float, title: str, highest_hz: float | None
) -> AxesImage:
    bands = np.asarray(levels, dtype=np.float64)
    image = axes.imshow(
        bands.T, origin="lower", aspect="auto", cmap="magma", interpolation="nearest",
        extent=(0.0, duration_s, 0.0, float(bands.shape[1])),
    )  # fmt: skip
    axes.set_xlabel("time in s")
    if highest_hz is None:
        axes.set_ylabel("mel band")
    else:
        marks_hz = [hz for hz in (0, 500, 1000, 2000, 4000, 8000) if hz <= highest_hz]
        scale = bands.shape[1] / np.log10(1 + highest_hz / 700)
        axes.set_yticks(
            [float(np.log10(1 + hz / 700) * scale) for hz in marks_hz], [f"{hz / 1000:g}" for hz in marks_hz]
        )
        axes.set_ylabel("kHz")
    axes.set_title(title, fontsize=10)
    return image


def _draw_scores(axes: Axes, scores: Mapping[str, Mapping[str, float]], title: str) -> None:
    classes = list(dict.fromkeys(name for row in scores.values() for name in row))
    width = 0.8 / max(len(scores), 1)
    for place, (sound, row) in enumerate(scores.items()):
        offsets = np.arange(len(classes)) + (place - (len(scores) - 1) / 2) * width
        colour = SERIES_COLOURS[place % len(SERIES_COLOURS)]
        axes.bar(offsets, [row.get(name, 0.0) for name in classes], width, label=sound, color=colour)
    axes.set_xticks(range(len(classes)), classes, rotation=35, horizontalalignment="right", fontsize=8)
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("score")
    axes.set_title(title, fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    hide_spines(axes)


def patched_area(pixels: NDArray[Any], geometry: str) -> tuple[float, float, float, float]:
    """Left, top, width and height of the area that the patches span: the whole picture, or its central square."""
    height, width = pixels.shape[:2]
    if geometry == "squash":
        return 0.0, 0.0, float(width), float(height)
    side = min(width, height)
    return (width - side) / 2, (height - side) / 2, float(side), float(side)


def _whole_picture(axes: Axes, pixels: NDArray[Any]) -> None:
    height, width = pixels.shape[:2]
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)


def _tint(strength: NDArray[Any], colour: str, *, opacity: float) -> NDArray[Any]:
    """One colour with `strength` [rows, columns] (0 to 1) as its opacity: [rows, columns, 4]."""
    from matplotlib.colors import to_rgb

    layer = np.empty((*strength.shape, 4))
    layer[..., :3] = to_rgb(colour)
    layer[..., 3] = np.clip(strength, 0, 1) * opacity
    return layer


def _picture_axes(axes: Axes, title: str) -> None:
    axes.set_axis_off()
    axes.set_title(title, fontsize=10)


def hide_spines(axes: Axes) -> None:
    """Hide the upper and the right border of a plot."""
    axes.spines[["top", "right"]].set_visible(False)


def edit_figures(
    shares: Mapping[str, Mapping[str, tuple[float, float, float]]],
    margins: NDArray[Any],
    names: Sequence[str],
    *,
    title: str,
) -> Figure:
    """Results of the ordered edits: figures of the method and its controls, and the smaller margin of each edit.

    Args:
        shares: variant → figure → (value, lower and upper end of its interval), each 0 to 1.
        margins: [n, n], the removed class by row, the added class by column: the smaller of the added class's rise
            and the removed class's fall; NaN where there is no edit.
        names: of the n classes.
        title: of the page.
    """
    figure = new_figure(11.0, 4.6)
    figure.suptitle(title, fontsize=11)
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1.0])
    width = 0.8 / max(len(shares), 1)
    for place, (variant, row) in enumerate(shares.items()):
        offsets = np.arange(len(row)) + (place - (len(shares) - 1) / 2) * width
        values, low, high = np.array(list(row.values())).T
        colour = SERIES_COLOURS[(2, 1, 0, 3)[place % 4]]
        left.bar(offsets, values, width, label=variant, color=colour)
        left.errorbar(offsets, values, np.abs([values - low, high - values]), fmt="none", ecolor="black", capsize=2)
    labels = [name.replace(" ", "\n", 1) for name in next(iter(shares.values()))]
    left.set_xticks(range(len(labels)), labels, fontsize=8)
    left.set_ylim(0, 1.05)
    left.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    hide_spines(left)
    image = right.imshow(np.ma.masked_invalid(margins), vmin=-1, vmax=1, cmap="RdBu")
    right.set_xticks(range(len(names)), list(names), rotation=35, horizontalalignment="right", fontsize=8)
    right.set_yticks(range(len(names)), list(names), fontsize=8)
    right.set_xlabel("added class")
    right.set_ylabel("removed class")
    right.set_title("method: smaller of the added class's rise and the removed class's fall", fontsize=9)
    figure.colorbar(image, ax=right, shrink=0.8)
    return figure
