"""Stages from embeddings to candidate waveforms."""
