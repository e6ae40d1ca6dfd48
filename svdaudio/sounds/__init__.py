"""Sounds as samples: reading and writing files, the rates in use, and the finish of a sound. Imports errors and files.

Nothing is imported here, so that plans, which need the rates alone, do without numpy.
"""
