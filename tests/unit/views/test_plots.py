from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from svdaudio.errors import StoreError
from svdaudio.views import plots


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)


@pytest.fixture
def region():
    mask = np.zeros((48, 64), dtype=bool)
    mask[10:30, 20:40] = True
    return plots.Region(mask=mask, points=[(30, 20, 1), (5, 5, 0)], colour=plots.REMOVED_COLOUR, title="removed")


def figures(pixels, region):
    coverage = np.linspace(0, 1, 256)
    waveform = np.sin(np.arange(22050) / 5)
    scores = {"original": {"cat": 0.9, "dog": 0.8}, "manipulated": {"dog": 0.7, "duck": 0.6}}
    levels = plots.log_mel(waveform, sample_rate_hz=22050)
    return {
        "mask": plots.mask_overlay(pixels, region),
        "squashed grid": plots.patch_grid(
            pixels, coverage, coverage > 0.5, geometry="squash", threshold=0.5, title="removed", colour="#0072B2"
        ),
        "cropped grid": plots.patch_grid(
            pixels, coverage, coverage > 0.5, geometry="crop", threshold=0.5, title="removed", colour="#0072B2"
        ),
        "patches": plots.patch_map(pixels, coverage, geometry="squash", title="likeness", label="cosine"),
        "values": plots.singular_values(np.array([3.0, 2, 1]), np.array([0.9, 2, 1]), k=1, factor=0.3, title="removed"),
        "boxes": plots.boxes(pixels, np.array([[1, 2, 30, 40.0]]), np.array([0.9]), ["dog"], title="objects"),
        "no boxes": plots.boxes(pixels, np.zeros((0, 4)), np.zeros(0), [], title="objects"),
        "spectrogram": plots.spectrogram(levels, duration_s=1.0, title="tone", highest_hz=8000),
        "similarities": plots.similarities({"a": np.ones(8), "b": -np.ones(8)}, title="cosines"),
        "scores": plots.score_bars(scores, title="scores"),
        "overview": plots.overview(
            [(pixels, region), (pixels, region)], {"tone": (levels, 1.0)}, scores, highest_hz=8000, title="run"
        ),
    }


def test_every_figure_is_a_png_with_the_same_bytes_each_time(tmp_path, pixels, region):
    first, second = figures(pixels, region), figures(pixels, region)
    for name, figure in first.items():
        one = plots.save(figure, tmp_path / "one" / f"{name}.png").read_bytes()
        two = plots.save(second[name], tmp_path / "two" / f"{name}.png").read_bytes()
        assert one == two, name
        with Image.open(BytesIO(one)) as image:
            assert image.format == "PNG", name
            assert len(set(np.asarray(image.convert("L")).ravel())) > 3, name


@pytest.mark.parametrize(("width", "expected"), [(64, 704), (1024, 1024), (3000, 2048)])
def test_a_picture_is_shown_at_its_own_width_within_limits(tmp_path, region, width, expected):
    grey = np.full((width // 2, width, 3), 128, dtype=np.uint8)
    shown = plots.boxes(grey, np.zeros((0, 4)), np.zeros(0), [], title="objects")
    with Image.open(plots.save(shown, tmp_path / "picture.png")) as image:
        assert image.width == expected


def test_spectrograms_have_a_scale_with_its_unit(pixels, region):
    drawn = figures(pixels, region)
    assert [axes.get_ylabel() for axes in drawn["spectrogram"].axes] == ["kHz", "dB re loudest"]
    assert "dB re loudest" in [axes.get_ylabel() for axes in drawn["overview"].axes]


def test_the_overlay_tints_only_the_region(region):
    white = np.full((48, 64, 3), 255, dtype=np.uint8)
    axes = plots.mask_overlay(white, region).axes[0]
    layer = axes.images[1].get_array()
    assert (layer[..., 3] > 0).sum() == region.mask.sum()
    assert ((layer[..., 3] > 0) == region.mask).all()


def test_an_empty_mask_still_gives_a_picture(pixels):
    empty = plots.Region(mask=np.zeros((48, 64)), points=[(1, 1, 1)], colour="#000000", title="nothing")
    assert plots.mask_overlay(pixels, empty).axes[0].get_title() == "nothing"


def test_the_spectrogram_of_a_tone_peaks_at_its_frequency():
    tone = np.sin(2 * np.pi * 1000 * np.arange(22050) / 22050)
    levels = plots.log_mel(tone, sample_rate_hz=22050, n_bands=96, highest_hz=8000)
    assert levels.shape[1] == 96
    assert levels.max() == 0
    assert levels.min() >= -80
    band = levels[10].argmax()
    centre_hz = 700 * ((1 + 8000 / 700) ** ((band + 1) / 97) - 1)
    assert centre_hz == pytest.approx(1000, rel=0.06)


def test_a_short_sound_has_a_spectrogram():
    assert plots.log_mel(np.zeros(10), sample_rate_hz=22050).shape[0] >= 1
    assert (plots.log_mel(np.zeros(10), sample_rate_hz=22050) == plots.LOWEST_DB).all(), "silence has low levels"


def test_sounds_are_drawn_on_one_scale():
    loud = np.sin(np.arange(22050) / 5)
    found = plots.band_levels({"loud": loud, "soft": 0.1 * loud, "silent": 0 * loud}, sample_rate_hz=22050)
    assert found["loud"].max() == pytest.approx(0)
    assert found["soft"].max() == pytest.approx(-20)
    assert found["silent"].max() == plots.LOWEST_DB


def test_an_unwritable_place_is_one_clear_error(tmp_path, pixels, region):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write"):
        plots.save(plots.mask_overlay(pixels, region), tmp_path / "file" / "mask.png")


def test_a_failed_write_leaves_nothing(tmp_path, pixels, region):
    target = tmp_path / "mask.png"
    target.mkdir()
    with pytest.raises(StoreError):
        plots.save(plots.mask_overlay(pixels, region), target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mask.png"]


@pytest.mark.parametrize(("geometry", "left", "right"), [("squash", -0.5, 63.5), ("crop", 7.5, 55.5)])
def test_patches_lie_where_the_geometry_puts_them(pixels, geometry, left, right):
    figure = plots.patch_map(pixels, np.zeros(256), geometry=geometry, title="zero", label="cosine")
    assert figure.axes[0].images[1].get_extent()[:2] == [left, right]
