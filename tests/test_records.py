"""Records: from JSON and back, with bounds, defaults and errors that name the field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest

from derm_core.errors import BundleError, ConfigError
from derm_core.records import (
    Checked,
    Range,
    Rule,
    bounds,
    description,
    from_json,
    optional,
    to_json,
)


@dataclass(frozen=True, kw_only=True)
class Inner:
    value: Annotated[float, Range(0, 1, above=True)]
    note: str | None = optional()


@dataclass(frozen=True, kw_only=True)
class Outer(Checked):
    name: str
    kind: Literal["a", "b"] = "a"
    pair: tuple[int, int] = (1, 2)
    many: tuple[Inner, ...] = ()
    by_name: Mapping[str, Inner] = field(default_factory=dict)
    one: Inner | None = None


def test_a_record_survives_its_json():
    record = Outer(name="x", many=(Inner(value=1.0),), by_name={"k": Inner(value=0.5, note="n")})
    value = to_json(record)
    assert value["many"] == [{"value": 1.0}] and value["by_name"]["k"]["note"] == "n"
    assert from_json(Outer, value) == record


def test_arrays_paths_and_not_a_number_become_plain_values():
    value = {"a": np.arange(2), "b": float("nan"), "c": Path("d"), 3: np.float32(0.5)}
    assert to_json(value) == {"a": [0, 1], "b": None, "c": "d", "3": 0.5}


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({}, "name"),
        ({"name": 1}, "name"),
        ({"name": "x", "other": 1}, "other"),
        ({"name": "x", "kind": "c"}, "kind"),
        ({"name": "x", "pair": [1]}, "pair"),
        ({"name": "x", "pair": [1, 2.5]}, "pair"),
        ({"name": "x", "many": [{"value": 0}]}, "many.value"),
        ({"name": "x", "by_name": {"k": {"value": float("inf")}}}, "by_name.k.value"),
        ({"name": "x", "one": {"value": True}}, "one.value"),
        ([], "Outer"),
    ],
)
def test_an_error_names_the_field(value, where):
    with pytest.raises(ConfigError, match=rf"^{where} is "):
        from_json(Outer, value)


def test_unknown_fields_are_left_out_where_that_is_asked_and_the_error_is_the_callers():
    assert from_json(Outer, {"name": "x", "other": 1}, unknown="ignore") == Outer(name="x")
    assert from_json(Outer, {"title": "x"}, renamed={"Outer": {"title": "name"}}).name == "x"
    with pytest.raises(BundleError):
        from_json(Outer, {}, error=BundleError)


def test_a_record_made_directly_is_checked_too():
    with pytest.raises(ConfigError, match="kind"):
        Outer(name="x", kind="c")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limits", "inside", "outside", "text"),
    [
        (Range(0, 1), (0, 1), (-0.1, 1.1), "0 to 1"),
        (Range(0, 1, above=True), (0.1, 1), (0, 1.1), "above 0, at most 1"),
        (Range(0, 1, below=True), (0, 0.9), (-1, 1), "0 to below 1"),
        (Range(1), (1, 9), (0,), "1 or more"),
        (Range(None, 5), (-9, 5), (6,), "at most 5"),
    ],
)
def test_a_range_holds_and_describes_its_bounds(limits, inside, outside, text):
    assert all(value in limits for value in inside)
    assert not any(value in limits for value in outside)
    assert str(limits) == text


def test_bounds_are_found_at_the_field():
    assert bounds(Inner, "value") == Range(0, 1, above=True) and bounds(Outer, "name") is None


@dataclass(frozen=True, kw_only=True)
class Documented(Checked):
    """A record.

    Attributes:
        size: of the image,
            in pixels.
        low, high: limits.
    """

    size: Annotated[int, Range(1)] | None = None
    low: Annotated[float, Rule(lambda value: value != 3, "any but 3")] = 0.0
    high: tuple[Annotated[float, Range(0, 1)], ...] = ()


def test_descriptions_come_from_the_docstring():
    assert description(Documented, "size") == "of the image, in pixels"
    assert description(Documented, "low") == description(Documented, "high") == "limits"
    assert description(Inner, "value") == ""


def test_bounds_are_those_of_an_optional_value_and_of_the_items_of_a_list():
    assert bounds(Documented, "size") == Range(1) and bounds(Documented, "high") == Range(0, 1)


@pytest.mark.parametrize("value", [{"size": 0}, {"low": 3.0}, {"high": (0.5, 2.0)}])
def test_rules_and_bounds_hold_for_records_made_directly_and_from_json(value):
    for make in (lambda: Documented(**value), lambda: from_json(Documented, value)):
        with pytest.raises(ConfigError, match="allowed"):
            make()
