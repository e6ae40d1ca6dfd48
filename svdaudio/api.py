"""The method under the names of its published description; all of it is importable from `svdaudio`.

Arrays may be numpy's or torch's: a torch tensor among the arguments makes the result one, on its device. Where
weights are needed, `bundle` is the name of a checkpoint bundle, or `Models` that are already open (so that
repeated calls load nothing twice).
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from svdaudio.config import mask_text
from svdaudio.errors import ConfigError, InputError
from svdaudio.svd.align import check_mask, check_threshold, patch_coverage
from svdaudio.svd.factors import svd_manipulate
from svdaudio.svd.geometry import INPUT_SIZE_PX, PATCH_GRID_SIZE, Geometry
from svdaudio.svd.images import Pixels, as_pixels, png_bytes
from svdaudio.svd.masks import as_mask, check_mask_size
from svdaudio.svd.mix import MixWeights, combine

if TYPE_CHECKING:
    from torch import Tensor

    from svdaudio.checkpoints.bundle import Models
    from svdaudio.engine.method import Method

N_CLIP_DIMS = 768
N_CLICK_COLUMNS = 3
log = logging.getLogger(__name__)
Array: TypeAlias = "NDArray[Any] | Tensor"
OVERLAY_COLOUR = (255, 64, 32)


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A sound and its class scores."""

    waveform: NDArray[np.float32]
    """[1, n_samples] at 22 050 Hz."""
    scores: Mapping[str, float]
    """Class → score, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class EditResult:
    """Everything that the method makes of an edit."""

    masks: Mapping[str, NDArray[np.bool_]]
    """[height, width] of each region that was given: "removed", in the original picture, "added", in the edited one."""
    embedding: NDArray[np.float32]
    """E_final, [768]."""
    sounds: Mapping[str, Sound]
    """"original" and "edited" by plain SSV2A, and "manipulated"."""
    remarks: tuple[str, ...] = ()
    """What was unusual."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a sound is, in CLIP's space."""

    embedding: NDArray[np.float32]
    """[n_dims], of unit length."""
    probabilities: Mapping[str, float]
    """Label → softmax of the scaled cosines."""
    cosines: Mapping[str, float]
    """Label → cosine of its text with the sound."""
    remarks: tuple[str, ...] = ()
    """What was unusual."""


def get_mask(
    image_path: Any,
    point_x: float | Sequence[float],
    point_y: float | Sequence[float],
    point_labels: int | Sequence[int] = 1,
    *,
    bundle: str | Models = "mini",
    device: str = "auto",
) -> NDArray[np.bool_]:
    """Step 1: the mask of the object that was clicked on.

    What is wrong with the mask, such as a click that it does not cover, is logged as a warning.

    Args:
        image_path: an image file, a Pillow image, or a uint8 array [height, width, 3].
        point_x: column of the click in the upright picture, or several.
        point_y: row of the click, or several.
        point_labels: 1 on the object, 0 beside it; one for all clicks, or one each.
        bundle: where the segmenter comes from.
        device: "auto", "cpu" or "cuda".

    Returns:
        [height, width], True on the object.

    Raises:
        InputError: the image cannot be used, or a point is outside of it.
    """
    x, y = np.atleast_1d(np.asarray(point_x, float)), np.atleast_1d(np.asarray(point_y, float))
    if x.shape != y.shape or x.ndim != 1:
        raise InputError("the points do not fit", expected="as many x as y", got=f"{x.shape} and {y.shape}")
    labels = (
        np.broadcast_to(np.atleast_1d(np.asarray(point_labels)), x.shape)
        if np.size(point_labels) == 1
        else np.asarray(point_labels)
    )
    pixels = as_pixels(image_path, "the picture to segment")
    found = open_models(bundle, device)["segmenter"].segment(pixels, np.stack([x, y], axis=1), labels)
    for remark in found.remarks:
        log.warning("%s", remark)
    return found.mask


def extract_full_clip_tokens(
    images: Any,
    batch_size: int = 8,
    device: str = "auto",
    *,
    bundle: str | Models = "mini",
    geometry: str = "squash",
) -> Array:
    """Step 2: all 257 CLIP tokens of each picture, projected and L2-normalised.

    Args:
        images: one or several pictures: paths, Pillow images, or uint8 arrays [H, W, 3]; or float tensors
            [B, 3, 224, 224] that have been through CLIP's normalisation already.
        batch_size: pictures at a time.
        device: "auto", "cpu" or "cuda".
        bundle: where the image encoder comes from.
        geometry: how a picture becomes a square, "squash" or "crop".

    Returns:
        [B, 257, 768]: CLS, then the 16 x 16 patches row by row.

    Raises:
        InputError: something that is no picture.
    """
    encoder = open_models(bundle, device)["image_encoder"]
    if _is_prepared(images):
        return _like(encoder.encode(images, batch_size), images)
    pictures = _pictures(images)
    return _like(encoder.token_batch(pictures, Geometry.of(geometry), batch_size), images)


def downsample_mask_to_patch_weights(
    mask: Array, patch_grid_size: int = PATCH_GRID_SIZE, threshold: float = 0.5, *, geometry: str = "squash"
) -> Array:
    """Step 3: which patches a mask covers.

    Args:
        mask: [H, W] or [B, H, W] or [B, 1, H, W], truth values or shares from 0 to 1.
        patch_grid_size: patches along a side; divides 224.
        threshold: share of a patch that has to be covered.
        geometry: the one that the tokens were made with.

    Returns:
        [B, patch_grid_size²], 1 where the coverage reaches the threshold, else 0. An empty region is refused by
        what would use it, `svd_manipulate_embeddings`.

    Raises:
        InputError: a mask of another shape, or one that holds NaN, infinity or numbers outside 0 to 1.
        ConfigError: a threshold or grid without a meaning.
    """
    check_threshold(threshold)
    masks = _array(mask)
    if masks.ndim == 4 and masks.shape[1] == 1:
        masks = masks[:, 0]
    if masks.ndim == 2:
        masks = masks[None]
    if masks.ndim != 3 or not len(masks):
        raise InputError("the mask has another shape", expected="[H, W] or [B, H, W]", got=list(masks.shape))
    coverage = np.stack([patch_coverage(each, Geometry.of(geometry), patch_grid_size) for each in masks])
    return _like((coverage >= np.float32(threshold)).astype(np.float32), mask)


def svd_manipulate_embeddings(
    cls_token: Array,
    patch_tokens: Array,
    mask_weights: Array,
    k: int = 5,
    mode: str = "suppress",
    alpha: float = 0.3,
    beta: float = 1.5,
) -> Array:
    """Steps 5 and 6: scale the first `k` singular values of [CLS; the region's patches], and sum the region up.

    Args:
        cls_token: [768].
        patch_tokens: [256, 768], all of them.
        mask_weights: [256], what each patch counts; 0 is outside of the region.
        k: singular values to scale, 1 to 15 recommended; more than there are means all.
        mode: "suppress" multiplies them by `alpha`, "boost" by `beta`.
        alpha: 0.1 to 0.5 recommended.
        beta: 1.1 to 3 recommended.

    Returns:
        [768], L2-normalised.

    Raises:
        EmptyRegionError: the mask covers no patch, or nothing is left.
        ConfigError: an unknown mode, or a `k`, α or β without a meaning.
        InputError: shapes that do not fit.
    """
    result = svd_manipulate(
        _squeezed(cls_token, 1),
        _squeezed(patch_tokens, 2),
        _squeezed(mask_weights, 1),
        k=k,
        mode=mode,
        alpha=alpha,
        beta=beta,
    )
    return _like(result, cls_token, patch_tokens, mask_weights)


def combine_manipulated_embeddings(
    emb_suppress: Array | None,
    emb_boost: Array | None,
    emb_bg: Array | None,
    alpha: float,
    beta: float,
    gamma: float,
    emb_direct: Array | None = None,
    direct: float = 0.0,
) -> Array:
    """Step 7: α E_suppress + β E_boost + γ E_bg + direct E_direct, L2-normalised. The term of None drops out.

    Args:
        emb_suppress: [768], or None where nothing is removed.
        emb_boost: [768], or None where nothing is added.
        emb_bg: [768], or None where there is no background.
        alpha: weight of `emb_suppress`.
        beta: weight of `emb_boost`.
        gamma: weight of `emb_bg`.
        emb_direct: [768], the edited picture's own embedding.
        direct: weight of `emb_direct`.

    Raises:
        ConfigError: a weight that is negative or no number, or all of them 0.
        EmptyRegionError: nothing is left.
        InputError: shapes that do not fit, or `direct` without `emb_direct`.
    """
    result = combine(
        MixWeights(suppress=alpha, boost=beta, background=gamma, direct=direct),
        suppress=None if emb_suppress is None else _squeezed(emb_suppress, 1),
        boost=None if emb_boost is None else _squeezed(emb_boost, 1),
        background=None if emb_bg is None else _squeezed(emb_bg, 1),
        direct=None if emb_direct is None else _squeezed(emb_direct, 1),
    )
    return _like(result, emb_suppress, emb_boost, emb_bg, emb_direct)


def visualize_mask(image_path: Any, mask: Array, output_path: str | Path | None = None) -> NDArray[np.uint8]:
    """The picture with the mask tinted.

    Args:
        image_path: an image file, a Pillow image, or a uint8 array [height, width, 3].
        mask: [height, width] of that picture, truth values or shares from 0 to 1; any share above 0 is tinted.
        output_path: where to write it as PNG, if anywhere.

    Returns:
        [height, width, 3], uint8.

    Raises:
        InputError: the image cannot be used; the mask has another size, or holds other numbers.
        StoreError: the file cannot be written.
    """
    pixels, given = as_pixels(image_path, "the picture under the mask"), _array(mask)
    if given.shape != pixels.shape[:2]:
        raise InputError(
            "the mask has another size than the image", expected=list(pixels.shape[:2]), got=list(given.shape)
        )
    check_mask(given)
    inside = given.astype(bool)
    tinted = (pixels.astype(np.uint16) + np.array(OVERLAY_COLOUR, np.uint16)) // 2
    overlay = np.where(inside[..., None], tinted, pixels).astype(np.uint8)
    if output_path is not None:
        from svdaudio.files import write_bytes

        write_bytes(Path(output_path), png_bytes(overlay))
    return overlay


def generate_baseline_audio(
    image_path: Any,
    output_path: str | Path | None = None,
    *,
    bundle: str | Models = "mini",
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
) -> NDArray[np.float32]:
    """The sound of a picture by plain SSV2A, without any manipulation.

    Args:
        image_path: an image file, a Pillow image, or a uint8 array [height, width, 3].
        output_path: where to write it, if anywhere: .wav (16-bit PCM), .flac, .ogg or .mp3.
        bundle: where the models come from.
        settings: parameters by their dotted names ({"seed": 7, "generate.steps": 50}); the rest are the bundle's
            and the method's own.
        device: "auto", "cpu" or "cuda".

    Returns:
        [1, n_samples] at 22 050 Hz: 220 500 samples for ten seconds.

    Raises:
        InputError: the image cannot be used.
        ConfigError: a parameter that does not exist, or a value without a meaning.
        CheckpointError: weights that are missing or damaged.
    """
    from svdaudio.methods.baseline import METHOD, SOUND

    _check_output(output_path)
    pixels, models = as_pixels(image_path), open_models(bundle, device)
    given = {f"{SOUND}.image": {"pixels": pixels}}
    return _written(_sound(METHOD, models, settings, given), output_path)


def manipulated_image_to_audio(
    image_path: Any,
    embedding: Array,
    output_path: str | Path | None = None,
    *,
    bundle: str | Models = "mini",
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
) -> NDArray[np.float32]:
    """Step 8: the sound of an edited picture, with a manipulated embedding as its global context.

    Args:
        image_path: the edited picture, of any of these kinds; its objects fill the other slots of SSV2A.
        embedding: E_final, [768], as `combine_manipulated_embeddings` gives it.
        output_path: where to write it, if anywhere: .wav (16-bit PCM), .flac, .ogg or .mp3.
        bundle: where the models come from.
        settings: parameters by their dotted names.
        device: "auto", "cpu" or "cuda".

    Returns:
        [1, n_samples] at 22 050 Hz.

    Raises:
        InputError: the image or the embedding cannot be used.
        ConfigError: a parameter that does not exist, or a value without a meaning.
        CheckpointError: weights that are missing or damaged.
    """
    from svdaudio.methods.baseline import METHOD, SOUND

    _check_output(output_path)
    pixels, models = as_pixels(image_path), open_models(bundle, device)
    own = _squeezed(embedding, 1).astype(np.float32)
    if own.shape != (N_CLIP_DIMS,):
        raise InputError("the embedding has another shape", expected=[N_CLIP_DIMS], got=list(own.shape))
    given = {f"{SOUND}.image": {"pixels": pixels}, f"{SOUND}.tokens": {"embedding": own}}
    return _written(_sound(METHOD, models, settings, given), output_path)


def main_pipeline(
    original_path: Any,
    edited_path: Any,
    remove: Any = (),
    add: Any = (),
    output_dir: str | Path | None = None,
    *,
    bundle: str | Models = "mini",
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
) -> EditResult:
    """Steps 1 to 9: from two pictures and regions to the sounds of the original, the edit, and the manipulation.

    Args:
        original_path: the picture before the edit: an image file, a Pillow image, or a uint8 array.
        edited_path: the picture after it.
        remove: what to remove, in the original: a click (x, y), or several, (x, y, label) with label 1 or 0; a mask
            [height, width] of truth values or shares; texts as the command line takes them ("10,20,300,400" is a box,
            "cat.png" a mask file); or a mapping of names to objects, each any of these but a mask in memory. An edit
            that only adds has none.
        add: the same of what was added, in the edited picture. An edit that only removes has none.
        output_dir: where to write the sounds as WAV and the masks as PNG, if anywhere.
        bundle: where the models come from.
        settings: parameters by their dotted names ({"svd.k": 7}).
        device: "auto", "cpu" or "cuda".

    Returns:
        Masks, the mixed embedding, and sounds with their scores.

    Raises:
        InputError: an image or a region cannot be used, or there is no region.
        EmptyRegionError: a region covers no patch.
        ConfigError: a parameter that does not exist, or a value without a meaning.
        CheckpointError: weights that are missing or damaged.
    """
    from svdaudio.engine.in_memory import compute
    from svdaudio.methods.manipulate import METHOD, PARAMETERS, REGIONS, SOUNDS, no_region_error
    from svdaudio.views.domain import departure_note, departures_of

    paths = {"original": original_path, "edited": edited_path}
    pixels = {name: as_pixels(path, f"the {name} picture") for name, path in paths.items()}
    given: dict[str, Mapping[str, NDArray[Any]]] = {f"{name}.image": {"pixels": each} for name, each in pixels.items()}
    settings = dict(settings or {})
    for region, prompt in (("removed", remove), ("added", add)):
        if (mask := _mask_of(prompt, pixels[REGIONS[region]])) is not None:
            given[f"{region}.mask"] = {"mask": mask}
        plain = _plain(prompt) if mask is None else {"object": {"mask": "an array"}}  # a name that is not opened
        if plain:
            settings[PARAMETERS[region]] = plain
    if not any(name.partition(".")[0] in PARAMETERS.values() for name in settings):
        raise no_region_error("remove=(x, y) or add=(x, y)")
    models = open_models(bundle, device)
    remarks: list[str] = []
    config = _resolved(METHOD, models, settings)
    nodes = METHOD.nodes(config)
    files = {name: file.path for name, file in METHOD.configured_files(config).items()}
    targets = METHOD.default_targets(config)
    arrays = compute(targets, nodes, config, models, files=files, given=given, note=remarks.append)
    if models.bundle.check_domain() is not None:
        departures = departures_of(nodes, config, models.bundle.load_domain(), arrays.get)
        remarks += [departure_note(f"{name} picture", models.bundle.name, found) for name, found in departures.items()]
    sources = METHOD.sounds(config)
    names = models.bundle.classes("tagger")
    edit = EditResult(
        masks={region: arrays[f"{region}.mask"]["mask"] for region in REGIONS if f"{region}.mask" in arrays},
        embedding=arrays["mix"]["embedding"],
        sounds={
            name: Sound(
                waveform=arrays[sources[name].rpartition(".")[0]]["waveform"],
                scores=dict(zip(names, arrays[f"{name}.scores"]["scores"].tolist(), strict=True)),
            )
            for name in SOUNDS
        },
        remarks=tuple(dict.fromkeys(remarks)),
    )
    if output_dir is not None:
        folder = Path(output_dir)
        for name, sound in edit.sounds.items():
            _written(sound.waveform, folder / f"{name}.wav")
        for region, mask in edit.masks.items():
            visualize_mask(pixels[REGIONS[region]], mask, folder / f"{region}.mask.png")
    return edit


def hear(
    sound_path: str | Path,
    labels: Sequence[str] = (),
    *,
    bundle: str | Models = "mini",
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
) -> Heard:
    """Which labels a sound is nearest to in CLIP's space.

    Args:
        sound_path: a sound file.
        labels: what it may be; all texts that the bundle's guide knows, if it knows only some.
        bundle: where the models come from: a bundle with a sound encoder and a guide.
        settings: parameters by their dotted names ({"hear.template": "a photo of a {}"}).
        device: "auto", "cpu" or "cuda".

    Returns:
        The sound's embedding, and probability and cosine of each label, in the order of the labels.

    Raises:
        InputError: the file is not a sound.
        ConfigError: there are no labels, the guide does not know one, or a parameter does not exist or is invalid.
        CheckpointError: weights that are missing or damaged, or the bundle has none.
    """
    from svdaudio.engine.in_memory import compute
    from svdaudio.methods.hear import HEARD, MATCHED, METHOD, check_labels, labels_of
    from svdaudio.sounds.reading import sound_facts

    path = Path(sound_path)
    sound_facts(path)
    models = open_models(bundle, device)
    config = _resolved(METHOD, models, {**(settings or {}), **({"hear.labels": list(labels)} if labels else {})})
    check_labels(config, models.bundle.classes("guide"))
    remarks: list[str] = []
    arrays = compute([MATCHED], METHOD.nodes(config), config, models, files={HEARD: path}, note=remarks.append)
    found, names = arrays[MATCHED], labels_of(config, models.bundle.classes)
    return Heard(
        embedding=arrays[f"{HEARD}.hear"]["embedding"][0],
        probabilities=dict(zip(names, found["scores"].tolist(), strict=True)),
        cosines=dict(zip(names, found["cosines"].tolist(), strict=True)),
        remarks=tuple(dict.fromkeys(remarks)),
    )


def open_models(bundle: str | Models, device: str = "auto") -> Models:
    """The models of a bundle, by its name; models that are open already are given back as they are."""
    if not isinstance(bundle, str):
        return bundle
    from svdaudio.checkpoints.bundle import Bundle, Models

    return Models(Bundle.open(bundle), device=device)


def _sound(
    method: Method,
    models: Models,
    settings: Mapping[str, Any] | None,
    given: Mapping[str, Mapping[str, NDArray[Any]]],
) -> NDArray[np.float32]:
    """The main sound of a method in memory, from the arrays of some nodes. The same bodies run in the command line."""
    from svdaudio.engine.in_memory import compute

    config = _resolved(method, models, settings)
    node, _, output = method.sounds(config)[method.result_of(config)].rpartition(".")
    return compute([node], method.nodes(config), config, models, given=given)[node][output]


def _resolved(method: Method, models: Models, settings: Mapping[str, Any] | None) -> Any:
    """The configuration of a function of this module.

    Raises:
        ConfigError: a parameter that does not exist or has no effect here, or an invalid value.
    """
    from svdaudio.config import EXECUTION_PREFIX, resolve
    from svdaudio.methods import other_parameters

    for name in settings or {}:
        if name.startswith(EXECUTION_PREFIX):
            raise ConfigError(
                f"'{name}' has no effect on a function",
                fix="give device=…, or `svdaudio.checkpoints.bundle.Models`",
            )
    return resolve(
        method.config,
        given={**(settings or {}), "bundle": models.bundle.name},
        given_source="settings",
        bundle_settings=lambda _: models.bundle.settings,
        elsewhere=other_parameters(method),
    ).config


def _mask_of(prompt: Any, pixels: Pixels) -> NDArray[np.bool_] | None:
    """The mask that a prompt is, or None if it is of another kind: a matrix of clicks has two or three columns."""
    if not hasattr(prompt, "shape") or len(prompt.shape) != 2 or prompt.shape[1] <= N_CLICK_COLUMNS:
        return None
    mask = as_mask(_array(prompt), "of the region")
    check_mask_size(mask.shape[::-1], pixels.shape[1::-1], mask="of the region", picture="its picture")
    return mask


def _plain(prompt: Any) -> Any:
    """Clicks as plain numbers, wherever they came from; paths as texts."""
    if hasattr(prompt, "tolist"):
        return prompt.tolist()
    if isinstance(prompt, Mapping):
        return {name: _plain(each) for name, each in cast("Mapping[str, Any]", prompt).items()}
    if isinstance(prompt, os.PathLike):
        return mask_text(os.fspath(cast("os.PathLike[str]", prompt)))
    return [_plain(each) for each in prompt] if isinstance(prompt, list | tuple) else prompt


def _check_output(path: str | Path | None) -> None:
    """Refuse a path at which no sound can be written, before anything is computed."""
    if path is not None:
        from svdaudio.sounds.writing import check_sound_place

        check_sound_place(Path(path))


def _written(waveform: NDArray[np.float32], path: str | Path | None) -> NDArray[np.float32]:
    if path is not None:
        from svdaudio.files import write_bytes
        from svdaudio.sounds.writing import encoded
        from svdaudio.views.report import wav_bytes

        suffix = Path(path).suffix.lower()
        write_bytes(Path(path), wav_bytes(waveform) if suffix == ".wav" else encoded(wav_bytes(waveform), suffix))
    return waveform


def _is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _array(value: Any) -> NDArray[Any]:
    if _is_tensor(value):
        value = value.detach().cpu()
        return (value.float() if value.is_floating_point() else value).numpy()
    return np.asarray(value)


def _squeezed(value: Any, n_dims: int) -> NDArray[Any]:
    """As an array without leading axes of length 1 (a batch of one)."""
    array = _array(value)
    while array.ndim > n_dims and array.shape[0] == 1:
        array = array[0]
    return array


def _like(result: NDArray[Any], *arguments: Any) -> Array:
    """The result as a tensor if any argument is one, or holds one."""
    for argument in arguments:
        first: Any = argument[0] if isinstance(argument, list | tuple) and len(argument) else argument
        if _is_tensor(first):
            import torch

            return torch.from_numpy(np.ascontiguousarray(result)).to(first.device)
    return result


def _is_prepared(images: Any) -> bool:
    if not (_is_tensor(images) and images.is_floating_point()):
        return False
    if images.ndim != 4 or tuple(images.shape[1:]) != (3, INPUT_SIZE_PX, INPUT_SIZE_PX):
        expected = f"[B, 3, {INPUT_SIZE_PX}, {INPUT_SIZE_PX}], normalised as CLIP does"
        raise InputError("the float tensor is no batch for CLIP", expected=expected, got=list(images.shape))
    if not images.isfinite().all():
        raise InputError("the float tensor holds numbers that are not finite", got="NaN or infinity")
    return True


def _pictures(images: Any) -> list[NDArray[np.uint8]]:
    """One or several pictures of any accepted kind, as a list of pixels."""
    array = _array(images) if _is_tensor(images) or isinstance(images, np.ndarray) else None
    if array is not None:
        single = array.ndim == 3
        return [as_pixels(each) for each in (array[None] if single else array)]
    if isinstance(images, Sequence) and not isinstance(images, str | bytes):
        if not images:
            raise InputError("there is no picture", expected="at least one")
        return [as_pixels(each) for each in images]  # pyright: ignore[reportUnknownVariableType]
    return [as_pixels(images)]
