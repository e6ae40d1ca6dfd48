"""Reports of runs and studies as self-contained HTML files, and results of runs in notebooks.

May import methods and lower layers.
"""
