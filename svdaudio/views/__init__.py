"""Views of runs: plots, comparisons, diagrams and output files, made from their arrays and records.

May import engine and lower layers.
"""
