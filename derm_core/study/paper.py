"""The paper's reported numbers as data, and the same table for our arms beside them.

Matas et al., "Mitigating Overfitting in Medical Imaging: Self-Supervised Pretraining vs. ImageNet
Transfer Learning for Dermatological Diagnosis", arXiv 2505.16773, 2025.

    paper_table(curves {arm: curves}) -> [{"arm", "quantity", "start", "final", "relative_change",
                                           "paper": {"start", "final", "relative_change", "derived", "text"} | None}]
    quantity: "val_loss", "train_accuracy", "val_accuracy", "loss_gap", "accuracy_gap" (QUANTITIES names
    them); shares and relative changes are fractions; values are means over seeds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..stats.gaps import accuracy_gap, first_epoch, loss_gap

CITATION = "Matas et al. 2025, arXiv 2505.16773"
QUANTITIES = {
    "val_loss": "validation loss",
    "train_accuracy": "training accuracy",
    "val_accuracy": "validation accuracy",
    "loss_gap": "loss gap",
    "accuracy_gap": "accuracy gap",
}
NOTES = (
    "In the paper ImageNet wins on validation accuracy and on validation loss; its claim for self-supervised "
    "pretraining is about the gap.",
    "The paper's starting values are computed back from its percentages. Ours are those after the first epoch: "
    "a head at step 0 knows nothing whatever its features.",
    "Absolute losses are not compared with the paper's: 0.100 cannot be mean cross-entropy in nats at 25 % errors "
    "(at least 0.173), so its loss is another or rescaled. Compare signs and relative changes.",
    "The paper's gap of +0.060 is not its accuracy gap, which its accuracies put at 0.12; it fits validation loss − "
    "training loss and stands in that row.",
    "A small gap can be plain underfitting: read it beside the accuracy and beside the random control.",
)


def _reported(
    start: float | None,
    final: float,
    change: float | None,
    derived: tuple[str, ...] = (),
    text: str = "",
) -> dict:
    """text: the paper's own words where it gives no number."""
    return {
        "start": start,
        "final": final,
        "relative_change": change,
        "derived": list(derived),
        "text": text,
    }


# derived: what is not printed in the paper but follows from what is.
PAPER: dict[str, dict[str, dict]] = {
    "vae": {
        "val_loss": _reported(0.165, 0.110, -0.3333, ("start",)),
        "train_accuracy": _reported(None, 0.65, None),
        "val_accuracy": _reported(0.45, 0.65, 0.4444, ("start",)),
        "loss_gap": _reported(None, 0.0, None, text="near 0"),
        "accuracy_gap": _reported(None, 0.0, None, ("final",)),
    },
    "imagenet": {
        "val_loss": _reported(0.120, 0.100, -0.1667, ("start",)),
        "train_accuracy": _reported(0.58, 0.87, 0.5000, ("start",)),
        "val_accuracy": _reported(0.63, 0.75, 0.1905, ("start",)),
        "loss_gap": _reported(None, 0.060, None),
        "accuracy_gap": _reported(None, 0.12, None, ("final",)),
    },
}


def paper_table(curves: Mapping[str, Mapping[str, np.ndarray]]) -> list[dict]:
    """The table of the module's docstring for every arm; gaps have no relative change (they pass 0)."""
    rows = []
    for quantity in QUANTITIES:
        for arm, curve in curves.items():
            values = _values(curve, quantity).mean(1)
            start, final = float(values[first_epoch(curve["epoch"])]), float(values[-1])
            change = None if quantity.endswith("gap") or start == 0 else (final - start) / start
            rows.append(
                {
                    "arm": arm,
                    "quantity": quantity,
                    "start": start,
                    "final": final,
                    "relative_change": change,
                    "paper": PAPER.get(arm, {}).get(quantity),
                }
            )
    return rows


def _values(curves: Mapping[str, np.ndarray], quantity: str) -> np.ndarray:
    if quantity == "loss_gap":
        return loss_gap(curves)
    return accuracy_gap(curves) if quantity == "accuracy_gap" else curves[quantity]
