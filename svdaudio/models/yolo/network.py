"""ultralytics, imported so that it keeps to itself.

On import ultralytics looks for the network, writes a settings file into the user's home, prints to standard
output, and changes environment variables that child processes inherit. Here it does so with the network
declared off, a throw-away settings folder and a closed mouth, and the environment is put back afterwards. Where
the user has set one of these variables, or has imported ultralytics already, their choice stands.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager

import torchvision  # noqa: F401  # pyright: ignore[reportUnusedImport]  # ultralytics picks its NMS by whether this is loaded

# ultralytics remembers the path for as long as the process lives.
_settings_folder = tempfile.TemporaryDirectory(prefix="svdaudio-ultralytics-")
atexit.register(_settings_folder.cleanup)


@contextmanager
def _kept_environment() -> Generator[None]:
    before = dict(os.environ)
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    os.environ.setdefault("YOLO_CONFIG_DIR", _settings_folder.name)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        for name, value in before.items():
            if os.environ.get(name) != value:
                os.environ[name] = value


with _kept_environment():
    from ultralytics.nn.tasks import DetectionModel
    from ultralytics.utils import ROOT
    from ultralytics.utils.metrics import ap_per_class
    from ultralytics.utils.nms import non_max_suppression

__all__ = ["ROOT", "DetectionModel", "ap_per_class", "non_max_suppression"]
