"""`svdaudio demo`, `run`, `plan` and `baseline`; also running a method and printing the result for other commands."""

from __future__ import annotations

import os
import shlex
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svdaudio.cli import options
from svdaudio.cli.grouped import grouped
from svdaudio.cli.output import console, print_files, print_findings, print_json, print_run_head, short_path, table
from svdaudio.evaluation.closer import closer_by_scores

if TYPE_CHECKING:
    from svdaudio.session import Result, Session

NO_COPY = options.OutOptions()


@grouped
def demo(
    *,
    bundle: options.Bundle = None,
    seed: options.Seed = None,
    overrides: options.Set = None,
    execution: options.Execution,
) -> None:
    """Generate the sounds of an example: a dog and a cat become a dog and a duck.

    A click removes the cat in the first picture, and another adds the duck in the second. Generates the sounds of both
    pictures and of the edit, scores them, and writes a report to open in a browser.
    """
    from svdaudio.studies.scenes import demo_scene

    scene = demo_scene()
    parameters = options.EditParameters(
        bundle=bundle, seed=seed, overrides=overrides, remove=scene.clicks["remove"], add=scene.clicks["add"]
    )
    session, result = _run([scene.original, scene.edited], parameters, NO_COPY, execution)
    if execution.as_json:
        return
    console().print(
        f"\nReport with pictures, sounds and scores, for a browser:\n  {short_path(session.write_page([result.run]))}",
        markup=False,
    )
    given = [(name, text) for name, each in scene.clicks.items() for text in each]
    given += [(name, str(value)) for name, value in (("seed", seed), ("bundle", bundle)) if value is not None]
    given += [("set", text) for text in overrides or () if not text.strip().startswith("svd.alpha")]
    before = "".join(f" --{name} {shlex.quote(text)}" for name, text in given)
    store = execution.store
    where = "" if store in (None, os.environ.get("SVDAUDIO_STORE")) else f" --store {shlex.quote(store)}"
    pictures = f"{shlex.quote(short_path(scene.original))} {shlex.quote(short_path(scene.edited))}"
    console().print(
        f"\nNext: change a parameter; only the stages that depend on it run again:\n"
        f"  svdaudio run {pictures}{before} --set svd.alpha=0.2{where}\n"
        f"Or inspect any stage:\n"
        f"  svdaudio inspect latest removed.mask --plot{where}",
        markup=False,
    )


@grouped
def run(
    files: options.Files, *, parameters: options.EditParameters, out: options.OutOptions, execution: options.Execution
) -> None:
    """Generate the sound of an edit: the removed object is suppressed, the added one is boosted.

    For comparison, also generates the sounds of both pictures by plain SSV2A. Stages whose results are in the store are
    not recomputed; `plan` shows beforehand what would run.
    """
    _run(files, parameters, out, execution)


@grouped
def plan(
    files: options.Files,
    *,
    parameters: options.EditParameters,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Show which stages `run` with the same arguments would compute, and why.

    'cached': the artifact is in the store. 'run': it is not, for the given reason. 'unknown': an input has to be
    computed first; if it comes out unchanged, this stage is cached.
    """
    from svdaudio.cli import sessions

    session = sessions.open_session(store)
    planned = session.plan(sessions.request_of(session, parameters.method, files, parameters))
    if as_json:
        stages = [{"stage": node.name, "status": node.status, "reason": node.reason} for node in planned]
        print_json({"stages": stages})
        return
    counts = Counter(node.status for node in planned)
    screen = console()
    screen.print(table(["stage", "status", "reason"], ([node.name, node.status, node.reason] for node in planned)))
    screen.print(f"{counts['cached']} cached, {counts['run']} to run, {counts['unknown']} unknown")


@grouped
def baseline(
    image: options.Image, *, parameters: options.SoundParameters, out: options.OutOptions, execution: options.Execution
) -> None:
    """Generate the sound of one picture by plain SSV2A, with scores."""
    _run([image], parameters, out, execution)


def _run(
    files: Sequence[Path],
    parameters: options.SoundParameters,
    out: options.OutOptions,
    execution: options.Execution,
) -> tuple[Session, Result]:
    from svdaudio.cli import sessions

    begun = time.perf_counter()
    sessions.check_sound_out(out, inputs=files)
    session = sessions.open_session(execution.store, execution.open_runner())
    method = parameters.method if isinstance(parameters, options.EditParameters) else "baseline"
    request = sessions.request_of(session, method, files, parameters)
    result = sessions.run_request(session, request, out)
    print_result(result, begun, as_json=execution.as_json)
    return session, result


def print_result(result: Result, begun: float, *, as_json: bool) -> None:
    """Print the counts, scores and files of a run, or all of it as one JSON object."""
    if as_json:
        print_json(_as_json(result, begun))
    else:
        _print_as_text(result, begun)


def _as_json(result: Result, begun: float) -> dict[str, Any]:
    record, report = result.run, result.report
    return {
        "bundle": record.bundle,
        "run": record.id,
        "audio": _stems_apart({name: str(path) for name, path in report.audio.items()}, report.stems),
        "scores": _stems_apart({name: dict(scores) for name, scores in report.scores.items()}, report.stems),
        "verdict": [dict(finding) for finding in report.verdict],
        "closer": None if (near := closer_by_scores(report.scores)) is None else near.results(),
        "notes": list(report.notes),
        "stages": [
            {
                "stage": entry.node,
                "key": entry.key,
                "status": entry.status,
                "seconds": round(entry.seconds, 4),
                "reason": entry.reason,
            }
            for entry in record.stages
        ],
        "seconds": round(time.perf_counter() - begun, 3),
    }


def _stems_apart(sounds: dict[str, Any], stems: Sequence[str] | None) -> dict[str, Any]:
    """Sound → value, with the values of the stems grouped under "stems"; unchanged for methods without stems."""
    if stems is None:
        return sounds
    plain = {name: value for name, value in sounds.items() if name not in stems}
    return {**plain, "stems": {name: sounds[name] for name in stems if name in sounds}}


def _print_as_text(result: Result, begun: float) -> None:
    report = result.report
    screen = console()
    print_run_head(result.run, time.perf_counter() - begun)
    if report.scores:
        screen.print()
    print_findings(report.scores, report.result, report.verdict, report.notes)
    screen.print()
    edit = "manipulated"  # the published method's name for the sound of the edit
    named = {f"sound of {'the edit' if sound == edit else sound}": path for sound, path in report.audio.items()}
    named.update(report.pictures)
    print_files(named)
