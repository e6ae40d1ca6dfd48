"""ultralytics, imported so that it keeps to itself.

On import ultralytics looks for the network, writes a settings file into the user's home, prints to standard
output, and changes environment variables that child processes inherit, how numpy and torch print, and OpenCV's
threads. Here it does so with the network declared off, a throw-away settings folder and a closed mouth, and all of
that is put back afterwards. Where the user has set one of these variables, or has imported ultralytics already, their
choice stands.
"""

from __future__ import annotations

import atexit
import os
import tempfile

import cv2  # noqa: F401  # pyright: ignore[reportUnusedImport]  # what ultralytics changes in it has to be put back
import torch  # noqa: F401  # pyright: ignore[reportUnusedImport]  # as cv2

from svdaudio.process_state import kept_process_state

# ultralytics remembers the path for as long as the process lives.
_settings_folder = tempfile.TemporaryDirectory(prefix="svdaudio-ultralytics-")
atexit.register(_settings_folder.cleanup)

with kept_process_state():
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    os.environ.setdefault("YOLO_CONFIG_DIR", _settings_folder.name)
    import torchvision  # noqa: F401  # pyright: ignore[reportUnusedImport]  # decides which NMS ultralytics uses
    from ultralytics.nn.tasks import DetectionModel
    from ultralytics.utils import ROOT
    from ultralytics.utils.metrics import ap_per_class
    from ultralytics.utils.nms import non_max_suppression

__all__ = ["ROOT", "DetectionModel", "ap_per_class", "non_max_suppression"]
