import json
import wave
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from svdaudio.engine.arrays import RunArrays
from svdaudio.errors import SvdAudioError
from svdaudio.methods.manipulate import METHOD, SOUNDS, ManipulateConfig
from svdaudio.models.domain import Domain
from svdaudio.store import Action, ArraySpec, ArtifactRecord, FileUse, LocalStore, RunRecord, StageEntry, digest_array
from svdaudio.svd.factors import factorize
from svdaudio.views import report

CLASSES = ("cat", "dog", "duck")


def put(store, node, stage, arrays, **parameters):
    """Stores `arrays` as the artifact of a node, and returns the run's entry for it."""
    action = Action(
        stage=stage, version=1, parameters=parameters, inputs={n: digest_array(a) for n, a in arrays.items()}, models={}
    )
    outputs = {
        n: ArraySpec(digest=digest_array(a), shape=a.shape, dtype=a.dtype.newbyteorder("<").str)
        for n, a in arrays.items()
    }
    record = ArtifactRecord(
        action=action, outputs=outputs, sources={}, notes=(), seconds=0.1, code_version="0", host="here",
        created_at="2026-01-01T00:00:00Z",
    )  # fmt: skip
    store.save(record, arrays)
    return StageEntry(node=node, stage=stage, status="computed", key=action.key, action=action)


def arrays_of(store, run):
    return RunArrays.in_store(run, METHOD, store, {"tagger": CLASSES, "detector": ("cat", "dog")}.__getitem__)


def write(store, run, **options):
    return report.write_report(arrays_of(store, run), **options)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return LocalStore(tmp_path_factory.mktemp("report") / "store")


@pytest.fixture(scope="module")
def run(store):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 255, (40, 60, 3), dtype=np.uint8)
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:30, 10:40] = True
    tokens = random.standard_normal((257, 768)).astype(np.float32)
    tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
    coverage = random.random(256).astype(np.float32)
    embedding = tokens[0]
    entries = []
    for place, offset in (("original", 0), ("edited", 1)):
        entries += [
            put(store, f"{place}.image", "image", {"pixels": pixels + np.uint8(offset)}),
            put(store, f"{place}.tokens", "tokens", {"tokens": tokens, "embedding": embedding}, geometry="squash"),
            put(
                store, f"{place}.locals", "locals",
                {
                    "boxes": np.array([[5, 5, 30, 30.0]]), "scores": np.array([0.9]), "classes": np.array([1]),
                    "embeddings": tokens[:1],
                },
            ),
        ]  # fmt: skip
    for number, region in enumerate(("removed", "added")):
        entries += [
            put(
                store, f"{region}.mask", "mask",
                {"mask": mask, "score": np.float32(0.9), "logits": np.zeros((4, 4))}, points=[[20, 20, 1]],
            ),
            put(
                store, f"{region}.align", "align", {"coverage": coverage, "grid": coverage > 0.5},
                geometry="squash", threshold=0.5,
            ),
            put(store, f"{region}.factors", "factors", vars(factorize(tokens, np.arange(256) % 23 == number))),
        ]  # fmt: skip
    mixed = {"suppress": tokens[1], "boost": tokens[2], "embedding": tokens[3]}
    entries += [
        put(store, "background", "background", {"embedding": np.zeros((0, 768), dtype=np.float32)}),
        put(store, "mix", "mix", mixed),
    ]
    for number, sound in enumerate(SOUNDS):
        waveform = (0.5 * np.sin(np.arange(22050) / (5 + number))).astype(np.float32)
        entries += [
            put(store, f"{sound}.remix", "remix", {"clap": tokens[number, :512]}),
            put(store, f"{sound}.diffuse", "diffuse", {"latents": np.full((2, 8, 4, 16), number)}, n_candidates=2),
            put(store, f"{sound}.decode", "decode", {"mel": random.random((2, 100, 64)).astype(np.float32)}),
            put(store, f"{sound}.vocode", "vocode", {"waveforms": np.stack([waveform, waveform])}),
            put(
                store,
                f"{sound}.choose",
                "choose",
                {"waveform": waveform, "similarity": np.ones(2), "choice": np.int64(0)},
            ),
            put(
                store,
                f"{sound}.finish",
                "finish",
                {"waveform": waveform[None], "loudness_lufs": np.float32(-23), "gain_db": np.float32(0)},
            ),
            put(store, f"{sound}.scores", "scores", {"scores": np.array([0.1, 0.8, 0.1 + number / 10])}),
        ]
    files = {
        "original": FileUse(path="/a/dog cat.jpg", digest="0"),
        "edited": FileUse(path="/a/dog_duck.jpg", digest="1"),
    }
    return RunRecord(
        id="20260101-000000-000-abcd", kind="manipulate", created_at="2026-01-01T00:00:00Z", files=files,
        config=ManipulateConfig().tables(), bundle="mini", stages=tuple(entries), state="finished",
    )  # fmt: skip


def test_a_wav_is_16_bit_mono_and_holds_the_waveform(tmp_path):
    path = tmp_path / "sound.wav"
    path.write_bytes(report.wav_bytes(np.array([[0.0, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0]])))
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 22050)
        samples = np.frombuffer(file.readframes(100), dtype="<i2")
    assert samples.tolist() == [0, 16384, -16384, 32767, -32767, 32767, -32768]


def test_a_file_of_float32_keeps_every_bit(tmp_path):
    waveform = np.random.default_rng(0).uniform(-2, 2, (1, 100)).astype(np.float32)
    path = tmp_path / "stem.wav"
    path.write_bytes(report.wav_bytes(waveform, as_float=True))
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == 22050
    assert np.array_equal(samples, waveform[0])


def test_a_waveform_that_is_not_finite_is_refused():
    with pytest.raises(SvdAudioError, match="not finite"):
        report.wav_bytes(np.array([0.0, np.nan]))


def test_a_report_has_sounds_pictures_and_scores(tmp_path, store, run):
    found = write(store, run, root=tmp_path / "out")
    assert list(found.audio) == ["original", "edited", "manipulated"]
    assert found.scores["manipulated"] == {"cat": 0.1, "dog": 0.8, "duck": 0.3}
    assert list(found.pictures) == [
        "removed.mask", "added.mask", "original.spectrogram", "edited.spectrogram", "manipulated.spectrogram",
        "scores", "overview",
    ]  # fmt: skip
    for path in [*found.audio.values(), *found.pictures.values()]:
        assert path.parent == found.folder
        assert path.stat().st_size > 100
    assert found.folder.name.startswith("dog_cat-dog_duck.")
    assert found.on_page == tuple(found.pictures)[:5]
    results = json.loads(json.dumps(found.results(), allow_nan=False))
    assert list(results) == [
        "folder", "audio", "pictures", "scores", "notes", "cosines", "score_cosines", "result", "verdict",
    ]  # fmt: skip
    assert results["cosines"].keys() == {"original", "edited", "removed", "added"}
    assert results["score_cosines"].keys() == {"original", "edited"}


def test_an_unchanged_report_is_not_written_again(tmp_path, store, run):
    first = write(store, run, root=tmp_path)
    paths = [*first.audio.values(), *first.pictures.values()]
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in paths}
    assert write(store, replace(run, id="another"), root=tmp_path) == first
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in paths} == before


def test_an_existing_report_is_recognised_without_reading_arrays(tmp_path, store, run):
    first = write(store, run, root=tmp_path)

    def refused(node):
        raise AssertionError(f"{node} is read")

    classes = {"tagger": CLASSES, "detector": ("cat", "dog")}
    assert report.write_report(RunArrays(run, METHOD, refused, classes.__getitem__), root=tmp_path) == first
    classes["tagger"] = ("cow", "hen", "pig")
    with pytest.raises(AssertionError, match="is read"):
        report.write_report(RunArrays(run, METHOD, refused, classes.__getitem__), root=tmp_path)
    for index in first.folder.glob(".*.json"):
        index.write_text("[")
    assert write(store, run, root=tmp_path) == first


class Known:
    """A bundle that knows pictures of one mean token, and objects of at least some score."""

    def __init__(self, mean, least_score):
        self.domain = Domain(
            mean=mean, components=np.zeros((0, mean.size), np.float32), deviations=np.zeros(0, np.float32), noise=0.5,
            longest_distance=1.0, least_score=least_score,
        )  # fmt: skip
        self.loads = 0

    def check_domain(self):
        return f"{self.domain.mean.sum():.3f} {self.domain.least_score}"

    def load_domain(self):
        self.loads += 1
        return self.domain


def test_pictures_outside_of_the_domain_are_noted_once_read(tmp_path, store, run):
    tokens = arrays_of(store, run)["original.tokens"]["tokens"]
    known = Known(tokens.mean(axis=0), least_score=0.9)
    assert write(store, run, root=tmp_path, bundle=known).notes == ()
    offset = np.eye(1, tokens.shape[1], dtype=np.float32)[0]
    strict = Known(tokens.mean(axis=0) + offset, least_score=0.91)
    found = write(store, run, root=tmp_path, bundle=strict)
    assert [note.partition(" is unlike")[0] for note in found.notes] == [
        "the original picture dog cat.jpg", "the edited picture dog_duck.jpg"
    ]  # fmt: skip
    assert (
        "(its tokens are 2.0 standard deviations from theirs, limit 1.0; its surest object scores 0.90, limit 0.91)"
        in (found.notes[0])
    )
    assert found.results()["notes"] == list(found.notes)

    def refused(node):
        raise AssertionError(f"{node} is read")

    classes = {"tagger": CLASSES, "detector": ("cat", "dog")}
    again = report.write_report(RunArrays(run, METHOD, refused, classes.__getitem__), root=tmp_path, bundle=strict)
    assert (again, strict.loads) == (found, 1)
    assert write(store, run, root=tmp_path).notes == ()


def test_uncomputed_sounds_have_no_verdict(tmp_path, store, run):
    cut = run.with_stage(replace(run.stage("original.locals"), status="failed", key=None))
    (note,) = write(store, cut, root=tmp_path, bundle=Known(np.zeros(768, np.float32), least_score=0.91)).notes
    assert note.startswith("the edited picture")


def test_damaged_or_deleted_files_are_written_again(tmp_path, store, run):
    found = write(store, run, root=tmp_path)
    sound, picture = found.audio["edited"], found.pictures["scores"]
    data = sound.read_bytes(), picture.read_bytes()
    sound.write_bytes(b"damaged")
    picture.unlink()
    write(store, run, root=tmp_path)
    assert (sound.read_bytes(), picture.read_bytes()) == data


def test_different_runs_have_different_folders(tmp_path, store, run):
    folder = report.output_folder(tmp_path, run, METHOD)
    other = run.with_stage(replace(run.stage("manipulated.choose"), key="0" * 64))
    assert report.output_folder(tmp_path, other, METHOD) != folder
    reach = StageEntry(node="removed.reach", stage="reach", status="computed", key="0" * 64)
    measured = replace(run, stages=(*run.stages, reach))
    assert report.output_folder(tmp_path, measured, METHOD) == folder, "stages that only measure change no sound"


def test_a_stopped_run_reports_its_finished_nodes(tmp_path, store, run):
    failed = run.with_stage(replace(run.stage("manipulated.finish"), status="failed", key=None))
    found = write(store, failed, root=tmp_path, pictures=False)
    assert list(found.audio) == ["original", "edited"]
    assert found.pictures == {}


@pytest.mark.parametrize(
    ("node", "names"),
    [
        ("removed.mask", ["removed.mask"]),
        ("original.tokens", ["original.tokens.likeness"]),
        ("added.align", ["added.align.grid"]),
        ("removed.factors", ["removed.factors.singular_values"]),
        ("mix", ["mix.similarities"]),
        ("edited.locals", ["edited.locals.boxes"]),
        ("manipulated.remix", ["manipulated.remix.similarities"]),
        ("manipulated.decode", ["manipulated.decode.1", "manipulated.decode.2"]),
        ("manipulated.vocode", ["manipulated.vocode.1", "manipulated.vocode.2"]),
        ("manipulated.choose", ["manipulated.choose.spectrogram"]),
        ("manipulated.finish", ["manipulated.spectrogram"]),
        ("manipulated.scores", ["manipulated.scores.bars"]),
        ("background", []),
        ("nowhere", []),
    ],
)
def test_every_node_has_the_plot_of_its_stage(tmp_path, store, run, node, names):
    drawn = report.draw_nodes(arrays_of(store, run), [node], root=tmp_path)
    assert list(drawn) == names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn.values())


def test_nodes_are_drawn_together_and_once(tmp_path, store, run):
    first = report.draw_nodes(arrays_of(store, run), ["mix", "added.align"], root=tmp_path)
    assert list(first) == ["added.align.grid", "mix.similarities"]
    before = {path: path.stat().st_mtime_ns for path in first.values()}
    again = report.draw_nodes(arrays_of(store, run), ["mix", "removed.mask"], root=tmp_path)
    assert list(again) == ["removed.mask", "mix.similarities"]
    assert again["mix.similarities"].stat().st_mtime_ns == before[first["mix.similarities"]]


def test_unfinished_nodes_have_no_picture(tmp_path, store, run):
    cut = run.with_stage(replace(run.stage("original.image"), status="failed", key=None))
    views = [view.name for view in METHOD.views(arrays_of(store, cut))]
    assert "original.tokens.likeness" not in views
    assert "removed.mask" not in views, "the picture that contains it is missing"
    assert {"added.mask", "mix.similarities", "scores"} <= set(views)


def test_a_method_without_sounds_and_views_has_an_empty_report(toy, tmp_path):
    run = toy.run()
    arrays = RunArrays.in_store(run, toy.method, toy.store, toy.bundle.classes)
    found = report.write_report(arrays, root=tmp_path / "out")
    assert found.results() == {
        "folder": str(found.folder), "audio": {}, "pictures": {}, "scores": {}, "notes": []
    }  # fmt: skip
    assert found.folder.name.startswith("original-edited.")
    assert not (tmp_path / "out").exists()
