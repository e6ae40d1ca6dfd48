"""The commands that make sound: demo, run, plan, baseline, resume."""

from __future__ import annotations

import os
import shlex
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdaudio.cli import INTERRUPTED, options
from svdaudio.cli.output import console, print_files, print_json, remark, score_table, seconds_text, short_path, table

if TYPE_CHECKING:
    from svdaudio.cli.work import How, Work
    from svdaudio.config import Resolved
    from svdaudio.engine.plan import Request
    from svdaudio.store import RunRecord
    from svdaudio.views.report import Report


def demo(
    *,
    bundle: options.Bundle = None,
    seed: options.Seed = None,
    overrides: options.Set = None,
    store: options.Store = None,
    prefect: options.Prefect = False,
    runner: options.Runner = None,
    cluster: options.Cluster = None,
    as_json: options.Json = False,
) -> None:
    """The farm scene, from pictures to scored sound.

    A dog and a cat become a dog and a duck: the cat is clicked away in the first picture, the duck is clicked on in
    the second. Gives the sound of both pictures as they are and of the edit, their scores, masks and spectrograms.
    """
    from svdaudio.cli.work import How
    from svdaudio.studies.scenes import demo_scene

    begun = time.perf_counter()
    how = How(prefect=prefect, runner=runner, cluster=cluster)
    scene = demo_scene()
    settings = {**scene.clicks, "seed": seed, "bundle": bundle}
    work, run = _manipulate(scene.original, scene.edited, given=settings, overrides=overrides, store=store)
    run, report = _execute(work, run, how=how, out=None, sound="manipulated")
    if as_json:
        print_json(_result(run, report, begun))
        return
    _print_result(run, report, begun)
    given = [(name, text) for name, each in scene.clicks.items() for text in each]
    given += [(name, str(value)) for name, value in (("seed", seed), ("bundle", bundle)) if value is not None]
    given += [("set", text) for text in overrides or () if not text.strip().startswith("svd.alpha")]
    before = "".join(f" --{name} {shlex.quote(text)}" for name, text in given)
    chosen = store is not None and store != os.environ.get("SVDAUDIO_STORE")
    where = f" --store {shlex.quote(store or '')}" if chosen else ""
    pictures = f"{shlex.quote(short_path(scene.original))} {shlex.quote(short_path(scene.edited))}"
    console().print(
        f"\nNext: change something, and see that only what lies below it runs again:\n"
        f"  svdaudio run {pictures}{before} --set svd.alpha=0.2{where}\n"
        f"Or look into any stage:\n"
        f"  svdaudio inspect latest removed.mask --plot{where}",
        markup=False,
    )


def run(
    original: options.Original,
    edited: options.Edited,
    *,
    remove: options.Remove = None,
    add: options.Add = None,
    config: options.Config = None,
    overrides: options.Set = None,
    seed: options.Seed = None,
    bundle: options.Bundle = None,
    backend: options.Backend = None,
    out: options.Out = None,
    no_baselines: options.NoBaselines = False,
    store: options.Store = None,
    prefect: options.Prefect = False,
    runner: options.Runner = None,
    cluster: options.Cluster = None,
    as_json: options.Json = False,
) -> None:
    """Sound for an edit: what was clicked away is suppressed, what was clicked on is boosted.

    Gives the sound of the edit, and, to compare, plain SSV2A of both pictures. What has been computed before is not
    computed again; `plan` says beforehand what would be.
    """
    from svdaudio.cli.work import How, check_out
    from svdaudio.engine.plan import METHOD_ALONE

    begun = time.perf_counter()
    how = How(prefect=prefect, runner=runner, cluster=cluster)
    check_out(out, kind=".wav", inputs=(original, edited))
    work, record = _manipulate(
        original,
        edited,
        given={"remove": remove, "add": add, "seed": seed, "bundle": bundle, "generate.backend": backend},
        config_file=config,
        overrides=overrides,
        store=store,
        targets=METHOD_ALONE if no_baselines else None,
    )
    record, report = _execute(work, record, how=how, out=out, sound="manipulated")
    if as_json:
        print_json(_result(record, report, begun))
    else:
        _print_result(record, report, begun)


def plan(
    original: options.Original,
    edited: options.Edited,
    *,
    remove: options.Remove = None,
    add: options.Add = None,
    config: options.Config = None,
    overrides: options.Set = None,
    seed: options.Seed = None,
    bundle: options.Bundle = None,
    backend: options.Backend = None,
    no_baselines: options.NoBaselines = False,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """What `run` with the same arguments would compute, and why.

    'cached' is there; 'run' is not, for the reason given; 'unknown' waits for what has to run first, and is
    cached if that comes out as before.
    """
    from svdaudio.engine.plan import METHOD_ALONE
    from svdaudio.engine.plan import plan as make_plan

    request, _, where = _manipulate_request(
        original,
        edited,
        given={"remove": remove, "add": add, "seed": seed, "bundle": bundle, "generate.backend": backend},
        config_file=config,
        overrides=overrides,
        store=store,
        targets=METHOD_ALONE if no_baselines else None,
    )
    planned = make_plan(request, where)
    if as_json:
        stages = [{"stage": node.name, "status": node.status, "reason": node.reason} for node in planned]
        print_json({"stages": stages})
        return
    counts = Counter(node.status for node in planned)
    screen = console()
    screen.print(table(["stage", "status", "reason"], ([node.name, node.status, node.reason] for node in planned)))
    screen.print(f"{counts['cached']} cached, {counts['run']} to run, {counts['unknown']} unknown")


def baseline(
    image: options.Image,
    *,
    config: options.Config = None,
    overrides: options.Set = None,
    seed: options.Seed = None,
    bundle: options.Bundle = None,
    backend: options.Backend = None,
    out: options.Out = None,
    store: options.Store = None,
    prefect: options.Prefect = False,
    runner: options.Runner = None,
    cluster: options.Cluster = None,
    as_json: options.Json = False,
) -> None:
    """Plain SSV2A: the sound of one picture as it is, with its scores."""
    from svdaudio.cli.work import How, Work, check_out, open_models, open_store, resolve_config
    from svdaudio.engine.plan import baseline_request, check_pictures, new_run

    begun = time.perf_counter()
    how = How(prefect=prefect, runner=runner, cluster=cluster)
    check_out(out, kind=".wav", inputs=(image,))
    resolved, checkpoints = resolve_config(
        config, overrides, {"seed": seed, "bundle": bundle, "generate.backend": backend}
    )
    where = open_store(store)
    request = check_pictures(baseline_request(image, resolved.config, checkpoints), store=where)
    work = Work(
        request=request,
        store=where,
        bundle=checkpoints,
        models=open_models(checkpoints, resolved.config),
    )
    record, report = _execute(work, new_run(request, resolved), how=how, out=out, sound="original")
    if as_json:
        print_json(_result(record, report, begun))
    else:
        _print_result(record, report, begun)


def resume(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A run (default the newest unfinished one).", show_default=False),
    ] = None,
    *,
    out: options.Out = None,
    store: options.Store = None,
    prefect: options.Prefect = False,
    runner: options.Runner = None,
    cluster: options.Cluster = None,
    as_json: options.Json = False,
) -> None:
    """Go on with a run or a batch that failed or was interrupted: what it had computed is found, the rest is done."""
    from svdaudio.cli.work import How, Work, check_out, find_run, is_left_undone, open_bundle, open_models, open_store
    from svdaudio.engine.plan import checked, resumed_request
    from svdaudio.errors import InputError

    begun = time.perf_counter()
    how = How(prefect=prefect, runner=runner, cluster=cluster)
    check_out(out, kind=".wav")
    where = open_store(store)
    record = find_run(where, name, wanted=partial(is_left_undone, where))
    if record.kind == "batch":
        from svdaudio.cli.batch import How as HowBatch
        from svdaudio.cli.batch import resume_batch

        if runner in ("dask", "ray"):
            raise InputError(f"--runner {runner} is not for a batch", fix="give --runner prefect, or none")
        if out is not None:
            raise InputError("--out is of no use to a batch", fix="each pair's own 'out' says where its sound goes")
        resume_batch(record, where, HowBatch(runner="prefect" if prefect else runner, as_json=as_json))
        return
    checkpoints = open_bundle(record.bundle)
    request = checked(resumed_request(record, checkpoints))
    work = Work(request=request, store=where, bundle=checkpoints, models=open_models(checkpoints, request.config))
    sound = "original" if record.kind == "baseline" else "manipulated"
    record, report = _execute(work, record, how=how, out=out, sound=sound)
    if as_json:
        print_json(_result(record, report, begun))
    else:
        _print_result(record, report, begun)


def _manipulate_request(
    original: Path,
    edited: Path,
    *,
    given: dict[str, Any],
    config_file: Path | None = None,
    overrides: list[str] | None = None,
    store: str | None = None,
    targets: tuple[str, ...] | None = None,
) -> tuple[Request, tuple[Resolved, Any], Any]:
    """The request of `run` and `plan`: one way for both, so that a plan cannot differ from the run."""
    from svdaudio.cli.work import open_store, resolve_config
    from svdaudio.engine.plan import check_pictures, manipulate_request

    resolved, checkpoints = resolve_config(config_file, overrides, given)
    where = open_store(store)
    request = manipulate_request(original, edited, resolved.config, checkpoints, targets)
    return check_pictures(request, store=where), (resolved, checkpoints), where


def _manipulate(original: Path, edited: Path, **arguments: Any) -> tuple[Work, RunRecord]:
    from svdaudio.cli.work import Work, open_models
    from svdaudio.engine.plan import new_run

    request, (resolved, checkpoints), where = _manipulate_request(original, edited, **arguments)
    work = Work(request=request, store=where, bundle=checkpoints, models=open_models(checkpoints, resolved.config))
    return work, new_run(request, resolved)


def _execute(work: Work, record: RunRecord, *, how: How, out: Path | None, sound: str) -> tuple[RunRecord, Report]:
    from svdaudio.cli.work import carry_out, hand_over

    record = carry_out(work, record, how)
    try:
        return hand_over(work, record, out=out, sound=sound)
    except KeyboardInterrupt:
        remark(f"interrupted; everything is computed, and `svdaudio resume {record.id}` writes the files")
        raise typer.Exit(INTERRUPTED) from None


def _result(record: RunRecord, report: Report, begun: float) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "bundle": record.bundle,
        "run": record.id,
        "audio": {name: str(path) for name, path in report.audio.items()},
        "scores": {name: dict(scores) for name, scores in report.scores.items()},
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


def _print_result(record: RunRecord, report: Report, begun: float) -> None:
    screen = console()
    counts = Counter(entry.status for entry in record.stages)
    screen.print(
        f"\n[bold]Run {record.id}[/bold], bundle [bold]{record.bundle}[/bold]: "
        f"{counts['computed']} stages computed, {counts['cached']} cached, {seconds_text(time.perf_counter() - begun)}"
    )
    for entry in record.stages:
        for text in entry.notes if entry.status == "cached" else ():  # the others were told when they came
            screen.print(f"note: {entry.node}: {text}", markup=False)
    if report.scores:
        screen.print()
        screen.print(score_table(report.scores))
    screen.print()
    named = {
        f"sound of {'the edit' if sound == 'manipulated' else sound}": path for sound, path in report.audio.items()
    }
    named.update(report.pictures)
    print_files(named)
