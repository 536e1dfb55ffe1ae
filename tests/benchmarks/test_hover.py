"""What `benchmarks hover` measures and makes of it."""

import pytest

from benchmarks.hover import drawn_dots, summary
from derm_core.errors import RunError


def test_the_slowest_twentieth_of_the_jumps_is_held_against_the_limit():
    result = summary([30.0] * 90 + [300.0] * 10, 10_000)
    assert result["hover_ms"] == 300 and result["median_ms"] == 30 and result["ratio"] == 2
    assert (result["points"], result["jumps"], result["against"]) == (10_000, 100, 150)


def test_the_pointer_goes_to_dots_that_stand_apart():
    dots = [(0, 10.0, 10.0), (1, 12.0, 10.0), (2, 50.0, 50.0), (3, 90.0, 10.0)]
    assert {row for row, _, _ in drawn_dots(dots, 2)} == {2, 3}
    with pytest.raises(RunError, match="fewer --repeats"):
        drawn_dots(dots, 3)
