"""Priority triage, the paper's task: a dataset's classes as high, medium and low priority.

The paper does not say which class has which priority. The default is ours and is called so wherever
it is shown; a dataset's own map stands in its dataset.json under "priority". Splits stay those of
the classes, so that a VAE pretrained on a split serves both tasks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pandas as pd

from ..errors import ConfigError
from ..files import write_json
from ..workspace import Workspace
from .manifest import Dataset, read_info

PRIORITIES = ("high", "medium", "low")
OURS = {
    "mel": "high",
    "bcc": "medium",
    "akiec": "medium",
    "bkl": "low",
    "df": "low",
    "nv": "low",
    "vasc": "low",
}


def default_map(classes: Sequence[str]) -> dict[str, str] | None:
    """Our map of HAM10000's class names; None where a class has another name."""
    return {name: OURS[name] for name in classes} if classes and set(classes) <= set(OURS) else None


def check_map(classes: Sequence[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """`mapping` in the order of `classes`, if it gives each of them, and no other, a priority.

    Raises ConfigError naming what is missing, unknown or not allowed, or where one priority takes all.
    """
    for name, priority in mapping.items():
        if name not in classes:
            raise ConfigError(
                f"priority of {name!r}: there is no such class; there are {', '.join(classes) or 'none'}."
            )
        if priority not in PRIORITIES:
            raise ConfigError(
                f"priority of {name} is {priority!r}; allowed: {', '.join(PRIORITIES)}."
            )
    if missing := [name for name in classes if name not in mapping]:
        raise ConfigError(
            f"These classes have no priority yet: {', '.join(missing)}; give each one of "
            f"{', '.join(PRIORITIES)}."
        )
    if len(set(mapping.values())) < 2:
        raise ConfigError(
            "All classes have the same priority; a study needs two priorities or more."
        )
    return {name: mapping[name] for name in classes}


def priority_map(name: str, info: Mapping) -> tuple[dict[str, str], bool]:
    """(class to priority, whether that is our default) of dataset `name`, by its dataset.json.

    Raises ConfigError where it has no map and its class names have no default.
    """
    classes = list(info["classes"])
    default = default_map(classes)
    if mapping := info.get("priority") or default:
        return check_map(classes, mapping), mapping == default
    raise ConfigError(
        f"Dataset {name} has no priorities: `data priority {name} CLASS=high …` gives its classes "
        f"({', '.join(classes) or 'none'}) one each."
    )


def save_map(
    workspace: Workspace, name: str, mapping: Mapping[str, str] | None
) -> dict[str, str] | None:
    """Keep `mapping` with dataset `name`, None to go back to the default; returns the map that then holds.

    Raises NotFound, and ConfigError as `check_map` does.
    """
    paths = workspace.dataset(name)
    info = read_info(paths)
    info.pop("priority", None)
    if mapping is not None:
        info["priority"] = check_map(info["classes"], mapping)
    write_json(paths.info, info)
    return info.get("priority") or default_map(info["classes"])


def as_priorities(dataset: Dataset) -> Dataset:
    """The dataset with priorities for classes: high, medium, low, those that occur in its map.

    Images, groups and fingerprint are the dataset's own; info["labels"] says {kind, map, ours}.
    """
    mapping, ours = priority_map(dataset.name, dataset.info)
    classes = tuple(level for level in PRIORITIES if level in mapping.values())
    labels = pd.Series(
        [mapping.get(label) for label in dataset.frame["label"]],
        index=dataset.frame.index,
        dtype=object,
    )
    info = {
        **dataset.info,
        "classes": list(classes),
        "class_descriptions": descriptions(mapping, ours),
        "labels": {"kind": "priority", "map": mapping, "ours": ours},
    }
    view = dataclasses.replace(
        dataset, frame=dataset.frame.assign(label=labels), classes=classes, info=info
    )
    view.__dict__["fingerprint"] = dataset.fingerprint  # of the content, which is the same
    return view


def descriptions(mapping: Mapping[str, str], ours: bool) -> dict[str, str]:
    """What each priority holds, for cards and tables.

    >>> descriptions({"mel": "high", "nv": "low"}, True)
    {'high': 'mel; our mapping', 'low': 'nv; our mapping'}
    """
    held = {
        level: [name for name, given in mapping.items() if given == level] for level in PRIORITIES
    }
    return {
        level: ", ".join(names) + ("; our mapping" if ours else "")
        for level, names in held.items()
        if names
    }


def describe_map(mapping: Mapping[str, str], ours: bool) -> str:
    """One sentence that says which class has which priority, and whose choice that is."""
    held = "; ".join(f"{level}: {text}" for level, text in descriptions(mapping, False).items())
    whose = (
        "This mapping is ours, not the paper's, which is not published"
        if ours
        else "This mapping was chosen for this dataset"
    )
    return f"Priority triage: {held}. {whose}; it is no clinical guideline."
