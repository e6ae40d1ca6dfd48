import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import training_toy
from training_toy import ORDER, ToySubject, run

from svdaudio.errors import RunError
from svdaudio.pretraining.launch import launch

TOY = [sys.executable, training_toy.__file__]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    return folder, run(folder)


def test_it_learns_logs_and_keeps_the_best(uninterrupted):
    folder, outcome = uninterrupted
    assert ORDER.n_steps == outcome.n_steps == 10
    log = [line.split(",") for line in (folder / "training.log.csv").read_text().splitlines()]
    assert log[0] == ["step", "seconds", "learning_rate", "loss"]
    assert float(log[-1][3]) < float(log[1][3])
    assert [int(row[0]) for row in log[1:]] == [2, 4, 6, 8, 10]
    epochs = [line.split(",") for line in (folder / "training.epochs.csv").read_text().splitlines()]
    assert epochs[0] == ["epoch", "step", "recall@1"]
    assert [(int(row[0]), int(row[1])) for row in epochs[1:]] == [(1, 3), (2, 5), (3, 8), (4, 10)]
    best = max(epochs[1:], key=lambda row: float(row[2]))
    assert outcome.best_epoch == int(best[0])


def test_a_killed_training_ends_with_the_same_bits(uninterrupted, tmp_path):
    killed = subprocess.run([*TOY, tmp_path, "7"], check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert killed.returncode == -signal.SIGKILL
    assert torch.load(tmp_path / "training.ckpt", weights_only=True)["step"] == 6
    assert same(run(tmp_path).state, uninterrupted[1].state)
    assert (tmp_path / "training.epochs.csv").read_text() == (uninterrupted[0] / "training.epochs.csv").read_text()
    logs = [
        [line.split(",")[::2] for line in (folder / "training.log.csv").read_text().splitlines()]
        for folder in (tmp_path, uninterrupted[0])
    ]
    assert [row[0] for row in logs[0]] == [row[0] for row in logs[1]]


def test_an_interrupt_ends_it_after_the_step(uninterrupted, tmp_path):
    class Interrupting(ToySubject):
        def losses(self, forward, batch, places, ranks):
            if self._n_called == 5:
                os.kill(os.getpid(), signal.SIGINT)
            return super().losses(forward, batch, places, ranks)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Interrupting(), save_every_s=1000.0)
    assert signal.getsignal(signal.SIGINT) is handler
    assert torch.load(tmp_path / "training.ckpt", weights_only=True)["step"] == 3
    assert same(run(tmp_path).state, uninterrupted[1].state)


def test_two_processes_train_as_one(uninterrupted, tmp_path):
    launch([*TOY, str(tmp_path)], 2)
    first, second = (torch.load(tmp_path / f"weights-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert same(first, second)
    for name, value in uninterrupted[1].state.items():
        assert first[name] == pytest.approx(value, abs=1e-5)
    table = (tmp_path / "training.epochs.csv").read_text().splitlines()
    assert len(table) == 5


def test_a_failing_process_is_reported():
    with pytest.raises(RunError, match="a process of the training failed: got exit status 3"):
        launch([sys.executable, "-c", "import os, sys; sys.exit(3 * int(os.environ['RANK']))"], 2)


@pytest.mark.parametrize(
    ("precision", "kind"), [("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)]
)
def test_precisions(tmp_path, precision, kind):
    subject = ToySubject()
    outcome = run(tmp_path, subject, precision=precision)
    assert kind in subject.precisions
    assert all(value.dtype == torch.float32 for value in outcome.state.values())
    saved = torch.load(tmp_path / "training.ckpt", weights_only=True)
    assert ("scaler" in saved) == (precision == "float16")
    if precision == "float16":
        assert saved["scaler"]["scale"] > 1
        assert same(run(tmp_path, precision=precision).state, outcome.state)


def test_the_progress_line_has_figures_and_the_remaining_time(tmp_path):
    lines = []
    run(tmp_path, on_epoch=lines.append)
    assert lines[0].startswith("epoch 1, step 3 of 10, recall@1 ")
    assert lines[0].endswith(" s left")
    assert lines[-1].startswith("epoch 4, step 10 of 10")


def test_missing_best_weights_are_an_error(tmp_path):
    run(tmp_path)
    Path(tmp_path / "training.best.safetensors").unlink()
    with pytest.raises(RunError, match=r"file not found: .* the weights of the best epoch"):
        run(tmp_path)
