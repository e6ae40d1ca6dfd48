"""Stages of the edit: patch grids, factors, background, mix."""
