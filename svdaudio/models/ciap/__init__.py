"""CIAP (Contrastive Image-Audio Pretraining): a picture to a point of AudioLDM's CLAP space."""
