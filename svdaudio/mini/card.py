"""Model cards: what a weight file is, where it comes from and how good it is, written beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from svdaudio.weights import Header


def write_card(
    path: Path, header: Header, figures: Mapping[str, float], *, seconds: float, data: str, licence: str
) -> None:
    """Write `path` (Markdown) from the header and the held-out figures; `seconds` is the time of this training."""
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in figures.items())
    recipe = header.recipe.rpartition(".")[2]
    path.write_text(
        f"# {header.role} of the mini bundle\n\n"
        f"Trained by `svdaudio train {recipe}` (recipe version {header.recipe_version}) in {seconds / 60:.1f} minutes "
        "of wall time, from this project's own data alone. A small model for looking, testing and learning; "
        "it knows nine farm animals and nothing else.\n\n"
        f"- Architecture: `{header.architecture}`, `{json.dumps(header.config)}`\n"
        f"- Data: {data}\n"
        f"- Licence: {licence}\n\n"
        "| held-out figure | value |\n|---|---|\n"
        f"{rows}\n"
    )
