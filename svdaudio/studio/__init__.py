"""The studio: a page on which people click, listen and move sliders, and only what lies below a change runs.

May import what a session needs, studies and pages; nothing of the command line.
"""
