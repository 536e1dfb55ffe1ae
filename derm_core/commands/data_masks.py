"""`data masks`: add masks of the lesions to a dataset, remove them, or say what is known of those it has."""

from __future__ import annotations

import argparse

from ..data.manifest import Dataset, load_dataset
from ..data.mask_files import masks_at
from ..data.masks import add_masks, mask_info, remove_masks
from ..errors import ConfigError
from ..records import to_json
from .output import Answer, Screen

NO_MASKS = (
    "{name} has no lesion masks: give a folder or zip archive of them, named as their images, such as "
    "ISIC_0024306_segmentation.png."
)


def masks_data(args: argparse.Namespace, screen: Screen) -> Answer:
    """JSON: {name, images, masks, source, called, notes, …}; without masks, and with --remove, {name, masks: 0}."""
    dataset = load_dataset(screen.workspace, args.name)
    if args.remove:
        if args.path:
            raise ConfigError("Give a path, which replaces the masks there are, or --remove.")
        return _remove(dataset)
    if args.path:
        info = add_masks(dataset, masks_at(args.path), screen.counter("reading", "masks"))
    else:
        known = mask_info(dataset.paths)
        if known is None:
            return Answer({"name": args.name, "masks": 0}, NO_MASKS.format(name=args.name))
        info = known
    return Answer({"name": args.name, **to_json(info)}, "\n".join([str(info), *info.notes]))


def _remove(dataset: Dataset) -> Answer:
    remove_masks(dataset.paths)
    left = mask_info(
        dataset.paths
    )  # those of the shared dataset, where a user has removed their own
    text = f"Removed the lesion masks of {dataset.name}; the files they were read from stay."
    return Answer(
        {"name": dataset.name, "masks": left.masks if left else 0},
        f"{text} The shared dataset's are used again: {left}" if left else text,
    )
