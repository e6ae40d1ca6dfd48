"""The steps of the method under their published names; `svdaudio` exports them all.

Arrays may be numpy arrays or torch tensors: if an argument is a tensor, so is the result, on the same device. Where
weights are needed, `bundle` is the name of a checkpoint bundle, or an open `Models`, which repeated calls reuse.
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

    from svdaudio.checkpoints.models import Models
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
    """The results of the method for an edit."""

    masks: Mapping[str, NDArray[np.bool_]]
    """[height, width] of each given region: "removed" in the original picture, "added" in the edited one."""
    embedding: NDArray[np.float32]
    """E_final, [768]."""
    sounds: Mapping[str, Sound]
    """"original" and "edited" by plain SSV2A, and "manipulated"."""
    remarks: tuple[str, ...] = ()
    """Notes on anything unusual."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A sound compared with labels in CLIP's space."""

    embedding: NDArray[np.float32]
    """[n_dims], of unit length."""
    probabilities: Mapping[str, float]
    """Label → softmax of the scaled cosines."""
    cosines: Mapping[str, float]
    """Label → cosine of its text with the sound."""
    remarks: tuple[str, ...] = ()
    """Notes on anything unusual."""


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

    Problems with the mask, such as a click that it does not cover, are logged as warnings.

    Args:
        image_path: an image file, a Pillow image, or a uint8 array [height, width, 3].
        point_x: column of the click in the upright picture, or several.
        point_y: row of the click, or several.
        point_labels: 1 for a click on the object, 0 for one outside it; one for all clicks, or one each.
        bundle: the bundle with the segmenter.
        device: "auto", "cpu" or "cuda".

    Returns:
        [height, width], True on the object.

    Raises:
        InputError: the image cannot be used, or a click is outside of it.
    """
    x, y = np.atleast_1d(np.asarray(point_x, float)), np.atleast_1d(np.asarray(point_y, float))
    if x.shape != y.shape or x.ndim != 1:
        raise InputError("the clicks do not match", expected="as many x as y", got=f"{x.shape} and {y.shape}")
    labels = np.asarray(point_labels)
    labels = np.broadcast_to(labels, x.shape) if labels.size == 1 else labels
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
            [B, 3, 224, 224], already normalised for CLIP.
        batch_size: pictures at a time.
        device: "auto", "cpu" or "cuda".
        bundle: the bundle with the image encoder.
        geometry: how pictures become square, "squash" or "crop".

    Returns:
        [B, 257, 768]: CLS, then the 16 x 16 patches row by row.

    Raises:
        InputError: something is not a picture.
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
        mask: [H, W], [B, H, W] or [B, 1, H, W], booleans or shares from 0 to 1.
        patch_grid_size: patches along a side; must divide 224.
        threshold: share of a patch that must be covered.
        geometry: the geometry of the tokens.

    Returns:
        [B, patch_grid_size²], 1 where the coverage reaches the threshold, else 0. An empty region is not an error
        here, but in `svd_manipulate_embeddings`.

    Raises:
        InputError: the mask has another shape, or holds NaN, infinity or numbers outside 0 to 1.
        ConfigError: the threshold or the grid size is invalid.
    """
    check_threshold(threshold)
    masks = _array(mask)
    if masks.ndim == 4 and masks.shape[1] == 1:
        masks = masks[:, 0]
    if masks.ndim == 2:
        masks = masks[None]
    if masks.ndim != 3 or not len(masks):
        raise InputError("the mask has the wrong shape", expected="[H, W] or [B, H, W]", got=list(masks.shape))
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
    """Steps 5 and 6: scale the first `k` singular values of [CLS; the region's patches], and pool the region.

    Args:
        cls_token: [768].
        patch_tokens: [256, 768], all patches.
        mask_weights: [256], the weight of each patch; 0 is outside the region.
        k: number of singular values to scale, 1 to 15 recommended; a larger number than there are scales all.
        mode: "suppress" multiplies them by `alpha`, "boost" by `beta`.
        alpha: 0.1 to 0.5 recommended.
        beta: 1.1 to 3 recommended.

    Returns:
        [768], L2-normalised.

    Raises:
        EmptyRegionError: the mask covers no patch, or the result is zero.
        ConfigError: the mode is unknown, or `k`, α or β is invalid.
        InputError: the shapes do not match.
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
    """Step 7: α E_suppress + β E_boost + γ E_bg + direct E_direct, L2-normalised. Terms that are None are omitted.

    Args:
        emb_suppress: [768], or None if nothing is removed.
        emb_boost: [768], or None if nothing is added.
        emb_bg: [768], or None if there is no background.
        alpha: weight of `emb_suppress`.
        beta: weight of `emb_boost`.
        gamma: weight of `emb_bg`.
        emb_direct: [768], the edited picture's own embedding.
        direct: weight of `emb_direct`.

    Raises:
        ConfigError: a weight is negative or not a number, or all weights are 0.
        EmptyRegionError: the sum is zero.
        InputError: the shapes do not match, or `direct` is given without `emb_direct`.
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
        mask: [height, width] of that picture, booleans or shares from 0 to 1; any share above 0 is tinted.
        output_path: PNG file to write, if any.

    Returns:
        [height, width, 3], uint8.

    Raises:
        InputError: the image cannot be used, or the mask has a different size or numbers outside 0 to 1.
        StoreError: the file cannot be written.
    """
    pixels, given = as_pixels(image_path, "the picture under the mask"), _array(mask)
    if given.shape != pixels.shape[:2]:
        raise InputError(
            "the mask has a different size than the picture", expected=list(pixels.shape[:2]), got=list(given.shape)
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
        output_path: sound file to write, if any: .wav (16-bit PCM), .flac, .ogg or .mp3.
        bundle: the bundle with the models.
        settings: parameters by dotted name ({"seed": 7, "generate.steps": 50}); others have the defaults of the
            bundle or of the method.
        device: "auto", "cpu" or "cuda".

    Returns:
        [1, n_samples] at 22 050 Hz: 220 500 samples for ten seconds.

    Raises:
        InputError: the image cannot be used.
        ConfigError: a parameter is unknown, or a value is invalid.
        CheckpointError: weights are missing or damaged.
    """
    return _picture_sound(image_path, None, output_path, bundle, settings, device)


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
        image_path: the edited picture, as for `generate_baseline_audio`; its objects fill the other slots of SSV2A.
        embedding: E_final, [768], as returned by `combine_manipulated_embeddings`.
        output_path: sound file to write, if any: .wav (16-bit PCM), .flac, .ogg or .mp3.
        bundle: the bundle with the models.
        settings: parameters by dotted name.
        device: "auto", "cpu" or "cuda".

    Returns:
        [1, n_samples] at 22 050 Hz.

    Raises:
        InputError: the image or the embedding cannot be used.
        ConfigError: a parameter is unknown, or a value is invalid.
        CheckpointError: weights are missing or damaged.
    """
    return _picture_sound(image_path, embedding, output_path, bundle, settings, device)


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
    """Steps 1 to 9: from two pictures and regions to the original, the edited and the manipulated sound.

    Args:
        original_path: the picture before the edit: an image file, a Pillow image, or a uint8 array.
        edited_path: the picture after the edit.
        remove: what to remove, in the original: a click (x, y), or several, (x, y, label) with label 1 or 0; a mask
            [height, width] of booleans or shares; texts as on the command line ("10,20,300,400" is a box, "cat.png" a
            mask file); or a mapping of names to objects, each given in any of these ways except a mask in memory.
            Omit it for an edit that only adds.
        add: what was added, in the edited picture, given likewise. Omit it for an edit that only removes.
        output_dir: folder for the sounds as WAV and the masks as PNG, if any.
        bundle: the bundle with the models.
        settings: parameters by dotted name ({"svd.k": 7}).
        device: "auto", "cpu" or "cuda".

    Returns:
        Masks, the mixed embedding, and sounds with their scores.

    Raises:
        InputError: a picture or a region cannot be used, or no region is given.
        EmptyRegionError: a region covers no patch.
        ConfigError: a parameter is unknown, or a value is invalid.
        CheckpointError: weights are missing or damaged.
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
        plain = _plain(prompt) if mask is None else {"object": {"mask": "an array"}}  # a placeholder, never opened
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
    """The labels that are nearest to a sound in CLIP's space.

    Args:
        sound_path: a sound file.
        labels: labels to compare it with; by default all texts of the bundle's guide, if it has a fixed set.
        bundle: the bundle with the models, a sound encoder and a guide.
        settings: parameters by dotted name ({"hear.template": "a photo of a {}"}).
        device: "auto", "cpu" or "cuda".

    Returns:
        The sound's embedding, and the probability and cosine of each label, in the order of the labels.

    Raises:
        InputError: the file is not a sound file.
        ConfigError: no labels are given, the guide does not know one, or a parameter is unknown or invalid.
        CheckpointError: weights are missing or damaged, or the bundle lacks a model.
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
    """The models of a bundle, given by its name; open models are returned unchanged."""
    if not isinstance(bundle, str):
        return bundle
    from svdaudio.checkpoints.bundle import Bundle
    from svdaudio.checkpoints.models import Models

    return Models(Bundle.open(bundle), device=device)


def _picture_sound(
    image_path: Any,
    embedding: Array | None,
    output_path: str | Path | None,
    bundle: str | Models,
    settings: Mapping[str, Any] | None,
    device: str,
) -> NDArray[np.float32]:
    """The sound of a picture, with its own global embedding or another; it runs the bodies of the command line."""
    from svdaudio.engine.in_memory import compute
    from svdaudio.methods.baseline import METHOD, SOUND

    _check_output(output_path)
    given: dict[str, Mapping[str, NDArray[Any]]] = {f"{SOUND}.image": {"pixels": as_pixels(image_path)}}
    models = open_models(bundle, device)
    if embedding is not None:
        mixed = _squeezed(embedding, 1).astype(np.float32)
        if mixed.shape != (N_CLIP_DIMS,):
            raise InputError("the embedding has the wrong shape", expected=[N_CLIP_DIMS], got=list(mixed.shape))
        given[f"{SOUND}.tokens"] = {"embedding": mixed}
    config = _resolved(METHOD, models, settings)
    node, _, output = METHOD.sounds(config)[SOUND].rpartition(".")
    arrays = compute([node], METHOD.nodes(config), config, models, given=given)
    return _written(arrays[node][output], output_path)


def _resolved(method: Method, models: Models, settings: Mapping[str, Any] | None) -> Any:
    """The configuration of a call.

    Raises:
        ConfigError: a parameter is unknown or has no effect here, or a value is invalid.
    """
    from svdaudio.config import EXECUTION_PREFIX, resolve
    from svdaudio.methods import other_parameters

    for name in settings or {}:
        if name.startswith(EXECUTION_PREFIX):
            raise ConfigError(
                f"'{name}' has no effect on a function",
                fix="give device=…, or `svdaudio.checkpoints.models.Models`",
            )
    return resolve(
        method.config,
        given={**(settings or {}), "bundle": models.bundle.name},
        given_source="settings",
        bundle_settings=lambda _: models.bundle.settings,
        elsewhere=other_parameters(method),
    ).config


def _mask_of(prompt: Any, pixels: Pixels) -> NDArray[np.bool_] | None:
    """The mask if the prompt is one, else None; a matrix with two or three columns holds clicks."""
    if not hasattr(prompt, "shape") or len(prompt.shape) != 2 or prompt.shape[1] <= N_CLICK_COLUMNS:
        return None
    mask = as_mask(_array(prompt), "of the region")
    check_mask_size(mask.shape[::-1], pixels.shape[1::-1], mask="of the region", picture="its picture")
    return mask


def _plain(prompt: Any) -> Any:
    """A prompt as plain data: clicks as numbers, paths as texts."""
    if hasattr(prompt, "tolist"):
        return prompt.tolist()
    if isinstance(prompt, Mapping):
        return {name: _plain(each) for name, each in cast("Mapping[str, Any]", prompt).items()}
    if isinstance(prompt, os.PathLike):
        return mask_text(os.fspath(cast("os.PathLike[str]", prompt)))
    return [_plain(each) for each in prompt] if isinstance(prompt, list | tuple) else prompt


def _check_output(path: str | Path | None) -> None:
    """Refuse a path where no sound can be written, before anything is computed."""
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
    """The value as an array without leading axes of length 1 (a batch of one)."""
    array = _array(value)
    while array.ndim > n_dims and array.shape[0] == 1:
        array = array[0]
    return array


def _like(result: NDArray[Any], *arguments: Any) -> Array:
    """The result as a tensor if any argument is or holds one."""
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
        expected = f"[B, 3, {INPUT_SIZE_PX}, {INPUT_SIZE_PX}], normalised for CLIP"
        raise InputError("the float tensor is not a batch for CLIP", expected=expected, got=list(images.shape))
    if not images.isfinite().all():
        raise InputError("the float tensor holds numbers that are not finite", got="NaN or infinity")
    return True


def _pictures(images: Any) -> list[NDArray[np.uint8]]:
    """One or several pictures of any accepted kind, as a list of pixels."""
    array = _array(images) if _is_tensor(images) or isinstance(images, np.ndarray) else None
    if array is not None:
        return [as_pixels(each) for each in (array[None] if array.ndim == 3 else array)]
    if isinstance(images, Sequence) and not isinstance(images, str | bytes):
        if not images:
            raise InputError("no picture given", expected="at least one")
        return [as_pixels(each) for each in images]  # pyright: ignore[reportUnknownVariableType]
    return [as_pixels(images)]
