"""Plots, tables and reports of a run, made from its arrays."""
