"""Settings of a training, each with its default, meaning and valid values, and the published presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from svdaudio.config.sections import Number, Section, Switch, Whole, parameter
from svdaudio.errors import ConfigError


def _text(value: object) -> object:
    """Accept a fold that looks like a number, such as 5."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Widths = tuple[Whole, Whole, Whole, Whole]
_WIDTHS = "four whole numbers of channels, each a multiple of 8"
_SHARE = "a number from 0 to 1"


class ScheduleSettings(Section):
    """The learning rate over time."""

    form: Literal["cosine", "step", "cyclic", "constant"] = parameter(
        "cosine",
        "cosine: linear warm-up, then decay; step: times `factor` every `step_epochs`; cyclic: up and down between "
        "`low` and learning_rate, once per epoch, as SGSIM was trained",
        '"cosine", "step", "cyclic" or "constant"',
    )
    warm_up: Number = parameter(0.05, "share of all steps for the warm-up of cosine", _SHARE, ge=0, le=1)
    final: Number = parameter(0.02, "final rate of cosine, as a share of learning_rate", _SHARE, ge=0, le=1)
    step_epochs: Whole = parameter(10, "epochs between two steps", "a whole number from 1", ge=1)
    factor: Number = parameter(0.5, "factor of the rate at each step", "a number above 0, at most 1", gt=0, le=1)
    low: Number = parameter(0.001, "lowest rate of a cycle", "a number from 0", ge=0)
    up_epochs: Whole = parameter(5, "epochs from low to learning_rate", "a whole number from 1", ge=1)
    down_epochs: Whole = parameter(5, "epochs back to low", "a whole number from 1", ge=1)


class SplitSettings(Section):
    """The items that are held out from training, for the figures."""

    held_out: Number = parameter(0.1, "share of the items to hold out, in whole groups", "0 up to 1", ge=0, lt=1)
    fold: Annotated[str, BeforeValidator(_text)] = parameter(
        "", "hold out this fold or split of the data set instead, such as 5 or test", "the name of a fold or split"
    )


class NetworkSettings(Section):
    """The size of the network that is trained."""

    widths: Widths = parameter((64, 128, 256, 512), "channels of the four layers of the ResNet-18", _WIDTHS)

    @model_validator(mode="after")
    def _widths(self) -> Self:
        if any(width < 1 for width in self.widths):
            raise ConfigError("network.widths has an invalid value", expected=_WIDTHS, got=list(self.widths))
        return self


class CiapNetworkSettings(NetworkSettings):
    """The size of CIAP's image encoder."""

    image_size: Whole = parameter(224, "side of the pictures in pixels", "a whole number from 32", ge=32)


class ImageSettings(Section):
    """Augmentation of training pictures."""

    flip: Switch = parameter(True, "mirror half of the pictures", "true or false")
    least_share: Number = parameter(
        0.6, "smallest share of a picture that a random crop keeps; 1 for no crops", "a number above 0, at most 1",
        gt=0, le=1,
    )  # fmt: skip


class SoundSettings(Section):
    """Which part of a sound is used."""

    duration_s: Number = parameter(
        10.0, "length of the part; shorter sounds are repeated", "a number of seconds from 0.5 to 60", ge=0.5, le=60
    )
    place: Literal["start", "centre", "random"] = parameter(
        "start", "which part of a longer sound", '"start", "centre" or "random"'
    )
    n_crops: Whole = parameter(
        1, "random parts to embed of each sound, of which each epoch uses one", "1 to 64", ge=1, le=64
    )


class SoundEncoderSoundSettings(Section):
    """Which part of a sound is used, and how it becomes a mel image."""

    duration_s: Number = parameter(
        10.0, "longest part that is used", "a number of seconds from 0.5 to 60", ge=0.5, le=60
    )
    place: Literal["start", "centre", "random"] = parameter(
        "random", "which part of a longer sound, and the position of a shorter one in the mel image",
        '"start", "centre" or "random"',
    )  # fmt: skip
    preset: Literal["corrected", "published"] = parameter(
        "corrected", "published: discards the level of every sound; corrected: keeps it visible",
        '"corrected" or "published"',
    )  # fmt: skip


class SpecAugmentSettings(Section):
    """Masking of spectrograms in the second view of a sound."""

    rounds: Whole = parameter(2, "number of masks over columns, and over rows; 0 for none", "0 to 10", ge=0, le=10)
    columns: Number = parameter(0.15, "widest mask over columns (time), as a share of all", _SHARE, ge=0, le=1)
    rows: Number = parameter(0.30, "highest mask over rows (frequency), as a share of all", _SHARE, ge=0, le=1)


class TextSettings(Section):
    """How labels become texts, and augmentation of these texts."""

    template: str = parameter("{}", "the text of a label; {} is replaced by the label", "a text with {}")
    n_variants: Whole = parameter(1, "texts for each label, of which each epoch uses one", "1 to 64", ge=1, le=64)
    replace: Whole = parameter(0, "words replaced by synonyms in a variant", "0 to 10", ge=0, le=10)
    swap: Whole = parameter(0, "pairs of words swapped in a variant", "0 to 10", ge=0, le=10)
    insert: Whole = parameter(0, "synonyms of its words inserted into a variant", "0 to 10", ge=0, le=10)
    synonyms: str | dict[str, tuple[str, ...]] = parameter(
        "", 'a table of synonyms, or a TOML or YAML file with one (dog = ["hound"])',
        "a table, or the path of a file", is_table=True,
    )  # fmt: skip

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if "{}" not in self.template:
            raise ConfigError("text.template has an invalid value", expected="a text with {}", got=repr(self.template))
        if (self.replace or self.insert) and not self.synonyms:
            raise ConfigError(
                "text.replace and text.insert need synonyms",
                expected="text.synonyms",
                fix="set it to a table or a file",
            )
        return self


class CiapLossSettings(Section):
    """Weights of the terms of CIAP's loss."""

    contrastive: Number = parameter(1.0, "weight of the contrastive loss", "a number from 0", ge=0)
    cosine: Number = parameter(
        10.0, "weight of 1 - cosine of a picture and its own sound, which keeps it near AudioLDM's conditions",
        "a number from 0", ge=0,
    )  # fmt: skip


class SoundLossSettings(Section):
    """Weights of the terms of the sound encoder's loss."""

    text: Number = parameter(1.0, "weight of sound against texts of the labels", "a number from 0", ge=0)
    picture: Number = parameter(1.0, "weight of sound against pictures", "a number from 0", ge=0)
    view: Number = parameter(1.0, "weight of sound against its second view", "a number from 0", ge=0)


class TrainSettings(Section):
    """Settings that all trainings have."""

    batch: Whole = parameter(64, "pairs in a batch, over all devices", "a whole number from 2", ge=2)
    accumulate: Whole = parameter(1, "batches per step of the optimiser", "a whole number from 1", ge=1)
    epochs: Whole = parameter(30, "number of times that every pair is used", "a whole number from 1", ge=1)
    steps: Whole = parameter(0, "steps of the optimiser, instead of epochs; 0 for epochs", "a whole number", ge=0)
    seed: Whole = parameter(0, "seed of every random choice", "a whole number from 0", ge=0, lt=2**31)
    learning_rate: Number = parameter(0.001, "highest learning rate", "a number above 0", gt=0)
    optimiser: Literal["adamw", "adam", "sgd"] = parameter("adamw", "the optimiser", '"adamw", "adam" or "sgd"')
    momentum: Number = parameter(
        0.9, "momentum of SGD; a cyclic schedule varies it between 0.8 and this", "0 up to 1", ge=0, lt=1
    )
    weight_decay: Number = parameter(0.01, "weight decay; AdamW excludes biases and norms", "a number from 0", ge=0)
    clip_norm: Number = parameter(1.0, "largest norm of the gradient; 0 for no limit", "a number from 0", ge=0)
    ema_decay: Number = parameter(
        0.99, "decay of the averaged weights, which are the result; 0 for the last weights", "0 up to 1", ge=0, lt=1
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = parameter(
        "auto", "precision of the network; auto: bfloat16 on a GPU that has it, else float32; float16 scales the loss",
        '"auto", "float32", "bfloat16" or "float16"',
    )  # fmt: skip
    temperature: Number = parameter(
        0.07, "temperature of the contrastive losses, which divides cosines", "a number above 0", gt=0
    )
    targets: Literal["identity", "soft"] = parameter(
        "soft", "which items of a batch are right for an item: its partner, or all similar ones", '"identity" or "soft"'
    )
    soft_by: Literal["labels", "likeness"] = parameter(
        "likeness",
        "similarity for soft targets: common labels, or the frozen encoder's cosines",
        '"labels" or "likeness"',
    )
    soft_temperature: Number = parameter(
        0.07, "temperature of soft targets; if small, only the most similar items are right", "above 0", gt=0
    )
    init: str = parameter(
        "random",
        "initial weights: a file of torchvision's ResNet-18, or a weight file of this project to fine-tune",
        '"random", or the path of a file',
    )
    workers: Whole = parameter(2, "processes that read files; 0 for none", "0 to 64", ge=0, le=64)
    schedule: ScheduleSettings = ScheduleSettings()
    split: SplitSettings = SplitSettings()


class CiapSettings(TrainSettings):
    """Settings of the training of CIAP's image encoder."""

    network: CiapNetworkSettings = CiapNetworkSettings()
    image: ImageSettings = ImageSettings()
    sound: SoundSettings = SoundSettings()
    loss: CiapLossSettings = CiapLossSettings()

    @model_validator(mode="after")
    def _crops_differ(self) -> Self:
        if self.sound.n_crops > 1 and self.sound.place != "random":
            raise ConfigError("sound.n_crops above 1 needs random parts", fix="add --set sound.place=random")
        if not (self.loss.contrastive or self.loss.cosine):
            raise ConfigError("the loss has no term", expected="loss.contrastive or loss.cosine above 0")
        return self


class SoundEncoderSettings(TrainSettings):
    """Settings of the training of the sound encoder."""

    network: NetworkSettings = NetworkSettings()
    sound: SoundEncoderSoundSettings = SoundEncoderSoundSettings()
    spec_augment: SpecAugmentSettings = SpecAugmentSettings()
    text: TextSettings = TextSettings()
    loss: SoundLossSettings = SoundLossSettings()

    @model_validator(mode="after")
    def _views_differ(self) -> Self:
        if self.loss.view and not self.spec_augment.rounds and self.sound.place != "random":
            raise ConfigError(
                "both views of a sound would be the same",
                expected="spec_augment.rounds above 0, or sound.place = random",
                fix="choose one of them, or use --set loss.view=0",
            )
        if not (self.loss.text or self.loss.picture or self.loss.view):
            raise ConfigError("the loss has no term", expected="loss.text, loss.picture or loss.view above 0")
        return self


class Preset(Section):
    """Named settings."""

    settings: dict[str, Any] = Field(default={})
    note: str | None = None


PRESETS: Mapping[type[TrainSettings], Mapping[str, Preset]] = {
    CiapSettings: {
        "default": Preset(),
        "published": Preset(
            settings={
                "batch": 32, "epochs": 110, "optimiser": "adam", "weight_decay": 1e-6, "clip_norm": 0, "ema_decay": 0,
                "targets": "identity", "schedule.form": "step", "schedule.step_epochs": 10, "schedule.factor": 0.5,
                "image.flip": False, "image.least_share": 1.0, "sound.duration_s": 5.0, "loss.cosine": 0,
            },
            note="the published training begins with ImageNet weights, which --set init=FILE provides",
        ),
    },
    SoundEncoderSettings: {
        "default": Preset(),
        "published": Preset(
            settings={
                "batch": 320, "epochs": 50, "optimiser": "sgd", "learning_rate": 0.1, "weight_decay": 5e-4,
                "clip_norm": 0, "ema_decay": 0, "targets": "identity", "temperature": 0.9323938199059483,
                "schedule.form": "cyclic", "split.held_out": 0.2, "sound.preset": "published", "loss.picture": 0,
            },
            note="the published training begins with ImageNet weights, which --set init=FILE provides, and uses text "
            "variants, which need a table in text.synonyms; its scale of e^0.07 hardly separates items",
        ),
    },
}  # fmt: skip
"""Schema → name → preset. The published presets follow the authors' code: CIAP's notebook (luffy-taro-106/IE-643 at
b6ffb64), SGSIM's train.py (kuai-lab/sound-guided-semantic-image-manipulation at dfba091)."""

NOT_OF_THE_RESULT = ("workers",)
"""Settings that do not change the result."""
