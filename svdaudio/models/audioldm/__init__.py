"""Generates sound from a CLAP embedding: latent diffusion, VAE, vocoder, and the choice among candidates."""
