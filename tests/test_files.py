"""JSON of any origin: what is none raises one kind of error."""

from __future__ import annotations

import pytest

from derm_core.files import parse_json


@pytest.mark.parametrize(
    "text",
    [
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1e999}',
        "[" * 100_000,
        '{"a": "\\ud800"}',
        b"\xff\xfe{}",
        "",
        "1" * 10_000,
    ],
)
def test_json_that_is_none_is_one_kind_of_error(text):
    with pytest.raises(ValueError):
        parse_json(text)
