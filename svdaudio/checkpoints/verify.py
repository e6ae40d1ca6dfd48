"""Try a model: read its files completely, load it strictly, and run one small step.

So users know before a long run that everything fits together. The output must have the right shape and be finite;
its quality can only be judged on real pictures and sounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from svdaudio.checkpoints.bundle import Bundle, load_entry
from svdaudio.checkpoints.roles import OWN_FORMAT
from svdaudio.errors import CheckpointError
from svdaudio.weights.quick_copy import forget

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

PICTURE_PX = (96, 128)


def verify(bundle: Bundle, role: str, *, device: torch.device, rehash: bool = True) -> str:
    """Check one role of a bundle: digests, every entry, one step.

    Args:
        bundle: the bundle.
        role: role of the model in it.
        device: device for the step.
        rehash: hash its files even if their digests are cached; unnecessary right after another role of the same files.

    Returns:
        The shape of the step's output.

    Raises:
        CheckpointError: a file is missing or differs, an entry does not fit, or the step fails.
    """
    import torch

    bundle.check(role, rehash=rehash)
    entry = bundle.entry(role)
    if entry.format != OWN_FORMAT:
        # Test the published file itself, and a newly written quick copy of it.
        forget(entry.path, role)
    model = load_entry(entry, device)
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(0)
        given = STEPS[role](model)
    shape, finite = _shape_and_finite(given)
    if not finite:
        raise CheckpointError(
            f"the {role} {entry.path} computes invalid numbers", expected="finite numbers", got="NaN or infinity"
        )
    return f"{' x '.join(map(str, shape))}"


def _shape_and_finite(values: Any) -> tuple[tuple[int, ...], bool]:
    import numpy as np

    array = np.asarray(values)
    return array.shape, bool(np.isfinite(array).all()) and math.prod(array.shape) > 0


def _picture() -> NDArray[np.uint8]:
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (*PICTURE_PX, 3), dtype=np.uint8)


def _segment(model: Any) -> Any:
    import numpy as np

    return model.segment(_picture(), np.array([[64.0, 48.0]]), np.array([1])).logits


def _see(model: Any) -> Any:
    from svdaudio.svd.geometry import Geometry

    return model.tokens(_picture(), Geometry.SQUASH).tokens


def _detect(model: Any) -> Any:
    import numpy as np

    from svdaudio.models.yolo.detector import DetectionSettings

    found = model.detect(_picture(), DetectionSettings(confidence=0.0, max_detections=4, augment=False))
    # A random picture may contain no object, which is a valid result.
    return np.append(found.boxes, len(found.boxes))


def _remix(model: Any) -> Any:
    import numpy as np
    import torch

    from svdaudio.models.ssv2a.remix import RemixSettings, remix

    unit = np.full(model.config.clip_dim, model.config.clip_dim**-0.5, np.float32)
    settings = RemixSettings(cycle_its=1, cycle_samples=2, var_samples=2)
    generator = torch.Generator().manual_seed(0)
    return remix(model, embedding=unit, objects=unit[None], settings=settings, generator=generator)


def _denoise(model: Any) -> Any:
    import torch

    clap = torch.nn.functional.normalize(torch.ones_like(model.unconditional)[None], dim=1)
    return model.noise(torch.randn(1, 8, 64, 16).to(clap), torch.tensor(500), clap).cpu()


def _decode(model: Any) -> Any:
    import torch

    from svdaudio.models.audioldm.autoencoder import decode

    return decode(model, torch.randn(1, 8, 16, 16))


def _vocode(model: Any) -> Any:
    import torch

    from svdaudio.models.audioldm.vocoder import vocode

    return vocode(model, torch.randn(1, 64, 64) - 5)


def _embed(model: Any) -> Any:
    import torch

    return model.embed(torch.randn(1, 32_000) / 10, 16_000).cpu()


def _describe(model: Any) -> Any:
    return model.embed(list(getattr(model, "classes", ("rain",)))[:1]).cpu()


def _place_sound(model: Any) -> Any:
    import numpy as np

    return model.embed(np.random.default_rng(0).random((1, 1, 128, 512), np.float32))


def _guide(model: Any) -> Any:
    import numpy as np

    return np.concatenate([model.embed_texts((model.texts or ("rain",))[:1]), model.embed_pictures([_picture()])])


def _score(model: Any) -> Any:
    import torch

    scores = model.scores(torch.randn(1, 32_000) / 10, 16_000)
    if scores.shape[1] != len(model.classes):
        raise CheckpointError("the tagger returns a different number of scores than it has classes")
    return scores


def _compare(model: Any) -> Any:
    import numpy as np

    return [model.distance(np.zeros((257, model.mean.size), np.float32))]


def _place(model: Any) -> Any:
    from svdaudio.svd.geometry import Geometry

    return model.embed([_picture()], Geometry.SQUASH)


def _map(model: Any) -> Any:
    import numpy as np

    n_in = model.network.layers[0].in_features
    return model.map(np.full(n_in, n_in**-0.5, np.float32))


STEPS: Mapping[str, Callable[[Any], Any]] = {
    "segmenter": _segment,
    "image_encoder": _see,
    "detector": _detect,
    "ssv2a": _remix,
    "diffuser": _denoise,
    "autoencoder": _decode,
    "vocoder": _vocode,
    "audio_encoder": _embed,
    "text_encoder": _describe,
    "tagger": _score,
    "judge": _score,
    "domain": _compare,
    "ciap_image_encoder": _place,
    "mapper": _map,
    "sound_encoder": _place_sound,
    "guide": _guide,
}
"""Role → one small step of its model."""
