"""Which folders are classes: neither splits nor containers, neither patients nor ids."""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from .columns import ENTITIES, SPLIT_WORDS, split_of, words
from .labels import same_class

CONTAINERS = {
    *"data dataset datasets image images img imgs photo photos picture pictures pics raw original "
    "originals jpg jpeg png jpgs pngs input inputs file files all unlabelled unlabeled labelled "
    "labeled set part parts fold folds batch batches chunk split splits download downloads export "
    "processed preprocessed augmented augmentation augmentations enhanced normalized bilder fotos "
    "resized cropped crops full sample samples sub subset folder dir main".split(),
    *SPLIT_WORDS,
}
CLASS_PREFIXES = set(
    "class klasse grade stage type level category cat label cls c diagnosis disease dx".split()
)
MAX_NUMBERED_CLASSES = 25
SMALL = 2  # images; folders of so few are ids


@dataclass(frozen=True)
class FolderClasses:
    """What the folders of images say.

    Attributes:
        labels: image → name of its class's folder; empty where folders are no classes.
        splits, groups: image → official split, and name of the folder that identifies a patient or
            lesion.
        kind: "patient" or "lesion", of `groups`.
        notes: what was assumed.
        doubt: why the folders may be classes and may be ids; a user has to say.
        ids: image → name of the folder that `--group-column folder` stands for.
    """

    labels: dict[str, str] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    kind: str = "patient"
    notes: tuple[str, ...] = ()
    doubt: str = ""
    ids: dict[str, str] = field(default_factory=dict)


@lru_cache(maxsize=10_000)
def is_container(folder: str) -> bool:
    """Whether a folder's name says that it is a part or a split of a data set, and no class."""
    parts = words(folder)
    known = [part for part in parts if part in CONTAINERS or part.isdecimal()]
    if len(known) == len(parts):
        return any(not part.isdecimal() for part in parts)
    has_split = any(part in SPLIT_WORDS for part in parts)
    others = [part for part in parts if part in CONTAINERS and part not in SPLIT_WORDS]
    is_part = parts[-2:-1] == ["part"] and parts[-1].isdecimal()
    return is_part or (has_split and bool(others))


def read_folders(images: Sequence[str], *, certain: bool = False) -> FolderClasses:
    """Classes, splits and groups of images by the folders that they lie in.

    Args:
        images: relative paths.
        certain: folders are classes, whatever they are called.
    """
    if certain:
        assumed = read_folders(images)
        if assumed.labels:
            return assumed
    splits = {}
    levels: dict[str, list[str]] = {}
    for image in images:
        folder = image.rpartition("/")[0]
        split, folders = _parts(folder)
        if split:
            splits[image] = split
        levels[image] = [*folders]
    if certain and len({parts[-1] for parts in levels.values() if parts}) < 1:
        levels = {image: image.split("/")[:-1] for image in images}
    _drop_wrappers(levels)
    levels, of_splits = _without_splits(levels)
    splits |= of_splits
    groups: dict[str, str] = {}
    notes: list[str] = []
    kind, doubt = "patient", ""
    deepest = _usual_depth(levels)
    ids: dict[str, str] = {}
    for depth in reversed(range(deepest)):
        names = {image: parts[depth] for image, parts in levels.items() if len(parts) > depth}
        counts = Counter(names.values())
        outer = {image: parts[:depth] for image, parts in levels.items() if len(parts) > depth}
        verdict = "classes" if certain else _verdict(counts)
        if verdict == "classes" and (certain or len({same_class(name) for name in counts}) > 1):
            notes += _notes(counts, outer, depth, deepest)
            outer_groups = _groups_above(levels, depth) if not groups else None
            if outer_groups:
                kind, groups = outer_groups
                notes.append(_taken_for_ids(Counter(groups.values()), kind))
            return FolderClasses(names, splits, groups, kind, tuple(notes), ids=groups or ids)
        if verdict in ("patient", "lesion") and not groups:
            groups, kind = names, verdict
            notes.append(_taken_for_ids(counts, kind))
        elif verdict in ("ids", "doubt"):
            ids = ids or names
            notes.append(
                f"The folders ({_few(counts)}) look like ids and were not taken for classes; "
                "--group-column folder takes them for the patients, --classes folder for classes."
            )
            if verdict == "doubt":
                doubt = doubt or (
                    f"The folders ({_few(counts)}) may be classes, or ids of patients or parts: say "
                    "--classes folder if they are classes, or --classes none to import without labels."
                )
        elif verdict == "classes" and not groups:
            notes.append(
                f"All images lie in one folder, {_few(counts)}: --classes folder takes it for their "
                "class."
            )
    return FolderClasses({}, splits, groups, kind, tuple(notes), doubt, groups or ids)


def _taken_for_ids(counts: Mapping[str, int], kind: str) -> str:
    return f"The folders ({_few(counts)}) were taken for the {kind}s' ids."


def _groups_above(
    levels: Mapping[str, Sequence[str]], depth: int
) -> tuple[str, dict[str, str]] | None:
    """The folders above those of the classes, where their names say that they are patients."""
    for outer in reversed(range(depth)):
        names = {image: parts[outer] for image, parts in levels.items() if len(parts) > depth}
        verdict = _verdict(Counter(names.values()))
        if verdict in ("patient", "lesion"):
            return verdict, names
    return None


@lru_cache(maxsize=100_000)
def _parts(folder: str) -> tuple[str | None, tuple[str, ...]]:
    """The split that a path of folders names, and its folders that are no containers."""
    folders = [name for name in folder.split("/") if name]
    split = next((name for name in map(_split, reversed(folders)) if name), None)
    return split, tuple(name for name in folders if not is_container(name))


def _split(folder: str) -> str | None:
    return split_of(folder) if is_container(folder) else None


def _without_splits(
    levels: Mapping[str, list[str]],
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Folder names such as benign_train without their split, where several splits share the rest."""
    split_names = {name for parts in levels.values() for name in parts if split_of(name)}
    rest = {
        name: "_".join(
            word for word in re.split(r"[ _.-]+", name) if word.casefold() not in SPLIT_WORDS
        )
        for name in split_names
    }
    shared = {
        name for name, short in rest.items() if short and list(rest.values()).count(short) > 1
    }
    splits, changed = {}, {}
    for image, parts in levels.items():
        changed[image] = [rest[name] if name in shared else name for name in parts]
        for name in shared.intersection(parts):
            splits[image] = split_of(name) or ""
    return changed, splits


def _drop_wrappers(levels: dict[str, list[str]]) -> None:
    """Take away outer folders that hold all images."""
    while True:
        inside = [parts for parts in levels.values() if parts]
        if not inside or len({parts[0] for parts in inside}) > 1:
            return
        if all(len(parts) == 1 for parts in inside):
            return
        for parts in inside:
            del parts[0]


def _usual_depth(levels: Mapping[str, Sequence[str]]) -> int:
    """The number of folder levels that at least nine in ten images have."""
    depths = sorted(len(parts) for parts in levels.values() if parts)
    return depths[len(depths) // 10] if depths else 0


def _verdict(counts: Mapping[str, int]) -> str:
    """What folders are: classes, patient, lesion, ids, or in doubt.

    Args:
        counts: images by the folder's name.
    """
    names = list(counts)
    numbered = [re.fullmatch(r"([^\W\d_]*)[ _.-]*(\d+)[a-z]?", name.casefold()) for name in names]
    usual = statistics.median(counts.values())
    if sum(match is not None for match in numbered) >= 0.8 * len(names):
        matches = [match for match in numbered if match]
        prefix = Counter(match[1] for match in matches).most_common(1)[0][0]
        values = sorted({int(match[2]) for match in matches})
        is_row = len(names) <= MAX_NUMBERED_CLASSES and values == list(
            range(values[0], values[0] + len(names))
        )
        if prefix in CLASS_PREFIXES or (not prefix and is_row and values[0] in (0, 1)):
            return "ids" if usual <= SMALL and len(names) > 4 else "classes"
        kind = _entity_prefix(prefix)
        if kind:
            return kind
        return "ids" if usual <= SMALL or len(names) > MAX_NUMBERED_CLASSES else "doubt"
    if sum(bool(re.search(r"\d", name)) for name in names) >= 0.8 * len(names):
        patients = Counter(_entity_prefix(words(name)[0]) for name in names if words(name))
        kind, count = patients.most_common(1)[0]
        if kind and count >= 0.8 * len(names):
            return kind
        return "ids" if usual <= SMALL or len(names) > MAX_NUMBERED_CLASSES else "doubt"
    return "ids" if usual <= SMALL and len(names) > 4 else "classes"


def _entity_prefix(prefix: str) -> str | None:
    short = {"p": "patient", "pt": "patient", "sub": "patient", "ip": "patient", "il": "lesion"}
    for kind, entity_words in ENTITIES.items():
        if prefix in entity_words:
            return kind
    return short.get(prefix)


def _few(counts: Mapping[str, int], limit: int = 4) -> str:
    names = sorted(counts)
    return ", ".join(names[:limit]) + (", …" if len(names) > limit else "")


def _notes(
    counts: Mapping[str, int], outer: Mapping[str, Sequence[str]], depth: int, deepest: int
) -> list[str]:
    notes = [f"Classes are the folders {_few(counts, 8).rstrip('.')}."]
    above: dict[str, set[str]] = defaultdict(set)
    for image, parts in outer.items():
        for part in parts[-1:]:
            above[part].add(image)
    if above:
        sizes = {name: len(members) for name, members in above.items()}
        notes.append(
            f"Above them stand the folders {_few(sizes)}, which were not taken for classes: "
            "--classes '{class}/*/*' does, '{patient}/{class}/*' takes them for patients."
        )
    if depth < deepest - 1:
        notes.append("Folders below them were not taken for classes.")
    return notes


def pattern_of(text: str) -> re.Pattern[str]:
    """A pattern of paths such as "{class}/{patient}/*" as a regular expression.

    `*` stands for any text within a name, `**` for any folders; {class}, {patient}, {lesion} and
    {split} for text that is read.
    """
    parts = re.split(r"(\{class\}|\{patient\}|\{lesion\}|\{split\}|\*\*/?|\*)", text.strip("/"))
    known: set[str] = set()
    expression = ""
    for part in parts:
        if part.startswith("**"):
            expression += "(?:.*/)?" if part.endswith("/") else ".*"
        elif part == "*":
            expression += "[^/]*"
        elif part.startswith("{"):
            name = part[1:-1]
            expression += f"(?P={name})" if name in known else f"(?P<{name}>[^/]+?)"
            known.add(name)
        else:
            expression += re.escape(part)
    return re.compile(f"(?:.*/)?{expression}(?:\\.[^./]+)?")


def read_pattern(images: Sequence[str], text: str) -> FolderClasses:
    """Classes, splits and groups of images whose paths fit a pattern."""
    pattern = pattern_of(text)
    labels, splits, patients, lesions = {}, {}, {}, {}
    for image in images:
        match = pattern.fullmatch(image)
        if match is None:
            continue
        values = match.groupdict()
        labels[image] = values["class"]
        split = split_of(values.get("split") or "")
        if split:
            splits[image] = split
        if values.get("patient"):
            patients[image] = values["patient"]
        if values.get("lesion"):
            lesions[image] = values["lesion"]
    others = len(images) - len(labels)
    notes = [f"Classes come from paths: {text}."]
    if others:
        notes.append(f"{others} images do not fit this pattern and have no label.")
    kind = "patient" if patients else "lesion"
    return FolderClasses(labels, splits, patients or lesions, kind, tuple(notes))
