"""ultralytics, imported without its side effects.

On import ultralytics looks for the network, writes a settings file into the user's home, prints to standard
output, and changes environment variables that child processes inherit, how numpy and torch print, and OpenCV's
threads. Here it is imported with network access disabled, a temporary settings folder and its output suppressed, and
all changes are undone afterwards. Variables that the user has set are kept, and so is an earlier import of
ultralytics.
"""

from __future__ import annotations

import atexit
import os
import tempfile

import cv2  # noqa: F401  # pyright: ignore[reportUnusedImport]  # first, so that changes by ultralytics can be undone
import torch  # noqa: F401  # pyright: ignore[reportUnusedImport]  # as cv2

from svdaudio.process_state import kept_process_state

# ultralytics keeps the path for the lifetime of the process.
_settings_folder = tempfile.TemporaryDirectory(prefix="svdaudio-ultralytics-")
atexit.register(_settings_folder.cleanup)

with kept_process_state():
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    os.environ.setdefault("YOLO_CONFIG_DIR", _settings_folder.name)
    import torchvision  # noqa: F401  # pyright: ignore[reportUnusedImport]  # determines which NMS ultralytics uses
    from ultralytics.nn.tasks import DetectionModel
    from ultralytics.utils import ROOT
    from ultralytics.utils.metrics import ap_per_class
    from ultralytics.utils.nms import non_max_suppression

__all__ = ["ROOT", "DetectionModel", "ap_per_class", "non_max_suppression"]
