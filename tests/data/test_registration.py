"""Registration: the correlation of a slow loop, and warps that turn and stretch as they say."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from derm_core.data.registration import (
    BLUR,
    CONTRAST,
    MIDDLE,
    best_turn,
    peak_correlation,
    refine,
    shrink,
    spectra,
    textures,
    warps,
)


def moved(picture, pose):
    pixel, inside = warps(len(picture), np.array([pose]))
    return (picture.ravel()[pixel] * inside).reshape(picture.shape)


def test_the_peak_is_that_of_a_slow_correlation():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 12, 12))
    slow = max((np.roll(a, (i, j), (0, 1)) * b).sum() for i in range(12) for j in range(12))
    peak = peak_correlation(spectra(a[None]), spectra(b[None]))
    assert peak[0] == pytest.approx(slow / np.linalg.norm(a) / np.linalg.norm(b))


def test_a_quarter_turn_is_numpy_s():
    a = np.random.default_rng(1).normal(size=(8, 8))
    pixel, inside = warps(8, np.array([(0, 1, 1, 0), (90, 1, 1, 0)]))
    assert inside.all() and np.array_equal(a.ravel()[pixel[0]].reshape(8, 8), a)
    assert any(np.array_equal(a.ravel()[pixel[1]].reshape(8, 8), np.rot90(a, k)) for k in (1, 3))


def test_a_stretch_makes_the_picture_longer_along_its_direction():
    bar = np.zeros((33, 33))
    bar[16 - 4 : 16 + 5, 16 - 4 : 16 + 5] = 1  # a square of 9 pixels
    for direction, longer in ((0, 0), (90, 1), (180, 0)):
        stretched = moved(bar, (0, 1, 2.25, direction))
        sides = stretched[:, 16].sum(), stretched[16].sum()
        assert sides[longer] == pytest.approx(13.5, abs=1) and sides[1 - longer] == pytest.approx(
            6, abs=1
        )
    stretched = moved(bar, (90, 1, 2.25, 0))  # stretched along the vertical, then turned
    assert stretched[16].sum() > stretched[:, 16].sum()


def test_what_comes_from_outside_the_picture_is_nothing():
    ones = moved(np.ones((32, 32)), (0, 0.5, 1, 0))  # half as large
    assert ones[8:24, 8:24].all() and not ones[:7].any() and not ones[:, 25:].any()


@pytest.mark.parametrize(("size", "side"), [(8, 8), (12, 4), (13, 4)])
def test_a_smaller_picture_has_the_means_of_blocks_in_its_middle(size, side):
    picture = np.random.default_rng(5).normal(size=(size, size)).astype(np.float32)
    factor = size // side
    cut = (size - factor * side) // 2
    starts = range(cut, cut + factor * side, factor)
    means = [[picture[i : i + factor, j : j + factor].mean() for j in starts] for i in starts]
    assert shrink(picture[None], side)[0] == pytest.approx(np.array(means), abs=1e-6)


def test_textures_are_those_of_scipy_s_filters():
    pictures = np.random.default_rng(2).normal(size=(3, MIDDLE, MIDDLE)).astype(np.float32)
    for picture, texture in zip(pictures, textures(pictures), strict=True):
        high = picture - gaussian_filter(picture, BLUR[MIDDLE])
        local = np.sqrt(gaussian_filter(high**2, CONTRAST[MIDDLE]))
        expected = high / (local + 0.5 * np.median(local[::2, ::2]) + 1e-6)
        assert texture == pytest.approx(expected, abs=1e-4)


def test_the_pose_of_each_pair_is_found_among_many():
    """Pairs that share pictures and starts, in any order: each is registered by itself."""
    rng = np.random.default_rng(3)
    noise = [gaussian_filter(rng.normal(size=(MIDDLE, MIDDLE)), 1.5) for _ in range(3)]
    pictures = np.stack([*noise, moved(noise[0], (8, 1.1, 1, 0)), moved(noise[1], (-8, 1, 1, 0))])
    pairs = np.array([[0, 1], [0, 3], [1, 4], [2, 4]])
    start = np.array([(0.0, 1, 1, 0)] * 3 + [(8.0, 1, 1, 0)])
    steps = [(turn, scale, 1, 0) for turn in (-8, 0, 8) for scale in (1.0, 1.1)]
    score, pose = refine(textures(pictures.astype(np.float32)), pairs, start, steps)
    assert pose[1].tolist() == [8, 1.1, 1, 0] and pose[2].tolist() == [-8, 1, 1, 0]
    assert min(score[1], score[2]) > 2 * max(score[0], score[3])


def test_the_best_turn_of_each_pair_is_found():
    rng = np.random.default_rng(4)
    first, other = (gaussian_filter(rng.normal(size=(32, 32)), 1.0) for _ in range(2))
    pictures = np.stack([first, other, moved(first, (70, 1, 1, 0))]).astype(np.float32)
    score, turn = best_turn(pictures, np.array([[0, 1], [0, 2], [2, 0]]))
    assert turn[1:].tolist() == [70, 290] and score[1] > 0.6 and score[0] < 0.5
