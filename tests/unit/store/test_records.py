from __future__ import annotations

import json

import pytest

from svdaudio.store import Action, ArraySpec, ArtifactRecord

RECORD = ArtifactRecord(
    action=Action(
        stage="mask",
        version=1,
        parameters={"points": [[1.0, 2.0, 1]]},
        inputs={"pixels": "aa"},
        models={"segmenter": "bb"},
    ),
    outputs={"mask": ArraySpec(digest="cc", shape=(2, 3), dtype="|b1")},
    sources={"pixels": "original.image.pixels"},
    notes=("a remark",),
    seconds=1.25,
    code_version="0.1.0",
    host="here",
    created_at="2025-01-01T00:00:00+00:00",
)


def test_round_trip():
    assert ArtifactRecord.from_json(RECORD.to_json()) == RECORD
    assert json.loads(RECORD.to_json())["key"] == RECORD.key


def test_every_truncation_is_noticed():
    text = RECORD.to_json()
    for length in range(len(text) - 1):
        with pytest.raises(ValueError):  # noqa: PT011 - of JSON, or ours
            ArtifactRecord.from_json(text[:length])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("version", 2, "not that of its contents"),
        ("parameters", {}, "not that of its contents"),
        ("format", 99, "record format 99"),
        ("outputs", {"mask": {}}, "incomplete"),
        ("outputs", None, "incomplete"),
    ],
)
def test_a_changed_record_is_noticed(name, value, message):
    fields = {**json.loads(RECORD.to_json()), name: value}
    with pytest.raises(ValueError, match=message):
        ArtifactRecord.from_json(json.dumps(fields))


def test_a_record_without_a_field_is_noticed():
    fields = json.loads(RECORD.to_json())
    for name in fields:
        with pytest.raises(ValueError, match="incomplete"):
            ArtifactRecord.from_json(json.dumps({n: v for n, v in fields.items() if n != name}))
