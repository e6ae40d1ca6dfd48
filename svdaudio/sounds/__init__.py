"""Sounds as samples: reading and writing audio files, the sample rates in use, and the finish of a sound.

Nothing is imported here, so that plans, which need only the rates, do not import numpy.
"""
