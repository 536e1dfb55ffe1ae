"""Mutual information of latents and factors: scikit-learn is the reference."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from derm_core.insight.factors import bins_of, factor_table, information


def test_information_is_scikit_learn_s_less_the_bias_over_the_entropy():
    rng = np.random.default_rng(0)
    b = rng.integers(0, 5, 4000)
    a = np.where(rng.random(4000) < 0.6, b, rng.integers(0, 5, 4000))
    expected = (mutual_info_score(a, b) - 16 / 8000) / mutual_info_score(b, b)
    assert information(a, b) == pytest.approx(expected, abs=1e-9)


def test_independent_codes_share_nothing_and_a_copy_everything():
    rng = np.random.default_rng(1)
    shared = [information(rng.integers(0, 20, 1000), rng.integers(0, 20, 1000)) for _ in range(20)]
    assert np.mean(shared) < 0.02, "without the correction twenty by twenty bins would share 6 %"
    own = rng.integers(0, 20, 1000)
    assert information(own, own) > 0.9 and information(own, np.zeros(1000, int)) == 0


def test_numbers_are_cut_into_equal_shares_and_words_are_kept():
    assert np.bincount(bins_of(np.random.default_rng(0).normal(size=2000))).tolist() == [100] * 20
    assert bins_of(np.array(["net", None, "net", "dots"], object)).tolist() == [0, 1, 0, 2]
    assert bins_of(np.array([True, False, True])).tolist() == [0, 1, 0]
    assert (
        set(bins_of(np.append(np.arange(100.0), np.nan))[:-1])
        == set(range(20))
        != {bins_of(np.append(np.arange(100.0), np.nan))[-1]}
    )


def test_the_latent_that_follows_a_factor_stands_out():
    rng = np.random.default_rng(2)
    size, colour = rng.normal(size=1000), rng.integers(0, 3, 1000)
    latents = np.stack([rng.normal(size=1000), size**3, colour + rng.normal(0, 0.2, 1000)], 1)
    table = factor_table(
        latents,
        {"factor_size": size, "factor_colour": colour, "factor_same": np.ones(1000)},
        np.array([0.1, 2.0, 1.0]),
        np.array([1, 2, 0]),
    )
    best = table.loc[table.groupby("factor")["information"].idxmax()].set_index("factor")["latent"]
    assert best.to_dict() == {"size": 1, "colour": 2} and set(table["latent"]) == {0, 1, 2}
    assert table["information"].between(0, 1).all() and table["kl"].iloc[0] == 2.0
