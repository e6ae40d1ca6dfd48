"""Weight files: reading them without executing code in them, caching their digests, keeping quick copies."""
