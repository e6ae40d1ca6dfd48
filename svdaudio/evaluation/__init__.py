"""Evaluation of sounds: scores by judges, and figures of whole sets, each with its formula and its source.

The figures are pure functions on arrays: features [n_clips, n_dims], logits or scores [n_clips, n_classes].
May import checkpoints, sounds and the base modules.
"""
