"""Work on many runs: files of pairs, sweeps, studies of parameters, ablations, and evaluations with their tables.

May import session, mini and lower layers.
"""
