"""The example scene for the mini bundle, and settings with the fewest steps that still run every stage."""

from __future__ import annotations

from svdaudio.studies.scenes import demo_scene

SCENE = demo_scene()
PICTURES = (SCENE.original, SCENE.edited)
FEW_STEPS = {
    "generate.steps": 2,
    "generate.candidates": 1,
    "generate.duration_s": 2.5,
    "remix.cycle_its": 1,
    "remix.cycle_samples": 2,
    "remix.var_samples": 2,
}
FEW_STEPS_ARGUMENTS = [word for name, value in FEW_STEPS.items() for word in ("--set", f"{name}={value}")]
AUDIBLE_ARGUMENTS = ["--set", "generate.steps=8", "--set", "generate.candidates=1"]
"""The fewest steps with which the tagger hears the same as with the 20 that the bundle recommends."""
