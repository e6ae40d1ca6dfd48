"""Sounds in CLIP's space: an encoder that embeds a sound where CLIP embeds pictures and texts of the same things."""
