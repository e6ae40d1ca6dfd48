"""The server's answers about plans and runs."""

from __future__ import annotations

from types import SimpleNamespace

from svdaudio.studio.answers import typical_seconds


def run(duration_s, **seconds):
    stages = [SimpleNamespace(stage=name, status="computed", seconds=took) for name, took in seconds.items()]
    stages.append(SimpleNamespace(stage="align", status="cached", seconds=99.0))
    return SimpleNamespace(config={"generate": {"duration_s": duration_s}}, stages=stages)


def test_typical_times_are_scaled_to_the_duration_of_the_sound():
    runs = [run(10.0, diffuse=4.0, mask=1.0), run(5.0, diffuse=2.0, mask=1.2), run(20.0, diffuse=9.0, mask=0.8)]
    assert typical_seconds(runs, 20.0, {"diffuse"}) == {"diffuse": 8.0, "mask": 1.0}
    assert typical_seconds(runs, 5.0, {"diffuse"}) == {"diffuse": 2.0, "mask": 1.0}


def test_times_of_runs_without_a_duration_are_not_scaled():
    timed = SimpleNamespace(config={}, stages=[SimpleNamespace(stage="mask", status="computed", seconds=1.0)])
    assert typical_seconds([timed], 20.0, {"mask"}) == {"mask": 1.0}
