"""Running a generator of events to its end, as a worker does."""


def finish(steps):
    """(events, value) of a generator that yields events and returns a value."""
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as stop:
            return events, stop.value
