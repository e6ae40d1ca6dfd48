"""The networks, each with its loaders for every file format.

May import weights, svd, sounds, config and the base modules.
"""
