"""How often the two decisions of shipped models are right, measured on the test split that their cards name.

python -m tools.card_decisions NAME... --dataset D     write class_shares and decisions into these cards

For models that were published before cards had both: the dataset must be in the workspace, and its split the card's.
A new publication writes the same fields by itself.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from derm_core.bundles.bundle import load_classifier
from derm_core.bundles.card import read_card
from derm_core.bundles.model_library import CARD
from derm_core.bundles.predictor import Predictor
from derm_core.data.manifest import load_dataset
from derm_core.data.splits import split_fingerprint
from derm_core.data.store import open_store
from derm_core.data.used_images import used_images
from derm_core.errors import DataError
from derm_core.files import read_json, write_json
from derm_core.publish.decisions import class_shares, measure_decisions
from derm_core.records import to_json
from derm_core.workspace import Workspace

MODELS = Path(__file__).resolve().parent.parent / "models"


def refresh(folder: Path, dataset_name: str, workspace: Workspace) -> None:
    """Measure a bundle's decisions and write them into its card.

    Raises:
        DataError: the dataset does not have the split that the card names, or marks decided which of its
            images and labels were used.
    """
    bundle = load_classifier(folder)
    dataset, card = load_dataset(workspace, dataset_name), bundle.card
    if card.split.marks:
        raise DataError(
            f"{card.name} was trained and tested {card.split.marks}, which this does not repeat: publish its study "
            "again."
        )
    used = used_images(dataset, card.split.rule)
    ids = dataset.frame["image_id"].to_numpy()[used.rows]
    if (
        split_fingerprint(used.split, ids) != card.split.fingerprint
        or dataset.classes != card.classes
    ):
        raise DataError(f"{dataset_name} does not have the split or the classes of {card.name}.")
    shares = class_shares(dataset.labels[used.members("train")], card.classes)
    bundle.card = card = replace(card, class_shares=shares)
    predictor, test = Predictor(bundle), used.members("test")
    images_nssc = np.asarray(
        open_store(workspace, dataset, card.input_size, card.interpolation).images[test]
    )
    decisions = measure_decisions(
        predictor,
        dataset.labels[test],
        dataset.groups[test],
        predictor.predict(images_nssc),
        card.split.seed or 0,
    )
    value = read_json(folder / CARD)
    measured = {"class_shares": shares, "decisions": to_json(decisions)}
    rest = {name: part for name, part in value.items() if name not in measured}
    parts: dict[str, Any] = {}
    for name, part in rest.items():  # the rest of the card stays as it was, letter by letter
        parts |= {**measured, name: part} if name == "per_class" else {name: part}
    read_card(parts)
    write_json(folder / CARD, parts)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tools.card_decisions", description=__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--dataset", required=True)
    args = parser.parse_args()
    for name in args.names:
        refresh(MODELS / name, args.dataset, Workspace.open())


if __name__ == "__main__":
    main()
