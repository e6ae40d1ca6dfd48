"""Verdicts: the intended change of each object in a sound, and whether the tagger's scores show it.

    heard("cat", before=0.99, after=0.02, wanted="silenced").text        # "cat: silenced (0.99 → 0.02)"

Scores are from 0 to 1; a class with at least `HEARD` counts as heard. An intended fall is judged like an intended rise.
Imports nothing of the project.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

HEARD = 0.5
"""Least score of a class that counts as heard."""
CLEAR = 0.5
"""Least fall or rise that clearly silences or adds a class."""
STEADY = 0.2
"""Largest rise that does not count as louder."""

Wanted = Literal["silenced", "faded", "level", "raised", "removed", "added", "kept"]
"""The intended change: silenced, faded, level (at 0 dB) or raised by a fader; removed, added or kept by an edit."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The verdict on one object."""

    object: str
    """Its name."""
    class_name: str | None
    """The tagger's class whose scores are compared; None if it has none for the object."""
    wanted: Wanted
    before: float | None
    """Score before, 0 to 1."""
    after: float | None
    """Score after, 0 to 1."""
    ok: bool | None
    """Whether the intended change happened; None if the scores do not show it."""
    text: str
    """The verdict in words: "cat: silenced (0.99 → 0.02)"."""

    @property
    def margin(self) -> float | None:
        """How far the score after is on the intended side of `HEARD`, -0.5 to 0.5; None if neither side is intended."""
        if self.after is None or self.wanted == "faded":
            return None
        wanted_silent = self.wanted in ("silenced", "removed")
        return HEARD - self.after if wanted_silent else self.after - HEARD

    def results(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def inconclusive(name: str, wanted: Wanted, why: str) -> Finding:
    """The finding for an object on which the scores give no verdict."""
    return Finding(object=name, class_name=None, wanted=wanted, before=None, after=None, ok=None, text=f"{name}: {why}")


def heard(name: str, *, before: float, after: float, wanted: Wanted, class_name: str | None = None) -> Finding:
    """The finding for one class.

    Args:
        name: the object's name.
        before: score of its class before, 0 to 1.
        after: score after, 0 to 1.
        wanted: the intended change.
        class_name: the class, if its name differs from the object's.
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
    before: Mapping[str, float], after: Mapping[str, float], intended: Mapping[Wanted, Iterable[str]]
) -> list[Finding]:
    """The findings for the classes of an edit, each once.

    Args:
        before: class → score in the original's sound, 0 to 1.
        after: class → score in the sound of the edit.
        intended: intended change → names of classes, which `class_of` matches. Without "kept", all other classes that
            were heard before should be kept.
    """
    findings: list[Finding] = []
    done: set[str] = set()
    for wanted, names in intended.items():
        for name in names:
            known = class_of(name, before)
            if known is None:
                findings.append(inconclusive(name, wanted, "the tagger has no class for it"))
            elif known not in done:
                done.add(known)
                findings.append(heard(known, before=before[known], after=after[known], wanted=wanted))
    rest = [name for name, score in before.items() if score >= HEARD and name not in done and "kept" not in intended]
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
    return ("faded, still heard" if after >= HEARD else "faded, no longer heard"), None  # scores do not measure levels


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
        return "was not heard before", None
    return ("still heard", False) if after >= HEARD else ("gone", True)


def _added(before: float, after: float) -> tuple[str, bool | None]:
    if after < HEARD:
        return "not heard", False
    return ("heard", True) if after - before >= CLEAR else ("was already heard", None)


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
    """All findings on one line."""
    return "; ".join(one.text for one in findings)


def class_of(name: str, classes: Iterable[str], detected: Iterable[str] = ()) -> str | None:
    """The tagger's class for an object: that of its name, else of what the detector sees there; None if there is none.

    Args:
        name: the object's name; a number after it is ignored ("sheep2").
        classes: the tagger's classes.
        detected: the detector's classes for the object, most likely first.
    """
    known = {one.lower(): one for one in classes}
    candidates = (name, name.rstrip("0123456789").rstrip("-_"), *detected)
    return next((known[one.lower()] for one in candidates if one.lower() in known), None)
