"""What a view is: a state, folded from events one by one, that can be put away and taken up again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from types import MethodType
from typing import Any, ClassVar, Self, TypeVar

import orjson

from state.events import Event
from state.plain import from_plain, to_plain
from state.record import Occasion, Recorded

Handler = Callable[[Any, Any, Any], None]
H = TypeVar("H", bound=Handler)


def on(*events: type[Event]) -> Callable[[H], H]:
    """Marks the method of a view that takes up these events."""

    def mark(handler: H) -> H:
        handler.__dict__["events"] = events
        return handler

    return mark


@dataclass
class View:
    """A view is a class; its instances are the states.

    A subclass declares its fields as a dataclass, with defaults that make the empty state, and one method per
    event (`@on`) which may change dictionaries in place; all values in them are replaced, never changed. Count
    `version` up whenever the same events would now fold to something else: the log then folds from the first
    event again.
    """

    version: ClassVar[int] = 1
    name: ClassVar[str] = ""
    handlers: ClassVar[Mapping[type[Event], Handler]] = {}

    def __init_subclass__(cls) -> None:
        cls.name = cls.__name__.lower()
        cls.handlers = {event: method for method in vars(cls).values() for event in getattr(method, "events", ())}

    @classmethod
    def empty(cls) -> Self:
        """The state before the first event."""
        return cls()

    def fold(self, recorded: Recorded) -> Self:
        """The state after one more event. Changes this one: fold a `copy` of what others may hold."""
        handler = self.handlers.get(type(recorded.event))
        if handler is not None:
            handler(self, recorded.event, recorded)
        return self

    def fold_all(self, records: Iterable[Recorded]) -> Self:
        """The state after these events."""
        handlers = self.handlers
        for recorded in records:
            handler = handlers.get(type(recorded.event))
            if handler is not None:
                handler(self, recorded.event, recorded)
        return self

    def copy(self) -> Self:
        """A state of its own with the same content: folding goes on there, this one stays as it was handed out."""
        return type(self)(*(_own(getattr(self, each.name)) for each in fields(self)))

    def encode(self) -> bytes:
        """The state as bytes. Dictionaries keep their order: some views mean it."""
        return orjson.dumps(to_plain(self))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The state that `encode` wrote. Raises one of several errors on bytes of another shape."""
        kind: Any = cls
        state: Self = from_plain(kind)(orjson.loads(data))
        return state


def fold_together(states: Iterable[View], happened: Iterable[tuple[Event, Occasion]]) -> None:
    """Fold the same events into several states, which change."""
    takers: dict[type[Event], list[Callable[[Any, Occasion], None]]] = {}
    for state in states:
        for kind, handler in state.handlers.items():
            takers.setdefault(kind, []).append(MethodType(handler, state))
    for event, occasion in happened:
        for take in takers.get(type(event), ()):
            take(event, occasion)


def _own(value: Any) -> Any:
    return {key: _own(each) for key, each in value.items()} if isinstance(value, dict) else value
