"""Records: frozen dataclasses to and from JSON, with bounds that stand beside the fields.

    @dataclass(frozen=True, kw_only=True)
    class Schedule:
        learning_rate: Annotated[float, Range(0, 1, above=True)] = 3e-4
        note: str | None = optional()        # left out of the JSON where it is None

    from_json(Schedule, {"learning_rate": 2})    ConfigError: learning_rate is 2; allowed: above 0, at most 1.

The same bounds, and the descriptions in the docstring's section "Attributes", serve validation, the
command line's help and the widgets of forms (`bounds`, `description`).
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import re
import reprlib
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from .errors import ConfigError

Record = TypeVar("Record")
HEADER = ("schema", "kind")  # what a file says of itself; read by whoever opens it
MAX_FLOAT = 1e300
MAX_WHOLE = 2**53  # the largest whole number that every reader of JSON holds exactly
SHORT = reprlib.Repr()  # of a value from elsewhere in the message of an error
SHORT.maxstring = SHORT.maxother = 200
SHORT.maxtuple = SHORT.maxlist = SHORT.maxdict = SHORT.maxlong = 60


@dataclass(frozen=True)
class Range:
    """Bounds of a number, both included unless `above` or `below` says otherwise.

    Args:
        low, high: the bounds; None where there is none.
        above: whether the value must lie above `low`.
        below: whether the value must lie below `high`.
    """

    low: float | None = None
    high: float | None = None
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        low_holds = self.low is None or (value > self.low if self.above else value >= self.low)
        high_holds = self.high is None or (value < self.high if self.below else value <= self.high)
        return low_holds and high_holds

    def __str__(self) -> str:
        low, high = (f"{end:g}" if end is not None else "" for end in (self.low, self.high))
        if not high:
            return f"above {low}" if self.above else f"{low} or more"
        if not low:
            return f"below {high}" if self.below else f"at most {high}"
        if self.above:
            return f"above {low}, {'below' if self.below else 'at most'} {high}"
        return f"{low} to {'below ' if self.below else ''}{high}"


@dataclass(frozen=True)
class Rule:
    """A condition on a field that no bounds express.

    Args:
        holds: whether a value is allowed.
        text: what is allowed, for the message of an error.
    """

    holds: Callable[[Any], bool]
    text: str

    def __contains__(self, value: Any) -> bool:
        return self.holds(value)

    def __str__(self) -> str:
        return self.text


def optional(default: Any = None) -> Any:
    """A field that is left out of the JSON where it is None or has its default value, None unless given."""
    return dataclasses.field(default=default, metadata={"optional": True, "omitted": default})


def named(name: str) -> dict[str, str]:
    """Metadata of a field whose name in the JSON is `name`, such as "class", a keyword of Python."""
    return {"name": name}


def require(
    condition: bool, where: str, value: object, allowed: str, error: type[Exception] = ConfigError
) -> None:
    """Raise `error` "WHERE is VALUE; allowed: ALLOWED." unless `condition` holds."""
    if not condition:
        raise error(f"{where[:120]} is {SHORT.repr(value)}; allowed: {allowed}.")


def bounds(cls: type, field: str) -> Range | None:
    """The bounds of a record's field; None where it has none."""
    marks = _all_marks(field_types(cls)[field])
    return next((mark for mark in marks if isinstance(mark, Range)), None)


def allowed(cls: type, field: str) -> str:
    """What a record's field allows beyond its type, in words; empty where there is no condition."""
    return "; ".join(str(mark) for mark in _all_marks(field_types(cls)[field]))


def _all_marks(hint: Any) -> Iterator[Any]:
    """What `Annotated` adds to a type, and to the types of which it is made."""
    hint, marks = _without_marks(hint)
    yield from marks
    for argument in typing.get_args(hint):
        yield from _all_marks(argument)


def plain_type(cls: type, field: str) -> Any:
    """The type of a field without its bounds, and without None where it may be missing."""
    hint, _ = _without_marks(field_types(cls)[field])
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint, _ = _without_marks(_not_none(typing.get_args(hint)))
    return hint


def description(cls: type, field: str) -> str:
    """What the section "Attributes" of a record's docstring says of a field; empty where nothing."""
    return _descriptions(cls).get(field, "")


@functools.cache
def _descriptions(cls: Any) -> dict[str, str]:
    _, _, section = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")
    entries = re.findall(r"^    (\w[\w, ]*): (.*(?:\n     .*)*)", section, re.MULTILINE)
    return {
        name: " ".join(text.split()).rstrip(".")
        for names, text in entries
        for name in names.split(", ")
    }


@functools.cache
def field_types(cls: Any) -> dict[str, Any]:
    """The type of each field of a record, with what `Annotated` adds."""
    return typing.get_type_hints(cls, include_extras=True)


class Checked:
    """Base of records whose fields are held against their bounds when they are made.

    Raises:
        ConfigError: naming the field, its value and what is allowed.
    """

    def __post_init__(self) -> None:
        cls: Any = type(self)
        for name, hint in field_types(cls).items():
            _check_value(hint, getattr(self, name), name)


def _check_value(hint: Any, value: Any, where: str) -> None:
    hint, marks = _without_marks(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is not None:
            _check_value(_not_none(arguments), value, where)
    elif origin is Literal:
        require(value in arguments, where, value, _alternatives(arguments))
    elif origin is tuple:
        for item in value:
            _check_value(arguments[0], item, where)
    _check_marks(marks, value, where, ConfigError)


def _check_marks(marks: Sequence[Any], value: Any, where: str, error: type[Exception]) -> None:
    for mark in marks:
        if isinstance(mark, Range | Rule) and value is not None:
            require(value in mark, where, value, str(mark), error)


@functools.cache
def _without_marks(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    if typing.get_origin(hint) is typing.Annotated:
        return typing.get_args(hint)[0], hint.__metadata__
    return hint, ()


def _not_none(arguments: Sequence[Any]) -> Any:
    return next(argument for argument in arguments if argument is not type(None))


def _alternatives(values: Sequence[Any]) -> str:
    *first, last = map(repr, values)
    return f"{', '.join(first)} or {last}" if first else last


def to_json(value: Any) -> Any:
    """`value` as plain JSON values: records and mappings as objects, arrays as lists, NaN and infinity as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.metadata.get("name", field.name): to_json(item)
            for field in dataclasses.fields(value)
            if not _left_out(field, item := getattr(value, field.name))
        }
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | frozenset | set):
        return [to_json(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _left_out(field: dataclasses.Field[Any], item: Any) -> bool:
    return bool(field.metadata.get("optional")) and (
        item is None or item == field.metadata.get("omitted")
    )


def from_json(
    cls: type[Record],
    value: Any,
    where: str = "",
    *,
    unknown: Literal["refuse", "ignore"] = "refuse",
    error: type[Exception] = ConfigError,
    renamed: Mapping[str, Mapping[str, str]] | None = None,
) -> Record:
    """A record from the plain JSON values that `to_json` gives, checked field by field.

    Args:
        cls: the record's class; its fields may be records, tuples and mappings of records.
        value: a JSON object.
        where: what the value is called in the message of an error.
        unknown: whether a field that the record does not have is an error or left out.
        error: the class of error that is raised.
        renamed: {name of a class: {a field's name in files of earlier versions: its name now}}.

    Raises:
        ConfigError (or `error`): naming the field, its value and what is allowed.
    """
    reader = _Reader(unknown == "ignore", error, renamed or {})
    record: Record = reader.record(cls, value, where)
    return record


@functools.cache
def _layout(cls: Any) -> tuple[dict[str, str], tuple[str, ...], tuple[str, ...]]:
    """Of a record: the name of a field by its name in the JSON where they differ, all fields, and those required."""
    fields = [field for field in dataclasses.fields(cls) if field.init]
    names = {
        field.metadata["name"]: field.name
        for field in dataclasses.fields(cls)
        if "name" in field.metadata
    }
    required = [
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    return names, tuple(field.name for field in fields), tuple(required)


@functools.cache
def _made_of(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """`typing.get_origin` and `typing.get_args`, which take longer than the check of a value."""
    return typing.get_origin(hint), typing.get_args(hint)


@dataclass(frozen=True)
class _Reader:
    ignore_unknown: bool
    error: type[Exception]
    renamed: Mapping[str, Mapping[str, str]]

    def require(self, condition: bool, where: str, value: object, allowed: str) -> None:
        require(condition, where, value, allowed, self.error)

    def record(self, cls: Any, value: Any, where: str) -> Any:
        self.require(isinstance(value, dict), where or cls.__name__, value, "an object")
        names, fields, required = _layout(cls)
        if cls.__name__ in self.renamed:
            names = {**names, **self.renamed[cls.__name__]}
        body = {names.get(name, name): item for name, item in value.items()}
        unknown = [name for name in body if name not in fields and name not in HEADER]
        if unknown and not self.ignore_unknown:
            name = unknown[0]
            self.require(False, _join(where, str(name)), body[name], "one of " + ", ".join(fields))
        for name in required:
            if name not in body:
                self.require(False, _join(where, name), None, "a value; it is required")
        hints = field_types(cls)
        return cls(
            **{
                name: self.value(hints[name], body[name], _join(where, name))
                for name in fields
                if name in body
            }
        )

    def value(self, hint: Any, value: Any, where: str) -> Any:
        hint, marks = _without_marks(hint)
        result = self._plain(hint, value, where)
        if marks:
            _check_marks(marks, result, where, self.error)
        return result

    def _plain(self, hint: Any, value: Any, where: str) -> Any:
        if hint is float or hint is int or hint is str:
            return self._scalar(hint, value, where)
        origin, arguments = _made_of(hint)
        if hint is Any:
            return value
        if origin in (typing.Union, types.UnionType):
            if value is None and type(None) in arguments:
                return None
            return self.value(_not_none(arguments), value, where)
        if origin is Literal:
            self.require(value in arguments, where, value, ", ".join(map(repr, arguments)))
            return value
        if origin in (tuple, list, Sequence):
            return self._sequence(origin, arguments, value, where)
        if origin in (dict, Mapping):
            self.require(isinstance(value, dict), where, value, "an object")
            return {
                key: self.value(arguments[1], item, _join(where, str(key)))
                for key, item in value.items()
            }
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            return value if isinstance(value, hint) else self.record(hint, value, where)
        return self._scalar(hint, value, where)

    def _sequence(self, origin: Any, arguments: tuple[Any, ...], value: Any, where: str) -> Any:
        self.require(isinstance(value, list | tuple), where, value, "a list")
        if origin is not tuple or arguments[-1] is Ellipsis:
            items = [self.value(arguments[0], item, where) for item in value]
            return items if origin is list else tuple(items)
        self.require(len(value) == len(arguments), where, value, f"a list of {len(arguments)}")
        pairs = zip(arguments, value, strict=True)
        return tuple(self.value(argument, item, where) for argument, item in pairs)

    def _scalar(self, hint: Any, value: Any, where: str) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if hint is float:
            self.require(is_number and abs(value) <= MAX_FLOAT, where, value, "a finite number")
            return float(value)
        if hint is int:
            is_whole = is_number and isinstance(value, int) and abs(value) <= MAX_WHOLE
            self.require(is_whole, where, value, "a whole number up to 2^53")
            return value
        self.require(isinstance(value, hint), where, value, f"a {hint.__name__}")
        return value


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
