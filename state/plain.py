"""Typed values to JSON-plain ones and back, led by annotations: how a view's state is kept between starts."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any, Union, get_args, get_origin, get_type_hints

from state.model import Address

Convert = Callable[[Any], Any]


def to_plain(value: Any) -> Any:
    """Dictionaries, lists, strings, numbers: what JSON can carry. `from_plain` needs the type to undo it."""
    if isinstance(value, Address):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {_key(key): to_plain(each) for key, each in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(to_plain(each) for each in value)
    if isinstance(value, tuple) and (named := getattr(value, "_asdict", None)):
        return to_plain(named())
    if isinstance(value, (list, tuple)):
        return [to_plain(each) for each in value]
    if is_dataclass(value):
        return {each.name: to_plain(getattr(value, each.name)) for each in fields(value)}
    return value


def _key(key: Any) -> str:
    return str(key)


@functools.cache
def from_plain(hint: Any) -> Convert:
    """The function that makes a value of that type out of what `to_plain` made of one.

    Knows dataclasses, named tuples, Address, datetime, dict, tuple[X, ...], frozenset, optional values; all else is
    as it is.
    """
    if hint is Address:
        return Address.parse
    if hint is datetime:
        return datetime.fromisoformat
    if isinstance(hint, type) and is_dataclass(hint):
        return _record(hint, [each.name for each in fields(hint)])
    if isinstance(hint, type) and issubclass(hint, tuple):
        return _record(hint, hint._fields)  # type: ignore[attr-defined]
    return _generic(get_origin(hint), get_args(hint))


def _record(hint: Any, names: Iterable[str]) -> Convert:
    hints = get_type_hints(hint)
    convert = {name: from_plain(hints[name]) for name in names}
    return lambda plain: hint(**{name: make(plain[name]) for name, make in convert.items()})


def _generic(origin: Any, arguments: tuple[Any, ...]) -> Convert:
    if origin is dict:
        key, value = _from_key(arguments[0]), from_plain(arguments[1])
        return lambda plain: {key(name): value(each) for name, each in plain.items()}
    if origin is tuple:
        each = from_plain(arguments[0])
        return lambda plain: tuple(map(each, plain))
    if origin is frozenset:
        each = from_plain(arguments[0])
        return lambda plain: frozenset(map(each, plain))
    if origin in (Union, types.UnionType):
        (inner,) = (from_plain(one) for one in arguments if one is not type(None))
        return lambda plain: None if plain is None else inner(plain)
    return _as_it_is


def _from_key(hint: Any) -> Convert:
    return int if hint is int else from_plain(hint)


def _as_it_is(plain: Any) -> Any:
    return plain
