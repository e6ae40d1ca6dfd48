"""CIAP (Contrastive Image-Audio Pretraining): embeds pictures in AudioLDM's CLAP space."""
