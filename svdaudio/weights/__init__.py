"""Weight files: read them without executing their code, cache their digests, keep quick copies.

May import only the base modules.
"""
