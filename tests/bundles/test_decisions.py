"""The two decisions of a published model: where its class shares come from, and what its card says of each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from derm_core.bundles.bundle import load_bundle, load_classifier
from derm_core.bundles.card import read_card
from derm_core.bundles.neighbours import Points
from derm_core.bundles.outlier import Space
from derm_core.bundles.predict import arm_prediction, predict_images
from derm_core.bundles.predictor import Predictor
from derm_core.bundles.reference_file import Reference
from derm_core.errors import BundleError
from derm_core.records import to_json
from tests.builders import encode
from tests.bundles.cards import FIELDS, make_card, save_bundle

REPOSITORY = Path(__file__).resolve().parents[2]
SHARES = {"a": 0.8, "b": 0.15, "c": 0.05}
VALUE = {"mean": 0.6, "std": 0.0, "low": 0.5, "high": 0.7}


@pytest.fixture
def bundle(shelf, classifier, card):
    save_bundle(shelf.models / "small", classifier, card)
    return load_bundle(shelf.models / "small")


def listing(labels) -> Reference:
    """A reference that lists training images of these classes."""
    labels = np.array(labels, np.int32)
    space = Space(np.zeros(64), np.ones(64), np.eye(64)[:, :1], np.ones(2))
    return Reference(space, Points(np.zeros((len(labels), 1), np.float16), labels, None))


def with_shares(bundle, **fields) -> Predictor:
    bundle.card = replace(make_card(class_shares=SHARES), **fields)
    return Predictor(bundle)


def test_the_adjusted_class_has_the_most_probability_for_its_share(bundle):
    predictor = with_shares(bundle)
    p = np.random.default_rng(0).dirichlet((4, 1, 1), 50)
    expected = (p / np.array(list(SHARES.values()))).argmax(1)
    assert predictor.adjusted(p).tolist() == expected.tolist()
    answers = [arm_prediction(predictor, one, ()) for one in p]
    assert [answer.top_adjusted for answer in answers] == ["abc"[i] for i in expected]
    assert any(answer.top != answer.top_adjusted for answer in answers)


def test_a_temperature_changes_no_decision(bundle):
    plain = with_shares(bundle)
    images = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)
    expected = plain.adjusted(plain.predict(images))
    warm = with_shares(bundle, temperature=make_card(temperature={"value": 3.0}).temperature)
    assert (warm.predict(images).max(1) < plain.predict(images).max(1)).all()
    assert warm.adjusted(warm.predict(images)).tolist() == expected.tolist()


@pytest.mark.parametrize(("trained_on", "known"), [(10, True), (11, False), (None, False)])
def test_shares_are_counted_only_where_every_training_image_is_listed(bundle, trained_on, known):
    counts = {"train": trained_on} if trained_on else None
    bundle.card = make_card(split={"counts": counts})
    bundle.reference = listing([0] * 7 + [1] * 3)
    prior = bundle.log_prior()
    assert (prior is not None) == known
    if known:
        assert np.exp(prior[:2]).tolist() == pytest.approx([0.7, 0.3]) and prior[2] == np.inf


def test_without_class_shares_the_adjusted_class_is_not_known(shelf, bundle):
    image = encode(np.zeros((40, 40, 3), np.uint8))
    (answer,) = predict_images(shelf, ["small"], [("a.png", image)]).images
    arm = to_json(answer)["arms"]["small"]
    assert arm["top_adjusted"] is None and arm["top"] in "abc"


def test_an_older_card_has_one_score_of_each_decision():
    scores = make_card(metrics={"accuracy": VALUE, "balanced_accuracy": VALUE}).decision_scores
    assert scores.most_probable.accuracy and scores.adjusted.balanced_accuracy
    assert scores.most_probable.balanced_accuracy is None and scores.adjusted.accuracy is None


@pytest.mark.parametrize(
    "fields",
    [
        {"class_shares": {"a": 0.5, "b": 0.5}},
        {"class_shares": {"a": 0.5, "b": 0.5, "c": 0.5}},
        {"decisions": {"most_probable": {"accuracy": {"mean": "x"}}, "adjusted": {}}},
    ],
)
def test_shares_and_scores_that_cannot_be_are_refused(fields):
    with pytest.raises(BundleError):
        read_card({**FIELDS, **fields})


@pytest.mark.parametrize("name", ["vae-resnet18-64", "imagenet-resnet18-64"])
def test_shipped_models_have_all_four_scores_and_the_shares_of_the_images_they_list(name):
    shipped = load_classifier(REPOSITORY / "models" / name)
    scores, card = shipped.card.decision_scores, shipped.card
    for decision in (scores.most_probable, scores.adjusted):
        assert decision.accuracy and decision.balanced_accuracy
    for key, measured in (
        ("accuracy", scores.most_probable.accuracy),
        ("balanced_accuracy", scores.adjusted.balanced_accuracy),
    ):
        for end in ("mean", "low", "high"):
            assert measured[end] == pytest.approx(card.metrics[key][end], abs=1e-6)
    from_card = shipped.log_prior()
    shipped.card = replace(card, class_shares=None)
    assert shipped.log_prior() == pytest.approx(from_card)
