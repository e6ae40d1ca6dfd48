"""`svdaudio sweep`: one edit with many settings."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdaudio.cli import batch, options
from svdaudio.cli.output import console, print_json, quiet_stdout, seconds_text, short_path, table

if TYPE_CHECKING:
    from svdaudio.store import Store
    from svdaudio.studies.pairs import Common, Pair, Prepared

PARTS = ("removed.factors", "added.factors", "background", "original.tokens")
"""The nodes that a mix is made from; `edited.tokens` is above them."""
N_ROWS_SHOWN = 40
DEFAULT_SEED = 42
IDLE_BESIDE = (
    ("embeddings_only", "which makes no sound and is one process", ("workers", "on_error", "no_baselines")),
    ("random", "which draws every setting for itself", ("together",)),
)
"""An option, what it is, and the options that have no meaning beside it."""


_SETTINGS = "The settings"

Grid = Annotated[
    list[str] | None,
    typer.Option(
        "--grid", metavar="NAME=VALUES", rich_help_panel=_SETTINGS,
        help="Values of one parameter: svd.alpha=0.1,0.3 or svd.k=1..8 or svd.alpha=0.1..0.5:0.1. Again for more.",
    ),
]  # fmt: skip
Zip = Annotated[
    bool,
    typer.Option(
        "--zip", rich_help_panel=_SETTINGS,
        help="Not every combination, but the first value of each, then the second, and so on.",
    ),
]  # fmt: skip
Random = Annotated[
    int | None,
    typer.Option(
        "--random", metavar="N", min=1, rich_help_panel=_SETTINGS, show_default=False,
        help="Draw N settings, uniform between the ends of LOW..HIGH; --seed makes other ones.",
    ),
]  # fmt: skip
EmbeddingsOnly = Annotated[
    bool,
    typer.Option(
        "--embeddings-only", rich_help_panel=_SETTINGS, help="Only the mixed embeddings, all at once: no sound."
    ),
]


def sweep(
    context: typer.Context,
    original: options.Original,
    edited: options.Edited,
    *,
    grid: Grid = None,
    together: Zip = False,
    random: Random = None,
    embeddings_only: EmbeddingsOnly = False,
    remove: options.Remove = None,
    add: options.Add = None,
    config: options.Config = None,
    overrides: options.Set = None,
    seed: options.Seed = None,
    bundle: options.Bundle = None,
    no_baselines: options.NoBaselines = False,
    table_file: batch.TableFile = None,
    store: options.Store = None,
    workers: batch.Workers = 1,
    runner: batch.Runner = None,
    on_error: batch.OnErrorOption = "continue",
    as_json: options.Json = False,
) -> None:
    """One edit with many settings: a table of scores, and of how near the mixed embedding is to what it is mixed from.

    A sweep is a batch: stages that no setting changes are computed once, and the same command goes on where an
    unfinished sweep was. With --embeddings-only it goes as far as the mix; there, ten thousand settings of svd.* and
    mix.* cost less than a second once the regions are factorised.
    """
    from svdaudio.cli.work import open_store
    from svdaudio.engine.plan import METHOD_ALONE
    from svdaudio.studies.pairs import Common, Pair
    from svdaudio.studies.sweep import check_values, combinations, drawn, parse_range, setting_name

    begun = time.perf_counter()
    _refuse_idle_options(context)
    how = batch.How(runner=runner, n_workers=workers, on_error=on_error, table=table_file, as_json=as_json)
    batch.check(how)
    options_given = {"remove": remove, "add": add, "seed": seed, "bundle": bundle}
    given = {name: value for name, value in options_given.items() if value not in (None, [])}
    ranges = [parse_range(text) for text in grid or ()]
    check_values(ranges, given)
    settings = (
        drawn(ranges, random, DEFAULT_SEED if seed is None else seed)
        if random is not None
        else combinations(ranges, together=together)
    )
    settings = list({setting_name(one): one for one in settings}.values())
    common = Common(config_file=config, overrides=overrides or (), given=given)

    def pair(setting: Mapping[str, Any]) -> Pair:
        name = setting_name(setting)
        return Pair(name=name, original=original, edited=edited, parameters=setting, where=f"the setting {name}")

    where = open_store(store)
    if embeddings_only:
        _embeddings(settings, pair, _with_targets(common, PARTS), where, how, begun)
        return
    common = _with_targets(common, METHOD_ALONE) if no_baselines else common
    prepared = batch.prepared_pairs([pair(setting) for setting in settings], common)
    title = f"{original.name} to {edited.name}, {len(settings)} settings"
    batch.run_batch(prepared, where, how, files={"original": original, "edited": edited}, title=title)


def _refuse_idle_options(context: typer.Context) -> None:
    """Refuse options that would do nothing beside others that were given.

    Raises:
        InputError: there is such an option.
    """
    from svdaudio.errors import InputError

    option = {parameter.name: parameter.opts[0] for parameter in context.command.params if parameter.name}
    sources = {name: context.get_parameter_source(name) for name in option}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    for name, why, others in IDLE_BESIDE:
        idle = [option[other] for other in given if other in others]
        if name in given and idle:
            raise InputError(
                f"{' and '.join(idle)} would do nothing beside {option[name]}, {why}", fix="leave out one or the other"
            )


def _with_targets(common: Common, targets: tuple[str, ...]) -> Common:
    from dataclasses import replace

    return replace(common, targets=targets)


def _embeddings(
    settings: Sequence[dict[str, Any]], pair: Any, common: Common, store: Store, how: batch.How, begun: float
) -> None:
    """Mixed embeddings alone: the parts by the stages, once for each setting of what is not the mix's own."""
    from svdaudio.engine.batches import write_table
    from svdaudio.places import out_root
    from svdaudio.studies.sweep import MIX_PARAMETERS, setting_name

    groups: dict[str, list[int]] = {}
    others: dict[str, dict[str, Any]] = {}
    for number, setting in enumerate(settings):
        other = {name: value for name, value in setting.items() if name not in MIX_PARAMETERS}
        groups.setdefault(setting_name(other), []).append(number)
        others[setting_name(other)] = other
    prepared = batch.prepared_pairs([pair(other) for other in others.values()], common)
    rows: list[dict[str, Any]] = [dict(setting) for setting in settings]
    mixing_s = 0.0
    for one, numbers in zip(prepared, groups.values(), strict=True):
        found, seconds = _mixed(one, [settings[number] for number in numbers], store, how)
        mixing_s += seconds
        for place, number in enumerate(numbers):
            rows[number].update(
                {f"cosine.{anchor}": round(float(values[place]), 6) for anchor, values in found.items()}
            )
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    path = how.table.absolute() if how.table is not None else out_root(store.location) / f"{stamp}-sweep.csv"
    write_table(path, rows)
    if how.as_json:
        told = {"settings": rows, "table": str(path), "mixing_seconds": round(mixing_s, 6)}
        print_json({**told, "seconds": round(time.perf_counter() - begun, 3)})
        return
    screen = console()
    names = list(rows[0])
    shown = [[f"{row[name]:.4g}" if isinstance(row[name], float) else row[name] for name in names] for row in rows]
    title = "cosines of the mixed embedding" + (f", the first {N_ROWS_SHOWN}" if len(rows) > N_ROWS_SHOWN else "")
    screen.print(table(names, shown[:N_ROWS_SHOWN], title=title, right=range(len(names))))
    screen.print(
        f"\n{len(rows)} embeddings in {seconds_text(mixing_s)}, all in {seconds_text(time.perf_counter() - begun)}; "
        f"table: {short_path(path)}",
        markup=False,
    )


def _mixed(
    one: Prepared, settings: Sequence[Mapping[str, Any]], store: Store, how: batch.How
) -> tuple[dict[str, Any], float]:
    """Cosines of the embeddings of settings that share their parts, and the seconds that mixing took."""
    from svdaudio.cli import work
    from svdaudio.engine.batch import edit_parts, mix_anchors
    from svdaudio.engine.plan import new_run
    from svdaudio.studies.sweep import columns, cosines, mix_many

    bundle = work.open_bundle(one.request.config.bundle)
    models = work.open_models(bundle, one.request.config)
    of_work = work.Work(request=one.request, store=store, bundle=bundle, models=models)
    run = work.carry_out(of_work, new_run(one.request, one.resolved), how=work.How(runner=how.runner_name))
    with quiet_stdout():
        artifacts = of_work.artifacts(run)
        parts, anchors = edit_parts(artifacts), mix_anchors(artifacts)
    begun = time.perf_counter()
    embeddings = mix_many(parts, columns(settings, one.request.config))
    return cosines(embeddings, anchors), time.perf_counter() - begun
