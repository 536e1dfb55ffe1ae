"""The paper's reported numbers as data, and the same table for our arms beside them.

Matas et al., "Mitigating Overfitting in Medical Imaging: Self-Supervised Pretraining vs. ImageNet
Transfer Learning for Dermatological Diagnosis", arXiv 2505.16773, 2025.

Shares and relative changes are fractions; values are means over seeds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..stats.gaps import GAPS, Curves, first_epoch
from .roles import PLAIN, VAE
from .study_result import PaperRow, PaperValues

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

START = ("start",)
# derived: what is not printed in the paper but follows from what is.
PAPER: dict[str, dict[str, PaperValues]] = {
    "vae": {
        "val_loss": PaperValues(start=0.165, final=0.110, relative_change=-0.3333, derived=START),
        "train_accuracy": PaperValues(final=0.65),
        "val_accuracy": PaperValues(start=0.45, final=0.65, relative_change=0.4444, derived=START),
        "loss_gap": PaperValues(final=0.0, text="near 0"),
        "accuracy_gap": PaperValues(final=0.0, derived=("final",)),
    },
    "imagenet": {
        "val_loss": PaperValues(start=0.120, final=0.100, relative_change=-0.1667, derived=START),
        "train_accuracy": PaperValues(start=0.58, final=0.87, relative_change=0.5, derived=START),
        "val_accuracy": PaperValues(start=0.63, final=0.75, relative_change=0.1905, derived=START),
        "loss_gap": PaperValues(final=0.060),
        "accuracy_gap": PaperValues(final=0.12, derived=("final",)),
    },
}


def paper_values(arms: Collection[str]) -> dict[str, dict[str, PaperValues]]:
    """The paper's numbers by the arm that repeats its own: of several VAEs the plain one, which is the paper's."""
    vae = PLAIN if PLAIN in arms else VAE
    return {vae if arm == VAE else arm: values for arm, values in PAPER.items()}


def paper_table(curves: Mapping[str, Curves]) -> list[PaperRow]:
    """Start, final value and relative change of every quantity and arm, beside the paper's; gaps pass 0: no change."""
    paper = paper_values(curves)
    rows = []
    for quantity in QUANTITIES:
        for arm, curve in curves.items():
            kind = quantity.removesuffix("_gap")
            values = (GAPS[kind](curve) if kind in GAPS else curve[quantity]).mean(1)
            start, final = float(values[first_epoch(curve["epoch"])]), float(values[-1])
            row = PaperRow(
                arm=arm,
                quantity=quantity,
                start=start,
                final=final,
                relative_change=None if kind in GAPS or start == 0 else (final - start) / start,
                paper=paper.get(arm, {}).get(quantity),
            )
            rows.append(row)
    return rows


def majority_row(quantity: str, share: float) -> PaperRow:
    """The row of the majority class, which nothing trains: its share from start to end."""
    return PaperRow(
        arm="majority", quantity=quantity, start=share, final=share, relative_change=None
    )
