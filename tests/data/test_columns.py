"""Names of columns and the meaning of cells."""

from __future__ import annotations

import pytest

from derm_core.data.columns import attribute_columns, attributes, class_name


def test_class_names_lose_control_characters_and_marks_of_the_writing_direction():
    assert class_name("ne\u202evus\x00\x85 \u2066x") == "ne vus x"
    assert class_name(" ") is None and class_name("NaN") is None


def test_the_first_known_name_of_a_column_counts():
    columns = attribute_columns(["Age Approx", "age", "gender", "patient_id", "weight"])
    assert columns == {"age": "age", "sex": "gender"}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("age", "80.0", 80.0),
        ("age", "131", None),
        ("age", "old", None),
        ("sex", "FEMALE", "female"),
        ("site", "unknown", None),
        ("skin_type", "2.0", "2"),
        ("lesion", "HAM_1", "HAM_1"),
    ],
)
def test_cells_are_read_under_our_names(name, text, value):
    assert attributes({"column": text}, {name: "column"}) == {name: value}
