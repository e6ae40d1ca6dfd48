from __future__ import annotations

import json

import pytest

from svdaudio.store import Action, ArraySpec, ArtifactRecord
from svdaudio.store.sealed import NewerFormatError, seal, unseal

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


def test_every_truncation_is_detected():
    text = RECORD.to_json()
    for length in range(len(text) - 1):
        with pytest.raises(ValueError):  # noqa: PT011 - of JSON, or ours
            ArtifactRecord.from_json(text[:length])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("version", 2, "checksum"),
        ("outputs", {"mask": {"digest": "cd", "shape": [2, 3], "dtype": "|b1"}}, "checksum"),
        ("format", 99, "record format 99"),
        ("format", "2", "record format 2"),
    ],
)
def test_a_changed_record_is_detected(name, value, message):
    fields = {**json.loads(RECORD.to_json()), name: value}
    with pytest.raises(ValueError, match=message):
        ArtifactRecord.from_json(json.dumps(fields))


def test_every_flipped_bit_that_changes_the_content_is_detected():
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
            assert json.loads(bytes(flipped)) == said  # white space, or an upper-case letter of an escape sequence


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("version", 2, "does not match its content"),
        ("parameters", {}, "does not match its content"),
        ("outputs", {"mask": {}}, "incomplete"),
        ("outputs", None, "incomplete"),
    ],
)
def test_contents_are_validated_even_if_the_checksum_is_right(name, value, message):
    fields = unseal(RECORD.to_json())
    with pytest.raises(ValueError, match=message):
        ArtifactRecord.from_json(seal({**fields, name: value}))


ODD = ["/etc", "../up", "..", "", "a/b", "a\\b", "\x1b[2J", "a\nb", 5, None, True, [], {}, "a" * 300, "\0"]


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_invalid_keys_names_and_digests_are_refused(odd):
    """Anyone with write access to a store can seal any content."""
    for change in (
        lambda fields: fields.update(key=odd),
        lambda fields: fields.update(stage=odd),
        lambda fields: fields["inputs"].update(pixels=odd),
        lambda fields: fields["models"].update(segmenter=odd),
        lambda fields: fields["outputs"]["mask"].update(digest=odd),
        lambda fields: fields["outputs"]["mask"].update(shape=odd if odd != [] else "x"),
        lambda fields: fields["outputs"]["mask"].update(dtype=odd),
        lambda fields: fields.update(outputs={odd if isinstance(odd, str) else "a/b": fields["outputs"]["mask"]}),
        lambda fields: fields.update(sources={odd if isinstance(odd, str) else "a/b": "x"}),
        lambda fields: fields.update(notes=odd if odd != [] else "x"),
        lambda fields: fields.update(seconds=odd if odd != 5 else "5"),
        lambda fields: fields.update(created_at=odd if odd != "" else "yesterday"),
        lambda fields: fields.update(host=odd if not isinstance(odd, str) else 5),
        lambda fields: fields.update(execution={"n_threads": odd if odd not in (5, None) else "5"}),
        lambda fields: fields.update(version=odd if odd != 5 else "5"),
    ):
        fields = unseal(RECORD.to_json())
        change(fields)
        with pytest.raises(ValueError, match=r"incomplete or malformed|does not match its content"):
            ArtifactRecord.from_json(seal(fields))


@pytest.mark.parametrize(("name", "value"), [("shape", [-1]), ("shape", [1.5]), ("shape", [1] * 65)])
def test_impossible_shapes_are_refused(name, value):
    fields = unseal(RECORD.to_json())
    fields["outputs"]["mask"][name] = value
    with pytest.raises(ValueError, match=r"not the shape of an array|not a whole number"):
        ArtifactRecord.from_json(seal(fields))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_numbers_are_damage_even_in_old_records(value):
    old = {"format": 1, **unseal(RECORD.to_json())}
    for changed in ({**old, "seconds": value}, {**old, "parameters": {"x": value}}):
        with pytest.raises(ValueError, match="malformed"):
            ArtifactRecord.from_json(json.dumps(changed))


@pytest.mark.parametrize("depth", [200, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"x":', "}")])
def test_too_deep_nesting_is_damage(depth, opening, closing):
    deep = opening * depth + "1" + closing * depth
    for text in (deep, f'{{"format": 2, "parameters": {deep}}}'):
        with pytest.raises(ValueError):  # noqa: PT011 - of JSON, or ours
            ArtifactRecord.from_json(text)


@pytest.mark.parametrize("how", ["sealed", "changed"])
def test_a_record_of_a_newer_format_is_not_damaged(how, monkeypatch):
    if how == "sealed":
        monkeypatch.setattr("svdaudio.store.sealed.FORMAT", 3)
    text = RECORD.to_json()
    monkeypatch.undo()
    if how == "changed":
        text = text.replace('"format": 2', '"format": 3')
    with pytest.raises(NewerFormatError, match="record format 3, not 2"):
        ArtifactRecord.from_json(text)


def test_a_missing_field_is_detected():
    fields = unseal(RECORD.to_json())
    for name in fields.keys() - {"execution"}:  # which records of earlier versions lack
        with pytest.raises(ValueError, match="incomplete"):
            ArtifactRecord.from_json(seal({n: v for n, v in fields.items() if n != name}))
    for text in ("[]", "3", "{}"):
        with pytest.raises(ValueError, match="incomplete"):
            ArtifactRecord.from_json(text)


def test_records_without_checksums_are_still_read():
    old = {"format": 1, **unseal(RECORD.to_json())}
    assert ArtifactRecord.from_json(json.dumps(old)) == RECORD
    with pytest.raises(ValueError, match="does not match its content"):
        ArtifactRecord.from_json(json.dumps({**old, "version": 2}))
