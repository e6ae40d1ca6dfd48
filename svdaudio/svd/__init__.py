"""The published manipulation, step by step, on arrays: pictures, patch grids, factors, the mix.

It imports neither models nor the engine.
"""
