"""The shortcut stress test: reliance is zero where the ink says nothing, and grows with what it says."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from derm_core.records import to_json
from derm_core.study.shortcut import assign, ink_alone, paint_ink, shortcut, target_class
from derm_core.workspace import Workspace
from tests.builders import write_dataset
from tests.study.trained import finish, trained_study

STRENGTHS = (0.0, 0.5, 1.0)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A study whose classes are hard to tell apart, so that ink is worth something, and its answer."""
    workspace = Workspace.open(tmp_path_factory.mktemp("shortcut"))
    colours = np.array([[150, 110, 90], [135, 100, 90], [145, 108, 100]])
    write_dataset(workspace, colours=colours)
    study = trained_study(workspace, shortcut=STRENGTHS, epochs=10)
    return study, to_json(finish(shortcut(study))[1])


def test_the_artefact_is_drawn_as_often_as_its_strength_says():
    rng = np.random.default_rng(0)
    labels, uniform = rng.integers(0, 3, 200_000), rng.random(200_000)
    for strength in STRENGTHS:
        carries = assign(labels, 1, strength, uniform)
        assert carries[labels == 1].mean() == pytest.approx(0.5 + strength / 2, abs=0.01)
        assert carries[labels != 1].mean() == pytest.approx(0.5 - strength / 2, abs=0.01)
        turned = assign(labels, 1, strength, uniform, reverse=True)
        assert turned[labels == 1].mean() == pytest.approx(0.5 - strength / 2, abs=0.01)


def test_untied_ink_is_the_same_aligned_and_reversed():
    uniform = np.random.default_rng(0).random(1000)
    labels = np.arange(1000) % 4
    assert np.array_equal(
        assign(labels, 2, 0.0, uniform), assign(labels, 2, 0.0, uniform, reverse=True)
    )


@pytest.mark.parametrize(
    ("strength", "expected"),
    [(0.0, 0.0), (1.0, 1.0), (0.5, 0.2 * 3 / (0.2 * 3 + 0.8) - 0.2 / (0.2 + 0.8 * 3))],
)
def test_what_the_ink_alone_is_worth_is_bayes_rule(strength, expected):
    assert ink_alone(0.2, strength) == pytest.approx(expected)


def test_melanoma_is_the_target_where_there_is_one():
    assert target_class(("nv", "MEL", "bcc"), np.array([0, 0, 2, 2, 2])) == 1
    assert target_class(("high", "low"), np.array([1, 1, 0])) == 0
    assert target_class(("a", "b", "c"), np.array([0, 1, 1, 2, 2, 2])) == 1


def test_ink_depends_on_the_image_alone_and_leaves_the_store_as_it_is(tmp_path):
    images, names = np.full((4, 32, 32, 3), 200, np.uint8), ["a", "b", "c", "d"]
    whole = finish(paint_ink(images, np.arange(4), names, tmp_path / "whole.npy"))[1]
    some = finish(paint_ink(images, np.array([2]), names, tmp_path / "some.npy"))[1]
    assert np.array_equal(whole[2], some[2]) and not np.array_equal(whole[0], whole[2])
    assert (whole != 200).any((1, 2, 3)).all() and (images == 200).all() and some[0].max() == 0


@pytest.mark.slow
def test_reliance_grows_with_the_strength_of_the_tie(asked):
    study, answer = asked
    assert json.dumps(answer, allow_nan=False) and answer["class"] in study.data.classes
    for arm in study.frozen.features:
        rows = {row["strength"]: row for row in answer["rows"] if row["arm"] == arm}
        assert rows[0.0]["reliance"]["low"] <= 0 <= rows[0.0]["reliance"]["high"]
        assert rows[0.0]["aligned"] == rows[0.0]["reversed"]
        assert (
            rows[0.0]["reliance"]["mean"]
            < rows[0.5]["reliance"]["mean"]
            < rows[1.0]["reliance"]["mean"]
        )
        assert rows[1.0]["reversed"]["mean"] <= rows[1.0]["aligned"]["mean"] + 1e-9
    assert "associated with" in answer["text"] and not list(study.run.checkpoints.glob("inked*"))


@pytest.mark.slow
def test_fine_tuned_models_are_not_asked(asked):
    study = asked[0]
    plain = SimpleNamespace(config=study.config, data=study.data, trained={}, frozen=None)
    answer = finish(shortcut(plain))[1]
    assert answer.rows == () and "fine-tuned" in answer.text
