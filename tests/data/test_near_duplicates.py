"""Near-duplicates: copies that were moved, turned and recoloured are found among pictures of other things."""

import os
import signal

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from derm_core.data import near_duplicates as duplicates
from derm_core.data.near_duplicates import (
    CandidatePairs,
    DuplicatePairs,
    candidates,
    near_duplicates,
)
from derm_core.errors import RunError
from derm_core.stats.neighbours import nearest


def picture(seed: int) -> np.ndarray:
    """A large random texture, uint8 (160, 160, 3)."""
    rng = np.random.default_rng(seed)
    grain = sum(gaussian_filter(rng.normal(size=(160, 160)), s) * s for s in (1.5, 3, 6))
    grain = (grain - grain.min()) / (grain.max() - grain.min())
    return (grain[..., None] * [200, 150, 120] + 30).astype(np.uint8)


def enlarged(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.stack(
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


def all_of(pairs: np.ndarray) -> CandidatePairs:
    return CandidatePairs(pairs, np.ones(len(pairs), bool))


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
    proposed = candidates([np.array([[1], [0], [3], [4], [5], [6], [7], [2]])])
    calls = []
    alike = near_duplicates(
        images, enlarged, np.arange(8), proposed, lambda *done: calls.append(done)
    )
    assert (
        alike.pairs.tolist() == [[0, 1]]
        and alike.scores[0] > 0.5
        and calls[-1] == (len(proposed.pairs),) * 2
    )
    expected = COPIES[how].get("turn", 0)
    assert (
        abs((alike.angles[0] - expected + 180) % 360 - 180) <= 6
        or abs((alike.angles[0] + expected + 180) % 360 - 180) <= 6
    )


def test_pictures_of_other_things_are_not_read_again():
    """Reading them at 128 px costs more than all that shows that they are others."""
    images = np.stack([view(0), view(0, turn=40), *(view(seed) for seed in range(1, 7))])
    pairs = np.array([[0, 1], *((i, j) for i in range(2, 8) for j in range(i + 1, 8))])
    rows_read: set[int] = set()

    def read(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
        rows_read.update(rows.tolist())
        return enlarged(images, rows)

    alike = near_duplicates(images, read, np.arange(8), all_of(pairs), lambda *_: None)
    assert alike.pairs.tolist() == [[0, 1]] and rows_read == {0, 1}


def test_processes_find_what_one_finds(monkeypatch, tmp_path):
    monkeypatch.setattr(duplicates, "CHUNK", 8)
    np.save(tmp_path / "images.npy", np.stack([view(i // 2, turn=40 * (i % 2)) for i in range(8)]))
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    pairs = all_of(np.array([(i, j) for i in range(8) for j in range(i + 1, 8)]))
    alone = near_duplicates(images, enlarged, np.arange(8), pairs, lambda *_: None)
    monkeypatch.setattr(duplicates, "WORTH_PROCESSES", 1)
    monkeypatch.setattr(duplicates, "cpu_cores", lambda: 2)
    calls = []
    shared = near_duplicates(
        images, enlarged, np.arange(8), pairs, lambda *done: calls.append(done)
    )
    assert alone.pairs.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    for part in ("pairs", "scores", "angles", "stretches"):
        assert np.array_equal(getattr(shared, part), getattr(alone, part))
    assert calls == [(8, 28), (16, 28), (24, 28), (28, 28)]


def killed(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    os.kill(os.getpid(), signal.SIGKILL)
    return enlarged(images, rows)


def test_a_killed_process_is_said(monkeypatch):
    monkeypatch.setattr(duplicates, "WORTH_PROCESSES", 1)
    monkeypatch.setattr(duplicates, "cpu_cores", lambda: 2)
    images = np.stack([view(0), view(0, turn=40)])
    with pytest.raises(RunError, match="killed, perhaps for want of memory"):
        near_duplicates(images, killed, np.arange(2), all_of(np.array([[0, 1]])), lambda *_: None)


def test_a_copy_of_stretched_skin_is_found():
    whole = Image.fromarray(picture(0))
    cut = [
        np.asarray(whole.resize((64, 64), Image.Resampling.BICUBIC, box=box))
        for box in ((48, 48, 112, 112), (43, 53, 117, 107))
    ]  # 1.37 times as long one way as the other
    images = np.stack([*cut, *(view(seed) for seed in range(1, 5))])
    pairs = np.array([[0, 1], [0, 2], [1, 3], [2, 3], [4, 5]])
    alike = near_duplicates(images, enlarged, np.arange(6), all_of(pairs), lambda *_: None)
    assert alike.pairs.tolist() == [[0, 1]] and alike.scores[0] > 0.3
    assert 1.25 < max(alike.stretches[0], 1 / alike.stretches[0]) < 1.5


def test_pairs_are_proposed_once_from_every_space_and_by_both_sides():
    space = np.append(np.arange(30.0) ** 1.5, 20**1.5 + 0.1)[:, None].astype(np.float32)
    near = nearest(
        np.append(np.linspace(0, 1, 30) ** 3 + 5, [0.0])[:, None].astype(np.float32), 12
    )[0]
    pairs = candidates([near, nearest(space, 10)[0]]).pairs
    assert (
        [20, 30] in pairs.tolist()
        and len(np.unique(pairs, axis=0)) == len(pairs)
        and (pairs[:, 0] < pairs[:, 1]).all()
    )
    own = nearest(space, 10)[0]
    proposed = candidates([own])
    ranked = [
        {tuple(sorted((i, int(own[i, rank])))) for i in range(31) if i in own[own[i, rank]]}
        for rank in (0, 1)
    ]
    assert {tuple(pair) for pair in proposed.pairs[proposed.is_first].tolist()} == ranked[0]
    assert {tuple(pair) for pair in proposed.pairs[~proposed.is_first].tolist()} == ranked[
        1
    ] - ranked[0]


def test_pairs_of_second_nearest_must_agree_better(monkeypatch):
    images = np.stack([view(seed) for seed in range(4)])
    pairs = np.array([[0, 1], [0, 2], [0, 3]])
    monkeypatch.setattr(
        duplicates,
        "compare",
        lambda *_: DuplicatePairs(pairs, np.array([0.13, 0.17, 0.19]), np.zeros(3), np.ones(3)),
    )
    alike = near_duplicates(
        images,
        enlarged,
        np.arange(4),
        CandidatePairs(pairs, np.array([True, False, False])),
        lambda *_: None,
    )
    assert alike.pairs.tolist() == [[0, 1], [0, 3]]


@pytest.mark.parametrize("pairs", [np.zeros((0, 2), int), np.array([[0, 1]])])
def test_nothing_to_compare_finds_nothing(pairs):
    nothing = np.zeros((2, 64, 64, 3), np.uint8)
    alike = near_duplicates(nothing, enlarged, np.arange(2), all_of(pairs), print)
    assert len(alike.pairs) == 0
