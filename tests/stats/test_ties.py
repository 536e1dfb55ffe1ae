"""Ties are the largest groups of models of which no two are told apart."""

from itertools import chain, combinations

import numpy as np
import pytest

from derm_core.stats.intervals import Difference
from derm_core.stats.ties import ties


def rows(names, p):
    return [
        Difference(mean=0.1, a=a, b=b, p_holm=p[i, j])
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if i < j
    ]


@pytest.mark.parametrize("seed", range(5))
def test_ties_are_the_largest_groups_without_a_pair_that_is_told_apart(seed):
    names = list("abcdefg")
    p = np.random.default_rng(seed).uniform(0, 0.12, (7, 7))
    told_apart = {frozenset((row.a, row.b)) for row in rows(names, p) if row.p_holm < 0.05}
    every = chain.from_iterable(combinations(names, size) for size in range(2, 8))
    alike = [
        set(group)
        for group in every
        if not any(frozenset(pair) in told_apart for pair in combinations(group, 2))
    ]
    largest = {frozenset(one) for one in alike if not any(one < other for other in alike)}
    assert {frozenset(group) for group in ties(names, rows(names, p))} == largest


def test_models_that_all_differ_have_no_tie():
    assert ties(["a", "b"], rows(["a", "b"], np.zeros((2, 2)))) == ()
