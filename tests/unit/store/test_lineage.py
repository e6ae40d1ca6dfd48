from __future__ import annotations

import pytest

from svdaudio.errors import MissingArtifactError
from svdaudio.store.lineage import Lineage, Use


def test_lineage_of_an_artifact(toy):
    first = toy.run()
    second = toy.run(toy.request(svd__alpha=0.2))
    key = first.stage("original.factors").key
    why = Lineage(toy.store).why(key)
    assert why.record == toy.store.find(key)
    by_name = {given.name: given for given in why.inputs}
    assert by_name["grid"].source == "original.align.grid"
    assert by_name["grid"].held_by == (first.stage("original.align").key,)
    assert by_name["grid"].digest == first.stage("original.align").outputs["grid"]
    assert why.uses == (
        Use(run=second.id, node="original.factors", status="cached"),
        Use(run=first.id, node="original.factors", status="computed"),
    )
    assert why.dependents == {run.stage("mix").key: "mix" for run in (first, second)}


def test_a_first_and_a_last_stage(toy):
    run = toy.run()
    lineage = Lineage(toy.store)
    image = lineage.why(run.stage("original.image").key)
    assert image.inputs[0].source == "file:original"
    assert image.inputs[0].held_by == ()
    assert set(image.dependents.values()) == {"align", "factors"}
    assert not lineage.why(run.stage("manipulated.scores").key).dependents
    with pytest.raises(MissingArtifactError):
        lineage.why("0" * 64)
