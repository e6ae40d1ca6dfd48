"""A bundle whose guide is a tiny random CLIP that knows the labels of `pair_folder`."""

from __future__ import annotations

import hashlib
import json

import torch
from pair_folder import CLASSES

from svdaudio.models.clip.guide import GuideNetwork
from svdaudio.weights.own import Header, save_weights

N_DIMS = 24
CONFIG = {
    "visual": {"width": 32, "layers": 1, "heads": 2, "image_size": 56, "output_dim": N_DIMS},
    "n_texts": len(CLASSES),
}


def write_guide_bundle(folder, base="mini"):
    """Write the bundle `guided`, whose other roles are those of `base`, into a folder of bundles."""
    torch.manual_seed(0)
    network = GuideNetwork(**CONFIG)
    network.texts.copy_(torch.eye(N_DIMS)[: len(CLASSES)])
    path = folder / "guided" / "guide.safetensors"
    header = Header(
        role="guide", architecture="CLIP", config=CONFIG, recipe="-", recipe_version=1, extra={"classes": CLASSES}
    )
    save_weights(path, network.state_dict(), header)
    facts = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}
    facts["classes"] = list(CLASSES)
    description = {"title": "tiny guide", "base": base, "settings": {}, "models": {"guide": facts}}
    (path.parent / "bundle.json").write_text(json.dumps(description))
    return "guided"
