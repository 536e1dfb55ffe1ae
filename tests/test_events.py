"""The event file: sequence numbers go on, torn lines are cut, readers continue where they stopped."""

import json
import math

from derm_core.events import Event, EventLog, read_events, read_events_from


def test_sequence_goes_on_after_a_restart_and_a_torn_line_is_dropped(tmp_path):
    path = tmp_path / "events.jsonl"
    EventLog(path).append(Event(kind="log", value="one"))
    with open(path, "a") as handle:
        handle.write('{"seq": 1, "kind": "lo')
    EventLog(path).append(Event(kind="log", value="two"))
    assert [(e["seq"], e["value"]) for e in read_events(path)] == [(0, "one"), (1, "two")]


def test_a_reader_gets_only_what_is_new_and_waits_for_whole_lines(tmp_path):
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.append(Event(kind="metric", series="a", value=1.0))
    first, offset = read_events_from(path)
    with open(path, "a") as handle:
        handle.write('{"seq": 1')
    nothing, same = read_events_from(path, offset)
    assert (len(first), nothing, same) == (1, [], offset)


def test_not_a_number_is_written_as_null_so_that_lines_stay_json(tmp_path):
    path = tmp_path / "events.jsonl"
    EventLog(path).append(Event(kind="metric", series="a", value=[1.0, math.nan, math.inf]))
    assert json.loads(path.read_text())["value"] == [1.0, None, None]


def test_a_missing_file_has_no_events(tmp_path):
    assert read_events_from(tmp_path / "none.jsonl") == ([], 0)
