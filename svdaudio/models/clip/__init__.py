"""CLIP: every token of a picture."""
