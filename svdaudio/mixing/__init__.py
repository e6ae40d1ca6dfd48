"""Objects of a picture at chosen levels: erase objects, assign detected ones, fade embeddings, mix stems.

Imports nothing of the engine.
"""
