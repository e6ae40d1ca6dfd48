"""The studio: a web page to click on objects, move sliders and listen, and its server.

May import what a session needs, studies and pages, but nothing of the command line.
"""
