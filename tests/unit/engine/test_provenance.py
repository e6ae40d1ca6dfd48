from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime

import pytest

from svdaudio.engine.provenance import Workflow, mermaid, prov_document


def with_sound(toy, run, node="manipulated.scores"):
    """A run with a sound, which the toy workflow does not generate, and a stage that generates it."""
    entry = replace(run.stage(node), node="manipulated.choose", outputs={"waveform": "w" * 64})
    return replace(run, stages=(*run.stages, entry), results={"audio": {"manipulated": '/out/a "loud" #1.wav'}})


def workflow(toy):
    """The workflow of the toy, with the made-up sound of `with_sound`."""
    return Workflow(nodes=toy.request().table, sounds={"manipulated": "manipulated.choose.waveform"})


def identifiers(document):
    return {name for kind in ("entity", "activity", "agent") for name in document.get(kind, {})}


@pytest.fixture
def runs(toy):
    first = toy.run()
    return first, toy.run(toy.request(svd__alpha=0.2))


def test_the_diagram_leads_from_files_to_sounds(toy, runs):
    _, run = runs
    lines = mermaid(with_sound(toy, run), workflow(toy)).splitlines()
    assert lines[0] == "flowchart TD"
    mix = run.stage("mix")
    assert f'    mix["mix<br/>{mix.key[:12]}<br/>computed"]:::computed' in lines
    image = run.stage("original.image")
    assert f'    original_image["image<br/>{image.key[:12]}<br/>cached"]:::cached' in lines
    assert f'  file_original[/"original.txt<br/>sha256 {run.files["original"].digest[:12]}"/]' in lines
    assert '  sound_manipulated(["a #34;loud#34; #35;1.wav"])' in lines
    for arrow in (
        "  file_original --> original_image",
        "  original_image -->|pixels| original_align",
        "  original_factors -->|region| mix",
        "  manipulated_choose -->|waveform| sound_manipulated",
    ):
        assert arrow in lines
    drawn = {line.split(" --")[0].strip() for line in lines if " -->" in line}
    boxes = {line.strip().split("[")[0].split("(")[0] for line in lines if line.rstrip().endswith(("]", ")", "cached"))}
    assert drawn <= boxes | {"mix", "manipulated_choose"} | {e.node.replace(".", "_") for e in run.stages}
    assert Counter(line.strip() for line in lines if line.startswith("  subgraph"))


def test_the_diagram_of_a_failed_run(toy):
    toy.failing["mix"] = ZeroDivisionError("oh")
    with pytest.raises(ZeroDivisionError):
        toy.run()
    run = toy.store.runs.load("latest")
    text = mermaid(run, workflow(toy))
    assert '    mix["mix<br/>failed"]:::failed' in text
    assert '    manipulated_scores["scores<br/>skipped"]:::skipped' in text
    assert "original_factors -->|region| mix" in text
    assert f"stage:{run.stage('original.align').key}" in prov_document(run, toy.store, workflow(toy))["activity"]


def test_inputs_are_matched_by_content_after_the_workflow_changed(toy, runs):
    first, _ = runs
    assert "original_factors -->|region| mix" in mermaid(first)
    assert "  file_original --> original_image" in mermaid(first).splitlines()


def test_the_document_describes_everything_that_it_relates(toy, runs):
    for run in (*runs, with_sound(toy, runs[1])):
        document = json.loads(json.dumps(prov_document(run, toy.store, workflow(toy))))
        known = identifiers(document)
        relations = {kind: found for kind, found in document.items() if kind.startswith(("was", "used"))}
        assert set(relations) >= {"used", "wasGeneratedBy", "wasAssociatedWith"}
        for kind, found in relations.items():
            for relation in found.values():
                ends = {end: name for end, name in relation.items() if end != "prov:role"}
                assert set(ends.values()) <= known, kind
        prefixes = set(document["prefix"])
        assert {name.partition(":")[0] for name in known} <= prefixes


def test_relations_name_producers_inputs_and_models(toy, runs):
    _, run = runs
    document = prov_document(run, toy.store, workflow(toy))
    mix, factors = run.stage("mix").key, run.stage("original.factors").key
    generated = {(r["prov:entity"], r["prov:activity"]) for r in document["wasGeneratedBy"].values()}
    assert (f"array:{mix}/embedding", f"stage:{mix}") in generated
    makers = Counter(entity for entity, _ in generated)
    assert set(makers.values()) == {1}, "everything was made once"
    used = {(r["prov:activity"], r["prov:entity"], r.get("prov:role")) for r in document["used"].values()}
    assert (f"stage:{mix}", f"array:{factors}/region", "one") in used
    scores = run.stage("manipulated.scores").key
    assert (f"stage:{scores}", f"model:{toy.bundle.digests('tagger')}", "tagger") in used
    image = run.stage("original.image").key
    assert (f"stage:{image}", f"file:{run.files['original'].digest}", "file") in used
    started = {r["prov:activity"] for r in document["wasStartedBy"].values()}
    assert started == {f"stage:{mix}", f"stage:{scores}"}, "the rest was cached"
    assert (f"run:{run.id}", f"array:{image}/pixels", None) in used
    activity = document["activity"][f"stage:{image}"]
    assert json.loads(activity["term:parameters"]) == {}
    begun, ended = (datetime.fromisoformat(activity[f"prov:{end}Time"]) for end in ("start", "end"))
    assert begun <= ended
    assert begun.tzinfo is not None


def test_removed_artifacts_are_still_named(toy, runs):
    _, run = runs
    key = run.stage("mix").key
    toy.store.quarantine(key, "on purpose")
    document = prov_document(run, toy.store, workflow(toy))
    assert "prov:startTime" not in document["activity"][f"stage:{key}"]
    assert document["entity"][f"array:{key}/embedding"]["term:sha256"] == run.stage("mix").outputs["embedding"]
