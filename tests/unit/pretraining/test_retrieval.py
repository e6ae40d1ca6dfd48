import numpy as np
import pytest

from svdaudio.pretraining.retrieval import both_ways, common_labels, group_interval, hits_at, recall

OWN = np.eye(4, dtype=bool)
SIMILARITY = np.array(
    [
        [0.9, 0.1, 0.2, 0.3],  # own first
        [0.5, 0.4, 0.1, 0.2],  # own second
        [0.5, 0.5, 0.5, 0.1],  # own among three equals at the top
        [0.9, 0.8, 0.7, 0.1],  # own last
    ],
    np.float32,
)


@pytest.mark.parametrize(
    ("k", "expected"),
    [(1, [1, 0, 1 / 3, 0]), (2, [1, 1, 2 / 3, 0]), (3, [1, 1, 1, 0]), (4, [1, 1, 1, 1])],
)
def test_hits_agree_with_hand_computed_values(k, expected):
    assert hits_at(SIMILARITY, OWN, k) == pytest.approx(expected)


def test_class_hits_agree_with_hand_computed_values():
    right = np.array([[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]], bool)
    assert hits_at(SIMILARITY, right, 1) == pytest.approx([1, 0, 2 / 3, 0])


def test_an_encoder_that_maps_everything_to_one_point_is_at_chance():
    same = np.ones((20, 3), np.float32) / np.sqrt(3)
    labels = [frozenset("ab"[i % 2]) for i in range(20)]
    groups = [str(i) for i in range(20)]
    for figure in both_ways(same, same, names=("picture", "sound"), groups=groups, labels=labels):
        assert figure.value == pytest.approx(figure.chance)


def test_figures_of_both_directions():
    first = np.eye(6, dtype=np.float32)
    second = first[[1, 0, 2, 3, 4, 5]]  # two partners are swapped
    labels = [
        frozenset({"a"}),
        frozenset({"a"}),
        frozenset({"b"}),
        frozenset({"b", "c"}),
        frozenset({"c"}),
        frozenset(),
    ]
    figures = both_ways(first, second, names=("picture", "sound"), groups=list("uvwxyz"), labels=labels)
    found = {one.name: (one.value, one.chance, one.n) for one in figures}
    assert found["picture to sound: recall@1"] == (pytest.approx(4 / 6), pytest.approx(1 / 6), 6)
    assert found["picture to sound: class recall@1"] == (1.0, pytest.approx((2 + 2 + 2 + 3 + 2) / 5 / 6), 5)
    assert found.keys() == {
        f"{a} to {b}: {what}"
        for a, b in (("picture", "sound"), ("sound", "picture"))
        for what in ("recall@1", "recall@5", "class recall@1")
    }


def test_the_bootstrap_draws_whole_groups():
    values = np.array([1.0] * 10 + [0.0] * 10)
    alone = group_interval(values, [str(i) for i in range(20)])
    together = group_interval(values, ["a"] * 10 + ["b"] * 10)
    assert together == (0.0, 1.0)
    assert alone == (pytest.approx(0.3, abs=0.1), pytest.approx(0.7, abs=0.1))
    unequal = group_interval(np.array([1.0, 0.0, 0.0, 0.0]), ["a", "b", "b", "b"])
    assert unequal == (0.0, 1.0)


def test_large_galleries_are_processed_in_chunks(monkeypatch):
    rng = np.random.default_rng(0)
    first, second = (rng.normal(size=(50, 4)).astype(np.float32) for _ in range(2))
    own, groups = np.eye(50, dtype=bool), ["g"] * 50
    whole = recall("r", first, second, own, groups, k=5)
    monkeypatch.setattr("svdaudio.pretraining.retrieval._ROWS_AT_ONCE", 7)
    assert recall("r", first, second, own, groups, k=5).value == pytest.approx(whole.value)


def test_common_labels():
    sets = [frozenset("ab"), frozenset("b"), frozenset()]
    assert common_labels(sets, sets).tolist() == [[True, True, False], [True, True, False], [False, False, False]]
    assert common_labels([frozenset()], [frozenset()]).tolist() == [[False]]
