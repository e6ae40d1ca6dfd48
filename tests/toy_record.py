"""Records of made-up artifacts."""

from __future__ import annotations

from svdaudio.store import Action, ArraySpec, ArtifactRecord, digest_array


def toy_record(arrays, **parameters):
    """The record of a stage with these outputs and parameters, and without inputs."""
    return ArtifactRecord(
        action=Action(stage="toy", version=1, parameters=parameters, inputs={}, models={}),
        outputs={n: ArraySpec(digest=digest_array(a), shape=a.shape, dtype=a.dtype.str) for n, a in arrays.items()},
        sources={}, notes=(), seconds=0.5, code_version="0", host="here", created_at="",
    )  # fmt: skip
