"""One small family of errors: what is wrong, what was expected, what was got, what to do.

Everything that a user can cause is raised as a `SvdAudioError`; the command line prints it as one line and
leaves with `exit_code`. Anything else that escapes is a fault of this project.
"""

from __future__ import annotations

from svdaudio.text import printable


class SvdAudioError(Exception):
    """Base of every error that a user can cause.

    Args:
        what: the fault, as a clause without a full stop ("the mask covers no patch").
        expected: what would have been right, if that is not plain from `what`.
        got: what was there instead.
        fix: what to do about it, an imperative clause.
    """

    exit_code = 1
    node: str | None = None
    """The stage of a run that failed with it, if any."""

    def __init__(self, what: str, *, expected: object = None, got: object = None, fix: str | None = None) -> None:
        self.what = what
        self.expected = expected
        self.got = got
        self.fix = fix
        super().__init__(self.line())

    def __str__(self) -> str:
        """The line; not `args`, which are another when the error comes out of another process."""
        return self.line()

    def line(self) -> str:
        """The whole error on one line."""
        facts = [
            f"{name} {value}" for name, value in (("expected", self.expected), ("got", self.got)) if value is not None
        ]
        text = self.what + (f": {', '.join(facts)}" if facts else "")
        text += f". {self.fix[0].upper()}{self.fix[1:]}." if self.fix else "."
        return printable(" ".join(text.split()))


class InputError(SvdAudioError):
    """An image, a point or another argument that cannot be used."""

    exit_code = 2


class ConfigError(SvdAudioError):
    """A parameter that does not exist, or a value without a meaning."""

    exit_code = 2


class EmptyRegionError(InputError):
    """A mask that covers no patch, or an edit that leaves nothing to work on."""


class CheckpointError(SvdAudioError):
    """Weights that are missing, damaged, or of another kind than asked for."""

    exit_code = 3


class StoreError(SvdAudioError):
    """The artifact store cannot be read or written."""

    exit_code = 4


class CorruptArtifactError(StoreError):
    """A stored artifact is not what its record says; it has been put into quarantine."""


class MissingArtifactError(StoreError):
    """There is no such artifact, or it was removed while it was being read."""


class NewerRecordError(StoreError):
    """A record that a newer version of svdaudio wrote. It is left alone."""


class RunError(SvdAudioError):
    """A run that does not exist, or cannot be continued."""

    exit_code = 2
