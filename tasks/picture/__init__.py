"""Stages that process pictures: pixels, masks, tokens, objects."""
