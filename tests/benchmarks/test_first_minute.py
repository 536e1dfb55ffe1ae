"""What `benchmarks first-minute` makes of its figures; that it runs: tests/browser/test_first_minute.py."""

from benchmarks.first_minute import missed, published_map, summary
from derm_core.jobs.published import published_runs


def test_the_most_clicks_and_the_median_time_are_reported_and_nothing_where_nothing_ships():
    measured = [(1, 2.0), (2, 9.0), (1, 3.0)]
    assert summary("map", measured) == {"clicks_to_map": 2, "seconds_to_map": 3.0}
    assert summary("map", []) == {"clicks_to_map": None, "seconds_to_map": None}


def test_each_limit_that_is_missed_is_named_and_an_unknown_figure_misses_none():
    good = {"clicks_to_map": 1, "seconds_to_map": 3.0, "hover_ms": 150.0}
    assert missed(good) == []
    assert missed(dict.fromkeys(good)) == []
    assert missed({name: value + 1 for name, value in good.items()}) == list(good)


def test_a_map_is_a_goal_only_where_one_ships():
    assert (published_map() is not None) == bool(published_runs("embed"))
