"""What `benchmarks demo` makes of its figures."""

from benchmarks.demo import LIMITS, missed


def test_each_limit_that_is_missed_is_named():
    assert missed(LIMITS) == []
    assert missed(LIMITS | {"first_curve_seconds": 15.1}) == ["first_curve_seconds"]
    assert missed({name: limit + 1 for name, limit in LIMITS.items()}) == [*LIMITS]
