"""`data show`: what is known of a dataset, as text, JSON or one HTML file."""

from __future__ import annotations

import argparse
import time

from ..data.cautions import describe_groups
from ..data.dataset_facts import DatasetFacts, dataset_facts, listed_counts
from ..data.manifest import load_dataset
from ..errors import ConfigError
from ..records import to_json
from ..report.dataset_html import SAMPLES, dataset_html
from .data import describe_counts, describe_skipped, describe_taken
from .output import Answer, Screen, size
from .reports import write_file


def show_data(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {name, source, images, class_counts, unlabelled, groups, splits, resolution, notes, …}.

    With --out {name, files}.
    """
    dataset = load_dataset(screen.workspace, args.name)
    if args.out:
        images = SAMPLES if args.images is None else args.images
        path = write_file(args.out, dataset_html(dataset, images=images).encode())
        text = f"{path} ({size(path.stat().st_size)})"
        if images > 0:
            text += (
                "\nIt holds images of the dataset: keep it where they may be, or use --images 0."
            )
        return Answer({"name": args.name, "files": [str(path)]}, text)
    if args.images is not None:
        raise ConfigError("--images are shown in the HTML report: give --out FILE as well.")
    facts = dataset_facts(dataset)
    return Answer(to_json(facts), "\n".join(describe_facts(facts)))


def describe_facts(facts: DatasetFacts) -> list[str]:
    """The facts about a dataset in lines."""
    groups = describe_groups(facts.groups, facts.group_kinds)
    date = time.strftime("%Y-%m-%d", time.localtime(facts.created))
    where = f" from {facts.imported_from}" if facts.imported_from else ""
    lines = [
        f"{facts.name}: {facts.images} images, {len(facts.class_counts)} classes; groups: {groups}.",
        f"Imported on {date}{where}.",
        describe_taken(facts.taken()),
        describe_counts(facts.class_counts, facts.unlabelled),
    ]
    if facts.splits:
        lines.append(f"Official split: {listed_counts(facts.splits, {'': 'in no part'})}.")
    resolution = facts.resolution
    sizes = listed_counts(resolution.common)
    sizes += f", other sizes ({resolution.others})" if resolution.others else ""
    lines.append(
        f"Pixels before resizing: {sizes}; shorter side {resolution.smallest_side} to "
        f"{resolution.largest_side}, median {resolution.median_side}."
    )
    lines += [
        f"{name.replace('_', ' ').capitalize()}: {listed_counts(counts, {'': 'not known'})}."
        for name, counts in facts.attributes.items()
    ]
    lines.append(f"Licence: {facts.license or 'not known'}; cite: {facts.citation or 'not known'}.")
    if facts.masks:
        lines += [str(facts.masks), *facts.masks.notes]
    return [*lines, *facts.notes, *describe_skipped(facts.skipped)]
