"""`svdaudio ciap`: the sound of a picture by image-audio pretraining."""

from __future__ import annotations

import time

from svdaudio.cli import options
from svdaudio.cli.grouped import grouped
from svdaudio.cli.mix import GainOption, ObjectOption, check_names, collect_gains
from svdaudio.cli.run import print_result


@grouped
def ciap(
    image: options.Image,
    *,
    objects: ObjectOption = None,
    gains: GainOption = None,
    parameters: options.SoundParameters,
    out: options.OutOptions,
    store: options.Store = None,
    runner: options.RunnerOptions,
    as_json: options.Json = False,
) -> None:
    """CIAP: the sound of a picture, whose embedding an image encoder puts where CLAP puts its sound.

    With --object and --gain, objects are faded: the picture is embedded with and without them. The bundle needs a
    ciap_image_encoder: `mini-pretrained` has one, and `svdaudio train ciap` makes one from your own pairs.
    """
    from svdaudio.cli import sessions
    from svdaudio.config import collect_objects

    begun = time.perf_counter()
    sessions.check_sound_out(out, inputs=(image,))
    found = collect_objects(objects or ())
    check_names(found)
    session = sessions.open_session(store, runner.open())
    settings = {"objects": found, "gains": collect_gains(gains or ())}
    request = sessions.request_of(session, "ciap", [image], parameters, settings)
    print_result(sessions.run_request(session, request, out), begun, as_json=as_json)
