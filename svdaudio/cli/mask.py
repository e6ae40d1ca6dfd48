"""`svdaudio mask`: try a click, look at the mask."""

from __future__ import annotations

from svdaudio.cli import options
from svdaudio.cli.output import console, print_files, print_json, table


def mask(
    image: options.Image,
    *,
    points: options.PointOption = None,
    config: options.Config = None,
    overrides: options.Set = None,
    bundle: options.Bundle = None,
    out: options.Out = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Try a click: the mask that it gives, drawn over the picture, and how many patches it covers."""
    from svdaudio.cli.work import (
        Work,
        carry_out,
        check_out,
        open_models,
        open_store,
        resolve_config,
    )
    from svdaudio.engine.plan import baseline_request, check_pictures, new_run
    from svdaudio.errors import InputError
    from svdaudio.files import write_bytes
    from svdaudio.svd.align import covered, patch_coverage
    from svdaudio.svd.geometry import Geometry
    from svdaudio.views import plots
    from svdaudio.views.report import draw_node

    check_out(out, kind=".png", inputs=(image,))
    if not points:
        raise InputError("no click says where the object is", fix="give --point X,Y, in pixels of the picture")
    resolved, checkpoints = resolve_config(config, overrides, {"remove": points, "bundle": bundle})
    request = check_pictures(baseline_request(image, resolved.config, checkpoints, targets=("removed.mask",)))
    work = Work(
        request=request,
        store=open_store(store),
        bundle=checkpoints,
        models=open_models(checkpoints, resolved.config),
    )
    record = carry_out(work, new_run(request, resolved))
    artifacts = work.artifacts(record)
    root = work.out_root
    overlay = draw_node(artifacts, "removed.mask", root=root, class_names=(), object_names=())["removed.mask"]
    found = artifacts["removed.mask"]
    score, share = float(found["score"]), float(found["mask"].mean())
    geometry, threshold = resolved.config.geometry, resolved.config.align.threshold
    # Not by the stage `align`, for which a mask that covers no patch is an error: here it is what one wants to see.
    coverage = patch_coverage(found["mask"], Geometry(geometry))
    grid = covered(coverage, threshold)
    n_patches = int(grid.sum())
    patches = plots.save(
        plots.patch_grid(
            artifacts["original.image"]["pixels"], coverage, grid, geometry=geometry, threshold=threshold,
            title="removed", colour=plots.REMOVED_COLOUR,
        ),
        overlay.with_name("removed.align.grid.png"),
    )  # fmt: skip
    if out is not None:
        write_bytes(out.absolute(), overlay.read_bytes())
        overlay = out.absolute()
    if as_json:
        print_json(
            {
                "bundle": record.bundle,
                "run": record.id,
                "picture": str(overlay),
                "grid": str(patches),
                "score": round(score, 6),
                "coverage": round(share, 6),
                "patches": n_patches,
            }
        )
        return
    screen = console()
    rows = [
        ["score of the mask", f"{score:.3f}"],
        ["share of the picture", f"{share:.1%}"],
        ["patches", f"{n_patches} of 256 are covered to at least {threshold:g}"],
    ]
    screen.print(table(["what", "value"], rows))
    screen.print()
    print_files({"mask": overlay, "patch grid": patches})
    if n_patches == 0:
        screen.print("[yellow]The mask covers no patch:[/yellow] `run` would refuse this click.")
