"""Verdicts: what was to happen to each object of a sound, whether it did, and in words.

    heard("cat", before=0.99, after=0.02, wanted="silenced").text        # "cat: silenced (0.99 → 0.02)"

Scores are the tagger's, 0 to 1; one of at least `HEARD` counts as heard. A fall that was wanted is as good as a rise
that was wanted. Imports nothing of the project.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

HEARD = 0.5
"""Score from which a class counts as heard."""
CLEAR = 0.5
"""Least fall or rise that silences or adds a class beyond doubt."""
STEADY = 0.2
"""Largest change that leaves a class as it was."""

Wanted = Literal["silenced", "faded", "level", "raised", "removed", "added", "kept"]
"""Of a fader: silenced, faded, level (at 0 dB), raised. Of an edit: removed, added, kept."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What happened to one object."""

    object: str
    """Its name."""
    class_name: str | None
    """The class whose score tells it; None if no class of the tagger does."""
    wanted: Wanted
    before: float | None
    """Score before, 0 to 1."""
    after: float | None
    """Score after, 0 to 1."""
    ok: bool | None
    """Whether it is what was wanted; None if the scores cannot tell."""
    text: str
    """In words: "cat: silenced (0.99 → 0.02)"."""

    @property
    def margin(self) -> float | None:
        """How far the score after lies on the wanted side of `HEARD`, -0.5 to 0.5; None if no side is wanted."""
        if self.after is None or self.wanted == "faded":
            return None
        wanted_silent = self.wanted in ("silenced", "removed")
        return HEARD - self.after if wanted_silent else self.after - HEARD

    def results(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def untold(name: str, wanted: Wanted, why: str) -> Finding:
    """The finding for an object of which the scores cannot tell anything."""
    return Finding(object=name, class_name=None, wanted=wanted, before=None, after=None, ok=None, text=f"{name}: {why}")


def heard(name: str, *, before: float, after: float, wanted: Wanted, class_name: str | None = None) -> Finding:
    """The finding for one class.

    Args:
        name: the object's name.
        before: score of its class before, 0 to 1.
        after: score after, 0 to 1.
        wanted: what was to happen.
        class_name: the class, if it is not the object's name.
    """
    words, ok = _WORDS[wanted](before, after)
    shown = name if class_name in (None, name) else f"{name} ({class_name})"
    colon = "" if wanted in ("removed", "added", "kept") else ":"
    return Finding(
        object=name,
        class_name=class_name or name,
        wanted=wanted,
        before=before,
        after=after,
        ok=ok,
        text=f"{shown}{colon} {words} ({before:.2f} → {after:.2f})",
    )


def edit_findings(
    before: Mapping[str, float], after: Mapping[str, float], asked: Mapping[Wanted, Iterable[str]]
) -> list[Finding]:
    """The findings for the classes of an edit, each once.

    Args:
        before: class → score in the original's sound, 0 to 1.
        after: class → score in the sound of the edit.
        asked: what was to happen → names of classes, with a number after them or in other case as `class_of` takes
            them. Without "kept", what was heard and is not named was to be kept.
    """
    findings: list[Finding] = []
    told: set[str] = set()
    for wanted, names in asked.items():
        for name in names:
            known = class_of(name, before)
            if known is None:
                findings.append(untold(name, wanted, "no class of the tagger tells about it"))
            elif known not in told:
                told.add(known)
                findings.append(heard(known, before=before[known], after=after[known], wanted=wanted))
    rest = [name for name, score in before.items() if score >= HEARD and name not in told and "kept" not in asked]
    return findings + [heard(name, before=before[name], after=after[name], wanted="kept") for name in rest]


def _silenced(before: float, after: float) -> tuple[str, bool | None]:
    if before < HEARD:
        return "was not heard before", None
    if after >= HEARD:
        return "still heard", False
    return ("silenced", True) if before - after >= CLEAR else ("hardly heard any more", True)


def _faded(before: float, after: float) -> tuple[str, bool | None]:
    if before < HEARD:
        return "was not heard before", None
    if after > before + STEADY:
        return "louder instead of softer", False
    return (
        "faded, still heard" if after >= HEARD else "faded until it is no longer heard"
    ), None  # scores are no levels


def _kept(before: float, after: float) -> tuple[str, bool | None]:
    if before < HEARD:
        return ("now heard", None) if after >= HEARD else ("not heard, as before", None)
    return ("kept", True) if after >= HEARD else ("lost", False)


def _raised(before: float, after: float) -> tuple[str, bool | None]:
    if after < HEARD:
        return "not heard", False
    return ("raised", True) if before < HEARD else ("heard, as before", True)


def _removed(before: float, after: float) -> tuple[str, bool | None]:
    if before < HEARD:
        return "was not in the original's sound either", None
    return ("still heard", False) if after >= HEARD else ("gone", True)


def _added(before: float, after: float) -> tuple[str, bool | None]:
    if after < HEARD:
        return "not heard", False
    return ("heard", True) if after - before >= CLEAR else ("heard, but also before", None)


_WORDS = {
    "silenced": _silenced,
    "faded": _faded,
    "level": _kept,
    "raised": _raised,
    "removed": _removed,
    "added": _added,
    "kept": _kept,
}


def sentence(findings: Iterable[Finding]) -> str:
    """All findings in one line."""
    return "; ".join(one.text for one in findings)


def class_of(name: str, classes: Iterable[str], detected: Iterable[str] = ()) -> str | None:
    """The class of the tagger that tells about an object: that of its name, else of what the detector sees there.

    Args:
        name: the object's name; a number after it is ignored ("sheep2").
        classes: of the tagger.
        detected: classes of the detector for what is there, the likeliest first.
    """
    known = {one.lower(): one for one in classes}
    candidates = (name, name.rstrip("0123456789").rstrip("-_"), *detected)
    return next((known[one.lower()] for one in candidates if one.lower() in known), None)
