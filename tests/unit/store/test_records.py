from __future__ import annotations

import json

import pytest

from svdaudio.store import Action, ArraySpec, ArtifactRecord
from svdaudio.store.sealed import seal, unseal

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
        ("version", 2, "check sum"),
        ("outputs", {"mask": {"digest": "cd", "shape": [2, 3], "dtype": "|b1"}}, "check sum"),
        ("format", 99, "record format 99"),
        ("format", "2", "record format 2"),
    ],
)
def test_a_changed_record_is_noticed(name, value, message):
    fields = {**json.loads(RECORD.to_json()), name: value}
    with pytest.raises(ValueError, match=message):
        ArtifactRecord.from_json(json.dumps(fields))


def test_every_flipped_bit_that_changes_what_is_said_is_noticed():
    text = RECORD.to_json().encode()
    said = json.loads(text)
    for place in range(len(text)):
        for bit in range(8):
            flipped = bytearray(text)
            flipped[place] ^= 1 << bit
            try:
                record = ArtifactRecord.from_json(bytes(flipped))
            except ValueError:
                continue
            assert record == RECORD
            assert json.loads(bytes(flipped)) == said  # white space, or an upper-case letter of an escape


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("version", 2, "not that of its contents"),
        ("parameters", {}, "not that of its contents"),
        ("outputs", {"mask": {}}, "incomplete"),
        ("outputs", None, "incomplete"),
    ],
)
def test_contents_are_looked_at_even_where_the_check_sum_is_right(name, value, message):
    fields = unseal(RECORD.to_json())
    with pytest.raises(ValueError, match=message):
        ArtifactRecord.from_json(seal({**fields, name: value}))


def test_a_record_without_a_field_is_noticed():
    fields = unseal(RECORD.to_json())
    for name in fields.keys() - {"execution"}:  # which records of earlier versions lack
        with pytest.raises(ValueError, match="incomplete"):
            ArtifactRecord.from_json(seal({n: v for n, v in fields.items() if n != name}))
    for text in ("[]", "3", "{}"):
        with pytest.raises(ValueError, match="incomplete"):
            ArtifactRecord.from_json(text)


def test_records_from_before_there_were_check_sums_are_still_read():
    old = {"format": 1, **unseal(RECORD.to_json())}
    assert ArtifactRecord.from_json(json.dumps(old)) == RECORD
    with pytest.raises(ValueError, match="not that of its contents"):
        ArtifactRecord.from_json(json.dumps({**old, "version": 2}))
