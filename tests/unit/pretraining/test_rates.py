import pytest
import torch
from torch import nn

from svdaudio.pretraining.rates import build_optimiser, rate_at, rate_setter
from svdaudio.pretraining.settings import CiapSettings, ScheduleSettings


def rates(n_steps=100, steps_per_epoch=10, **schedule):
    made = ScheduleSettings(**schedule)
    return [
        rate_at(step, schedule=made, peak=0.1, n_steps=n_steps, steps_per_epoch=steps_per_epoch)
        for step in range(n_steps)
    ]


def test_the_cosine_warms_up_and_decays():
    found = rates(form="cosine", warm_up=0.1, final=0.02)
    assert found[:3] == pytest.approx([0.01, 0.02, 0.03])
    assert max(found) == pytest.approx(0.1)
    assert found[-1] == pytest.approx(0.002, abs=1e-4)
    assert found[55] == pytest.approx(0.051, abs=1e-3)


def test_steps_and_cycles_change_once_an_epoch():
    assert rates(form="step", step_epochs=3, factor=0.5)[::10] == pytest.approx(
        [0.1] * 3 + [0.05] * 3 + [0.025] * 3 + [0.0125]
    )
    cycle = rates(form="cyclic", low=0.001, up_epochs=5, down_epochs=5)
    assert cycle[::10] == pytest.approx([0.001 + 0.099 * n / 5 for n in (0, 1, 2, 3, 4, 5, 4, 3, 2, 1)])
    assert len(set(cycle[50:60])) == 1
    assert set(rates(form="constant")) == {0.1}


def test_a_cycle_moves_the_momentum_against_the_rate_as_torch_does():
    model = nn.Linear(2, 2)
    settings = CiapSettings(
        optimiser="sgd", learning_rate=0.1, schedule=ScheduleSettings(form="cyclic", up_epochs=2, down_epochs=3)
    )
    optimiser = build_optimiser(model, settings)
    set_rates = rate_setter(optimiser, settings, n_steps=10, steps_per_epoch=1)
    theirs = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1, momentum=0.9)
    cyclic = torch.optim.lr_scheduler.CyclicLR(theirs, 0.001, 0.1, step_size_up=2, step_size_down=3)
    for step in range(10):
        assert set_rates(step) == {"learning_rate": pytest.approx(theirs.param_groups[0]["lr"])}
        assert optimiser.param_groups[0]["momentum"] == pytest.approx(theirs.param_groups[0]["momentum"])
        theirs.step()
        cyclic.step()


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_optimisers_by_name(name, kind):
    optimiser = build_optimiser(nn.Linear(2, 2), CiapSettings(optimiser=name, weight_decay=0.3))
    assert type(optimiser) is kind
    decays = [group["weight_decay"] for group in optimiser.param_groups]
    assert decays == ([0.3, 0.0] if name == "adamw" else [0.3])
