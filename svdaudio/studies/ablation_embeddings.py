"""The embeddings of one edit in an ablation: how far each setting moves them, without making sounds.

Factors, background and embeddings come from the store. All mixes are computed from them at once (`svdaudio.svd.many`);
each goes through SSV2A in memory, with the same objects, for its CLAP embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.config import EditConfig
from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.body import ModelSource
from svdaudio.engine.in_memory import compute
from svdaudio.errors import EmptyRegionError
from svdaudio.methods.manipulate import REGIONS, SCALING, ManipulateConfig
from svdaudio.methods.mixes import columns, edit_parts
from svdaudio.studies.ablation import ALPHAS, BETAS, FOUR_WAY, KS, ORIGINAL, PLAIN, Setting
from svdaudio.svd.centred import aggregate_centred, factorize_centred
from svdaudio.svd.factors import Factors, reach_many
from svdaudio.svd.many import EditParts, degrees_between, mix_many, unscaled
from svdaudio.svd.mix import MixWeights, combine

SUPPRESS, BOOST, FROM_EDITED, FROM_FOUR_WAY, SIMILARITY = (
    "suppress_degree",
    "boost_degree",
    "edited_degree",
    "four_way_degree",
    "clap",
)
COLUMNS: Mapping[str, str] = {
    SUPPRESS: "E_suppress, °",
    BOOST: "E_boost, °",
    FROM_EDITED: "mix from the picture, °",
    FROM_FOUR_WAY: "mix from four-way, °",
    SIMILARITY: "CLAP cosine",
}
"""Column of the table of all cases → its heading."""
COLUMNS_NOTE = (
    "Degrees by which α turns E_suppress and β turns E_boost, between the global embedding and the edited picture's, "
    "and between it and the four-way mix; cosine of the CLAP embedding with that of plain SSV2A of the edited picture."
)
MIX_TARGETS = ("mix", "original.tokens")
"""Nodes that are computed for the embeddings of an edit, in addition to `edited.locals`."""
CONDITIONS = {"fade": "manipulated.fade", "clap": "manipulated.blend"}
"""Form → the node that makes its CLAP embedding without a mix."""


@dataclass(frozen=True, kw_only=True)
class EditEmbeddings:
    """Measurements of the embeddings of one edit."""

    columns: Mapping[str, Mapping[str, float]]
    """Setting → column → number; values that do not exist are omitted."""
    claps: Mapping[str, NDArray[np.float32]]
    """Setting → CLAP embedding [512]."""
    suppress: Float[NDArray[np.float64], "k alpha"]
    """Degrees by which each α turns E_suppress at each K."""
    boost: Float[NDArray[np.float64], "k beta"]
    """Degrees by which each β turns E_boost at each K."""
    shares: Mapping[str, float]
    """Region → share of its mean that lies in the first K components at the default K, 0 to 1."""


def edit_embeddings(arrays: RunArrays, settings: Sequence[Setting], models: ModelSource) -> EditEmbeddings:
    """Measure the embeddings of one edit.

    Args:
        arrays: of a run of the edit with the default setting, up to the mix and the edited picture's objects.
        settings: only those of form `svd` are measured; one that leaves nothing of a region is omitted.
        models: of the run.
    """
    config, parts = arrays.config, edit_parts(arrays)
    assert parts.removed is not None  # both regions of an edit are given
    assert parts.added is not None
    found: dict[str, dict[str, float]] = {ORIGINAL: {}, PLAIN: {}}
    mixes: dict[str, NDArray[np.float32]] = {ORIGINAL: arrays["original.tokens"]["embedding"], PLAIN: parts.direct}
    published = [one for one in settings if one.form == "svd" and one.centre is None]
    for setting, mix in zip(published, _mixes(parts, published, config), strict=True):
        if mix is not None:
            mixes[setting.name] = mix
            found[setting.name] = _reaches(parts, setting, config)
    for setting in settings:
        if setting.centre is not None:
            mixes[setting.name], found[setting.name] = _centred(arrays, parts, setting)
    dropping = {setting.name for setting in settings if setting.drops}
    claps = {name: _clap(mix, arrays, models, drops=name in dropping) for name, mix in mixes.items()}
    for name, mix in mixes.items():
        found[name][FROM_EDITED] = float(degrees_between(mix[None], parts.direct)[0])
        found[name][FROM_FOUR_WAY] = float(degrees_between(mix[None], mixes[FOUR_WAY])[0])
        found[name][SIMILARITY] = float(claps[name] @ claps[PLAIN])
    return EditEmbeddings(
        columns=found,
        claps=claps,
        suppress=_grid(parts.removed, ALPHAS),
        boost=_grid(parts.added, BETAS),
        shares={
            region: float(reach_many(factors, ks=np.array([config.svd.k]), gains=np.ones(1))[0][0])
            for region, factors in (("removed", parts.removed), ("added", parts.added))
        },
    )


def condition(arrays: RunArrays) -> NDArray[np.float32]:
    """The CLAP embedding [512] of an edit in a form without a mix."""
    return arrays[CONDITIONS[arrays.config.edit.form]]["clap"]


def with_conditions(measured: EditEmbeddings, claps: Mapping[str, NDArray[np.float32]]) -> EditEmbeddings:
    """Add the CLAP embeddings of further settings to the measurements of an edit."""
    plain = measured.claps[PLAIN]
    more = {name: {SIMILARITY: float(clap @ plain)} for name, clap in claps.items()}
    return replace(measured, columns={**measured.columns, **more}, claps={**measured.claps, **claps})


def _mixes(
    parts: EditParts, settings: Sequence[Setting], config: ManipulateConfig
) -> Sequence[NDArray[np.float32] | None]:
    """The mix of each setting; None if it leaves nothing of a region."""
    try:
        return list(mix_many(parts, columns([one.mixing for one in settings], config)))
    except EmptyRegionError:
        if len(settings) == 1:
            return [None]
        return [_mixes(parts, [one], config)[0] for one in settings]


def _reaches(parts: EditParts, setting: Setting, config: ManipulateConfig) -> dict[str, float]:
    row = columns([setting.mixing], config)
    sides = ((SUPPRESS, parts.removed, row.alpha), (BOOST, parts.added, row.beta))
    return {
        name: float(reach_many(factors, ks=row.k, gains=gains)[1][0])
        for name, factors, gains in sides
        if factors is not None
    }


def _centred(arrays: RunArrays, parts: EditParts, setting: Setting) -> tuple[NDArray[np.float32], dict[str, float]]:
    """The mix of centred regions, and how far the factors turn each."""
    assert setting.centre is not None
    config = arrays.config
    values = {name: setting.mixing.get(name, config.value(name)) for name in ("svd.k", "svd.alpha", "svd.beta")}
    turned: dict[str, NDArray[np.float32]] = {}
    reaches: dict[str, float] = {}
    plain = {"removed": parts.removed, "added": parts.added}
    for (region, picture), name in zip(REGIONS.items(), (SUPPRESS, BOOST), strict=True):
        factors = plain[region]
        assert factors is not None
        tokens, grid = arrays[f"{picture}.tokens"]["tokens"], arrays[f"{region}.align"]["grid"]
        centred = factorize_centred(tokens, grid, centre=setting.centre)
        factor = values[f"svd.{SCALING[region]}"]
        turned[region] = aggregate_centred(centred, k=values["svd.k"], factor=factor)
        reaches[name] = float(degrees_between(turned[region][None], unscaled(factors))[0])
    weights = MixWeights(
        suppress=config.mix.alpha, boost=config.mix.beta, background=config.mix.gamma, direct=config.mix.direct
    )
    rest = parts.background[0] if len(parts.background) else None
    mix = combine(weights, suppress=turned["removed"], boost=turned["added"], background=rest, direct=parts.direct)
    return mix, reaches


def _clap(mix: NDArray[np.float32], arrays: RunArrays, models: ModelSource, *, drops: bool) -> NDArray[np.float32]:
    """The CLAP embedding [512] of a global embedding with the edited picture's objects, or without them."""
    config: ManipulateConfig = arrays.config.model_copy(
        update={"edit": EditConfig(locals="dropped" if drops else "kept")}
    )
    given: dict[str, dict[str, NDArray[Any]]] = {
        "mix": {"embedding": mix}, "edited.locals": {"embeddings": arrays["edited.locals"]["embeddings"]}
    }  # fmt: skip
    target = "manipulated.remix"
    return compute([target], arrays.method.nodes(config), config, models, given=given)[target]["clap"]


def _grid(factors: Factors, gains: Sequence[float]) -> NDArray[np.float64]:
    """Degrees for each K of `KS` and each factor."""
    ks, each = np.repeat(KS, len(gains)), np.tile(gains, len(KS))
    return reach_many(factors, ks=ks, gains=each)[1].reshape(len(KS), len(gains))
