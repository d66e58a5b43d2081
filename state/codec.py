"""Events to bytes and back. Stored bytes are never rewritten: old shapes are lifted when they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, field, fields
from typing import Any, get_args, get_origin, get_type_hints

import orjson

from state.errors import LogError, MalformedEvent, NewerLogError
from state.events import EVENTS, Event
from state.sparing import dataclass

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
"""Lifts the fields of one shape to the next."""

_new, _set = object.__new__, object.__setattr__

DEEPEST = 128
"""Levels to which an event may nest: a file's 50, twice where each bears a tag, and what an event puts around them.
Whoever folds, keeps or tells an event may call itself a few times at each; and JSON is written up to 254.
Asked where events come in. In the log there is none that is deeper, and to ask there would cost each start."""

UPCASTS: Mapping[tuple[str, int], Upcast] = {}
"""(type, schema it lifts from) -> upcast. One step each; steps are chained."""


@dataclass(frozen=True, kw_only=True)
class Redacted(Event):
    """What is left of an event whose payload was blanked. Never stored: it stands in for what is gone."""

    type: str


@dataclass(frozen=True)
class _Shape:
    """How the stored fields of one event class become its attributes."""

    event: type[Event]
    names: list[str]
    hints: Mapping[str, Any]  # worked out from text, which costs more than to keep an event
    tuples: tuple[str, ...]
    defaults: Mapping[str, Callable[[], Any]]

    @classmethod
    def of(cls, event: type[Event]) -> _Shape:
        hints, own = get_type_hints(event), fields(event)
        return cls(
            event=event,
            names=[each.name for each in own],
            hints=hints,
            tuples=tuple(each.name for each in own if get_origin(hints[each.name]) is tuple),
            defaults={each.name: make for each in own if (make := _default(each))},
        )

    def build(self, stored: dict[str, Any]) -> Event:
        """The event with these fields, which become its own."""
        if list(stored) != self.names:  # as they were written, nearly always
            self._complete(stored)
        for name in self.tuples:
            value = stored[name]
            if type(value) is not list and type(value) is not tuple:  # a default already is a tuple
                raise MalformedEvent(f"the field {name} of a {self.event.__name__} is not a list")
            stored[name] = tuple(value)
        event = _new(self.event)
        # The __init__ of a frozen class sets its fields one by one: replaying millions, most of the cost.
        _set(event, "__dict__", stored)
        return event

    def _complete(self, stored: dict[str, Any]) -> None:
        for name, default in self.defaults.items():
            if name not in stored:
                stored[name] = default()
        if wrong := stored.keys() ^ set(self.names):
            raise MalformedEvent(f"the fields of a {self.event.__name__} do not fit: {', '.join(sorted(wrong))}")


def _default(of: Field[Any]) -> Callable[[], Any] | None:
    if of.default_factory is not MISSING:
        return of.default_factory
    if of.default is not MISSING:
        return lambda: of.default
    return None


@dataclass(frozen=True)
class Vocabulary:
    """A set of event types that can be written and read, with the ways to lift their older shapes."""

    events: Mapping[str, type[Event]]
    upcasts: Mapping[tuple[str, int], Upcast] = field(default_factory=dict)
    _shapes: dict[tuple[str, int], _Shape] = field(default_factory=dict, compare=False, repr=False)

    def encode(self, event: Event) -> tuple[str, int, bytes]:
        """(type name, schema, JSON bytes). Raises LogError where a field is not JSON-plain, or nests too deep."""
        name = type(event).__name__
        if self.events.get(name) is not type(event):
            raise LogError(f"{name} is no event type of this log")
        try:
            data = orjson.dumps(event.__dict__, option=orjson.OPT_NON_STR_KEYS)
        except TypeError as problem:  # too large an integer, half a surrogate pair, a foreign object
            raise LogError(f"a {name} holds something that JSON cannot carry: {problem}") from problem
        if data.count(b"{") + data.count(b"[") > DEEPEST and _is_deep(event):
            raise LogError(f"a {name} nests deeper than {DEEPEST} levels")
        return name, event.schema, data

    def misfit(self, event: Event) -> str:
        """Which field does not hold what its annotation says, in words; "" where all do, and none nests too deep."""
        name = type(event).__name__
        if _is_deep(event):
            return f"this {name} nests deeper than {DEEPEST} levels"
        shape = self._shapes.get((name, event.schema)) or self._shape(name, event.schema)
        wrong = [each for each in shape.names if not _fits(getattr(event, each), shape.hints[each])]
        return f"the {', '.join(wrong)} of this {name} is of a wrong type" if wrong else ""

    def decode(self, type_name: str, schema: int, data: bytes | str) -> Event:
        """The event, lifted to its present shape; tuples come back as tuples.

        Raises NewerLogError for a type or schema from the future, MalformedEvent for bytes that are no event.
        """
        shape = self._shapes.get((type_name, schema)) or self._shape(type_name, schema)
        try:
            stored = orjson.loads(data)
        except orjson.JSONDecodeError as problem:
            raise MalformedEvent(f"the payload of a {type_name} is not JSON: {problem}") from problem
        if type(stored) is not dict:
            raise MalformedEvent(f"the payload of a {type_name} is not a JSON object")
        if schema != shape.event.schema:
            stored = self._lifted(type_name, schema, stored)
        return shape.build(stored)

    def _shape(self, type_name: str, schema: int) -> _Shape:
        self.require(type_name, schema)
        shape = self._shapes[type_name, schema] = _Shape.of(self.events[type_name])
        return shape

    def _lifted(self, type_name: str, schema: int, stored: dict[str, Any]) -> dict[str, Any]:
        for step in range(schema, self.events[type_name].schema):
            stored = self.upcasts[type_name, step](stored)
        return stored

    def require(self, type_name: str, schema: int) -> None:
        """Raises NewerLogError for a type or schema from the future, MalformedEvent for one that never was."""
        if schema < 1:
            raise MalformedEvent(f"a {type_name} of schema {schema} was never written")
        known = self.events.get(type_name)
        if known is None or schema > known.schema:
            raise NewerLogError(
                f"a newer Waypost was here: it wrote events of type {type_name} (schema {schema}), which this program "
                "does not know. Install that version, or a later one; nothing was changed"
            )


_HOLDERS = (dict, list, tuple)


def _is_deep(event: Event) -> bool:
    level: list[Any] = [event.__dict__]
    for _ in range(DEEPEST):
        held = (inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer))
        level = [inner for inner in held if isinstance(inner, _HOLDERS)]
        if not level:
            return False
    return True


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is tuple:
        (each, _) = get_args(hint)
        return isinstance(value, tuple) and all(_fits(one, each) for one in value)
    if get_origin(hint) is not None:
        return isinstance(value, Mapping)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint


WAYPOST = Vocabulary(EVENTS, UPCASTS)
"""Everything this program can say and read."""

encode = WAYPOST.encode
decode = WAYPOST.decode
