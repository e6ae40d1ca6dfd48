"""From a CLAP embedding to sound: latent diffusion, VAE, vocoder, and the choice among candidates."""
