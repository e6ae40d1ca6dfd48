"""Sounds in CLIP's space: an encoder that embeds a sound near CLIP's embeddings of pictures and texts of its source."""
