"""Contrastive pretraining of pictures, sounds and words: pairs, losses, augmentations, training, retrieval figures."""
