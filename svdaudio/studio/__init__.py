"""The studio: a web page to click on objects, move sliders and listen, and its server.

May import studies, resident, session and lower layers, but not the command line.
"""
