"""Write every recommended published file at full size, with made-up weights (4 GB)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

BENCH = Path(__file__).resolve().parent

WRITERS = {
    "ViT-L-14.pt": "made_up_files.write_clip_archive(path, made_up_files.clip())",
    "sam2.1_hiera_large.pt": "made_up_files.write_sam2(path, {})",
    "yolov8x-oiv7.pt": "made_up_files.write_yolo(path, made_up_files.yolo(names=made_up_files.open_images_names()))",
    "ssv2a.pth": "made_up_files.write_ssv2a(path.parent, Config())",
    "audioldm-full-s-v2.ckpt": "made_up.save_audioldm(path)",
    "Cnn14_mAP=0.431.pth": "made_up_files.write_cnn14(path)",
}
PROGRAM = """
from pathlib import Path
import made_up, made_up_files
from svdaudio.models.ssv2a import Config
path = Path({!r})
{}
"""


def write_published(folder: Path, names: Iterable[str] = tuple(WRITERS)) -> list[Path]:
    """Write the missing files, each in a separate process, which frees its memory."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in names]
    for path in paths:
        if not path.is_file():
            # A file gets its final name when it is complete, so an interrupted benchmark leaves no partial files.
            begun = folder / "begun" / path.name
            begun.parent.mkdir(exist_ok=True)
            program = PROGRAM.format(str(begun), WRITERS[path.name])
            subprocess.run([sys.executable, "-c", program], cwd=BENCH, check=True)
            for made in sorted(begun.parent.iterdir()):
                made.replace(folder / made.name)
            begun.parent.rmdir()
    return paths
