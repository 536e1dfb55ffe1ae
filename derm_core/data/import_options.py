"""What a user may decide about an import, and what an import assumed."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError

FOLDER = "folder"  # in place of a column: the folder that holds the image
NO_CLASSES = "none"


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """Choices in place of what the import would assume; what is left empty it finds out.

    Attributes:
        image_column: names the image files.
        label_columns: one that names classes, or several that are one-hot.
        group_columns: names the patient, then the lesion; "folder" stands for the image's folder.
        split_column: names the official split.
        tables: file names or paths of the tables with the labels.
        exclude: patterns of file paths that are left out, such as "masks/*".
        classes: "folder" where folders are the classes, "none" for images without labels, or a
            pattern of paths such as "{class}/{patient}/*".
    """

    image_column: str | None = None
    label_columns: tuple[str, ...] = ()
    group_columns: tuple[str, ...] = ()
    split_column: str | None = None
    tables: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    classes: str | None = None

    def __post_init__(self) -> None:
        if len(self.group_columns) > 2:
            raise ConfigError(
                f"{len(self.group_columns)} group columns were given; at most two are allowed: "
                "the patient's, then the lesion's."
            )
        if self.classes and (self.label_columns or self.tables):
            raise ConfigError(
                "Classes come from folders (--classes) or from a table (--table, --label-column); "
                "give one of them."
            )
        if self.classes and self.classes not in (FOLDER, NO_CLASSES) and not self.has_pattern:
            raise ConfigError(
                f"--classes is {self.classes!r}; allowed: folder, none, or a pattern of paths with "
                "{class} in it, such as '{class}/{patient}/*'."
            )

    @property
    def has_pattern(self) -> bool:
        """Whether `classes` is a pattern of paths."""
        return "{class}" in (self.classes or "")


@dataclass(frozen=True, kw_only=True)
class ImportSource:
    """What an import took for what: column names are spelled as in the table.

    Attributes:
        layout: name of the layout; see docs/data.md.
        table: file name of the label table, of several separated by ", "; None where there is none.
        image_column, label_column, group_column, split_column: several are separated by ", ".
        companions: tables that gave groups or attributes.
        other_label_columns, other_group_columns: what else could have been the label or the group.
        known_as: name of the public data set that it is; None for others.
    """

    layout: str = "unknown"
    table: str | None = None
    image_column: str | None = None
    label_column: str | None = None
    group_column: str | None = None
    split_column: str | None = None
    companions: tuple[str, ...] = ()
    other_label_columns: tuple[str, ...] = ()
    other_group_columns: tuple[str, ...] = ()
    known_as: str | None = None

    def described(self) -> list[tuple[str, str]]:
        """What was taken for what, as (name, value); "none" where nothing was."""
        taken = (
            ("layout", self.layout),
            ("table", self.table),
            ("image column", self.image_column),
            ("label column", self.label_column),
            ("group column", self.group_column),
            ("split column", self.split_column),
        )
        others = (
            ("known as", (self.known_as,) if self.known_as else ()),
            ("other tables used", self.companions),
            ("could be the label too", self.other_label_columns),
            ("could be the group too", self.other_group_columns),
        )
        return [(name, value or "none") for name, value in taken] + [
            (name, ", ".join(values)) for name, values in others if values
        ]
