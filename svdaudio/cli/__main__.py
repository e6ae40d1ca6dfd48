"""`python -m svdaudio.cli` is `svdaudio`."""

import sys

from svdaudio.cli import main

sys.exit(main())
