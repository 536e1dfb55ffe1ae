"""The layout of a table is decided by its columns, in the order of the registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from derm_core.data import columns
from derm_core.data.layouts import TABLE_LAYOUTS, ImageColumns, table_layout
from derm_core.data.tables import Table


def table_of(header: str, *lines: str) -> Table:
    names = tuple(header.split(","))
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines]
    return Table(Path("table.csv"), names, rows)


@pytest.mark.parametrize(
    ("header", "line", "layout"),
    [
        ("image_id,lesion_id,dx", "a,l,nv", ("isic", ImageColumns("image_id", "dx"))),
        ("isic_id,diagnosis", "a,nv", ("isic", ImageColumns("isic_id", "diagnosis"))),
        (
            "image,mel,nv",
            "a,1.0,0.0",
            ("isic-one-hot", ImageColumns("image", None, ("mel", "nv"))),
        ),
        ("img_id,diagnostic", "a,nev", ("pad-ufes-20", ImageColumns("img_id", "diagnostic"))),
        ("img_id,diagnostic,dx", "a,nev,nv", ("pad-ufes-20", ImageColumns("img_id", "dx"))),
        ("file,target", "a.png,nv", ("csv", ImageColumns("file", "target"))),
        ("image,mel,nv", "a,1.0,0.5", None),
        ("image_id,age", "a,40", None),
        ("label,age", "nv,40", None),
    ],
)
def test_a_layout_is_known_by_its_columns(header, line, layout):
    assert table_layout(table_of(header, line)) == layout


def test_an_image_of_no_class_or_of_several_has_no_label():
    recognised = ImageColumns("image", None, ("mel", "nv"))
    rows = [{"mel": a, "nv": b} for a, b in (("1", "0"), ("0", "0"), ("1", "1"))]
    assert [recognised.class_of(row) for row in rows] == ["mel", None, None]


def test_a_layout_is_added_by_one_function(monkeypatch):
    def derm7pt(table: Table) -> ImageColumns | None:
        return ImageColumns("derm", "diagnosis") if "derm" in table.columns else None

    monkeypatch.setitem(TABLE_LAYOUTS, "derm7pt", derm7pt)
    assert table_layout(table_of("derm,diagnosis", "a,nv"))[0] == "derm7pt"


def test_every_attribute_and_group_has_column_names():
    assert {*columns.ATTRIBUTES, *columns.GROUPS} < set(columns.COLUMNS)
    names = [name for names in columns.COLUMNS.values() for name in names]
    assert len(set(names)) == len(names) and all(name == name.lower() for name in names)
