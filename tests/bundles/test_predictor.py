"""Predictions equal the plain network's; refused images do not stop the others."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from derm_core.bundles.bundle import load_bundle
from derm_core.bundles.predict import predict_images
from derm_core.bundles.predictor import Predictor
from derm_core.errors import NotFound
from tests.builders import encode
from tests.bundles.cards import save_bundle


def pixels(n: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


@pytest.fixture
def two(shelf, classifier, card):
    """A plain bundle `small` and the same one with a temperature, `warm`."""
    save_bundle(shelf.models / "small", classifier, card)
    save_bundle(
        shelf.models / "warm", classifier, {**card, "name": "warm", "temperature": {"value": 2.5}}
    )
    return shelf


def test_probabilities_are_the_networks_softmax(two):
    bundle = load_bundle(two.models / "small")
    images = pixels(40)
    x = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
    with torch.no_grad():
        expected = bundle.classifier(x).softmax(1).numpy()
    assert np.allclose(Predictor(bundle).predict(images), expected, atol=1e-5)


def test_temperature_softens_and_keeps_the_top_class(two):
    plain, warm = (Predictor(load_bundle(two.models / name)) for name in ("small", "warm"))
    images = pixels(20)
    expected = torch.from_numpy(plain.logits(images) / 2.5).double().softmax(1).numpy()
    assert (
        np.allclose(warm.predict(images), expected, atol=1e-6)
        and warm.calibrated
        and not plain.calibrated
    )
    assert np.array_equal(warm.predict(images).argmax(1), plain.predict(images).argmax(1))
    assert (warm.predict(images).max(1) < plain.predict(images).max(1)).all()


def test_wrong_shapes_are_refused_and_none_is_fine(two):
    predictor = Predictor(load_bundle(two.models / "small"))
    with pytest.raises(ValueError, match="uint8"):
        predictor.predict(pixels(1, 16))
    assert predictor.predict(pixels(0)).shape == (0, 3)


def test_predict_images_gives_every_arm_and_lists_refused_files(two, tmp_path):
    (tmp_path / "b.png").write_bytes(encode(pixels(2)[1]))
    result = predict_images(
        two,
        ["small", "warm"],
        [("a.png", encode(pixels(2)[0])), ("text.png", b"no image"), ("b.png", tmp_path / "b.png")],
    )
    assert [row.path for row in result.images] == ["a.png", "b.png"]
    assert [row.path for row in result.errors] == ["text.png"]
    for row in result.images:
        assert set(row.arms) == {"small", "warm"} and row.agree is True
        for arm in row.arms.values():
            assert abs(sum(arm.probabilities.values()) - 1) < 1e-9
            assert arm.top == max(arm.probabilities, key=arm.probabilities.get)


def test_all_bundles_are_used_when_none_is_named(two):
    assert set(predict_images(two, None, [("a.png", encode(pixels(1)[0]))]).images[0].arms) == {
        "small",
        "warm",
    }


def test_an_empty_shelf_says_what_to_do(shelf):
    with pytest.raises(NotFound, match="publish"):
        predict_images(shelf, None, [])


def test_many_callers_get_what_one_gets(two):
    predictor = Predictor(load_bundle(two.models / "small"))
    images = pixels(8)
    expected, results = predictor.predict(images), [None] * 6

    def work(i: int) -> None:
        results[i] = predictor.predict(images)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.allclose(result, expected, atol=1e-6) for result in results)
