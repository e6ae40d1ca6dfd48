"""The ordered edits: how they are drawn, and the figures of their outcomes."""

from __future__ import annotations

import numpy as np
import pytest

from svdaudio.mini import farm
from svdaudio.studies import edits
from svdaudio.svd.images import load_image

CLASSES = farm.CLASSES


@pytest.fixture(scope="module")
def edit():
    return edits.draw_edit("cat", "duck")


def outcome(rise=0.8, fall=0.7, stayed=0.1, control=0.0):
    original = {"cat": 0.9, "duck": 0.1, "cow": 0.8}
    changed = {"cat": 0.9 - fall, "duck": 0.1 + rise, "cow": 0.8 - stayed}
    plain = {name: value - control for name, value in changed.items()}
    return edits.Outcome(
        removed="cat", added="duck", kept="cow", original=original,
        sounds={edits.METHOD: changed, edits.PLAIN: plain, edits.DIRECT: plain},
    )  # fmt: skip


def test_there_are_72_edits_with_distinct_animals():
    pairs = edits.ordered_pairs()
    assert (len(pairs), len(set(pairs))) == (72, 72)
    assert all(removed != added for removed, added in pairs)


def test_only_the_swapped_animal_differs(edit):
    assert edit.kept not in (edit.removed, edit.added)
    swapped = (edit.original.instances == 2) | (edit.edited.instances == 2)
    far = ~np.pad(swapped, 8)[8:-8, 8:-8]
    for shift in (-8, 8):  # blur and soft edges reach slightly beyond the masks
        for axis in (0, 1):
            far &= ~np.roll(swapped, shift, axis)
    difference = np.abs(edit.original.pixels.astype(int) - edit.edited.pixels)[far]
    assert np.mean(difference > 3) < 0.001
    assert swapped.mean() > edits.LEAST_SHARE
    assert edit.original.classes == (CLASSES.index(edit.kept), CLASSES.index("cat"))
    assert edit.edited.classes == (CLASSES.index(edit.kept), CLASSES.index("duck"))


def test_clicks_lie_on_the_removed_and_the_added_animal(edit):
    (x, y), (u, v) = edit.remove, edit.add
    assert edit.original.instances[y, x] == 2
    assert edit.edited.instances[v, u] == 2
    square = np.zeros((12, 20), bool)
    square[3:8, 11:16] = True
    assert edits.deepest(square) == (13, 5)


def test_the_seed_determines_the_edits(edit):
    np.testing.assert_array_equal(edits.draw_edit("cat", "duck").edited.pixels, edit.edited.pixels)
    assert (edits.draw_edit("cat", "duck", seed=1).edited.pixels != edit.edited.pixels).any()


def test_every_variant_is_a_pair_over_the_same_pictures(edit, tmp_path):
    pairs = edits.write_edits(tmp_path, [edit], [edits.METHOD, edits.DIRECT])
    assert [pair.name for pair in pairs] == [edit.name, f"{edit.name}, direct_mix alone"]
    assert pairs[0].files == pairs[1].files
    assert pairs[1].parameters["mix.direct"] == 1.0
    np.testing.assert_array_equal(load_image(pairs[0].files["original"]), edit.original.pixels)
    assert pairs[0].parameters["remove"] == [list(edit.remove)]
    np.testing.assert_array_equal(load_image(pairs[0].files["edited"]), edit.edited.pixels)


def test_figures_count_the_edits_with_the_intended_outcome():
    outcomes = [outcome(), outcome(rise=-0.05), outcome(fall=-0.05, stayed=-0.3), outcome()]
    found = {figure.name: figure for figure in edits.figures(outcomes, edits.METHOD)}
    assert found["added class rises"].value == 0.75
    assert found["removed class falls"].value == 0.75
    assert found["both"].value == 0.5
    assert found["mean absolute change of the kept class"].value == pytest.approx(0.15)
    assert found["both"].low <= 0.5 <= found["both"].high
    assert len(list(edits.rows(outcomes))) == 12


def test_the_effect_of_the_method_is_its_difference_from_a_control():
    found = {f.name: f.value for f in edits.differences([outcome(control=0.05)] * 3, edits.PLAIN)}
    assert found[f"rise of the added class, method less {edits.PLAIN}"] == pytest.approx(0.05)
    assert found[f"fall of the removed class, method less {edits.PLAIN}"] == pytest.approx(-0.05)


def test_the_page_has_the_command_and_figures_and_says_when_controls_are_identical():
    page = edits.markdown([outcome(), outcome()], command="svdaudio evaluate edits", bundle="mini")
    assert page.startswith("`svdaudio evaluate edits`: 2 edits, bundle mini")
    assert "| both | 1.000 [1.000, 1.000] |" in page
    assert "sound by sound" in page


def test_an_outcome_takes_each_sound_from_its_run(edit):
    scores = {name: {c: float(i + n) for n, c in enumerate(CLASSES)} for i, name in enumerate("abcd")}
    found = edits.outcome(
        edit,
        {
            edits.METHOD: {"original": scores["a"], "edited": scores["b"], "manipulated": scores["c"]},
            edits.DIRECT: {"original": scores["a"], "edited": scores["b"], "manipulated": scores["d"]},
        },
    )
    assert found.original == scores["a"]
    assert found.sounds == {edits.METHOD: scores["c"], edits.PLAIN: scores["b"], edits.DIRECT: scores["d"]}


def test_the_plot_is_drawn_for_some_or_all_edits():
    from svdaudio.studies.edit_study import _picture

    figure = _picture([outcome()], "mini")
    assert len(figure.axes) == 3
