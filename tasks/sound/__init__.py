"""Stages that process sounds: choice, finish, mixdown, embeddings, scores."""
