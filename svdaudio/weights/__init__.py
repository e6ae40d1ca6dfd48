"""Weight files: reading them without running anything in them, remembering their digests, keeping quick copies."""
