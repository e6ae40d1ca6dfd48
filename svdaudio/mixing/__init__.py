"""Objects of a picture at chosen levels: erasing them, whose locals are whose, fading embeddings, mixing stems.

Imports the errors, the pictures' geometry, and models for types; nothing of the engine.
"""
