"""Priority triage, the paper's task: a dataset's classes as high, medium and low priority.

The paper does not say which class has which priority. The default is ours and is called so wherever
it is shown; a dataset's own map stands in its dataset.json under "priority". Splits are those of
the classes, so that a VAE pretrained on a split serves both tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from ..errors import ConfigError
from ..files import read_json, write_json
from ..workspace import Workspace
from .manifest import Dataset, DatasetInfo, PriorityMap, read_info

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
    """`mapping` in the order of `classes`.

    Raises:
        ConfigError: a class has no priority, a name is unknown, a priority is not allowed, or all
            classes have the same one.
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


def priority_map(name: str, info: DatasetInfo) -> PriorityMap:
    """The priorities of dataset `name`: its own, else our default.

    Raises:
        ConfigError: it has no map, and its class names have no default.
    """
    default = default_map(info.classes)
    if mapping := info.priority or default:
        return PriorityMap(check_map(info.classes, mapping), mapping == default)
    raise ConfigError(
        f"Dataset {name} has no priorities: `data priority {name} CLASS=high …` gives its classes "
        f"({', '.join(info.classes) or 'none'}) one each."
    )


def save_map(workspace: Workspace, name: str, mapping: Mapping[str, str] | None) -> None:
    """Write `mapping` to dataset.json of dataset `name`; None goes back to the default.

    Raises:
        NotFound: there is no such dataset.
        ConfigError: as `check_map` does, or the dataset is the shared server's.
    """
    paths = workspace.dataset(name)
    paths.require_own()
    info = read_info(paths)
    description = read_json(paths.info)
    description.pop("priority", None)
    if mapping is not None:
        description["priority"] = check_map(info.classes, mapping)
    write_json(paths.info, description)


def as_priorities(dataset: Dataset) -> Dataset:
    """The dataset with priorities for classes: high, medium, low, those that occur in its map.

    Images, groups and fingerprint are the dataset's own.
    """
    priorities = priority_map(dataset.name, dataset.info)
    classes = tuple(level for level in PRIORITIES if level in priorities.map.values())
    labels = pd.Series(
        [priorities.map.get(label) for label in dataset.frame["label"]],
        index=dataset.frame.index,
        dtype=object,
    )
    frame = dataset.frame.assign(label=labels)
    info = replace(dataset.info, classes=classes, class_descriptions=descriptions(priorities))
    return replace(dataset, frame=frame, classes=classes, info=info, priorities=priorities)


def descriptions(priorities: PriorityMap) -> dict[str, str]:
    """The classes of each priority, for cards and tables.

    >>> descriptions(PriorityMap({"mel": "high", "nv": "low"}, True))
    {'high': 'mel; our mapping', 'low': 'nv; our mapping'}
    """
    note = "; our mapping" if priorities.ours else ""
    return {level: names + note for level, names in _classes_of(priorities).items()}


def describe_map(priorities: PriorityMap) -> str:
    """One sentence that says which class has which priority, and who chose that."""
    levels = "; ".join(f"{level}: {names}" for level, names in _classes_of(priorities).items())
    choice = (
        "This mapping is ours, not the paper's, which is not published"
        if priorities.ours
        else "This mapping was chosen for this dataset"
    )
    return f"Priority triage: {levels}. {choice}; it is no clinical guideline."


def _classes_of(priorities: PriorityMap) -> dict[str, str]:
    """The names of the classes of each priority that occurs, separated by commas."""
    return {
        level: ", ".join(name for name, given in priorities.map.items() if given == level)
        for level in PRIORITIES
        if level in priorities.map.values()
    }
