"""`engine.fit` with the fields of its schedule as keywords."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from derm_core.events import Event
from derm_core.training import engine
from derm_core.training.engine import Schedule

FIELDS = {field.name for field in dataclasses.fields(Schedule)}


def fit(*arguments: Any, **settings: Any) -> Iterator[Event]:
    """fit(task, images, rows, labels, epochs=2, …): what is no field of Schedule goes to `engine.fit`."""
    schedule = Schedule(**{name: settings.pop(name) for name in FIELDS & settings.keys()})
    return engine.fit(*arguments, schedule=schedule, **settings)
