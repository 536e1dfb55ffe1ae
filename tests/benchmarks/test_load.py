"""The load's own arithmetic."""

from __future__ import annotations

import numpy as np

from benchmarks.load import slope_of


def test_the_slope_is_found_and_its_standard_error_is_that_of_repetitions():
    generator, minutes = np.random.default_rng(0), 7 + np.arange(200) / 60
    found = np.array([slope_of(minutes, 3 * minutes + generator.normal(0, 5, 200)) for _ in range(400)])
    slopes, errors = found.T
    assert abs(slopes.mean() - 3) < 4 * slopes.std() / 20
    assert 0.85 < errors.mean() / slopes.std() < 1.15


def test_a_straight_line_has_no_error_and_two_blocks_no_slope():
    slope, error = slope_of(np.arange(60.0), 2 * np.arange(60.0))
    assert np.isclose(slope, 2) and error < 1e-9
    assert slope_of(np.arange(29.0), np.arange(29.0)) == (None, None)
