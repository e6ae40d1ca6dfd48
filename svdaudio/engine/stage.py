"""The whole workflow as one table: what every stage takes, reads, draws on and gives.

A `Stage` is a kind of computation; its body is `run` in `tasks/<name>.py`. A `Node` is one use of a stage in
the workflow. An input is named `node.output`, or `file:<name>` for a file that the user gave. A parameter is a
local name bound to a place in the configuration (`svd.k`). Everything else (keys, plans, both runners, the
picture in docs/ARCHITECTURE.md) is derived from these two tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One kind of computation. Raise `version` whenever the same inputs would give other outputs."""

    name: str
    version: int = 1
    inputs: tuple[str, ...]
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    models: tuple[str, ...] = ()
    outputs: tuple[str, ...]
    summary: str


@dataclass(frozen=True, kw_only=True)
class Node:
    """One use of a stage: where each input comes from, and any parameter bound to another place."""

    name: str
    stage: Stage
    inputs: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def bindings(self) -> dict[str, str]:
        """Local parameter name → dotted name in the configuration."""
        return {**self.stage.parameters, **self.parameters}

    @property
    def upstream(self) -> tuple[str, ...]:
        """Names of the nodes that this one reads from, each once, in order."""
        sources = (s for s in self.inputs.values() if not s.startswith("file:"))
        return tuple(dict.fromkeys(s.rpartition(".")[0] for s in sources))


# fmt: off
STAGES: dict[str, Stage] = {stage.name: stage for stage in (
    Stage(name="image", inputs=("file",), outputs=("pixels",),
          summary="decode the file, turn it upright, [H, W, 3] uint8"),
    Stage(name="mask", inputs=("pixels",), models=("segmenter",), outputs=("mask", "score", "logits"),
          parameters={"points": "remove"}, summary="SAM 2 from clicks"),
    Stage(name="tokens", version=2, inputs=("pixels",), models=("image_encoder",), outputs=("tokens", "embedding"),
          parameters={"geometry": "geometry"}, summary="all 257 CLIP tokens, and the image embedding"),
    Stage(name="align", inputs=("mask",), outputs=("coverage", "grid"),
          parameters={"geometry": "geometry", "threshold": "align.threshold"}, summary="mask onto the 16 x 16 patches"),
    Stage(name="factors", inputs=("tokens", "grid"), outputs=("u", "s", "vh", "weights"),
          summary="SVD of [CLS; the region's patches]"),
    Stage(name="background", inputs=("tokens", "grid_removed", "grid_added"), outputs=("embedding",),
          summary="mean of the patches in neither region, [1 or 0, 768]"),
    Stage(name="mix", version=2, inputs=("u_removed", "s_removed", "vh_removed", "weights_removed",
                              "u_added", "s_added", "vh_added", "weights_added", "background", "direct"),
          outputs=("suppress", "boost", "embedding"),
          parameters={"k": "svd.k", "alpha": "svd.alpha", "beta": "svd.beta",
                      "alpha_mix": "mix.alpha", "beta_mix": "mix.beta", "gamma_mix": "mix.gamma", "direct_mix": "mix.direct"},
          summary="suppress, boost, and mix into the global embedding"),
    Stage(name="locals", inputs=("pixels",), models=("detector", "image_encoder"),
          outputs=("boxes", "scores", "classes", "embeddings"),
          parameters={"confidence": "locals.confidence", "iou": "locals.iou", "max_detections": "locals.max_detections",
                      "top_k": "locals.top_k", "augment": "locals.augment"},
          summary="YOLO objects and their CLIP embeddings"),
    Stage(name="remix", inputs=("embedding", "locals"), models=("ssv2a",), outputs=("clap",),
          parameters={"cycle_its": "remix.cycle_its", "cycle_samples": "remix.cycle_samples",
                      "var_samples": "remix.var_samples", "seed": "seed"},
          summary="SSV2A cycle_mix: CLIP slots to one CLAP embedding"),
    Stage(name="diffuse", inputs=("clap",), models=("diffuser",), outputs=("latents",),
          parameters={"scheduler": "generate.scheduler", "steps": "generate.steps", "guidance_scale": "generate.guidance_scale",
                      "n_candidates": "generate.candidates", "duration_s": "generate.duration_s", "seed": "seed",
                      "backend": "generate.backend", "precision": "generate.precision"},
          summary="latent diffusion conditioned on CLAP, every candidate"),
    Stage(name="decode", inputs=("latents",), models=("autoencoder",), outputs=("mel",),
          parameters={"backend": "generate.backend"}, summary="VAE decoder, log-mel spectrograms"),
    Stage(name="vocode", inputs=("mel",), models=("vocoder",), outputs=("waveforms",),
          parameters={"backend": "generate.backend"}, summary="vocoder, waveforms at 16 kHz"),
    Stage(name="choose", inputs=("waveforms", "clap"), models=("audio_encoder",), outputs=("waveform", "similarity", "choice"),
          parameters={"duration_s": "generate.duration_s"},
          summary="the candidate nearest to the wanted CLAP embedding, at 22 050 Hz"),
    Stage(name="scores", inputs=("waveform",), models=("tagger",), outputs=("scores",),
          summary="class scores by the audio tagger"),
)}


def _audio(name: str, embedding: str, objects: str) -> Iterable[Node]:
    """From a global embedding and objects to scored audio."""
    def node(stage: str, **inputs: str) -> Node:
        return Node(name=f"{name}.{stage}", stage=STAGES[stage], inputs=inputs)

    yield node("remix", embedding=embedding, locals=objects)
    yield node("diffuse", clap=f"{name}.remix.clap")
    yield node("decode", latents=f"{name}.diffuse.latents")
    yield node("vocode", mel=f"{name}.decode.mel")
    yield node("choose", waveforms=f"{name}.vocode.waveforms", clap=f"{name}.remix.clap")
    yield node("scores", waveform=f"{name}.choose.waveform")


def _seen(name: str) -> Iterable[Node]:
    """What is seen in one picture: pixels, tokens, objects."""
    yield Node(name=f"{name}.image", stage=STAGES["image"], inputs={"file": f"file:{name}"})
    yield Node(name=f"{name}.tokens", stage=STAGES["tokens"], inputs={"pixels": f"{name}.image.pixels"})
    yield Node(name=f"{name}.locals", stage=STAGES["locals"], inputs={"pixels": f"{name}.image.pixels"})


def _region(name: str, picture: str, points: str) -> Iterable[Node]:
    """The region clicked on in one picture, and its factors."""
    yield Node(name=f"{name}.mask", stage=STAGES["mask"], inputs={"pixels": f"{picture}.image.pixels"}, parameters={"points": points})
    yield Node(name=f"{name}.align", stage=STAGES["align"], inputs={"mask": f"{name}.mask.mask"})
    yield Node(name=f"{name}.factors", stage=STAGES["factors"],
               inputs={"tokens": f"{picture}.tokens.tokens", "grid": f"{name}.align.grid"})


NODES: dict[str, Node] = {node.name: node for node in (
    *_seen("original"), *_seen("edited"),
    *_region("removed", "original", "remove"), *_region("added", "edited", "add"),
    Node(name="background", stage=STAGES["background"],
         inputs={"tokens": "edited.tokens.tokens", "grid_removed": "removed.align.grid", "grid_added": "added.align.grid"}),
    Node(name="mix", stage=STAGES["mix"], inputs={
        **{f"{f}_{r}": f"{r}.factors.{f}" for r in ("removed", "added") for f in ("u", "s", "vh", "weights")},
        "background": "background.embedding", "direct": "edited.tokens.embedding"}),
    *_audio("original", "original.tokens.embedding", "original.locals.embeddings"),
    *_audio("edited", "edited.tokens.embedding", "edited.locals.embeddings"),
    *_audio("manipulated", "mix.embedding", "edited.locals.embeddings"),
)}
# fmt: on


def ancestors(targets: Iterable[str], nodes: Mapping[str, Node] = NODES) -> list[Node]:
    """The nodes that `targets` need, themselves included, in topological order."""
    order: dict[str, Node] = {}

    def visit(name: str) -> None:
        if name not in order:
            for source in nodes[name].upstream:
                visit(source)
            order[name] = nodes[name]

    for target in targets:
        visit(target)
    return list(order.values())
