"""`svdaudio ciap`: the sound of a picture by image-audio pretraining."""

from __future__ import annotations

from svdaudio.cli import options
from svdaudio.cli.grouped import grouped
from svdaudio.cli.mix import GainOption, ObjectOption, collect_gains, run_with_objects


@grouped
def ciap(
    image: options.Image,
    *,
    objects: ObjectOption = None,
    gains: GainOption = None,
    parameters: options.SoundParameters,
    out: options.OutOptions,
    execution: options.Execution,
) -> None:
    """Generate the sound of a picture by CIAP, whose image encoder predicts the CLAP embedding of the sound.

    --object and --gain fade objects: the picture is embedded with and without them. The bundle needs a
    ciap_image_encoder: `mini-pretrained` has one, and `svdaudio train ciap` trains one on your own pairs.
    """
    from svdaudio.config import collect_objects

    found = collect_objects(objects or ())
    run_with_objects("ciap", image, found, {"gains": collect_gains(gains or ())}, parameters, out, execution)
