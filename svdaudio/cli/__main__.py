"""`python -m svdaudio.cli` is `svdaudio`."""

import sys

from svdaudio.cli import main

if __name__ == "__main__":  # a worker process imports this module, too
    sys.exit(main())
