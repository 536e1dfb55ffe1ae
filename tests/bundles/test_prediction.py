"""What is said of an image beside its probabilities; old cards say nothing and still answer."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from derm_core.bundles import conformal
from derm_core.bundles.bundle import load_bundle
from derm_core.bundles.neighbours import fit_points
from derm_core.bundles.outlier import Outlier, distance
from derm_core.bundles.predict import predict_images
from derm_core.bundles.prediction import (
    Agreement,
    ArmPrediction,
    Neighbour,
    agreement_of,
    closest_duplicate,
)
from derm_core.bundles.predictor import Predictor
from derm_core.bundles.reference_file import Reference
from derm_core.cli import main
from derm_core.publish.statistics import fit_space
from derm_core.records import to_json
from tests.builders import encode
from tests.bundles.cards import complete_bundle, make_card, save_bundle

RNG = np.random.default_rng(0)
TRAINING = RNG.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
OTHER = np.full((32, 32, 3), 255, np.uint8)


@pytest.fixture
def shelf_of_two(shelf, classifier, decoder, card):
    """`old` carries nothing beside its probabilities; `full` everything, made from TRAINING."""
    save_bundle(shelf.models / "old", classifier, {**card, "name": "old"})
    card = {
        **card,
        "name": "full",
        "classes": ["mel", "nv", "bkl"],
        "class_descriptions": {},
        "decoder": {"latent_dim": 4, "size": 32, "width": 16},
    }
    save_bundle(shelf.models / "full", classifier, card, decoder)
    features = Predictor(load_bundle(shelf.models / "full")).features_and_logits(TRAINING)[0]
    space = fit_space(features)
    reference = Reference(
        space,
        fit_points(space, features, np.arange(40) % 3, [f"t{i}" for i in range(40)], 0),
        (np.zeros((64, 4), np.float32), np.zeros(4, np.float32)),
    )
    complete_bundle(
        shelf.models / "full",
        {
            "conformal": {"coverages": {"0.90": 0.5}},
            "reference": {"public": True, "duplicate": {"threshold": 0.02}},
            "outlier": {
                "distance": {"threshold": float(distance(space, features).max()) * 1.1},
                "reconstruction": {"threshold": 5.0},
            },
            "operating_point": {
                "class": "mel",
                "threshold": 0.2,
                "specificity": 0.9,
                "sensitivity": {"mean": 0.8},
            },
        },
        reference,
    )
    return shelf


def test_an_old_card_answers_and_says_nothing_more(shelf_of_two):
    row = predict_images(shelf_of_two, ["old"], [("a.png", encode(TRAINING[0]))]).images[0]
    arm = row.arms["old"]
    assert (
        arm.prediction_set is None
        and arm.operating_point is None
        and arm.neighbours == ()
        and arm.priority is None
    )
    assert row.outlier == Outlier(False, None, {}) and row.duplicate is None
    assert sum(arm.probabilities.values()) == pytest.approx(1)


def test_a_full_card_says_everything(shelf_of_two):
    row = predict_images(shelf_of_two, ["full"], [("a.png", encode(TRAINING[7]))]).images[0]
    arm, p = row.arms["full"], row.arms["full"].probabilities
    values = np.array([list(p.values())])
    expected = {c for c, inside in zip(p, conformal.prediction_sets(values, 0.5)[0]) if inside}
    assert arm.prediction_set.coverage == 0.9 and set(arm.prediction_set.classes) == expected
    assert arm.prediction_set.classes == tuple(sorted(expected, key=p.get, reverse=True))
    assert arm.priority == {
        "high": p["mel"],
        "medium": 0.0,
        "low": pytest.approx(p["nv"] + p["bkl"]),
    }
    assert arm.operating_point.called is (p["mel"] > 0.2) and arm.operating_point.sensitivity == 0.8
    assert arm.neighbours[0] == Neighbour("t7", "nv", pytest.approx(0, abs=0.01))
    assert (
        row.duplicate.image_id == "t7" and row.duplicate.name == "full" and not row.outlier.flagged
    )
    assert row.quality.width == 32 and "small" in row.quality.problems[0]


def test_a_picture_of_another_kind_is_flagged_and_is_no_duplicate(shelf_of_two):
    row = predict_images(shelf_of_two, ["full"], [("white.png", encode(OTHER))]).images[0]
    score = row.outlier.scores["full"]
    assert (
        row.outlier.flagged
        and "Not like the images" in row.outlier.reason
        and row.duplicate is None
    )
    assert score.distance > score.threshold and score.reconstruction > 0 and score.flagged is True


def test_the_reconstruction_error_is_that_of_the_decoders_image(shelf_of_two):
    import torch

    predictor = Predictor(load_bundle(shelf_of_two.models / "full"))
    with torch.no_grad():
        drawn = predictor.bundle.decoder(torch.zeros(1, 4))[0].clamp(-1, 1).permute(1, 2, 0).numpy()
    features = predictor.features_and_logits(TRAINING[:3])[0]
    expected = [np.sqrt(np.mean(((drawn + 1) / 2 - image / 255) ** 2)) for image in TRAINING[:3]]
    assert np.allclose(predictor.reconstruction_errors(features, TRAINING[:3]), expected, atol=1e-5)


@pytest.mark.slow
def test_several_images_get_what_each_gets_alone(shelf_of_two):
    sources = [(f"{i}.png", encode(image)) for i, image in enumerate([*TRAINING[:4], OTHER])]
    together = predict_images(shelf_of_two, None, sources).images
    for source, row in zip(sources, together, strict=True):
        alone = predict_images(shelf_of_two, None, [source]).images[0]
        assert alone.arms["full"].prediction_set == row.arms["full"].prediction_set
        for c, p in row.arms["full"].probabilities.items():
            assert alone.arms["full"].probabilities[c] == pytest.approx(p, abs=1e-5)
        assert alone.outlier.flagged == row.outlier.flagged


@pytest.mark.slow
def test_the_command_line_gives_the_same_numbers(shelf_of_two, tmp_path, capsys):
    path = tmp_path / "a.png"
    path.write_bytes(encode(TRAINING[3]))
    expected = predict_images(shelf_of_two, ["full"], [(str(path), path)])
    assert main(["predict", str(path), "--models", "full", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(to_json(expected)))
    assert main(["predict", str(path), "--models", "full"]) == 0
    shown = capsys.readouterr().out
    assert "near-duplicate" in shown and "set (90 %)" in shown and "The image is small" in shown


def test_the_duplicate_named_is_the_one_furthest_below_its_threshold():
    distances = {"a": (0.2, 0.3), "b": (0.4, 2.0), "c": (0.4, 0.3), "none": (0.0, None)}
    arms = {
        name: ArmPrediction(
            "nv", None, {}, None, None, None, (Neighbour(f"t-{name}", "nv", distance),)
        )
        for name, (distance, _) in distances.items()
    }
    cards = {
        name: make_card(reference={"duplicate": limit and {"threshold": limit}})
        for name, (_, limit) in distances.items()
    }
    duplicate = closest_duplicate(cards, arms)
    assert (duplicate.name, duplicate.image_id, duplicate.distance) == ("b", "t-b", 0.4)
    assert closest_duplicate(cards, {"c": arms["c"]}) is None


def test_agreement_is_looked_up_for_the_pair_of_one_study():
    part = {"images": 9, "accuracy": {"vae": 0.7, "imagenet": 0.8}}
    parts = {"imagenet": {"agree": part, "disagree": part}}
    own = make_card(name="v", arm="vae", run="r", agreement=parts)
    other = make_card(name="i", arm="imagenet", run="r")
    agreed, disagreed = agreement_of([own, other])
    assert agreed == disagreed == Agreement(9, {"v": 0.7, "i": 0.8})
    assert (
        agreement_of([own, replace(other, run="q")]) is None
        and agreement_of([own, replace(other, seed=1)]) is None
    )
    assert (
        agreement_of([own]) is None and agreement_of([replace(own, agreement=None), other]) is None
    )
