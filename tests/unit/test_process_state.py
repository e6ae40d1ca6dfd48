"""Importing and using the library leaves the process of the caller as it was."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings

import cv2
import numpy as np
import pytest
import torch

from svdaudio.places import project_root
from svdaudio.process_state import import_quietly, kept_process_state

PROGRAM = """
import importlib, json, locale, logging, os, random, signal, sys, threading, warnings
import cv2, numpy as np, PIL.Image, PIL.ImageFile, torch, torch._tensor_str

def state():
    return {
        "environment": dict(os.environ),
        "warning filters": [repr(each[:4]) for each in warnings.filters],
        "warnings": repr(warnings.showwarning),
        "root logger": [repr(logging.root.handlers), logging.root.level, logging.root.manager.disable],
        "numpy prints": {name: repr(value) for name, value in np.get_printoptions().items()},
        "numpy errors": np.geterr(),
        "numpy random": hash(np.random.get_state()[1].tobytes()),
        "random": hash(random.getstate()),
        "torch prints": vars(torch._tensor_str.PRINT_OPTS).copy(),
        "torch random": hash(torch.get_rng_state().numpy().tobytes()),
        "torch": [
            torch.get_num_threads(), str(torch.get_default_dtype()), torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision(),
            torch.backends.cudnn.benchmark, torch.backends.mkldnn.enabled,
        ],
        "OpenCV": [cv2.getNumThreads(), cv2.useOptimized()],
        "Pillow": [PIL.Image.MAX_IMAGE_PIXELS, PIL.ImageFile.LOAD_TRUNCATED_IMAGES],
        "signals": [repr(signal.getsignal(each)) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
        "interpreter": [repr(sys.excepthook), repr(sys.displayhook), repr(threading.excepthook), repr(sys.stdout),
                        sys.getrecursionlimit(), sys.path[:], os.getcwd(), locale.setlocale(locale.LC_ALL)],
    }

def compare(when):
    for name, value in state().items():
        if value != before[name]:
            changed.append(f"{when}: {name}: {before[name]} -> {value}"[:2000])
            before[name] = value

changed, before = [], state()
import svdaudio
compare("import svdaudio")
from svdaudio.checkpoints.bundle import Bundle
from svdaudio.checkpoints.models import Models
from svdaudio.checkpoints.roles import LOADERS
for formats in LOADERS.values():
    for loader in formats.values():
        importlib.import_module(loader.partition(":")[0])
        compare(loader)
models = Models(Bundle.open("mini"), device="cpu", keep=True)
for role in models.bundle.roles:
    models[role]
    compare(f"loading the {role}")
svdaudio.main_pipeline(
    sys.argv[1], sys.argv[2], [(756, 581)], [(756, 570)], sys.argv[3], bundle=models,
    settings={"generate.steps": 2, "generate.duration_s": 2.5}, device="cpu",
)
compare("main_pipeline")
mask = svdaudio.get_mask(sys.argv[1], 756, 581, bundle=models)
svdaudio.visualize_mask(sys.argv[1], mask, sys.argv[3] + "/mask.png")
compare("masks")
print(json.dumps(changed))
"""


def test_the_library_does_not_change_process_state(tmp_path):
    examples = project_root() / "examples"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("YOLO_", "TORCHINDUCTOR"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, examples / "dog_cat.jpg", examples / "dog_duck.jpg", tmp_path],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"
    assert done.stderr == ""


def _change_everything():
    os.environ.update(KEPT="2", NEW="2")
    del os.environ["LOST"]
    warnings.simplefilter("ignore")
    logging.root.addHandler(logging.NullHandler())
    logging.root.setLevel(logging.DEBUG)
    logging.disable(logging.ERROR)
    np.set_printoptions(linewidth=33, precision=2)
    torch.set_printoptions(linewidth=33, sci_mode=True)
    cv2.setNumThreads(cv2.getNumThreads() + 1)
    raise ImportError


def test_changes_made_by_an_import_are_restored(monkeypatch):
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.setenv("LOST", "1")
    monkeypatch.delenv("NEW", raising=False)
    filters, handlers, level = list(warnings.filters), list(logging.root.handlers), logging.root.level
    prints, threads = np.get_printoptions(), cv2.getNumThreads()
    with pytest.raises(ImportError), kept_process_state():
        _change_everything()
    assert (os.environ["KEPT"], os.environ["LOST"], os.environ.get("NEW")) == ("1", "1", None)
    assert list(warnings.filters) == filters
    assert (logging.root.handlers, logging.root.level, logging.root.manager.disable) == (handlers, level, 0)
    assert np.get_printoptions() == prints
    assert str(torch.tensor([0.5])) == "tensor([0.5000])"
    assert cv2.getNumThreads() == threads


def test_an_imported_module_is_not_imported_again():
    assert import_quietly("logging") is logging
    assert import_quietly("wave").__name__ == "wave"
