"""The views of every stage, for reports, `inspect --plot` and the pages of flow runs.

matplotlib is imported when a view is drawn, not when views are listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.method import View
from svdaudio.engine.stage import group_of
from svdaudio.sounds.rates import OUTPUT_RATE_HZ, VOCODER_RATE_HZ

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

MEL_HOP_S = 160 / VOCODER_RATE_HZ
SEEN_S = 864 * 512 / 44_100
"""Duration of the sound encoder's spectrogram."""
SHOWN_UP_TO_HZ = 8000.0
MASK_STAGES = ("mask", "box_mask", "mask_file", "unite")
"""Stages that make masks."""


def stage_views(arrays: RunArrays) -> Iterator[View]:
    """Views of every computed node whose stage has views, then those of the whole run: scores and overview."""
    for name, node in arrays.nodes.items():
        if arrays.has(name) and node.stage.name in _VIEWS_OF_STAGE:
            yield from (view for view in _VIEWS_OF_STAGE[node.stage.name](arrays, name) if arrays.has(*view.nodes))
    scored = arrays.scores_done()
    if scored:
        nodes = tuple(scored.values())
        yield View(name="scores", nodes=nodes, draw=partial(_draw_scores, arrays), of_run=True, in_report=True)
    masks = masks_done(arrays)
    sounds = arrays.sounds_done()
    if masks and sounds and scored:
        nodes = (*(n for mask in masks for n in (mask, picture_of(arrays, mask))), *sounds.values(), *scored.values())
        draw = partial(_draw_overview, arrays, masks)
        if not arrays.has(*nodes):
            return
        yield View(name="overview", nodes=nodes, draw=draw, of_run=True, in_report=True)


def nodes_done(arrays: RunArrays, stage: str) -> list[str]:
    """Names of the computed nodes of a stage, in the order of the workflow."""
    return [name for name, node in arrays.nodes.items() if node.stage.name == stage and arrays.has(name)]


def masks_done(arrays: RunArrays) -> list[str]:
    """Names of the computed masks, without those of objects that are parts of a region."""
    found = [name for name, node in arrays.nodes.items() if node.stage.name in MASK_STAGES and name.endswith(".mask")]
    parts = {one for name in found for one in prompted(arrays, name) if one != name}
    return [name for name in found if name not in parts and arrays.has(name)]


def picture_of(arrays: RunArrays, node: str) -> str:
    """The node with the picture that a node depends on, directly or through others."""
    source = arrays.nodes[node]
    while "pixels" not in source.inputs:
        source = arrays.nodes[source.upstream[0]]
    return source.inputs["pixels"].rpartition(".")[0]


def _pixels(arrays: RunArrays, node: str) -> NDArray[Any]:
    return arrays[picture_of(arrays, node)]["pixels"]


def _mask_views(arrays: RunArrays, node: str) -> Iterator[View]:
    if not node.endswith(".mask"):  # a union of objects that is not a region, such as those to erase
        return
    nodes = tuple(dict.fromkeys((node, *prompted(arrays, node), picture_of(arrays, node))))
    draw = partial(_draw_mask, arrays, node)
    yield View(name=node, nodes=nodes, draw=draw, in_report=True, on_page=True, of_artifacts=True)


def _token_views(arrays: RunArrays, node: str) -> Iterator[View]:
    nodes = (node, picture_of(arrays, node))
    yield View(name=f"{node}.likeness", nodes=nodes, draw=partial(_draw_tokens, arrays, node))


def _align_views(arrays: RunArrays, node: str) -> Iterator[View]:
    nodes = (node, picture_of(arrays, node))
    yield View(name=f"{node}.grid", nodes=nodes, draw=partial(_draw_grid, arrays, node))


def _factor_views(arrays: RunArrays, node: str) -> Iterator[View]:
    yield View(name=f"{node}.singular_values", nodes=(node,), draw=partial(_draw_singular_values, arrays, node))


def _mix_views(arrays: RunArrays, node: str) -> Iterator[View]:
    yield View(name=f"{node}.similarities", nodes=(node,), draw=partial(_draw_mix, arrays, node))


def _local_views(arrays: RunArrays, node: str) -> Iterator[View]:
    nodes = (node, picture_of(arrays, node))
    yield View(name=f"{node}.boxes", nodes=nodes, draw=partial(_draw_boxes, arrays, node))


def _remix_views(arrays: RunArrays, node: str) -> Iterator[View]:
    others = tuple(name for name in nodes_done(arrays, "remix") if name != node)
    if others:
        yield View(name=f"{node}.similarities", nodes=(node, *others), draw=partial(_draw_claps, arrays, node, others))


def _decode_views(arrays: RunArrays, node: str) -> Iterator[View]:
    for number in range(1, _n_candidates(arrays, node) + 1):
        yield View(name=f"{node}.{number}", nodes=(node,), draw=partial(_draw_mel, arrays, node, number))


def _vocode_views(arrays: RunArrays, node: str) -> Iterator[View]:
    for number in range(1, _n_candidates(arrays, node) + 1):
        yield View(name=f"{node}.{number}", nodes=(node,), draw=partial(_draw_candidate, arrays, node, number))


def _n_candidates(arrays: RunArrays, node: str) -> int:
    """The number of candidates of a node, from the parameters of the diffusion upstream; no array is read."""
    while node and "n_candidates" not in arrays.nodes[node].stage.parameters:
        node = next(iter(arrays.nodes[node].upstream), "")
    return int(arrays.parameters(node).get("n_candidates", 0)) if node else 0


def _sound_views(arrays: RunArrays, node: str) -> Iterator[View]:
    """The spectrogram of a sound; that of the waveform in the sound's file is named after the sound."""
    is_result = node in arrays.sounds_done().values()
    name = f"{group_of(node) if is_result else node}.spectrogram"
    draw = partial(_draw_sound, arrays, node)
    yield View(name=name, nodes=(node,), draw=draw, in_report=is_result, on_page=is_result, of_artifacts=True)


def _mel_image_views(arrays: RunArrays, node: str) -> Iterator[View]:
    yield View(name=node, nodes=(node,), draw=partial(_draw_mel_image, arrays, node), in_report=True, on_page=True)


def _score_views(arrays: RunArrays, node: str) -> Iterator[View]:
    yield View(name=f"{node}.bars", nodes=(node,), draw=partial(_draw_scores, arrays, only=node))


_VIEWS_OF_STAGE: Mapping[str, Callable[[RunArrays, str], Iterator[View]]] = {
    **dict.fromkeys(MASK_STAGES, _mask_views),
    "tokens": _token_views,
    "align": _align_views,
    "factors": _factor_views,
    "mix": _mix_views,
    "mix_one": _mix_views,
    "locals": _local_views,
    "remix": _remix_views,
    "decode": _decode_views,
    "vocode": _vocode_views,
    "choose": _sound_views,
    "pick": _sound_views,
    "finish": _sound_views,
    "gain": _sound_views,
    "level": _sound_views,
    "mixdown": _sound_views,
    "scores": _score_views,
    "spectrogram": _mel_image_views,
    "match": _score_views,
}


def _region(arrays: RunArrays, node: str) -> Any:
    from svdaudio.views import plots

    found = arrays[node]
    prompts = [arrays.parameters(one) for one in prompted(arrays, node)]
    title = f"{group_of(node)}: {float(found['mask'].mean()):.1%} of the picture"
    if "score" in found:
        title += f", score {float(found['score']):.2f}"
    return plots.Region(
        mask=found["mask"],
        points=[(x, y, label) for prompt in prompts for x, y, label in prompt.get("points", ())],
        boxes=[prompt["box"] for prompt in prompts if "box" in prompt],
        colour=_colour(node),
        title=title,
    )


def prompted(arrays: RunArrays, node: str) -> tuple[str, ...]:
    """The nodes of the objects that a mask unites, or else the node itself."""
    source = arrays.nodes[node]
    return source.upstream if source.stage.name == "unite" else (node,)


def _colour(node: str) -> str:
    from svdaudio.views import plots

    return plots.ADDED_COLOUR if node.startswith("added.") else plots.REMOVED_COLOUR


def _draw_mask(arrays: RunArrays, node: str) -> Figure:
    from svdaudio.views import plots

    return plots.mask_overlay(_pixels(arrays, node), _region(arrays, node))


def _draw_tokens(arrays: RunArrays, node: str) -> Figure:
    from svdaudio.views import plots

    found = arrays[node]
    return plots.patch_map(
        _pixels(arrays, node),
        found["tokens"][1:] @ found["embedding"],
        geometry=arrays.parameters(node)["geometry"],
        title=f"{group_of(node)}: similarity of each patch to the whole picture",
        label="cosine with the image embedding",
    )


def _draw_grid(arrays: RunArrays, node: str) -> Figure:
    from svdaudio.views import plots

    found, parameters = arrays[node], arrays.parameters(node)
    return plots.patch_grid(
        _pixels(arrays, node),
        found["coverage"],
        found["grid"],
        geometry=parameters["geometry"],
        threshold=parameters["threshold"],
        title=group_of(node),
        colour=_colour(node),
    )


def _draw_singular_values(arrays: RunArrays, node: str) -> Figure:
    from svdaudio.views import plots

    svd = arrays.config.svd
    factor = svd.beta if group_of(node) == "added" else svd.alpha
    before = arrays[node]["s"]
    after = before.copy()
    after[: svd.k] *= factor
    return plots.singular_values(before, after, k=svd.k, factor=factor, title=group_of(node))


def _draw_mix(arrays: RunArrays, node: str) -> Figure:
    from svdaudio.views import plots

    found = arrays[node]
    parts = {name: found[name] for name in arrays.nodes[node].stage.outputs if name != "embedding"}
    embeddings = {"mix": found["embedding"], **parts}
    for name in nodes_done(arrays, "background"):
        if arrays[name]["embedding"].size:
            embeddings["background"] = arrays[name]["embedding"]
    embeddings.update({group_of(name): arrays[name]["embedding"] for name in nodes_done(arrays, "tokens")})
    return plots.similarities(embeddings, title="the mix and its parts")


def _draw_claps(arrays: RunArrays, node: str, others: Sequence[str]) -> Figure:
    from svdaudio.views import plots

    named = [name for name in arrays.nodes if name == node or name in others]
    claps = {group_of(name): arrays[name]["clap"] for name in named}
    return plots.similarities(claps, title="CLAP embeddings that condition the sounds")


def _draw_boxes(arrays: RunArrays, node: str) -> Figure:
    from svdaudio.views import plots

    found, classes = arrays[node], arrays.classes("detector")
    numbers = [int(number) for number in found["classes"].ravel()]
    names = [classes[n] if n < len(classes) else f"class {n}" for n in numbers]
    title = f"{group_of(node)}: {len(names)} objects"
    return plots.boxes(_pixels(arrays, node), found["boxes"], found["scores"], names, title=title)


def _draw_mel(arrays: RunArrays, node: str, number: int) -> Figure:
    from svdaudio.views import plots

    mel = arrays[node]["mel"][number - 1]
    title = f"{group_of(node)}, candidate {number}: log-mel spectrogram"
    return plots.spectrogram(mel, duration_s=len(mel) * MEL_HOP_S, title=title, unit="log magnitude")


def _draw_candidate(arrays: RunArrays, node: str, number: int) -> Figure:
    waveform = arrays[node]["waveforms"][number - 1]
    return draw_waveform(waveform, VOCODER_RATE_HZ, f"{group_of(node)}, candidate {number}")


def draw_waveform(waveform: NDArray[Any], sample_rate_hz: int, title: str) -> Figure:
    """Log-mel spectrogram of a waveform [n_samples] up to 8 kHz."""
    from svdaudio.views import plots

    levels = plots.log_mel(waveform, sample_rate_hz=sample_rate_hz, highest_hz=SHOWN_UP_TO_HZ)
    duration_s = waveform.size / sample_rate_hz
    return plots.spectrogram(levels, duration_s=duration_s, title=title, highest_hz=SHOWN_UP_TO_HZ)


def _draw_sound(arrays: RunArrays, node: str) -> Figure:
    return draw_waveform(arrays[node]["waveform"].ravel(), OUTPUT_RATE_HZ, group_of(node))


def _draw_mel_image(arrays: RunArrays, node: str) -> Figure:
    """The spectrogram that the sound encoder sees."""
    from svdaudio.views import plots

    preset, place = (arrays.parameters(node)[name] for name in ("preset", "place"))
    title = f"{group_of(node)} as the sound encoder sees it: preset {preset}, place {place}"
    return plots.spectrogram(heard_bands(arrays, node), duration_s=SEEN_S, title=title, unit="level: 0 to 1 is 80 dB")


def heard_bands(arrays: RunArrays, node: str) -> NDArray[Any]:
    """The spectrogram that the sound encoder sees, [column, band], 0 to 1.

    Each row of its picture repeats the time axis four times, at slightly rising frequencies; this is their mean.
    """
    return arrays[node]["mel_image"].reshape(128, 4, 128).mean(axis=1).T


def _draw_scores(arrays: RunArrays, *, only: str | None = None) -> Figure:
    from svdaudio.views import plots

    done = arrays.scores_done()
    scores = {name: row for name, row in arrays.scores().items() if only is None or done[name] == only}
    of_labels = all(arrays.nodes[node].stage.name == "match" for node in done.values())
    return plots.score_bars(scores, title="probabilities of the labels" if of_labels else "scores of the tagger")


def _draw_overview(arrays: RunArrays, masks: Sequence[str]) -> Figure:
    from svdaudio.views import plots

    sounds = arrays.sounds()
    levels = plots.band_levels(sounds, sample_rate_hz=OUTPUT_RATE_HZ, highest_hz=SHOWN_UP_TO_HZ)
    return plots.overview(
        [(_pixels(arrays, mask), _region(arrays, mask)) for mask in masks],
        {name: (levels[name], waveform.size / OUTPUT_RATE_HZ) for name, waveform in sounds.items()},
        arrays.scores(),
        highest_hz=SHOWN_UP_TO_HZ,
        title=f"bundle {arrays.run.bundle}, seed {arrays.run.config.get('seed')}",
    )
