"""Errors that users can cause: what is wrong, the expected and the actual value, and a fix.

Every error that a user can cause is raised as a `SvdAudioError`; the command line prints it as one line and
exits with `exit_code`. Any other exception that escapes is a bug in this project.
"""

from __future__ import annotations

from svdaudio.text import printable


class SvdAudioError(Exception):
    """Base of every error that a user can cause.

    Args:
        what: what is wrong, as a clause without a full stop ("the mask covers no patch").
        expected: a valid value, if that is not clear from `what`.
        got: the actual value.
        fix: remedy, an imperative clause.
    """

    exit_code = 1
    node: str | None = None
    """The node of a run that failed with it, if any."""

    def __init__(self, what: str, *, expected: object = None, got: object = None, fix: str | None = None) -> None:
        self.what = what
        self.expected = expected
        self.got = got
        self.fix = fix
        super().__init__(self.line())

    def __str__(self) -> str:
        """The error on one line; not `args`, which differ when the error was unpickled from another process."""
        return self.line()

    def line(self) -> str:
        """The whole error on one line."""
        facts = [
            f"{name} {value}" for name, value in (("expected", self.expected), ("got", self.got)) if value is not None
        ]
        text = (self.what + (f": {', '.join(facts)}" if facts else "")).removesuffix(".")  # libraries end with one
        text += f". {self.fix[0].upper()}{self.fix[1:]}." if self.fix else "."
        return printable(" ".join(text.split()))


class InputError(SvdAudioError):
    """An invalid picture, click or other argument."""

    exit_code = 2


class ConfigError(SvdAudioError):
    """An unknown parameter, or an invalid value."""

    exit_code = 2


class EmptyRegionError(InputError):
    """A mask that covers no patch, or an edit that leaves no region to work on."""


class CheckpointError(SvdAudioError):
    """Weights that are missing, damaged, or of the wrong kind."""

    exit_code = 3


class StoreError(SvdAudioError):
    """The artifact store cannot be read or written."""

    exit_code = 4


class CorruptArtifactError(StoreError):
    """A stored artifact does not match its record; it has been moved to quarantine."""


class MissingArtifactError(StoreError):
    """The artifact does not exist, or was removed while it was being read."""


class NewerRecordError(StoreError):
    """A record that a newer version of svdaudio wrote. It is left unchanged."""


class RunError(SvdAudioError):
    """A run that does not exist, or cannot be continued."""

    exit_code = 2
