"""The moving average against a slow loop, in the place of the weights and out of it, and over a resumed training."""

import itertools

import pytest
import torch
from torch import nn

from derm_core.config import AugmentConfig
from derm_core.events import Event
from derm_core.training.ema import Average

from .fitting import fit

SETTINGS = {
    "epochs": 2,
    "batch_size": 18,
    "lr": 1e-2,
    "wd": 0.05,
    "seed": 3,
    "augment": AugmentConfig(),
    "ema_decay": 0.9,
    "layer_decay": 0.8,
}


def trained_steps(network, average, steps):
    """Train `network` a little, averaging; its state after each step."""
    optimiser, states = torch.optim.SGD(network.parameters(), lr=0.1), []
    for step in range(1, steps + 1):
        network(torch.randn(8, 3, 8, 8)).square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()
        average.update(step)
        states.append(
            {name: value.double().clone() for name, value in network.state_dict().items()}
        )
    return states


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


def test_it_is_the_recursion_over_weights_and_statistics_with_a_faster_start(network):
    expected = {name: value.double().clone() for name, value in network.state_dict().items()}
    average = Average(network, 0.6)
    for step, state in enumerate(trained_steps(network, average, 12), 1):
        decay = min(0.6, (1 + step) / (10 + step))
        for name, value in state.items():
            expected[name] = (
                value if "num_batches" in name else decay * expected[name] + (1 - decay) * value
            )
    averages = average.module.state_dict()
    assert "1.running_var" in averages and averages["1.num_batches_tracked"] == 12
    for name, value in expected.items():
        torch.testing.assert_close(averages[name].double(), value, rtol=1e-4, atol=1e-6)


def test_within_the_task_holds_the_average_and_afterwards_its_own_weights(network):
    average = Average(network, 0.9)
    own = trained_steps(network, average, 3)[-1]
    with pytest.raises(ZeroDivisionError), average.in_place():
        assert torch.equal(network[0].weight, average.module[0].weight)
        assert torch.equal(network[1].running_mean, average.module[1].running_mean)
        assert not torch.equal(network[0].weight.double(), own["0.weight"])
        raise ZeroDivisionError
    assert all(
        torch.equal(value.double(), own[name]) for name, value in network.state_dict().items()
    )
    average.keep()
    assert torch.equal(network[2].bias, average.module[2].bias)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [2, 3])
def test_a_resumed_training_keeps_the_same_average_bit_for_bit(
    stop, images, tmp_path, make_vae_task
):
    straight, stopped, resumed = make_vae_task(), make_vae_task(), make_vae_task()
    list(fit(straight, images, range(60), **SETTINGS))
    events = fit(stopped, images, range(60), checkpoint_dir=tmp_path, **SETTINGS)
    list(itertools.islice((e for e in events if e.kind == "tick"), stop))
    events.close()
    list(fit(resumed, images, range(60), checkpoint_dir=tmp_path, **SETTINGS))
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_what_is_evaluated_last_is_what_is_kept_and_training_goes_on_from_its_own_weights(
    images, labels, make_classifier
):
    def run(ema_decay):
        task, seen = make_classifier(), []

        def evaluate(step, epoch):
            seen.append({name: value.clone() for name, value in task.state_dict().items()})
            yield Event(kind="log")

        events = list(
            fit(
                task,
                images,
                range(60),
                labels,
                evaluate=evaluate,
                **{**SETTINGS, "ema_decay": ema_decay, "layer_decay": 1.0, "log_every": 1},
            )
        )
        return task, seen, [event.value for event in events if event.series == "train/loss"]

    task, seen, losses = run(0.9)
    _plain, own, same = run(0.0)
    assert all(torch.equal(value, seen[-1][name]) for name, value in task.state_dict().items())
    assert losses == same and torch.equal(
        seen[0]["classifier.0.weight"], own[0]["classifier.0.weight"]
    )
    assert not torch.equal(seen[-1]["classifier.0.weight"], own[-1]["classifier.0.weight"])
