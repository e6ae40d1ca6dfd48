"""`python -m svdaudio.methods [METHOD]` prints the workflow of a method as a Mermaid diagram."""

from __future__ import annotations

import sys

from svdaudio.methods import find_method
from svdaudio.views.diagram import mermaid

method = find_method(sys.argv[1] if len(sys.argv) > 1 else "manipulate")
sys.stdout.write(mermaid(method.nodes(method.config())) + "\n")
