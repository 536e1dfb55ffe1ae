"""How often a published model's two decisions are right, and the class shares they are adjusted for."""

from __future__ import annotations

import numpy as np

from ..bundles.card_parts import CardDecisions, DecisionScore
from ..bundles.predictor import Predictor
from ..records import to_json
from ..stats.decisions import score_decisions


def class_shares(labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, float]:
    """The share of each class among training labels (n,), indices into the classes."""
    counts = np.bincount(labels, minlength=len(classes))
    return dict(zip(classes, (counts / counts.sum()).tolist(), strict=True))


def measure_decisions(
    predictor: Predictor,
    labels: np.ndarray,
    groups: np.ndarray,
    probabilities_nc: np.ndarray,
    seed: int,
) -> CardDecisions:
    """Accuracy and balanced accuracy of both decisions on test images.

    Args:
        predictor: of the stored model, whose card has the class shares of training.
        labels, groups: (n,) of the images.
        probabilities_nc: the predictor's.
        seed: of the resamples; with a study's split seed they are those of the study.
    """
    assert predictor.log_prior is not None, "publishing writes the class shares first"
    p_snc = predictor.uncalibrated(probabilities_nc)[None]
    scores = score_decisions(labels, groups, {"own": p_snc}, predictor.log_prior, seed=seed)["own"]
    of = {
        decision: DecisionScore(
            accuracy=to_json(score.accuracy), balanced_accuracy=to_json(score.balanced_accuracy)
        )
        for decision, score in vars(scores).items()
    }
    return CardDecisions(**of)
