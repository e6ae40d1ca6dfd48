"""The trials of a study with Optuna, in a journal file: each is asked for and told once, even if processes die.

    book = TrialBook(folder / "trials.journal", search, name=identity, maximizes=True, first=None)
    while (trial := book.next()) is not None:
        book.tell(trial, value_of(trial.setting), runs={})

A trial that was asked for but not told because its process died is returned again before any new one. The sampler
(TPE) is reseeded for each trial from the study's seed and the number of told trials, so an interrupted study asks for
the same trials as an uninterrupted one.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from svdaudio.errors import ConfigError, StoreError
from svdaudio.files import write_bytes
from svdaudio.store.locks import file_lock
from svdaudio.studies.study_spec import Search, is_number
from svdaudio.studies.sweep import ParameterRange

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study

JOURNAL = "trials.journal"
FANOVA, PED_ANOVA = "fANOVA", "PED-ANOVA"
RUNS = "runs"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One setting that Optuna asked for."""

    number: int
    setting: Mapping[str, Any]
    runs: Mapping[str, str]
    """Name → id of its runs; empty until it is told."""


class TrialBook:
    """The trials of one study.

    Args:
        path: the journal file, which may also hold studies of other specifications.
        search: ranges, number of trials and seed.
        name: identifies the study in the file.
        maximizes: whether more is better.
        first: a setting within the ranges to try first, if any.

    Raises:
        ConfigError: Optuna is not installed.
        StoreError: the file cannot be read or written.
    """

    def __init__(
        self, path: Path, search: Search, *, name: str, maximizes: bool, first: Mapping[str, Any] | None
    ) -> None:
        check_installed()
        self._search = search
        self._space = {one.name: _distribution(one) for one in search.ranges}
        with _quiet():
            self._study = _open(path, name, maximizes=maximizes)
            if first is not None and not self._study.get_trials(deepcopy=False):
                self._study.enqueue_trial(dict(first))

    def next(self) -> Trial | None:
        """The next trial to run: an unfinished one, otherwise a new one; None once all are told."""
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        with _quiet():
            for one in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if one.params.keys() == self._space.keys():
                    return Trial(number=one.number, setting=self._setting(one.params), runs={})
                self._study.tell(one.number, state=TrialState.FAIL)  # its process died while asking for it
            if len(self.told) >= self._search.n:
                return None
            entropy = (self._search.seed, len(self.told))
            self._study.sampler = TPESampler(seed=int(np.random.SeedSequence(entropy).generate_state(1)[0]))
            asked = self._study.ask(self._space)
        return Trial(number=asked.number, setting=self._setting(asked.params), runs={})

    def tell(self, trial: Trial, value: float | None, runs: Mapping[str, str]) -> None:
        """Record the result of a trial.

        Args:
            trial: from `next`.
            value: the mean of its objective; None if it has none.
            runs: name → id of its runs.
        """
        from optuna.trial import TrialState

        with _quiet():
            self._study.set_user_attr(f"{RUNS} {trial.number}", dict(runs))
            if value is None:
                self._study.tell(trial.number, state=TrialState.FAIL)
            else:
                self._study.tell(trial.number, value)

    @property
    def told(self) -> list[Trial]:
        """The trials that were told, in order."""
        from optuna.trial import TrialState

        runs = self._study.user_attrs
        found = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
        return [
            Trial(number=one.number, setting=self._setting(one.params), runs=runs[f"{RUNS} {one.number}"])
            for one in found
            if f"{RUNS} {one.number}" in runs
        ]

    def keep(self, what: str, runs: Mapping[str, str]) -> None:
        """Store runs that belong to no trial under a name."""
        with _quiet():
            self._study.set_user_attr(what, dict(runs))

    def kept(self, what: str) -> Mapping[str, str]:
        """The runs that `keep` stored under a name; empty if there are none."""
        return self._study.user_attrs.get(what, {})

    def importance(self) -> tuple[str, dict[str, float]]:
        """Optuna's importance of each parameter, as shares that sum to 1, and the name of its evaluator.

        With scikit-learn, fANOVA (Hutter, Hoos, Leyton-Brown, 2014): the variance of a random forest fitted to the
        trials. Without, PED-ANOVA (Watanabe, Bansal, Hutter, 2023): how far the best tenth of the trials is from all
        of them. Empty if the trials are too few or alike.
        """
        import optuna

        forest = find_spec("sklearn") is not None
        name = FANOVA if forest else PED_ANOVA
        with _quiet():
            evaluator = (
                optuna.importance.FanovaImportanceEvaluator(seed=self._search.seed)
                if forest
                else optuna.importance.PedAnovaImportanceEvaluator()
            )
            try:
                found = optuna.importance.get_param_importances(self._study, evaluator=evaluator)
            except (ValueError, RuntimeError):  # too few trials, or all are alike
                return name, {}
        return name, {name: float(found[name]) for name in self._space if name in found and np.isfinite(found[name])}

    def _setting(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters in the order of the study; values as they were written, not 0.30000000000000004."""
        return {one.name: _nearest(one, params[one.name]) for one in self._search.ranges if one.name in params}


def check_installed() -> None:
    """Check that Optuna is installed.

    Raises:
        ConfigError: Optuna is not installed.
    """
    try:
        import optuna  # noqa: F401  # pyright: ignore[reportUnusedImport] - whether it is there
    except ImportError:
        raise ConfigError(
            'search.kind = "optuna" needs the package optuna', fix="install it with `pip install 'svdaudio[optuna]'`"
        ) from None


def covers(one: ParameterRange, value: Any) -> bool:
    """Whether a range contains a value."""
    if one.interval is not None and not one.values:
        return is_number(value) and one.interval[0] <= value <= one.interval[1]
    return value in one.values


class _KernelLock:
    """A lock on the journal that is released when its holder dies; Optuna's own lock would remain.

    Args:
        path: the lock file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = ExitStack()

    def acquire(self) -> bool:
        """Wait for the lock, and take it."""
        self._held.enter_context(file_lock(self._path, lambda: None))
        return True

    def release(self) -> None:
        """Release the lock."""
        self._held.close()


def _drop_partial_line(path: Path) -> None:
    """Remove an incomplete last line, which a killed process left."""
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        write_bytes(path, whole)


def _open(path: Path, name: str, *, maximizes: bool) -> Study:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    lock = _KernelLock(path.with_name(f"{path.name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        try:
            _drop_partial_line(path)
        finally:
            lock.release()
        backend = JournalFileBackend(str(path), lock_obj=cast("Any", lock))
        return optuna.create_study(
            storage=JournalStorage(backend),
            study_name=name,
            direction="maximize" if maximizes else "minimize",
            load_if_exists=True,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:  # the last three: the file is not a journal
        raise StoreError(
            f"the trials in {path} cannot be read or written",
            got=repr(error),
            fix="move the file away, or give another --out",
        ) from error


def _distribution(one: ParameterRange) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if one.interval is None:
        return CategoricalDistribution(one.values)
    low, high = one.interval
    if one.values:
        high = one.values[-1]
        step = round(one.values[1] - one.values[0], 12) if len(one.values) > 1 else 1
        if all(isinstance(value, int) for value in one.values):
            return IntDistribution(int(low), int(high), step=int(step))
        return FloatDistribution(float(low), float(high), step=float(step)) if high > low else _only(float(low))
    return FloatDistribution(float(low), float(high))


def _only(value: float) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution

    return CategoricalDistribution((value,))


def _nearest(one: ParameterRange, value: Any) -> Any:
    if one.interval is None or not one.values:
        return value
    return min(one.values, key=lambda known: abs(known - value))


@contextmanager
def _quiet() -> Generator[None]:
    """Silence Optuna's log of every trial, and its warnings about experimental interfaces."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
