"""`svdaudio sweep` on toy models."""

from __future__ import annotations

import pytest
from toy_method import PAIR, install


@pytest.fixture
def world(monkeypatch, tmp_path):
    install(monkeypatch, tmp_path)
    return tmp_path


def test_a_sweep_is_a_batch_over_settings(world, cli):
    result = cli("sweep", *PAIR, "--grid", "svd.alpha=0.1,0.3", "--no-baselines", "--json").json()
    assert [row["svd.alpha"] for row in result["pairs"]] == [0.1, 0.3]
    assert result["counts"] == {"finished": 2}
    cosines = [[row[f"cosine.{n}"] for n in ("original", "edited", "removed", "added")] for row in result["pairs"]]
    # the same cosines without generating sounds
    fast = cli("sweep", *PAIR, "--grid", "svd.alpha=0.1,0.3", "--embeddings-only", "--json").json()
    for row, expected in zip(fast["settings"], cosines, strict=True):
        found = [row[f"cosine.{n}"] for n in ("original", "edited", "removed", "added")]
        assert found == pytest.approx(expected, abs=1e-5)


def test_embeddings_only_stops_at_the_mix(world, cli):
    result = cli("sweep", *PAIR, "--grid", "svd.k=1..8", "--grid", "align.threshold=0.4,0.6", "--embeddings-only")
    assert result.code == 0
    assert "16 embeddings" in result.out
    runs = cli("runs", "--json").json()["runs"]
    assert len(runs) == 2
    stages = {stage["stage"] for stage in cli("show", "latest", "--json").json()["stages"]}
    assert "removed.factors" in stages
    assert not stages & {"mix", "edited.locals", "manipulated.remix"}


def test_random_settings(world, cli):
    result = cli(
        "sweep", *PAIR, "--grid", "svd.alpha=0.1..0.5", "--random", "100", "--seed", "3", "--embeddings-only",
        "--table", "t.csv", "--json",
    ).json()  # fmt: skip
    assert len(result["settings"]) == 100
    assert (world / "t.csv").read_text().count("\n") == 101


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "no range given"),
        (["--grid", "svd.kk=1,2"], "perhaps you mean 'svd.k'"),
        (["--grid", "svd.k=0..2"], "svd.k has an invalid value"),
        (["--grid", "svd.alpha=0.1..0.5"], "has no steps"),
        (["--grid", "svd.k=1..2", "--table", "t.xlsx"], "not a valid table file"),
        (["--grid", "svd.k=1..2", "--embeddings-only", "--workers", "2"], "--workers would have no effect with"),
        (["--grid", "svd.k=1..2", "--embeddings-only", "--on-error", "stop"], "--on-error would have no effect with"),
        (["--grid", "svd.k=1..2", "--no-baselines", "--embeddings-only"], "with --embeddings-only, which makes no"),
        (["--grid", "svd.alpha=0.1..0.5", "--random", "3", "--zip"], "--zip would have no effect with --random"),
    ],
)
def test_an_invalid_sweep_is_a_one_line_error(world, cli, arguments, text):
    result = cli("sweep", *PAIR, *arguments)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert text.lower() in result.err.lower()
    assert not (world / "store").exists()
