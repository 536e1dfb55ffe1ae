"""Labelled test sets with predictions whose answers are alike within a group."""

from __future__ import annotations

import numpy as np

C = 3
NAMES = ("a", "b", "c")
PRIOR = np.log(np.array([0.6, 0.3, 0.1]))


def draw_predictions(
    rng: np.random.Generator, groups: int = 120, seeds: int = 3, skill: float = 1.0
):
    """labels (N,), groups (N,), probabilities (S, N, C): one to three images a group, answers alike within it."""
    of = np.repeat(np.arange(groups), rng.integers(1, 4, groups))
    labels = rng.choice(C, groups, p=[0.6, 0.3, 0.1])[of]
    logits = rng.normal(size=(seeds, len(of), C)) * 0.5 + rng.normal(size=(groups, C))[of]
    odds = np.exp(logits + skill * np.eye(C)[labels])
    return labels, of, odds / odds.sum(-1, keepdims=True)
