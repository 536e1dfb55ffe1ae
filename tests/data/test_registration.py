"""Registration: the correlation of a slow loop, and warps that turn and stretch as they say."""

import numpy as np
import pytest

from derm_core.data.registration import peak_correlation, warp


def test_the_peak_is_that_of_a_slow_correlation():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 12, 12))
    slow = max((np.roll(a, (i, j), (0, 1)) * b).sum() for i in range(12) for j in range(12))
    peak = peak_correlation(a[None], np.fft.rfft2(b)[None], np.array([np.linalg.norm(b)]))
    assert peak[0] == pytest.approx(slow / np.linalg.norm(a) / np.linalg.norm(b))


def test_a_quarter_turn_is_numpy_s():
    a = np.random.default_rng(1).normal(size=(8, 8))
    pixel, inside = warp(8, 90, 1.0)
    assert inside.all() and any(
        np.array_equal(a.ravel()[pixel].reshape(8, 8), np.rot90(a, k)) for k in (1, 3)
    )


def test_a_stretch_makes_the_picture_longer_along_its_direction():
    bar = np.zeros((33, 33))
    bar[16 - 4 : 16 + 5, 16 - 4 : 16 + 5] = 1  # a square of 9 pixels
    for direction, longer in ((0, 0), (90, 1), (180, 0)):
        pixel, inside = warp(33, 0, 1.0, 2.25, direction)
        stretched = (bar.ravel()[pixel] * inside).reshape(33, 33)
        sides = stretched[:, 16].sum(), stretched[16].sum()
        assert sides[longer] == pytest.approx(13.5, abs=1) and sides[1 - longer] == pytest.approx(
            6, abs=1
        )
    pixel, inside = warp(33, 90, 1.0, 2.25, 0)  # stretched along the vertical, then turned
    stretched = (bar.ravel()[pixel] * inside).reshape(33, 33)
    assert stretched[16].sum() > stretched[:, 16].sum()
