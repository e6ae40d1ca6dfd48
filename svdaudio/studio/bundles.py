"""The bundles that the studio offers: which models each lacks, and fetching them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from svdaudio.checkpoints.bundle import FULL, Bundle
from svdaudio.checkpoints.download import Patience, StoppedError
from svdaudio.checkpoints.install import TITLE, OnProgress, advice_by_hand, fetch, folder_of, partial_of
from svdaudio.checkpoints.lacking import bytes_here, faults, models_to_fetch, needs_trust
from svdaudio.checkpoints.licences import licence_of
from svdaudio.checkpoints.registry import Published
from svdaudio.errors import CheckpointError, SvdAudioError
from svdaudio.session import Session
from svdaudio.studio.desk import Job, State, Work

ALL_PEOPLE = ""
"""The owner of downloads: all people see them and may stop them."""
PATIENCE = Patience(n_tries=2, pause_s=0.5, timeout_s=15.0)
"""Short, since a person waits and can retry with the button."""
REPORT_S, REPORT_SHARE = 0.25, 0.02
"""Progress is reported after this time, or this share of a file."""


def all_bundles(session: Session, first: str) -> list[dict[str, Any]]:
    """Describes every bundle as JSON data, complete ones first.

    Args:
        session: opens the bundles; their descriptions are read again.
        first: a bundle that is known to exist.
    """
    names = dict.fromkeys([first, *Bundle.names(), FULL])
    found = {one["name"]: one for one in (bundle_facts(session, name) for name in names)}
    return sorted(found.values(), key=lambda one: (not one["ready"], one["name"]))


def bundle_facts(session: Session, name: str) -> dict[str, Any]:
    """Describes a bundle: its models, those that it lacks, and its faults."""
    folder = folder_of(name)
    empty = {"title": TITLE, "settings": {}, "models": [], "bytes": 0, "missing": [], "faults": {}, "lacks": []}
    try:
        bundle = session.refresh_bundle(name)
    except CheckpointError as error:
        if name != FULL or (folder / "bundle.json").exists():
            return {**empty, "name": name, "title": name, "ready": False, "faults": {"": error.line()}}
        return {**empty, "name": name, "ready": False, "lacks": _missing_models(folder)}
    if not isinstance(bundle, Bundle):
        return {**empty, "name": bundle.name, "title": bundle.title, "ready": True, "settings": dict(bundle.settings)}
    lacks = _missing_models(folder)
    coming = {role for one in lacks for role in one["roles"]}
    sizes = {entry.path: entry.n_bytes for entry in bundle.entries.values()}  # one file may fill several roles
    wrong = faults(bundle)
    return {
        "name": bundle.name,
        "title": bundle.title,
        "settings": dict(bundle.settings),
        "models": [
            {"role": role, "file": entry.path.name, "bytes": entry.n_bytes, "licence": licence_of(entry)}
            for role, entry in bundle.entries.items()
        ],
        "bytes": sum(sizes.values()),
        "missing": list(bundle.missing_roles),
        "lacks": lacks,
        "faults": {role: text for role, text in wrong.items() if role not in coming},
        "ready": not wrong and not bundle.missing_roles,
    }


def _missing_models(folder: Path) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "title": one.title,
            "purpose": one.purpose,
            "roles": list(one.roles),
            "bytes": one.n_bytes,
            "bytes_here": bytes_here(one, folder),
            "licence": one.licence,
            "page": one.page,
            "needs_trust": needs_trust(one, folder),
            "by_hand": None if _has_addresses(one) else advice_by_hand(one),
        }
        for one in models_to_fetch(folder)
    ]


def _has_addresses(published: Published) -> bool:
    return all(file.urls for file in published.files)


def downloadable_models(name: str, *, trust: bool) -> list[Published]:
    """Returns the models that a bundle lacks and that can be downloaded.

    Args:
        name: name of the bundle.
        trust: include models with files without a published digest; the digests of the downloads are recorded.

    Raises:
        CheckpointError: no model can be downloaded.
    """
    folder = folder_of(name)
    lacking = models_to_fetch(folder)
    found = [one for one in lacking if _has_addresses(one) and (trust or not needs_trust(one, folder))]
    if found:
        return found
    fix = next((advice_by_hand(one) for one in lacking if not _has_addresses(one)), None)
    if any(_has_addresses(one) for one in lacking):
        fix = "accept files without a published digest"
    what = f"no missing model of the bundle '{name}'" if lacking else f"the bundle '{name}' lacks no model that"
    raise CheckpointError(f"{what} can be downloaded", fix=fix)


def fetch_work(name: str, models: Sequence[Published], *, trust: bool) -> Work:
    """The work of downloading models into a bundle, with events "model" for each and "bytes" for the whole."""
    folder = folder_of(name)

    def work(job: Job, session: Session) -> State:
        report = _Progress(job, models, folder)
        errors: dict[str, str] = {}
        for one in models:
            report.model(one, "fetching")
            try:
                fetch(
                    one,
                    folder,
                    trust=trust,
                    on_progress=report.bytes_of(one),
                    patience=PATIENCE,
                    stopping=job.stop.is_set,
                )
            except StoppedError:
                report.model(one, "stopped")
                return "stopped"
            except SvdAudioError as error:
                errors[one.name] = error.line()
                report.model(one, "failed", errors[one.name])
            else:
                report.model(one, "fetched")
                session.refresh_bundle(name)
        if errors:
            [first, *others] = errors.values()
            job.error = first + (f" And {len(others)} more." if others else "")
            return "failed"
        return "finished"

    return work


class _Progress:
    """Reports the progress of a download as events of its job."""

    def __init__(self, job: Job, models: Sequence[Published], folder: Path) -> None:
        self._job = job
        self._files: dict[tuple[str, str], tuple[int, int | None]] = {}
        """Model and place of each file → bytes downloaded, and its size if known."""
        for one in models:
            self.model(one, "queued")
            for file in one.files:
                path = folder / one.place(file)
                here, partial = ((at.stat().st_size if at.is_file() else 0) for at in (path, partial_of(path)))
                self._files[one.name, one.place(file)] = (here or partial, here or file.bytes)
        self._begun_s = time.monotonic()
        self._n_at_first = self._n_done
        self._reported_s, self._n_reported = 0.0, 0

    def model(self, published: Published, state: str, error: str | None = None) -> None:
        """Reports the state of a model."""
        self._job.events.append(("model", {"name": published.name, "state": state, "error": error}))

    def bytes_of(self, published: Published) -> OnProgress:
        """Returns a callback that reports the progress of a model's files, but not too often."""

        def progress(place: str, n_done: int, n_total: int | None) -> None:
            self._files[published.name, place] = (n_done, n_total)
            now_s = time.monotonic()
            much = abs(n_done - self._n_reported) >= REPORT_SHARE * (n_total or math.inf)
            if much or now_s - self._reported_s >= REPORT_S or n_done == n_total:
                self._reported_s, self._n_reported = now_s, n_done
                self._job.events.append(("bytes", self._facts(published.name, place, now_s - self._begun_s)))

        return progress

    @property
    def _n_done(self) -> int:
        return sum(n_done for n_done, _ in self._files.values())

    def _facts(self, model: str, place: str, seconds: float) -> dict[str, Any]:
        n_total = _sum([n_total for _, n_total in self._files.values()])
        rate = max(0, self._n_done - self._n_at_first) / seconds if seconds > 0 else 0.0
        return {
            "model": model,
            "file": place,
            "n_done": self._n_done,
            "n_total": n_total,
            "n_files": len(self._files),
            "n_files_done": sum(n_done == n_total for n_done, n_total in self._files.values()),
            "of_model": {
                "n_done": sum(n for (name, _), (n, _) in self._files.items() if name == model),
                "n_total": _sum([n for (name, _), (_, n) in self._files.items() if name == model]),
            },
            "bytes_per_s": round(rate),
            "left_s": round((n_total - self._n_done) / rate, 1) if n_total is not None and rate else None,
        }


def _sum(sizes: Sequence[int | None]) -> int | None:
    """Sum of sizes; None if one is unknown."""
    return None if None in sizes else sum(one for one in sizes if one is not None)
