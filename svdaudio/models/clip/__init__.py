"""CLIP: tokens and embeddings of pictures and texts."""
