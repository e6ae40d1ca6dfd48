"""A parameter study: every setting on every scene with every seed, as batches like any other.

    study = ParameterStudy(spec=read_spec(path), folder=Path("out"))
    plan = study.plan(session)                                    # checks everything, computes nothing
    prepared = plan.prepare(session, plan.settings)               # one batch, for a grid or random settings
    results = plan.results(plan.settings, {job.name: run ...})    # values [setting, scene, seed]

The first setting is the baseline: the study's settings with no searched parameter changed, or, with `baseline =
"first"`, the first one of the search. For Optuna, `svdaudio.studies.trials` picks the settings.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from svdaudio.config import parse_override
from svdaudio.engine.batches import Prepared, digest_of_work
from svdaudio.errors import ConfigError, RunError, SvdAudioError
from svdaudio.store.keys import canonical
from svdaudio.store.runs import RunRecord
from svdaudio.studies.objective import known_names, values_of
from svdaudio.studies.pairs import Common, Row, prepare
from svdaudio.studies.study_spec import Spec, spec_of
from svdaudio.studies.sweep import check_values, setting_name

if TYPE_CHECKING:
    from svdaudio.session import Session

STUDY = "parameters"
"""The kind of these studies in records of batches."""

Setting = Mapping[str, Any]
"""Dotted name → value of searched parameters."""
PrepareRows = Callable[["Session", Sequence[Row], Any, Common], "list[Prepared]"]
"""`svdaudio.studies.pairs.prepare`, or a version that reports notes."""


@dataclass(frozen=True, kw_only=True)
class ParameterStudy:
    """A specification with the additions of a command line."""

    spec: Spec
    folder: Path
    """Folder for results."""
    overrides: tuple[str, ...] = ()
    """Texts such as `svd.k=7`, which override the settings of the specification."""
    bundle: str | None = None

    @property
    def common(self) -> Common:
        """The settings that its runs share.

        Raises:
            ConfigError: an override cannot be read, or has no effect.
        """
        spec, known = self.spec, self.spec.method.config.parameters()
        replaced = {parse_override(text, known)[0] for text in self.overrides}
        if "seed" in replaced and not isinstance(spec.seeds, int):
            raise ConfigError("--set seed=… would have no effect: the study has a list of seeds")
        given = {name: value for name, value in spec.settings.items() if name not in replaced}
        if self.bundle is not None:
            given["bundle"] = self.bundle
        if spec.baseline == "first":
            idle = [name for name in spec.search.names if name in replaced or name in given]
            if idle:
                raise ConfigError(
                    f"the setting of '{idle[0]}' would have no effect: it is searched",
                    fix='omit it, or use baseline = "defaults"',
                )
        return Common(given=given, overrides=self.overrides, variant=spec.variant)

    def plan(self, session: Session) -> StudyPlan:
        """Check everything that can be checked before anything runs.

        Args:
            session: finds bundles and artifacts.

        Raises:
            ConfigError: a parameter, value or name of the objective is invalid.
            InputError: a file or click cannot be used.
        """
        spec, common = self.spec, self.common
        method, search = spec.method, spec.search
        check_values(search.ranges, common.given, method.config, source=f"{spec.path.name} [search]")
        found = search.settings()
        (first,) = prepare(session, [replace(spec.cases[0], name="baseline")], method, common)
        config = first.request.config
        start = int(config.seed)
        seeds = tuple(range(start, start + spec.seeds)) if isinstance(spec.seeds, int) else spec.seeds
        scored = method.scores(config)
        nodes = {node.name for node in first.request.nodes}
        sounds = [name for name, source in scored.items() if source.rpartition(".")[0] in nodes]
        classes = method.score_names(config, first.request.bundle.classes) if sounds else ()
        spec.objective.check(known_names(classes, sounds, result=method.result_of(config)), sounds)
        settings, n_added = found, 0
        if spec.baseline == "defaults":
            baseline = _values(config, search.names)
            others = [one for one in found if setting_name(one) != setting_name(baseline)]
            settings, n_added = [baseline, *others], int(len(others) == len(found))
        return StudyPlan(study=self, settings=settings, n_added=n_added, seeds=seeds, bundle=first.request.bundle.name)

    def command(self, *, default_folder: Path | None = None) -> str:
        """The command that reproduces its results.

        Args:
            default_folder: the folder for results without `--out`.
        """
        words = ["svdaudio", "study", str(self.spec.path)]
        words += [word for text in self.overrides for word in ("--set", text)]
        words += [] if self.bundle is None else ["--bundle", self.bundle]
        words += [] if self.folder == default_folder else ["--out", str(self.folder)]
        return shlex.join(words)

    def kept(self, command: str) -> dict[str, Any]:
        """Itself and its command as JSON data, for the records of its batches."""
        return {
            "kind": STUDY,
            "spec": dict(self.spec.raw),
            "path": str(self.spec.path.absolute()),
            "folder": str(self.folder.absolute()),
            "overrides": list(self.overrides),
            "bundle": self.bundle,
            "command": command,
        }

    @classmethod
    def of_record(cls, kept: Mapping[str, Any]) -> tuple[Self, str]:
        """The study and its command, from the result of `kept`.

        Raises:
            InputError: a file of the study is missing.
            ConfigError: a version of svdaudio with other keys wrote it.
        """
        study = cls(
            spec=spec_of(kept["spec"], Path(kept["path"])),
            folder=Path(kept["folder"]),
            overrides=tuple(kept["overrides"]),
            bundle=kept["bundle"],
        )
        return study, kept["command"]


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """A study with its settings and seeds, checked."""

    study: ParameterStudy
    settings: Sequence[Setting]
    """All of a grid or of random draws, the baseline first; for Optuna the baseline alone, if it is the defaults."""
    n_added: int
    """1 if the baseline is not one of the search's own settings."""
    seeds: tuple[int, ...]
    bundle: str

    @property
    def spec(self) -> Spec:
        """The specification."""
        return self.study.spec

    @property
    def scenes(self) -> list[str]:
        """Names of the scenes."""
        return [case.name for case in self.spec.cases]

    @property
    def n_text(self) -> str:
        """The numbers of scenes and seeds, in words."""
        return f"{counted(len(self.scenes), 'scene')} × {counted(len(self.seeds), 'seed')}"

    def names(self, setting: Setting) -> list[str]:
        """The names of the runs of a setting: scene by scene, and in each seed by seed."""
        text = setting_name(setting) or "as it is"
        return [f"{scene} | {text} | seed={seed}" for scene in self.scenes for seed in self.seeds]

    def prepare(
        self, session: Session, settings: Sequence[Setting], prepare_rows: PrepareRows = prepare
    ) -> list[Prepared]:
        """The runs of some settings as members of a batch, checked.

        Raises:
            RowsError: some settings or scenes cannot be used; the error has all reasons.
        """
        rows: list[Row] = []
        for setting in settings:
            names = iter(self.names(setting))
            for case in self.spec.cases:
                for seed in self.seeds:
                    parameters = {**case.parameters, **setting, "seed": seed}
                    where = f"{case.where}, {setting_name(setting)}" if setting else case.where
                    rows.append(replace(case, name=next(names), parameters=parameters, where=where))
        return prepare_rows(session, rows, self.spec.method, self.study.common)

    def identity(self, session: Session) -> str:
        """A digest of what the objective of a setting depends on: scenes, seeds, parameters, models, objective."""
        work = digest_of_work(self.prepare(session, [{}]))
        ranges = [[one.name, list(one.values), list(one.interval or ())] for one in self.spec.search.ranges]
        spec = self.spec
        return digest_text(
            [work, ranges, spec.search.seed, spec.baseline, spec.objective.text, spec.direction, list(self.seeds)]
        )

    def results(self, settings: Sequence[Setting], runs: Mapping[str, RunRecord], *, n_added: int) -> StudyResults:
        """The objective of every run that has results.

        Args:
            settings: in order, the baseline first.
            runs: name → run, for every name that `names` returns.
            n_added: 1 if the baseline is not one of the search's own settings.

        Raises:
            ConfigError: the objective has no value for a run.
            RunError: a run is missing, since the study's scenes have changed.
        """
        values = np.full((len(settings), len(self.scenes), len(self.seeds)), np.nan)
        ordered: list[list[RunRecord]] = []
        for place, setting in enumerate(settings):
            names = self.names(setting)
            missing = [name for name in names if name not in runs]
            if missing:
                raise RunError(
                    f"the batch has no run '{missing[0]}': the study's scenes have changed since it was started",
                    fix="repeat the command of the study",
                )
            ordered.append([runs[name] for name in names])
            objectives = [self.objective(runs[name], name) for name in names]
            values[place] = np.array(objectives, np.float64).reshape(values.shape[1:])
        return StudyResults(plan=self, settings=list(settings), n_added=n_added, values=values, runs=ordered)

    def objective(self, run: RunRecord, name: str) -> float:
        """The objective of a run; NaN if it has no results.

        Args:
            run: of this study.
            name: of the run, for errors.

        Raises:
            ConfigError: an unknown name in the objective, a division by zero, or a value that is not finite.
        """
        if run.state != "finished" or not run.results:
            return float("nan")
        try:
            return self.spec.objective.value(values_of(run.results, result=run.results.get("result", "")))
        except SvdAudioError as error:
            raise ConfigError(f"{error.what} ({name})", expected=error.expected, got=error.got, fix=error.fix) from None


@dataclass(frozen=True, kw_only=True)
class StudyResults:
    """The results of a study."""

    plan: StudyPlan
    settings: Sequence[Setting]
    """The baseline first."""
    n_added: int
    """1 if the baseline is not one of the search's own settings."""
    values: Float[NDArray[np.float64], "setting scene seed"]
    """Of the objective; NaN where a run has no result."""
    runs: Sequence[Sequence[RunRecord]]
    """For each setting its runs, scene by scene and seed by seed."""
    importance: Mapping[str, float] | None = None
    """Optuna's importance of each parameter, 0 to 1; None without Optuna."""
    evaluator: str = ""
    """The name of Optuna's evaluator of importance."""

    @property
    def n_missing(self) -> int:
        """The number of runs without a result."""
        return int(np.isnan(self.values).sum())

    @property
    def best(self) -> int | None:
        """The index of the setting with the best mean, the first of equals; None without results."""
        there = ~np.isnan(self.values)
        counts = there.sum(axis=(1, 2))
        if not counts.any():
            return None
        means = np.where(there, self.values, 0.0).sum(axis=(1, 2)) / np.maximum(counts, 1)
        sign = 1.0 if self.plan.spec.maximizes else -1.0
        return int(np.where(counts > 0, sign * means, -np.inf).argmax())


def _values(config: Any, names: Sequence[str]) -> dict[str, Any]:
    """The values of parameters; entries of tables that do not exist are omitted."""
    found: dict[str, Any] = {}
    for name in names:
        try:
            found[name] = config.value(name)
        except ConfigError:  # "gains.cat" where no gain is given
            continue
    return found


def counted(n: int, noun: str) -> str:
    """A count with its noun: "1 seed", "3 seeds"."""
    return f"{n} {noun}{'s' * (n != 1)}"


def digest_text(value: Any) -> str:
    """sha256 of plain JSON data."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
