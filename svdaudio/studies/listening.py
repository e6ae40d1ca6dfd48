"""The evaluation of sounds by all judges of a bundle: runs, files and tables of edits, and figures of the set.

items = [run_item(session, session.load("latest"))]
heard = listen(items, bundle, models)
heard.findings["tagger"], heard.closer, heard.results()
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from svdaudio.engine.batches import KIND, kept_runs
from svdaudio.errors import InputError, RunError
from svdaudio.evaluation.closer import Closeness, closeness
from svdaudio.evaluation.judges import (
    AUDIO_ENCODER,
    TEXT_ENCODER,
    Heard,
    ModelsByRole,
    OnSound,
    embed,
    embed_texts,
    hear,
    ignore,
    network_name,
)
from svdaudio.evaluation.sets import SetFigure, SoundSet, clap_score, set_figures
from svdaudio.evaluation.sounds import Facts, Source, differences_of, facts_of, warnings_of
from svdaudio.figures import Figure, mean_figure
from svdaudio.studies.sound_pairs import SoundPair
from svdaudio.verdicts import HEARD, Finding, edit_findings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from svdaudio.checkpoints.bundle import Bundle
    from svdaudio.session import Session
    from svdaudio.store.runs import RunRecord

Scores = Mapping[str, Mapping[str, float]]
"""Sound → class → score, 0 to 1."""
Verdict = Callable[[Scores], Sequence[Finding]]


@dataclass(frozen=True, kw_only=True)
class Item:
    """Sounds that belong together: those of a run, those of a line of a table, or one file."""

    name: str
    sounds: Mapping[str, Source]
    """Name within the item ("manipulated") → the sound."""
    result: str
    """The main sound, which is the item's part of the set; the others are compared with it."""
    verdict: Verdict | None = None
    """Scores by one judge → intended changes, and whether they happened."""
    text: str | None = None
    """Description of the intended result, for a CLAP score."""

    @property
    def key(self) -> str:
        """The key that pairs the result with a sound of the reference: its file name without the suffix."""
        path = self.sounds[self.result].path if self.result in self.sounds else None
        return self.name if path is None else path.stem


def file_item(path: Path) -> Item:
    """The item of a sound file."""
    return Item(name=str(path), sounds={"sound": Source(name=str(path), path=path)}, result="sound")


def pair_item(pair: SoundPair) -> Item:
    """The item of a line of a table."""

    def verdict(scores: Scores) -> Sequence[Finding]:
        if "original" not in scores or not pair.changes:
            return ()
        return edit_findings(scores["original"], scores["manipulated"], pair.changes)

    sounds = {name: Source(name=f"{pair.name}/{name}", path=path) for name, path in pair.sounds.items()}
    return Item(name=pair.name, sounds=sounds, result="manipulated", verdict=verdict, text=pair.text)


def run_items(session: Session, run: RunRecord) -> list[Item]:
    """The item of a run, with its sounds as its own tagger received them, or the items of every run of a batch.

    Raises:
        RunError: a run has no sounds, or a run of the batch is missing.
        StoreError: an artifact is missing or damaged.
    """
    if run.kind == KIND:
        members = [(member.name, kept) for member, kept in kept_runs(run, session.store)]
        if lost := [name for name, kept in members if kept is None]:
            raise RunError(f"batch {run.id} lacks the run of '{lost[0]}'", fix=f"run `svdaudio resume {run.id}`")
        return [item for _, kept in members if kept is not None for item in run_items(session, kept)]
    arrays = session.arrays(run, recompute=False)
    waveforms = arrays.heard() or arrays.sounds()
    if not waveforms:
        raise RunError(f"run {run.id} has no sounds", got=run.state, fix=f"run `svdaudio resume {run.id}`")
    method = arrays.method

    def verdict(scores: Scores) -> Sequence[Finding]:
        return method.verdict(arrays.judged(scores))

    sounds = {name: Source(name=f"{run.id}/{name}", samples=samples) for name, samples in waveforms.items()}
    return [Item(name=run.id, sounds=sounds, result=method.result_of(arrays.config), verdict=verdict)]


@dataclass(frozen=True, kw_only=True)
class Listening:
    """Results of the judges of a bundle."""

    bundle: str
    items: tuple[Item, ...]
    facts: Mapping[str, Facts]
    """Name of each sound → its length, level and other facts."""
    rows: Mapping[str, int]
    """Name of each judged sound → its row in the arrays."""
    heard: Mapping[str, Heard]
    """Role of a judge → its scores and embeddings."""
    clap: NDArray[np.float32] | None
    """CLAP embeddings [n_sounds, 512]."""
    clap_name: str
    sets: tuple[SetFigure, ...]
    warnings: tuple[str, ...]

    def scores(self, role: str, item: Item) -> dict[str, dict[str, float]]:
        """Sound of an item → class → score by a judge; sounds that are too short are omitted."""
        heard = self.heard[role]
        found: dict[str, dict[str, float]] = {}
        for name, source in item.sounds.items():
            if source.name in self.rows:
                row = heard.scores[self.rows[source.name]]
                found[name] = {one: round(float(x), 6) for one, x in zip(heard.classes, row, strict=True)}
        return found

    @cached_property
    def findings(self) -> dict[str, dict[str, list[Finding]]]:
        """Role of a judge → name of an item → its verdict; items without intended changes are omitted."""
        found: dict[str, dict[str, list[Finding]]] = {}
        for role in self.heard:
            verdicts = {item.name: self._verdict(role, item) for item in self.items}
            found[role] = {name: findings for name, findings in verdicts.items() if findings}
        return found

    def _verdict(self, role: str, item: Item) -> list[Finding]:
        scores = self.scores(role, item)
        whole = item.verdict is not None and len(scores) == len(item.sounds)
        return list(item.verdict(scores)) if whole and item.verdict is not None else []

    @cached_property
    def closer(self) -> dict[str, list[Closeness]]:
        """Item → whether its result is closer to the edited sound, in CLAP space and in that of each judge."""
        found = {item.name: list(self._closeness(item)) for item in self.items}
        return {name: near for name, near in found.items() if near}

    def _closeness(self, item: Item) -> Iterable[Closeness]:
        names = {
            name: self.rows[source.name]
            for name, source in item.sounds.items()
            if source.name in self.rows and not self.facts[source.name].is_silent
        }
        spaces = {} if self.clap is None else {self.clap_name: self.clap}
        for heard in self.heard.values():
            spaces[f"{heard.network}, embedding of {heard.embedding.shape[1]}"] = heard.embedding
        for space, vectors in spaces.items():
            near = closeness(space, {name: vectors[row].tolist() for name, row in names.items()})
            if near is not None:
                yield near

    def labels(self, role: str, requested: Sequence[str] = ()) -> list[str]:
        """The classes of a judge to show: the requested ones, otherwise those of its verdicts and those it heard."""
        heard = self.heard[role]
        if requested:
            return [name for name in requested if name in heard.classes]
        judged = {one.class_name for findings in self.findings[role].values() for one in findings}
        loud = heard.scores.max(axis=0, initial=0.0) >= HEARD
        return [name for name, is_loud in zip(heard.classes, loud, strict=True) if is_loud or name in judged]

    @cached_property
    def summary(self) -> list[Figure]:
        """Shares of the items: findings as intended, for each judge, and results closer to the edited sound."""
        figures: list[Figure] = []
        for role, verdicts in self.findings.items():
            by_wanted: dict[str, list[float]] = {}
            for one in (finding for findings in verdicts.values() for finding in findings if finding.ok is not None):
                by_wanted.setdefault(one.wanted, []).append(float(one.ok or False))
            network = self.heard[role].network
            figures += [mean_figure(f"{wanted}, as wanted ({network})", oks) for wanted, oks in by_wanted.items()]
        by_space: dict[str, list[float]] = {}
        for one in (near for nears in self.closer.values() for near in nears if near.closer is not None):
            by_space.setdefault(one.space, []).append(float(one.closer or False))
        return figures + [mean_figure(f"closer to the edited ({space})", oks) for space, oks in by_space.items()]

    def results(self, requested: Sequence[str] = ()) -> dict[str, Any]:
        """As plain data.

        Args:
            requested: classes to list; see `labels`.
        """
        judges: dict[str, Any] = {}
        for role, heard in self.heard.items():
            labels = self.labels(role, requested)
            scores = {
                item.sounds[name].name: {label: row[label] for label in labels}
                for item in self.items
                for name, row in self.scores(role, item).items()
            }
            judges[role] = {"network": heard.network, "classes": len(heard.classes), "scores": scores}
        return {
            "bundle": self.bundle,
            "sounds": {name: facts.results() for name, facts in self.facts.items()},
            "judges": judges,
            "verdict": {
                role: {name: [_with_margin(one) for one in findings] for name, findings in verdicts.items()}
                for role, verdicts in self.findings.items()
            },
            "closer": {name: [near.results() for near in nears] for name, nears in self.closer.items()},
            "summary": [
                {"name": f.name, "value": f.value, "low": f.low, "high": f.high, "n": f.n} for f in self.summary
            ],
            "sets": [figure.results() for figure in self.sets],
            "warnings": list(self.warnings),
        }

    def table(self, requested: Sequence[str] = ()) -> list[dict[str, Any]]:
        """A row for each score that `results` lists."""
        return [
            {"item": item.name, "sound": name, "judge": heard.network, "class": label, "score": row[label]}
            for role, heard in self.heard.items()
            for item in self.items
            for name, row in self.scores(role, item).items()
            for label in self.labels(role, requested)
        ]


def listen(
    items: Sequence[Item],
    bundle: Bundle,
    models: ModelsByRole,
    *,
    reference: Sequence[Path] = (),
    on_sound: OnSound = ignore,
) -> Listening:
    """Score every sound of some items by the judges of a bundle, and compare the results with a reference set.

    Args:
        items: items with unique names.
        bundle: the bundle with the judges.
        models: of the bundle.
        reference: sounds of the reference set.
        on_sound: receives a text before each sound.

    Raises:
        InputError: a sound cannot be read, or two of the reference have the same name.
        ConfigError: the text encoder does not know a text.
    """
    texts = embed_texts(bundle, models, [item.text for item in items if item.text is not None])
    sources = [source for item in items for source in item.sounds.values()]
    references = [Source(name=path.stem, path=path) for path in reference]
    names = [one.name for one in references]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise InputError("two sounds of the reference have the same name", got=repeated[0], fix="rename one of them")
    facts = {source.name: facts_of(source) for source in sources}
    reference_facts = {source.name: facts_of(source) for source in references}
    judged = [source for source in sources if not facts[source.name].is_short]
    counting = [source for source in references if reference_facts[source.name].is_usable]
    both = [*judged, *counting]  # together: each model is loaded once
    heard, clap = hear(bundle, models, both, on_sound), embed(bundle, models, both, on_sound)
    n = len(judged)
    rows = {source.name: row for row, source in enumerate(judged)}
    clap_name = network_name(bundle, AUDIO_ENCODER) if clap is not None else ""
    warnings = [*warnings_of(list(facts.values()))]
    results = [item for item in items if item.result in item.sounds]
    counted = [item for item in results if facts[item.sounds[item.result].name].is_usable]
    sets: list[SetFigure] = []
    if references:
        warnings += [f"reference: {text}" for text in warnings_of(list(reference_facts.values()))]
        own = [facts[item.sounds[item.result].name] for item in counted]
        warnings += differences_of(own, [reference_facts[source.name] for source in counting])
        places = np.array([rows[item.sounds[item.result].name] for item in counted], np.intp)
        first = _subset([item.key for item in counted], heard, clap, places)
        second = _subset([source.name for source in counting], heard, clap, np.arange(n, len(both)))
        sets += set_figures(first, second, clap_name=clap_name)
    sets += _clap_scores(counted, rows, clap, texts, bundle, clap_name)
    return Listening(
        bundle=bundle.name,
        items=tuple(items),
        facts=facts,
        rows=rows,
        heard={role: _rows(one, np.arange(n)) for role, one in heard.items()},
        clap=None if clap is None else clap[:n],
        clap_name=clap_name,
        sets=tuple(sets),
        warnings=tuple(warnings),
    )


def _rows(heard: Heard, rows: NDArray[np.intp]) -> Heard:
    return Heard(
        network=heard.network, classes=heard.classes, logits=heard.logits[rows], embedding=heard.embedding[rows]
    )


def _subset(
    names: Sequence[str], heard: Mapping[str, Heard], clap: NDArray[np.float32] | None, rows: NDArray[np.intp]
) -> SoundSet:
    return SoundSet(
        names=tuple(names),
        heard={role: _rows(one, rows) for role, one in heard.items()},
        clap=None if clap is None else clap[rows],
    )


def _clap_scores(
    items: Sequence[Item],
    rows: Mapping[str, int],
    clap: NDArray[np.float32] | None,
    texts: Mapping[str, NDArray[np.float32]] | None,
    bundle: Bundle,
    clap_name: str,
) -> Iterable[SetFigure]:
    """The CLAP score, if texts were given."""
    described = [item for item in items if item.text is not None]
    if not described:
        return
    if clap is None or texts is None:
        lacking = TEXT_ENCODER if texts is None else AUDIO_ENCODER
        yield SetFigure(name="CLAP score", direction="↑", why=f"the bundle '{bundle.name}' has no {lacking}")
        return
    sounds = clap[[rows[item.sounds[item.result].name] for item in described]]
    yield clap_score(sounds, np.stack([texts[item.text] for item in described if item.text]), clap_name=clap_name)


def _with_margin(finding: Finding) -> dict[str, Any]:
    margin = finding.margin
    return {**finding.results(), "margin": None if margin is None else round(margin, 6)}
