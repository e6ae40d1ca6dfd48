"""`svdaudio sweep`: one edit with many settings of its parameters."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdaudio.cli import batch, options, sessions
from svdaudio.cli.grouped import grouped
from svdaudio.cli.output import console, print_json, quiet_stdout, seconds_text, short_path, table

if TYPE_CHECKING:
    from svdaudio.engine.batches import Prepared
    from svdaudio.engine.method import Method
    from svdaudio.session import Session
    from svdaudio.studies.pairs import Common, Row

N_ROWS_SHOWN = 40
DEFAULT_SEED = 42
INEFFECTIVE_WITH = (
    ("embeddings_only", "which makes no sound and uses one process", ("workers", "on_error", "no_baselines")),
    ("random", "which draws every setting independently", ("together",)),
)
"""An option, what it does, and the options that have no effect with it."""

_SETTINGS = "Settings"

Grid = Annotated[
    list[str] | None,
    typer.Option(
        "--grid", metavar="NAME=VALUES", rich_help_panel=_SETTINGS,
        help="Values of one parameter: svd.alpha=0.1,0.3, svd.k=1..8 or svd.alpha=0.1..0.5:0.1. Repeatable.",
    ),
]  # fmt: skip
Zip = Annotated[
    bool,
    typer.Option(
        "--zip", rich_help_panel=_SETTINGS,
        help="Combine the first values of all grids, then the second values, and so on, instead of every combination.",
    ),
]  # fmt: skip
Random = Annotated[
    int | None,
    typer.Option(
        "--random", metavar="N", min=1, rich_help_panel=_SETTINGS,
        help="Draw N random settings, uniform between LOW and HIGH of LOW..HIGH; they depend on --seed.",
    ),
]  # fmt: skip
EmbeddingsOnly = Annotated[
    bool,
    typer.Option(
        "--embeddings-only", rich_help_panel=_SETTINGS, help="Compute only the mixed embeddings, and no sounds."
    ),
]


@grouped
def sweep(
    context: typer.Context,
    files: options.Files,
    *,
    grid: Grid = None,
    together: Zip = False,
    random: Random = None,
    embeddings_only: EmbeddingsOnly = False,
    parameters: options.EditParameters,
    execution: options.BatchOptions,
) -> None:
    """Run one edit with many settings, and tabulate scores and cosines of the mixed embedding with its parts.

    A sweep is a batch: stages that no setting changes are computed once, and repeating the command continues an
    unfinished sweep. With --embeddings-only it stops after the mix; ten thousand settings of svd.* and mix.* then take
    less than a second, once the regions are factorised.
    """
    from svdaudio.engine.request import files_of
    from svdaudio.methods import find_method
    from svdaudio.studies.pairs import Row
    from svdaudio.studies.sweep import check_values, combinations, draw_settings, parse_range, setting_name

    begun = time.perf_counter()
    _refuse_ineffective_options(context)
    batch.check_table(execution.table)
    method = find_method(parameters.method)
    paths = files_of(method, files)
    ranges = [parse_range(text, method.config.parameters()) for text in grid or ()]
    check_values(ranges, parameters.given(), method.config)
    settings = (
        draw_settings(ranges, random, DEFAULT_SEED if parameters.seed is None else parameters.seed)
        if random is not None
        else combinations(ranges, together=together)
    )
    settings = list({setting_name(one): one for one in settings}.values())
    common = parameters.common(parameters.variant)

    def row(setting: Mapping[str, Any]) -> Row:
        name = setting_name(setting)
        return Row(name=name, files=paths, parameters=setting, where=f"the setting {name}")

    session = sessions.open_session(execution.store, execution.open_runner())
    if embeddings_only:
        _embeddings(session, settings, row, method, common, execution, begun)
        return
    prepared = batch.prepare(session, [row(setting) for setting in settings], method, common)
    title = f"{' to '.join(path.name for path in paths.values())}, {len(settings)} settings"
    batch.run_batch(session, prepared, execution, files=paths, title=title)


def _refuse_ineffective_options(context: typer.Context) -> None:
    """Refuse options that would have no effect with another given option.

    Raises:
        InputError: an option would have no effect.
    """
    from svdaudio.errors import InputError

    option = {parameter.name: parameter.opts[0] for parameter in context.command.params if parameter.name}
    sources = {name: context.get_parameter_source(name) for name in option}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    for name, why, others in INEFFECTIVE_WITH:
        ineffective = [option[other] for other in given if other in others]
        if name in given and ineffective:
            raise InputError(
                f"{' and '.join(ineffective)} would have no effect with {option[name]}, {why}", fix="omit one of them"
            )


def _embeddings(
    session: Session,
    settings: Sequence[dict[str, Any]],
    row: Callable[[Mapping[str, Any]], Row],
    method: Method,
    common: Common,
    execution: options.BatchOptions,
    begun: float,
) -> None:
    """Compute only the mixed embeddings: stages compute the parts once for each setting of the other parameters."""
    from dataclasses import replace

    from svdaudio.engine.batches import write_table
    from svdaudio.errors import InputError
    from svdaudio.methods.manipulate import METHOD
    from svdaudio.methods.mixes import MIX_PARAMETERS, part_nodes
    from svdaudio.studies.sweep import setting_name

    if method is not METHOD:
        raise InputError("--embeddings-only mixes embeddings", expected=f"--method {METHOD.name}", got=method.name)
    groups: dict[str, list[int]] = {}
    others: dict[str, dict[str, Any]] = {}
    for number, setting in enumerate(settings):
        other = {name: value for name, value in setting.items() if name not in MIX_PARAMETERS}
        groups.setdefault(setting_name(other), []).append(number)
        others[setting_name(other)] = other
    rows_of_others = [row(other) for other in others.values()]
    found = batch.prepare(session, rows_of_others, method, replace(common, targets=("mix", "original.tokens")))
    prepared = [replace(one, request=replace(one.request, targets=part_nodes(one.request.table))) for one in found]
    rows: list[dict[str, Any]] = [dict(setting) for setting in settings]
    mixing_s = 0.0
    for one, numbers in zip(prepared, groups.values(), strict=True):
        found, seconds = _mixed(session, one, [settings[number] for number in numbers])
        mixing_s += seconds
        for place, number in enumerate(numbers):
            rows[number].update({name: round(float(values[place]), 6) for name, values in found.items()})
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    path = execution.table.absolute() if execution.table is not None else session.out_root / f"{stamp}-sweep.csv"
    write_table(path, rows)
    if execution.as_json:
        facts = {"settings": rows, "table": str(path), "mixing_seconds": round(mixing_s, 6)}
        print_json({**facts, "seconds": round(time.perf_counter() - begun, 3)})
        return
    screen = console()
    names = list(rows[0])
    shown = [[f"{row[name]:.4g}" if isinstance(row[name], float) else row[name] for name in names] for row in rows]
    title = "cosines of the mixed embedding, and the degrees by which the factors moved its parts" + (
        f", the first {N_ROWS_SHOWN}" if len(rows) > N_ROWS_SHOWN else ""
    )
    screen.print(table(names, shown[:N_ROWS_SHOWN], title=title, right=range(len(names))))
    screen.print(
        f"\n{len(rows)} embeddings in {seconds_text(mixing_s)}, all in {seconds_text(time.perf_counter() - begun)}; "
        f"table: {short_path(path)}",
        markup=False,
    )


def _mixed(session: Session, one: Prepared, settings: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], float]:
    """Cosines and reaches of the embeddings of settings with the same parts, and the seconds that mixing took."""
    from svdaudio.methods.mixes import columns, edit_parts, mix_anchors, reaches
    from svdaudio.svd.many import cosines, mix_many

    run = session.new_run(one.request)
    with sessions.show_progress() as progress, sessions.resumable(run.id):
        run = session.run(one.request, run=run, progress=progress, pictures=False).run
    with quiet_stdout():
        arrays = session.arrays(run)
        parts, anchors = edit_parts(arrays), mix_anchors(arrays)
    begun = time.perf_counter()
    table_of = columns(settings, one.request.config)
    found = {f"cosine.{name}": each for name, each in cosines(mix_many(parts, table_of), anchors).items()}
    return {**found, **reaches(parts, table_of)}, time.perf_counter() - begun
