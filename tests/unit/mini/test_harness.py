from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from svdaudio.errors import RunError
from svdaudio.mini.harness import Schedule, fit, made_once
from svdaudio.mini.recipe import Training
from svdaudio.store.locks import file_lock, refuse_to_wait


class _KilledError(Exception):
    """Simulates a process that dies."""


def training(folder, seed=1):
    return Training(folder=folder, out=folder, seed=seed, n_steps=1)


@pytest.mark.parametrize("with_muon", [False, True])
def test_a_killed_training_resumes_to_the_same_result(tmp_path, with_muon):
    def trained(folder, die_at=None):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))

        def losses(step, rng):
            if step == die_at:
                raise _KilledError
            x = torch.from_numpy(rng.normal(size=(16, 4))).float()
            return {"mse": (model(x)[:, 0] - x.sum(dim=1)).square().mean()}

        return fit(
            "toy", training(folder, seed=3), model=model, losses=losses,
            schedule=Schedule(n_steps=12, learning_rate=0.05),
            matrices=[model[0].weight] if with_muon else [], save_every_s=0.0, log_every=5,
        )  # fmt: skip

    whole = trained(tmp_path / "whole")
    with pytest.raises(_KilledError):
        trained(tmp_path / "broken", die_at=7)
    resumed = trained(tmp_path / "broken")
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert len((tmp_path / "whole" / "toy.log").read_text().splitlines()) == 3


def test_the_rate_warms_up_and_decays():
    schedule = Schedule(n_steps=1000, learning_rate=1.0, n_warmup_steps=100, final_fraction=0.1)
    rates = np.array([schedule.rate(step) for step in range(1001)])
    assert rates.argmax() in (99, 100)
    assert rates[0] == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(0.1)


def test_the_rate_restarts_at_the_configured_steps():
    plain = Schedule(n_steps=100, learning_rate=1.0, n_warmup_steps=10, final_fraction=0.1)
    twice = Schedule(
        n_steps=150, learning_rate=1.0, n_warmup_steps=10, final_fraction=0.1, restart_at=100, restart_fraction=0.5
    )
    assert [twice.rate(step) for step in range(100)] == [plain.rate(step) for step in range(100)]
    assert twice.rate(99) < 0.11
    assert twice.rate(100) == pytest.approx(0.05)
    assert twice.rate(110) == pytest.approx(0.5)
    assert twice.rate(149) == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("with_muon", [False, True])
def test_it_learns_and_a_finished_training_is_not_repeated(tmp_path, with_muon):
    def trained():
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 8), nn.GELU(), nn.Linear(8, 1))
        seen = []

        def losses(step, rng):
            x = torch.from_numpy(rng.normal(size=(16, 3))).float()
            seen.append((model(x)[:, 0] - x.sum(dim=1)).square().mean())
            return {"mse": seen[-1]}

        schedule = Schedule(n_steps=60, learning_rate=0.05, n_warmup_steps=5, ema_decay=0.5)
        matrices = [p for p in model.parameters() if p.ndim == 2] if with_muon else []
        averaged = fit("toy", training(tmp_path), model=model, losses=losses, schedule=schedule, matrices=matrices)
        return averaged, [float(loss.detach()) for loss in seen]

    first, seen = trained()
    assert np.mean(seen[-5:]) < 0.5 * np.mean(seen[:5])
    again, seen = trained()
    assert seen == []
    for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def toy(folder, *, seed=3, width=8):
    model = nn.Sequential(nn.Linear(4, width), nn.Linear(width, 1))
    x = torch.ones(2, 4)
    return fit(
        "toy", training(folder, seed), model=model, losses=lambda step, rng: {"mse": model(x).square().mean()},
        schedule=Schedule(n_steps=2, learning_rate=0.05),
    )  # fmt: skip


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    toy(tmp_path)
    with pytest.raises(RunError, match=r"belongs to a training with another seed: expected 4, got 3\. Remove it"):
        toy(tmp_path, seed=4)
    with pytest.raises(RunError, match="belongs to a training of another model"):
        toy(tmp_path, width=9)


@pytest.mark.parametrize(
    "damage",
    [
        lambda saved: b"",
        lambda saved: b"no torch file",
        lambda saved: [saved],
        lambda saved: {**saved, "step": -1},
        lambda saved: {**saved, "step": 2.5},
        lambda saved: {**saved, "seconds": float("nan")},
        lambda saved: {key: value for key, value in saved.items() if key != "step"},
        lambda saved: {**saved, "model": 5},
        lambda saved: {**saved, "optimizer": []},
        lambda saved: {**saved, "optimizer": {"state": 1, "param_groups": 2}},
    ],
)
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    toy(tmp_path)
    path = tmp_path / "toy.ckpt"
    damaged = damage(torch.load(path, weights_only=True))
    path.write_bytes(damaged) if isinstance(damaged, bytes) else torch.save(damaged, path)
    with pytest.raises(RunError, match=r"toy\.ckpt (is damaged|belongs to a training of another model).*Remove it"):
        toy(tmp_path)


def test_loading_a_checkpoint_runs_no_code(tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "trace",)

    toy(tmp_path)
    torch.save({"seed": 3, "step": Bomb()}, tmp_path / "toy.ckpt")
    with pytest.raises(RunError, match="is damaged"):
        toy(tmp_path)
    assert not (tmp_path / "trace").exists()


def test_two_processes_do_not_run_the_same_training(tmp_path):
    with file_lock(tmp_path / "toy.lock", refuse_to_wait), pytest.raises(RunError, match="another process trains toy"):
        toy(tmp_path)


def test_data_made_once_is_rebuilt_for_other_weights(tmp_path):
    weights, calls = tmp_path / "w.safetensors", []

    def rows():
        calls.append(weights.read_bytes())
        return [{"x": torch.tensor([float(i), len(calls)])} for i in range(3)]

    for content in (b"one", b"one", b"two"):
        weights.write_bytes(content)
        found = made_once(tmp_path, "rows-7", rows, weights=weights)
        assert found["x"].tolist() == [[i, len(calls)] for i in range(3)]
    assert calls == [b"one", b"two"]
    for path in tmp_path.glob("rows-7-*.safetensors"):
        path.write_bytes(path.read_bytes()[:50])
    assert made_once(tmp_path, "rows-7", rows, weights=weights)["x"].tolist() == [[i, 3] for i in range(3)]
