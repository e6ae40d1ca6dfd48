"""Objects of a picture at chosen levels: erase objects, assign detected ones, fade embeddings, mix stems.

May import sounds and the base modules.
"""
