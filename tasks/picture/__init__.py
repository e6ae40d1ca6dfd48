"""Stages that look at a picture: pixels, masks, tokens, objects."""
