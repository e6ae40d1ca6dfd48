"""`svdaudio mask`: try a click, look at the mask."""

from __future__ import annotations

from svdaudio.cli import options
from svdaudio.cli.grouped import grouped
from svdaudio.cli.output import console, print_files, print_json, table


@grouped
def mask(
    image: options.Image,
    *,
    points: options.PointOption = None,
    parameters: options.Parameters,
    out: options.Out = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Try a click: draw its mask over the picture, and count the patches that it covers.

    This makes no run record, but the mask is cached, and `run` with the same click reuses it.
    """
    from svdaudio.cli import sessions
    from svdaudio.errors import InputError
    from svdaudio.files import write_bytes
    from svdaudio.svd.align import covered, patch_coverage
    from svdaudio.svd.geometry import Geometry
    from svdaudio.views import plots
    from svdaudio.views.report import draw_nodes

    sessions.check_out(out, kind=".png", inputs=(image,))
    if not points:
        raise InputError("a click on the object is missing", fix="give --point X,Y, in pixels of the picture")
    session = sessions.open_session(store)
    request = session.request(
        "mask",
        [image],
        {**parameters.given(), "point": points},
        config_file=parameters.config,
        overrides=parameters.texts,
        source="command line",
    )
    run = session.new_run(request)
    with sessions.show_progress() as progress, sessions.resumable(run.id):
        run = session.run(request, run=run, progress=progress, record=False).run
    arrays = session.arrays(run)
    overlay = draw_nodes(arrays, ["object.mask"], root=session.out_root)["object.mask"]
    found = arrays["object.mask"]
    score, share = float(found["score"]), float(found["mask"].mean())
    geometry, threshold = request.config.geometry, request.config.align.threshold
    # Without the stage `align`, which refuses a mask that covers no patch: here the user wants to see that mask.
    coverage = patch_coverage(found["mask"], Geometry(geometry))
    grid = covered(coverage, threshold)
    n_patches = int(grid.sum())
    patches = plots.save(
        plots.patch_grid(
            arrays["picture.image"]["pixels"], coverage, grid, geometry=geometry, threshold=threshold,
            title="patches", colour=plots.REMOVED_COLOUR,
        ),
        overlay.with_name("object.grid.png"),
    )  # fmt: skip
    if out is not None:
        write_bytes(out.absolute(), overlay.read_bytes())
        overlay = out.absolute()
    if as_json:
        print_json(
            {
                "bundle": run.bundle,
                "run": None,
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
