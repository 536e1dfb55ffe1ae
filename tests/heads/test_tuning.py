"""The choice of settings, and the grid that grows where a choice lies on its edge."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from derm_core.config import StudyConfig
from derm_core.errors import ConfigError
from derm_core.heads.grid import Heads
from derm_core.heads.tuning import WIDENINGS, TunedHeads
from derm_core.study.frozen import tune_heads
from tests.steps import finish

N, C = 60, 2
TRAIN, VAL = np.arange(40), np.arange(40, 60)
RATES, DECAYS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), (0.0, 0.3, 1.0, 3.0)


def part(loss, rates=RATES, decays=DECAYS, arms=("a", "b")):
    """Trained heads whose validation loss is `loss(arm, rate, decay)`, the same for both seeds."""
    grid = tuple((rate, decay) for rate in rates for decay in decays)
    values = {
        arm: {"val_loss": np.array([[loss(arm, *point) for point in grid]] * 2)} for arm in arms
    }
    return SimpleNamespace(arms=arms, grid=grid, records=[SimpleNamespace(values=values)])


def tuned(loss, **grid) -> TunedHeads:
    heads = TunedHeads()
    heads.add(part(loss, **grid))
    return heads


def bowl(rate: float, decay: float):
    """A loss that is lowest at one rate and decay, for every arm."""

    def loss(arm: str, at_rate: float, at_decay: float) -> float:
        return abs(np.log(at_rate / rate)) + abs(at_decay - decay)

    return loss


def test_each_arm_has_its_own_best_point_and_all_share_one():
    best = {"a": bowl(3e-4, 0.3), "b": bowl(1e-3, 1.0)}
    heads = tuned(lambda arm, rate, decay: best[arm](arm, rate, decay) * (3 if arm == "b" else 1))
    choice = heads.choose()
    assert heads.grid[choice.best["a"]] == (3e-4, 0.3)
    assert heads.grid[choice.best["b"]] == (1e-3, 1.0)
    assert choice.shared == choice.mean_loss.mean(0).argmin() == choice.best["b"]
    assert choice.on_edge == () and heads.beyond_edges() == []


def test_a_head_that_diverged_is_never_chosen():
    heads = tuned(lambda arm, rate, decay: np.nan if rate < 1e-2 else 5.0 + decay)
    choice = heads.choose()
    assert heads.grid[choice.shared] == (1e-2, 0.0) and np.isinf(choice.mean_loss).any()


@pytest.mark.parametrize(
    ("at", "new"),
    [
        ((1e-2, 0.3), {"learning_rates": (3e-2,), "weight_decays": DECAYS}),
        ((1e-4, 0.3), {"learning_rates": (3e-5,), "weight_decays": DECAYS}),
        ((1e-3, 3.0), {"learning_rates": RATES, "weight_decays": (10.0,)}),
    ],
)
def test_the_grid_grows_by_one_factor_beyond_the_edge_of_a_choice(at, new):
    heads = tuned(bowl(*at))
    assert heads.choose().on_edge == ("a", "b", "shared")
    (points,) = heads.beyond_edges()
    assert points == {key: pytest.approx(values, rel=0.01) for key, values in new.items()}


def test_no_weight_decay_is_a_natural_end_and_an_axis_of_one_value_has_none():
    assert tuned(bowl(1e-3, 0.0)).choose().on_edge == ()
    assert tuned(bowl(1e-3, 0.3), decays=(0.3,)).choose().on_edge == ()


def test_beyond_a_corner_every_new_point_is_trained_once():
    heads = tuned(bowl(1e-2, 3.0))
    grids = [
        {(rate, decay) for rate in p["learning_rates"] for decay in p["weight_decays"]}
        for p in heads.beyond_edges()
    ]
    every = set(heads.grid).union(*grids)
    assert len(every) == len(heads.grid) + sum(map(len, grids)) == 6 * 5


def test_heads_that_were_not_trained_are_refused():
    with pytest.raises(ConfigError, match="before training"):
        TunedHeads().add(SimpleNamespace(records=[]))


@pytest.fixture
def trained():
    """Real heads of one arm, widened: whatever the loss, one rate of two lies on the edge."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, C, N)
    features = {"a": (rng.normal(size=(N, 5)) + labels[:, None]).astype(np.float32)}
    config = StudyConfig(dataset="made", learning_rates=(1e-4, 3e-4), weight_decays=(0.0,))

    def make(points) -> Heads:
        return Heads(
            features, labels, TRAIN, VAL, classes=C, seeds=(0, 1), hidden=8, epochs=3, **points
        )

    events, heads = finish(tune_heads(config, make))
    steps = [e.step for e in events if e.kind == "metric" and e.series == "a/val/loss"]
    assert steps == sorted(set(steps)), "points beyond the edge draw over the live curves"
    return heads, features["a"], make


def test_a_widened_grid_ends_after_a_few_steps_and_lists_what_is_still_on_its_edge(trained):
    heads, _, _ = trained
    rates = {rate for rate, _ in heads.grid}
    assert len(heads.parts) == WIDENINGS + 1 and len(rates) == 2 + WIDENINGS
    assert heads.choose().best["a"] == len(heads.grid) - 1  # three epochs are never enough
    assert heads.choose().on_edge == ("a", "shared")


def test_a_point_of_a_later_part_is_what_it_is_alone(trained):
    heads, features, make = trained
    last = len(heads.grid) - 1
    rate, decay = heads.grid[last]
    alone = make({"learning_rates": (rate,), "weight_decays": (decay,)})
    list(alone.fit())
    np.testing.assert_allclose(
        heads.probabilities("a", last, features), alone.probabilities("a", 0, features), atol=1e-6
    )
    np.testing.assert_allclose(
        heads.curves("a", last)["val_loss"], alone.curves("a", 0)["val_loss"], atol=1e-6
    )
    assert heads.point(last) == {"learning_rate": rate, "weight_decay": decay}
