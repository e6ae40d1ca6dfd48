"""Write the files of a run and enter them into its record, for sessions and for the workers of a batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from svdaudio.engine.arrays import RunArrays
from svdaudio.engine.batches import Job
from svdaudio.engine.command import command_of
from svdaudio.engine.method import Method
from svdaudio.engine.request import Request
from svdaudio.engine.run import RunWork, read_outputs
from svdaudio.errors import InputError, StoreError
from svdaudio.files import write_bytes
from svdaudio.sounds.rates import OUTPUT_RATE_HZ
from svdaudio.sounds.writing import Tags, encoded, joined
from svdaudio.store.runs import RunRecord
from svdaudio.views.report import Report, write_report


def arrays_of(work: RunWork) -> RunArrays:
    """The arrays of a run; damaged or missing ones are recomputed."""
    return RunArrays(work.run, work.request.method, partial(read_outputs, work), work.request.bundle.classes)


def report_of(work: RunWork, *, root: Path, pictures: bool = True) -> Report:
    """Write the files of a finished run into a folder below `root`; what is there already is not written again.

    Raises:
        StoreError: an artifact cannot be recomputed, or the files cannot be written.
        CheckpointError: the bundle's description of the pictures that it was trained on is damaged.
    """
    return write_report(arrays_of(work), root=root, pictures=pictures, bundle=work.request.bundle)


def check_result(request: Request) -> None:
    """Check, before anything is computed, that a request makes the sound that `--out` copies.

    Raises:
        InputError: its method makes no sound, or not with these targets.
    """
    method = request.method
    source = method.sounds(request.config).get(method.result_of(request.config), "")
    if source.rpartition(".")[0] not in {node.name for node in request.nodes}:
        raise InputError(f"{method.name} makes no sound to copy", got=", ".join(request.targets), fix="omit --out")


def copy_result(report: Report, run: RunRecord, method: Method, out: Path, rate_hz: int | None = None) -> Report:
    """Copy the main sound of a run to a path of the user; the returned report names the copy.

    A WAV file at the rate of the run is a plain copy. Other files get tags with the run and the command.

    Args:
        report: the files of the run.
        run: the run.
        method: its method.
        out: the path; its suffix is the format.
        rate_hz: of the copy, if not that of the run.

    Raises:
        InputError: the run has no main sound.
        StoreError: the file cannot be written.
    """
    sound = report.result
    if sound not in report.audio:
        made = ", ".join(report.audio) or "no sound"
        raise InputError(f"run {run.id} has no sound '{sound}' for --out", got=made, fix="omit --out")
    write_bytes(out.absolute(), sound_bytes(report, run, method, sound, out.suffix.lower(), rate_hz))
    return replace(report, audio={**report.audio, sound: out.absolute()})


def sound_bytes(
    report: Report, run: RunRecord, method: Method, sound: str, suffix: str, rate_hz: int | None = None
) -> bytes:
    """A sound of a run in some file format: its own WAV file, or a file with tags of the run and the command.

    Args:
        report: the files of the run.
        run: the run.
        method: its method.
        sound: its name.
        suffix: of the format, one of `svdaudio.sounds.writing.FORMATS`.
        rate_hz: of the file, if not that of the run.

    Raises:
        StoreError: libsndfile does not support the combination.
    """
    data, rate_hz = report.audio[sound].read_bytes(), rate_hz or OUTPUT_RATE_HZ
    if (suffix, rate_hz) == (".wav", OUTPUT_RATE_HZ):
        return data
    return encoded(data, suffix, rate_hz=rate_hz, tags=_tags(sound, run, method))


def write_stems(report: Report, run: RunRecord, method: Method, out: Path, rate_hz: int | None = None) -> Path:
    """Write all stems of a run into one file, one channel each, in the order of the report; its title names them.

    Args:
        report: the files of the run.
        run: the run.
        method: its method.
        out: the path; its suffix is the format. WAV keeps float32, FLAC has 24 bits and at most 8 channels.
        rate_hz: of the file, if not that of the run.

    Raises:
        InputError: the run has no stems.
        StoreError: the format does not support as many channels, or the file cannot be written.
    """
    if not report.stems:
        raise InputError(f"run {run.id} has no stems", fix="add --stems")
    data = joined([report.audio[name].read_bytes() for name in report.stems])
    tags = _tags(", ".join(report.stems), run, method)
    write_bytes(out.absolute(), encoded(data, out.suffix.lower(), rate_hz=rate_hz or OUTPUT_RATE_HZ, tags=tags))
    return out.absolute()


def _tags(sound: str, run: RunRecord, method: Method) -> Tags:
    pictures = ", ".join(dict.fromkeys(Path(use.path).name for use in run.files.values()))
    return Tags(
        title=f"{sound}: {pictures}",
        comment=f"run {run.id}: {command_of(run, method)}",
        software=f"svdaudio {run.code_version}",
    )


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Writes the files of each run of a batch."""

    root: Path
    """The parent of each run's folder."""
    pictures: bool = False

    def write(self, job: Job, work: RunWork) -> RunRecord:
        """Write the files of a finished run, and enter them into its record.

        A pair whose `out` cannot be written fails.

        Raises:
            StoreError: the files in the store cannot be written.
        """
        report = report_of(work, root=self.root, pictures=self.pictures)
        run = replace(work.run, results={**report.results(), "pair": job.name})
        method = job.request.method
        if job.member.out is not None and report.result in report.audio:
            try:
                copy_result(report, run, method, Path(job.member.out))
            except StoreError as error:  # the place is this pair's own, and so is the fault
                run = replace(run, state="failed", error=error.line())
        return work.store.runs.write(run)
