"""Step 1: the mask of an object from clicks or a box, by SAM 2.

The network is sam2's own at any size: `SegmenterConfig()` is SAM 2.1 Hiera-L, and a small one for 256 px
uses the same classes with other numbers. A weight file contains only those numbers, never names of classes to
instantiate, so loading one cannot run any code.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Num
from numpy.typing import ArrayLike, NDArray

from svdaudio.errors import InputError
from svdaudio.process_state import kept_process_state
from svdaudio.svd.images import Pixels
from svdaudio.weights.own import load_module

with kept_process_state():
    from sam2 import sam2_image_predictor
    from sam2.modeling.backbones.hieradet import Hiera
    from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
    from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
    from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
    from sam2.modeling.position_encoding import PositionEmbeddingSine
    from sam2.modeling.sam.transformer import RoPEAttention
    from sam2.modeling.sam2_base import SAM2Base
    from sam2.sam2_image_predictor import SAM2ImagePredictor

N_PICTURES_KEPT = 4
"""Picture embeddings that a segmenter caches for further clicks, about 16 MB each at full size."""

# sam2 logs through the root logger, to which `logging.info` adds a handler if it has none.
cast("Any", sam2_image_predictor).logging = logging.getLogger("sam2")

ROLE = "segmenter"
BACKBONE_STRIDE = 16
MIN_REFINED_PX = 20
"""Area in pixels of the smallest object that is refined in a second look at a crop."""
MIN_WINDOW_PX = 64
"""Shortest side of a crop."""
OUTSIDE = -10.0
"""Logit outside a crop."""


@dataclass(frozen=True, kw_only=True)
class SegmenterConfig:
    """Shape of a SAM 2.1. The defaults are Hiera-L at 1024 px, as published."""

    image_size: int = 1024
    embed_dim: int = 144
    num_heads: int = 2
    stages: Sequence[int] = (2, 6, 36, 4)
    global_att_blocks: Sequence[int] = (23, 33, 43)
    window_pos_embed_bkg_spatial_size: Sequence[int] = (7, 7)
    window_spec: Sequence[int] = (8, 4, 16, 8)
    fpn_top_down_levels: Sequence[int] = (2, 3)
    fpn_interp_model: Literal["nearest", "bilinear"] = "nearest"
    d_model: int = 256
    memory_layers: int = 4
    memory_feedforward: int = 2048
    memory_dim: int = 64


@dataclass(frozen=True, kw_only=True)
class Mask:
    """The mask of one object."""

    mask: Bool[NDArray[np.bool_], "height width"]
    """True on the object, in the pixels of the picture."""
    score: float
    """The network's own estimate of the mask's IoU, 0 to 1."""
    logits: Float[NDArray[np.float32], "side side"]
    """Before thresholding at 0, at a quarter of the network's input size."""
    n_united: int = 1
    """Number of single-click masks merged into this one; 1 if none were merged."""
    missed: tuple[tuple[float, float], ...] = ()
    """Clicks (x, y) on the object that the mask does not cover."""
    unwanted: tuple[tuple[float, float], ...] = ()
    """Clicks (x, y) outside the object that the mask covers."""

    @property
    def n_wrong(self) -> int:
        """Number of clicks that the mask contradicts."""
        return len(self.missed) + len(self.unwanted)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Notes for the user about anything unusual."""
        remarks: list[str] = []
        if self.n_united > 1:
            remarks.append(f"the mask of all clicks together misses some of them, so {self.n_united} masks are merged")
        if self.missed:
            remarks.append(f"the mask does not cover {_listed(self.missed)}; click elsewhere on the object")
        if self.unwanted:
            remarks.append(f"the mask covers {_listed(self.unwanted)}, which is excluded; move or add clicks")
        return tuple(remarks)


def _listed(clicks: Sequence[tuple[float, float]]) -> str:
    shown = ", ".join(f"({x:g}, {y:g})" for x, y in clicks)
    return f"the click at {shown}" if len(clicks) == 1 else f"the clicks at {shown}"


def build_segmenter(config: Mapping[str, Any]) -> SAM2Base:
    """An untrained SAM 2.1.

    The video memory is built as well: a published checkpoint holds its weights, and loading is strict.

    Args:
        config: fields of `SegmenterConfig`; the defaults are those of Hiera-L.

    Raises:
        TypeError: unknown field.
    """
    shape = SegmenterConfig(**config)
    width = shape.d_model
    side = shape.image_size // BACKBONE_STRIDE

    def position(dim: int) -> PositionEmbeddingSine:
        return PositionEmbeddingSine(
            num_pos_feats=dim, normalize=True, scale=None, temperature=10000, warmup_cache=False
        )

    def attention(key_dim: int | None) -> RoPEAttention:
        return RoPEAttention(
            rope_theta=10000.0, feat_sizes=(side, side), rope_k_repeat=key_dim is not None, embedding_dim=width,
            num_heads=1, downsample_rate=1, dropout=0.1, kv_in_dim=key_dim,
        )  # fmt: skip

    background_rows, background_columns = shape.window_pos_embed_bkg_spatial_size
    trunk = Hiera(
        embed_dim=shape.embed_dim,
        num_heads=shape.num_heads,
        stages=tuple(shape.stages),
        global_att_blocks=tuple(shape.global_att_blocks),
        window_pos_embed_bkg_spatial_size=(background_rows, background_columns),
        window_spec=tuple(shape.window_spec),
    )
    neck = FpnNeck(
        position_encoding=position(width),
        d_model=width,
        backbone_channel_list=cast("list[int]", trunk.channel_list),
        fpn_top_down_levels=list(shape.fpn_top_down_levels),
        fpn_interp_model=shape.fpn_interp_model,
    )
    memory_attention = MemoryAttention(
        d_model=width,
        pos_enc_at_input=True,
        layer=MemoryAttentionLayer(
            activation="relu", dim_feedforward=shape.memory_feedforward, dropout=0.1, pos_enc_at_attn=False,
            self_attention=attention(None), d_model=width, pos_enc_at_cross_attn_keys=True,
            pos_enc_at_cross_attn_queries=False, cross_attention=attention(shape.memory_dim),
        ),
        num_layers=shape.memory_layers,
    )  # fmt: skip
    memory_encoder = MemoryEncoder(
        out_dim=shape.memory_dim,
        in_dim=width,
        position_encoding=position(shape.memory_dim),
        mask_downsampler=MaskDownSampler(embed_dim=width, kernel_size=3, stride=2, padding=1),
        fuser=Fuser(
            CXBlock(dim=width, kernel_size=7, padding=3, layer_scale_init_value=1e-6, use_dwconv=True), num_layers=2
        ),
    )
    return SAM2Base(
        image_encoder=ImageEncoder(trunk=trunk, neck=neck, scalp=1),
        memory_attention=memory_attention,
        memory_encoder=memory_encoder,
        image_size=shape.image_size,
        backbone_stride=BACKBONE_STRIDE,
        sigmoid_scale_for_mem_enc=20.0,
        sigmoid_bias_for_mem_enc=-10.0,
        use_mask_input_as_output_without_sam=True,
        directly_add_no_mem_embed=True,
        no_obj_embed_spatial=True,
        use_high_res_features_in_sam=True,
        multimask_output_in_sam=True,
        multimask_output_for_tracking=True,
        multimask_min_pt_num=0,
        multimask_max_pt_num=1,
        use_multimask_token_for_obj_ptr=True,
        iou_prediction_use_sigmoid=True,
        use_obj_ptrs_in_encoder=True,
        add_tpos_enc_to_obj_ptrs=True,
        proj_tpos_enc_in_obj_ptrs=True,
        use_signed_tpos_enc_to_obj_ptrs=True,
        only_obj_ptrs_in_the_past_for_eval=True,
        pred_obj_scores=True,
        pred_obj_scores_mlp=True,
        fixed_no_obj_ptr=True,
        use_mlp_for_obj_ptr_proj=True,
    )


def check_points(
    points: ArrayLike, labels: ArrayLike, height: int, width: int, *, has_box: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Clicks as arrays, [n, 2] (x, y) and [n] (1 on the object, 0 outside it), after checking them.

    Raises:
        InputError: no click is on the object and no box is given, a label is invalid, or a point is outside.
    """
    where = np.atleast_2d(np.asarray(points, dtype=np.float32))
    kind = np.atleast_1d(np.asarray(labels))
    if where.size == 0 and not has_box:
        raise InputError("no point given", fix="click on the object")
    if where.shape != (len(kind), 2):
        raise InputError(
            "points and labels do not match",
            expected="an (x, y) and a label for each",
            got=f"{where.shape} and {kind.shape}",
        )
    if not np.isin(kind, (0, 1)).all():
        raise InputError("unknown label of a point", expected="1 (on the object) or 0 (not on it)", got=kind.tolist())
    if not (kind == 1).any() and not has_box:
        raise InputError("no point is on the object", expected="at least one point with label 1", got="label 0 only")
    for x, y in where.tolist():
        if not (0 <= x < width and 0 <= y < height):
            raise InputError(
                "the point is outside the picture",
                expected=f"x in 0..{width - 1}, y in 0..{height - 1}",
                got=f"({x:g}, {y:g})",
                fix="use pixel coordinates of the upright image",
            )
    return where, kind.astype(np.int32)


def check_box(box: Sequence[float], height: int, width: int) -> None:
    """Check a box (left, top, right, bottom).

    Raises:
        InputError: it is empty or reaches outside the picture.
    """
    left, top, right, bottom = box
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise InputError(
            "the box is empty or reaches outside the picture",
            expected=f"LEFT < RIGHT within 0..{width}, TOP < BOTTOM within 0..{height}",
            got=", ".join(f"{value:g}" for value in box),
            fix="use pixel coordinates of the upright image",
        )


def split_points(points: Sequence[Sequence[float]]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Split clicks (x, y, label) into two arrays, [n, 2] and [n]."""
    table = np.asarray(points, dtype=np.float64).reshape(-1, 3)
    return table[:, :2].astype(np.float32), table[:, 2].astype(np.int32)


class Segmenter:
    """Segments an object from clicks on a picture or a box in it. Deterministic and thread-safe.

    Args:
        model: the network.
        second_looks: margins, as shares of the object's longer side. The network is run again on a crop of the
            picture around the object, once for each margin and once on that crop's mirror image, and the logits are
            averaged. This helps networks with a small input size, in which a small object covers only a few pixels.
            Published SAM 2 runs once.
        takes_boxes: whether the network was trained on boxes, as published SAM 2 was.
    """

    def __init__(self, model: SAM2Base, *, second_looks: Sequence[float] = (), takes_boxes: bool = False) -> None:
        with warnings.catch_warnings():
            # sam2 scripts its resizing, which torch 2.11 deprecates; users cannot do anything about it.
            warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*torch.jit.script.*")
            self._predictor = SAM2ImagePredictor(model.eval())
        # sam2 1.1.0 hard-codes the feature sizes of 1024 px, whatever the network's input size.
        sides = (model.image_size // stride for stride in (4, 8, 16))
        self._predictor._bb_feat_sizes = [(side, side) for side in sides]  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        self._pictures: dict[bytes, SAM2ImagePredictor] = {}
        """Digest of a picture → predictor that has embedded it, the last used at the end."""
        self._lock = threading.Lock()
        self._second_looks = tuple(second_looks)
        self._takes_boxes = takes_boxes

    def segment(self, pixels: Pixels, points: Num[NDArray[Any], "n 2"], labels: Int[NDArray[Any], " n"]) -> Mask:
        """Segment the clicked object, keeping the best of the network's three proposals by predicted score.

        The network assumes that all clicks belong to one object. If its mask misses one of several clicks with label 1,
        they may be on several objects: each click that is not covered yet is segmented separately, with all clicks
        of label 0, and the masks are merged. The merged mask is used if it contradicts fewer clicks than the mask of
        all clicks together.

        Args:
            pixels: the upright picture.
            points: clicks (x, y), in pixels of that picture.
            labels: for each click, 1 on the object, 0 outside it.

        Raises:
            InputError: see `check_points`.
        """
        where, kind = check_points(points, labels, *pixels.shape[:2])
        together = _compared(self._one_object(pixels, where, kind), where, kind)
        if not together.missed or np.count_nonzero(kind == 1) < 2:
            return together
        united = _compared(self._several_objects(pixels, where, kind), where, kind)
        return united if united.n_wrong < together.n_wrong else together

    def segment_box(
        self,
        pixels: Pixels,
        box: Sequence[float],
        points: Num[NDArray[Any], "n 2"],
        labels: Int[NDArray[Any], " n"],
    ) -> Mask:
        """Segment the object in a box. The mask is cut to the box, which sam2 itself does not do.

        A network that was not trained on boxes gets only the clicks, and the box's centre if none of them is on the
        object. One that was gets box and clicks, and makes a single proposal, as sam2 recommends for boxes.

        Args:
            pixels: the upright picture.
            box: left, top, right and bottom, in pixels of that picture.
            points: clicks (x, y) as in `segment`; there may be none.
            labels: of the clicks, as in `segment`.

        Raises:
            InputError: see `check_box` and `check_points`.
        """
        height, width = pixels.shape[:2]
        check_box(box, height, width)
        left, top, right, bottom = box
        where, kind = check_points(points, labels, height, width, has_box=True)
        if self._takes_boxes:
            found = self._look(pixels, where, kind, box)
        elif (kind == 1).any():
            found = self.segment(pixels, where, kind)
        else:
            centre = np.array([[(left + right) / 2, (top + bottom) / 2]], np.float32)
            found = self.segment(pixels, np.concatenate([where, centre]), np.append(kind, 1))
        rows, columns = np.arange(height)[:, None], np.arange(width)
        inside = (rows + 1 > top) & (rows < bottom) & (columns + 1 > left) & (columns < right)
        return _compared(replace(found, mask=found.mask & inside), where, kind)

    def _several_objects(self, pixels: Pixels, where: NDArray[np.float32], kind: NDArray[np.int32]) -> Mask:
        """The union of the masks of single clicks, in the order of the clicks, until all of them are covered.

        Its score is the lowest of the masks' scores; its logits are the maximum at each position.
        """
        found: list[Mask] = []
        for index in np.flatnonzero(kind == 1):
            x, y = where[index].astype(int)
            if any(each.mask[y, x] for each in found):
                continue
            chosen = kind == 0
            chosen[index] = True
            found.append(self._one_object(pixels, where[chosen], kind[chosen]))
        return Mask(
            mask=np.logical_or.reduce([each.mask for each in found]),
            score=min(each.score for each in found),
            logits=np.maximum.reduce([each.logits for each in found]),
            n_united=len(found),
        )

    def _one_object(self, pixels: Pixels, where: NDArray[np.float32], kind: NDArray[np.int32]) -> Mask:
        """The mask of all clicks together, after a second look."""
        found = self._look(pixels, where, kind)
        if not self._second_looks or found.mask.sum() < MIN_REFINED_PX:
            return found
        height, width = found.mask.shape
        windows = [window_around(found.mask, where[kind == 1], margin) for margin in self._second_looks]
        scores: list[float] = []
        logits = np.zeros((height, width), np.float32)
        for rows, columns in windows:
            inside = (where >= (columns.start, rows.start)).all(axis=1) & (where < (columns.stop, rows.stop)).all(
                axis=1
            )
            clicks = where[inside] - np.array([columns.start, rows.start], np.float32)
            crop = pixels[rows, columns]
            mirrored = clicks * (-1, 1) + (crop.shape[1] - 1, 0)
            looks = [
                self._look(np.ascontiguousarray(crop), clicks, kind[inside]),
                self._look(np.ascontiguousarray(crop[:, ::-1]), mirrored.astype(np.float32), kind[inside]),
            ]
            seen = (looks[0].logits + looks[1].logits[:, ::-1]) / 2
            whole = np.full((height, width), OUTSIDE, np.float32)
            whole[rows, columns] = cv2.resize(seen, crop.shape[1::-1], interpolation=cv2.INTER_LINEAR)
            logits += whole / len(windows)
            scores += [look.score for look in looks]
        return Mask(
            mask=logits > 0,
            score=float(np.mean(scores)),
            logits=cv2.resize(logits, found.logits.shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32),
        )

    def _embedded(self, pixels: Pixels) -> SAM2ImagePredictor:
        """A predictor with the embedding of a picture, cached for the last few pictures.

        Embedding takes far longer than predicting a mask.
        """
        digest = hashlib.sha256(pixels.tobytes()).digest() + str(pixels.shape).encode()
        with self._lock:
            known = self._pictures.pop(digest, None)
        if known is None:
            known = copy.copy(self._predictor)  # it stores the picture in its attributes
            known.set_image(pixels)
        with self._lock:
            self._pictures[digest] = known
            while len(self._pictures) > N_PICTURES_KEPT:
                del self._pictures[next(iter(self._pictures))]
        return known

    def _look(
        self,
        pixels: Pixels,
        where: NDArray[np.float32],
        kind: NDArray[np.int32],
        box: Sequence[float] | None = None,
    ) -> Mask:
        """The network's prediction for one picture."""
        with torch.inference_mode():
            predictor = self._embedded(pixels)
            if box is None:
                masks, scores, logits = predictor.predict(where, kind, multimask_output=True)
            else:
                clicks = (where, kind) if len(where) else (None, None)
                masks, scores, logits = predictor.predict(*clicks, box=np.array(box), multimask_output=False)
        best = int(np.argmax(scores))
        return Mask(
            mask=masks[best].astype(np.bool_), score=float(scores[best]), logits=logits[best].astype(np.float32)
        )


def _compared(found: Mask, where: NDArray[np.float32], kind: NDArray[np.int32]) -> Mask:
    """The mask, with the clicks that it contradicts."""
    columns, rows = where.astype(int).T
    wrong = found.mask[rows, columns] != (kind == 1)
    clicks = [(x, y) for x, y in where.tolist()]
    return replace(
        found,
        missed=tuple(click for click, is_wrong, label in zip(clicks, wrong, kind, strict=True) if is_wrong and label),
        unwanted=tuple(
            click for click, is_wrong, label in zip(clicks, wrong, kind, strict=True) if is_wrong and not label
        ),
    )


def window_around(
    mask: Bool[NDArray[np.bool_], "height width"], points: Float[NDArray[np.float32], "n 2"], margin: float
) -> tuple[slice, slice]:
    """Rows and columns of a square around a mask and the points (x, y) on it, cut to the picture's size.

    Args:
        mask: at least one pixel; up to a hundredth of its pixels at each side may be outside the square.
        points: are always inside the square.
        margin: how much longer the square is than the object, as a share of the object's longer side.
    """
    ys, xs = np.nonzero(mask)
    low, high = (np.array([np.quantile(xs, share), np.quantile(ys, share)]) for share in (0.01, 0.99))
    low, high = np.minimum(low, points.min(axis=0)), np.maximum(high, points.max(axis=0))
    limit = np.array(mask.shape[::-1])
    side = max(float((high - low).max()) * (1 + margin), MIN_WINDOW_PX)
    size = np.minimum(int(side) + 1, limit)
    start = np.clip(((low + high + 1 - size) / 2).astype(int), 0, limit - size)
    (x, y), (width, height) = start.tolist(), size.tolist()
    return slice(y, y + height), slice(x, x + width)


def load_segmenter(path: Path, device: str | torch.device = "cpu") -> Segmenter:
    """Load a segmenter from a weight file of this project.

    Raises:
        CheckpointError: the file is missing, damaged, of another role, or does not match its own description.
    """
    model, header = load_module(path, role=ROLE, build=build_segmenter, device=device)
    extra = header.extra
    return Segmenter(model, second_looks=extra.get("second_looks", ()), takes_boxes=extra.get("takes_boxes", False))
