"""Skips the rendering of pictures, which takes more than half of the time of a run with toys.

Every figure is still built, so that a view that cannot be drawn fails; its file is a single white pixel.
`tests/unit/views` and `tests/flows/test_farm_scene.py` render.
"""

from __future__ import annotations

import io

from PIL import Image

from svdaudio.files import write_bytes


def skip_rendering(patch):
    """Save every picture of a run as one white pixel, in this process."""
    patch.setattr("svdaudio.views.plots.save", _save)


def _save(figure, path):
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1), "white").save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())
    return path
