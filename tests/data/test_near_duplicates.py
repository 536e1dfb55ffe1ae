"""Near-duplicates: copies that were moved, turned and recoloured are found among pictures of other things."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from derm_core.data import near_duplicates as duplicates
from derm_core.data.near_duplicates import _peak, _warp, candidates, near_duplicates
from derm_core.stats.feature_space import nearest


def picture(seed: int) -> np.ndarray:
    """A large random texture, uint8 (160, 160, 3)."""
    rng = np.random.default_rng(seed)
    grain = sum(gaussian_filter(rng.normal(size=(160, 160)), s) * s for s in (1.5, 3, 6))
    grain = (grain - grain.min()) / (grain.max() - grain.min())
    return (grain[..., None] * [200, 150, 120] + 30).astype(np.uint8)


def enlarged(images: np.ndarray):
    return lambda rows: np.stack(
        [np.asarray(Image.fromarray(images[row]).resize((128, 128))) for row in rows]
        or [np.zeros((128, 128, 3), np.uint8)]
    )[: len(rows)]


def view(
    seed: int,
    turn: float = 0,
    shift: tuple[int, int] = (0, 0),
    zoom: float = 1.0,
    light: float = 1.0,
) -> np.ndarray:
    """64 px of the texture's middle, uint8 (64, 64, 3)."""
    side, centre = 64 / zoom, np.array([80, 80]) + shift
    whole = Image.fromarray(picture(seed)).rotate(
        turn, Image.Resampling.BICUBIC, center=tuple(centre)
    )
    box = (*(centre - side / 2), *(centre + side / 2))
    return np.clip(
        np.asarray(whole.resize((64, 64), Image.Resampling.BICUBIC, box=box)) * light, 0, 255
    ).astype(np.uint8)


COPIES = {
    "moved": {"shift": (6, -4)},
    "turned": {"turn": 73},
    "turned and moved": {"turn": 200, "shift": (-4, 3)},
    "larger": {"zoom": 1.06},
    "darker": {"light": 0.7},
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_is_found_among_other_pictures(how):
    images = np.stack([view(0), view(0, **COPIES[how]), *(view(seed) for seed in range(1, 7))])
    pairs, first = candidates(np.array([[1], [0], [3], [4], [5], [6], [7], [2]]), [])
    told = []
    found = near_duplicates(
        images, enlarged(images), np.arange(8), pairs, lambda *done: told.append(done), first
    )
    assert (
        found.pairs.tolist() == [[0, 1]]
        and found.scores[0] > 0.5
        and told[-1] == (len(pairs), len(pairs))
    )
    expected = COPIES[how].get("turn", 0)
    assert (
        abs((found.angles[0] - expected + 180) % 360 - 180) <= 6
        or abs((found.angles[0] + expected + 180) % 360 - 180) <= 6
    )


def test_a_copy_of_stretched_skin_is_found():
    whole = Image.fromarray(picture(0))
    cut = [
        np.asarray(whole.resize((64, 64), Image.Resampling.BICUBIC, box=box))
        for box in ((48, 48, 112, 112), (43, 53, 117, 107))
    ]  # 1.37 times as long one way as the other
    images = np.stack([*cut, *(view(seed) for seed in range(1, 5))])
    pairs = np.array([[0, 1], [0, 2], [1, 3], [2, 3], [4, 5]])
    found = near_duplicates(images, enlarged(images), np.arange(6), pairs, lambda *_: None)
    assert found.pairs.tolist() == [[0, 1]] and found.scores[0] > 0.3
    assert 1.25 < max(found.stretches[0], 1 / found.stretches[0]) < 1.5


def test_pairs_are_proposed_once_from_every_space_and_by_both_sides():
    space = np.append(np.arange(30.0) ** 1.5, 20**1.5 + 0.1)[:, None].astype(np.float32)
    near = nearest(
        np.append(np.linspace(0, 1, 30) ** 3 + 5, [0.0])[:, None].astype(np.float32), 12
    )[0]
    pairs, _ = candidates(near, [space])
    assert (
        [20, 30] in pairs.tolist()
        and len(np.unique(pairs, axis=0)) == len(pairs)
        and (pairs[:, 0] < pairs[:, 1]).all()
    )
    own, (found, first) = nearest(space, 10)[0], candidates(nearest(space, 10)[0], [])
    ranked = [
        {tuple(sorted((i, int(own[i, rank])))) for i in range(31) if i in own[own[i, rank]]}
        for rank in (0, 1)
    ]
    assert {tuple(pair) for pair in found[first].tolist()} == ranked[0]
    assert {tuple(pair) for pair in found[~first].tolist()} == ranked[1] - ranked[0]


def test_pairs_of_second_nearest_must_agree_better(monkeypatch):
    images = np.stack([view(seed) for seed in range(4)])
    pairs = np.array([[0, 1], [0, 2], [0, 3]])
    monkeypatch.setattr(
        duplicates,
        "_compare",
        lambda *_: duplicates.Found(pairs, np.array([0.13, 0.17, 0.19]), np.zeros(3), np.ones(3)),
    )
    found = near_duplicates(
        images,
        enlarged(images),
        np.arange(4),
        pairs,
        lambda *_: None,
        np.array([True, False, False]),
    )
    assert found.pairs.tolist() == [[0, 1], [0, 3]]


def test_the_peak_is_that_of_a_slow_correlation():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 12, 12))
    slow = max((np.roll(a, (i, j), (0, 1)) * b).sum() for i in range(12) for j in range(12))
    found = _peak(a[None], np.fft.rfft2(b)[None], np.array([np.linalg.norm(b)]))
    assert found[0] == pytest.approx(slow / np.linalg.norm(a) / np.linalg.norm(b))


def test_a_quarter_turn_is_numpy_s():
    a = np.random.default_rng(1).normal(size=(8, 8))
    pixel, inside = _warp(8, 90, 1.0)
    assert inside.all() and any(
        np.array_equal(a.ravel()[pixel].reshape(8, 8), np.rot90(a, k)) for k in (1, 3)
    )


def test_a_stretch_makes_the_picture_longer_along_its_direction():
    bar = np.zeros((33, 33))
    bar[16 - 4 : 16 + 5, 16 - 4 : 16 + 5] = 1  # a square of 9 pixels
    for direction, longer in ((0, 0), (90, 1), (180, 0)):
        pixel, inside = _warp(33, 0, 1.0, 2.25, direction)
        shown = (bar.ravel()[pixel] * inside).reshape(33, 33)
        sides = shown[:, 16].sum(), shown[16].sum()
        assert sides[longer] == pytest.approx(13.5, abs=1) and sides[1 - longer] == pytest.approx(
            6, abs=1
        )
    pixel, inside = _warp(33, 90, 1.0, 2.25, 0)  # stretched along the vertical, then turned
    shown = (bar.ravel()[pixel] * inside).reshape(33, 33)
    assert shown[16].sum() > shown[:, 16].sum()


def test_nothing_to_compare_finds_nothing():
    nothing = np.zeros((2, 64, 64, 3), np.uint8)
    assert (
        len(
            near_duplicates(
                nothing, enlarged(nothing), np.arange(2), np.zeros((0, 2), int), print
            ).pairs
        )
        == 0
    )
    assert (
        len(
            near_duplicates(
                nothing, enlarged(nothing), np.arange(2), np.array([[0, 1]]), print
            ).pairs
        )
        == 0
    )
