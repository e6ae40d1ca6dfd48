"""A method unknown to the rest of the repository: blends a sound, a text and a picture into a sound.

Found through `SVDAUDIO_METHODS=listening_method:METHOD`. Tests run every feature of the program with it.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from svdaudio.config import RunConfig, Section, parameter
from svdaudio.config.sections import Number, Whole
from svdaudio.engine.method import FileKind, Method, View
from svdaudio.engine.stage import Node, Stage, by_name
from svdaudio.errors import InputError
from svdaudio.methods.parts import PICTURE, SOUND, read_picture
from svdaudio.sounds.reading import read_sound

PLACE = "listening_method:METHOD"
N_CLASSES = 9


class BlendConfig(Section):
    """How the sources are blended."""

    weight: Number = parameter(0.5, "weight of the text", "a number from 0 to 1", (0.2, 0.8), ge=0, le=1)
    n_echoes: Whole = parameter(0, "echoes; with some there is another node", "a whole number from 0 to 9", ge=0, le=9)


class ListeningConfig(RunConfig):
    """Parameters of the method."""

    blend: BlendConfig = BlendConfig()


def check_text(path):
    """Check that a text is UTF-8 and not empty."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a text", got=error) from error
    if not text.strip():
        raise InputError(f"the text {path} is empty")


def listen(*, file):
    samples, _ = read_sound(file)
    return {"samples": samples}


def read(*, file):
    return {"letters": np.frombuffer(file.read_bytes(), np.uint8).astype(np.float32)}


def blend(*, samples, letters, pixels, weight, seed, note):
    note(f"{len(letters)} letters")
    tone = np.sin(np.arange(len(samples)) * (letters.mean() + pixels.mean()) / 2000)
    noise = np.random.default_rng(seed).standard_normal(len(samples)) * 1e-3
    return {"waveform": ((1 - weight) * samples + weight * 0.3 * tone + noise).astype(np.float32)[None]}


def echo(*, waveform, n_echoes):
    return {"waveform": sum(np.roll(waveform, 100 * number) for number in range(n_echoes + 1)) / (n_echoes + 1)}


def judge(*, waveform):
    level = float(abs(waveform).mean())
    return {"scores": np.linspace(level, 1 - level, N_CLASSES, dtype=np.float32)}


LISTEN = Stage(
    name="listen", inputs=("file",), outputs=("samples",), body="listening_method:listen", summary="samples of a file"
)
READ = Stage(name="read", inputs=("file",), outputs=("letters",), body="listening_method:read", summary="its letters")
BLEND = Stage(
    name="blend", inputs=("samples", "letters", "pixels"), outputs=("waveform",), body="listening_method:blend",
    parameters={"weight": "blend.weight", "seed": "seed"}, summary="a tone beside the sound",
)  # fmt: skip
ECHO = Stage(
    name="echo", inputs=("waveform",), outputs=("waveform",), body="listening_method:echo",
    parameters={"n_echoes": "blend.n_echoes"}, summary="the sound again, later",
)  # fmt: skip
JUDGE = Stage(
    name="judge", inputs=("waveform",), outputs=("scores",), body="listening_method:judge", summary="made-up scores"
)


def nodes(config):
    """Three sources, their blend, and if echoes are requested a node that adds them."""
    sound = "made.echo.waveform" if config.blend.n_echoes else "made.blend.waveform"
    echoes = [Node(name="made.echo", stage=ECHO, inputs={"waveform": "made.blend.waveform"})]
    return by_name(
        (
            Node(name="sound.listen", stage=LISTEN, inputs={"file": "file:sound"}),
            Node(name="text.read", stage=READ, inputs={"file": "file:text"}),
            read_picture("picture"),
            Node(
                name="made.blend",
                stage=BLEND,
                inputs={
                    "samples": "sound.listen.samples",
                    "letters": "text.read.letters",
                    "pixels": "picture.image.pixels",
                },
            ),
            *(echoes if config.blend.n_echoes else ()),
            Node(name="made.judge", stage=JUDGE, inputs={"waveform": sound}),
        )
    )


def sounds(config):
    return {"made": "made.echo.waveform" if config.blend.n_echoes else "made.blend.waveform"}


def scores(config):
    return {"made": "made.judge.scores"}


def views(arrays):
    yield View(name="made.wave", nodes=("made.blend",), draw=partial(draw, arrays), in_report=True, on_page=True)


def draw(arrays):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3, 1))
    figure.subplots().plot(arrays["made.blend"]["waveform"].ravel()[:200])
    return figure


def measures(arrays):
    return {"levels": {"made": round(float(abs(arrays["made.blend"]["waveform"]).mean()), 6)}}


METHOD = Method(
    name="listening",
    summary="a sound, a text and a picture become another sound",
    files={"sound": SOUND, "text": FileKind(name="text", checker="listening_method:check_text"), "picture": PICTURE},
    config=ListeningConfig,
    nodes=nodes,
    targets=("made.judge",),
    sounds=sounds,
    scores=scores,
    result="made",
    views=views,
    measures=measures,
)
