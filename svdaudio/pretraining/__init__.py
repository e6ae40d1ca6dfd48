"""Contrastive pretraining on pictures, sounds and labels: data sets, losses, augmentation, training, retrieval.

May import models and lower layers.
"""
