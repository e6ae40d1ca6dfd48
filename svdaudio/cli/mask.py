"""`svdaudio mask`: the mask of a click, a box or a mask file, as a picture and as a file."""

from __future__ import annotations

from svdaudio.cli import options
from svdaudio.cli.grouped import grouped
from svdaudio.cli.output import console, print_files, print_json, table


@grouped
def mask(
    image: options.Image,
    *,
    points: options.PointOption = None,
    box: options.BoxOption = None,
    mask_file: options.MaskFileOption = None,
    parameters: options.Parameters,
    out: options.MaskOut = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Preview the mask of a click or a box: draw it over the picture, and count the patches that it covers.

    Nothing is recorded as a run, but the mask is cached, and `run` with the same click or box reuses it. --out writes
    the mask to a file for --remove or --add of `run`, which you can also change in an image editor first.
    """
    from svdaudio.cli import sessions
    from svdaudio.config import mask_text, parse_object
    from svdaudio.errors import InputError
    from svdaudio.files import write_bytes
    from svdaudio.svd.align import covered, patch_coverage
    from svdaudio.svd.geometry import Geometry
    from svdaudio.svd.masks import MASK_SUFFIXES, mask_bytes
    from svdaudio.views import plots
    from svdaudio.views.report import draw_nodes

    if box is not None and "box" not in parse_object(box)[1]:
        raise InputError("--box is not valid", expected="LEFT,TOP,RIGHT,BOTTOM", got=box)
    prompts = [*(points or ()), *([box] if box else ()), *([mask_text(mask_file)] if mask_file else ())]
    if not prompts:
        raise InputError("no object given", fix="give --point X,Y or --box L,T,R,B, in pixels of the picture")
    session = sessions.open_session(store)
    request = session.request(
        "mask",
        [image],
        {**parameters.given(), "point": prompts},
        config_file=parameters.config,
        overrides=parameters.texts,
        source="command line",
    )
    sessions.check_out(out, kind=MASK_SUFFIXES, inputs=request.files.values())
    run = session.new_run(request)
    with sessions.show_progress() as progress, sessions.resumable(run.id):
        run = session.run(request, run=run, progress=progress, record=False).run
    arrays = session.arrays(run)
    overlay = draw_nodes(arrays, ["object.mask"], root=session.out_root)["object.mask"]
    found = arrays["object.mask"]
    score = round(float(found["score"]), 6) if "score" in found else None
    share = float(found["mask"].mean())
    geometry, threshold = request.config.geometry, request.config.align.threshold
    # The stage `align` would refuse a mask that covers no patch, but the user wants to see it.
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
        out = out.absolute()
        write_bytes(out, mask_bytes(found["mask"], out.suffix.lower()))
    if as_json:
        print_json(
            {
                "bundle": run.bundle,
                "run": None,
                "mask": None if out is None else str(out),
                "picture": str(overlay),
                "grid": str(patches),
                "score": score,
                "coverage": round(share, 6),
                "patches": n_patches,
            }
        )
        return
    screen = console()
    rows = [
        *([] if score is None else [["score of the mask", f"{score:.3f}"]]),
        ["share of the picture", f"{share:.1%}"],
        ["patches", f"{n_patches} of 256 with a coverage of at least {threshold:g}"],
    ]
    screen.print(table(["what", "value"], rows))
    screen.print()
    print_files({"mask": overlay, "patch grid": patches, **({} if out is None else {"mask file": out})})
    if n_patches == 0:
        screen.print("[yellow]The mask covers no patch;[/yellow] `run` would refuse it.")
