"""Pictures of studies are drawn from plain values, with and without intervals."""

from __future__ import annotations

import pytest

from svdaudio.views.plots import save
from svdaudio.views.study_plots import PairMap, importance_bars, pair_maps, response_curves


def test_response_curves_have_a_panel_for_each_parameter(tmp_path):
    lines = {"svd": [(1.0, 0.2, 0.1, 0.3), (5.0, 0.4, 0.3, 0.5)], "fade": [(1.0, 0.6, None, None)]}
    figure = response_curves({"svd.k": lines, "mix.alpha": {"all": lines["svd"]}}, label="duck - cat" * 10)
    first, second = [axes for axes in figure.axes if axes.get_visible()]
    assert [line.get_label() for line in first.lines] == ["svd", "fade"]
    assert first.lines[0].get_ydata().tolist() == [0.2, 0.4]
    assert len(first.collections) == 2
    assert second.get_xlabel() == "mix.alpha"
    assert second.get_legend() is None
    assert save(figure, tmp_path / "curves.png").stat().st_size > 1000


def test_heat_maps_share_one_scale(tmp_path):
    one = PairMap(across="a", down="b", columns=["1", "2"], rows=["x"], means=[[0.1, None]])
    other = PairMap(across="a", down="c", columns=["1"], rows=["y", "z"], means=[[0.5], [0.9]])
    figure = pair_maps([one, other], label="cat")
    images = [axes.images[0] for axes in figure.axes if axes.images]
    assert [image.get_clim() for image in images] == [(0.1, 0.9)] * 2
    assert save(figure, tmp_path / "maps.png").stat().st_size > 1000


def test_importance_bars_name_their_parameters():
    figure = importance_bars({"svd.k": (0.75, 0.5, 0.9), "edit.form": (0.25, None, None)}, label="share")
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.75, 0.25])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["svd.k", "edit.form"]
    assert len(axes.lines) == 1
