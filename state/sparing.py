"""Dataclasses whose methods are written when they are first asked for.

A command begins with some four hundred classes and makes values of sixty. `dataclasses` compiles up to six functions
for each, and that was two fifths of what it cost to start. Here the fields are worked out at once, as ever; what is
compiled from them waits, and is then what `dataclasses` itself makes of a class with the same fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(of=None, /, *, frozen=False, kw_only=False, slots=False, eq=True, repr=True):
        """As `dataclasses.dataclass`. Dataclasses that it inherits from are of this module too."""

        def spare(of: type) -> type:
            if own := _ITS_OWN & vars(of).keys():
                raise TypeError(f"{of.__qualname__} has {', '.join(sorted(own))} of its own: take dataclasses")
            of = dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=kw_only, slots=slots)(of)
            _owe(of, ["__init__", *(["__repr__"] if repr else []), *(["__eq__"] if eq else [])])
            if frozen:
                _freeze(of, slots=slots)
                _owe(of, ["__hash__"] if eq else [])
            elif eq:
                of.__hash__ = None  # what is equal to another and can change finds no place in a set
            return of

        return spare if of is None else spare(of)


_ITS_OWN = {"__init__", "__eq__", "__hash__", "__setattr__", "__delattr__"}
"""What is written here for every class; one that brings some of it would not be what `dataclasses` makes of it."""


class _Owed:
    """Stands for a method until it is asked for, of the class or of one of its values."""

    def __init__(self, of: type, name: str) -> None:
        self._of = of
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        # Two threads may both come here: they write the same methods, and each is put in its place in one step.
        _write(self._of)
        return getattr(self._of, self._name).__get__(instance, owner)


def _owe(of: type, names: Sequence[str]) -> None:
    for name in names:
        if name not in vars(of):
            setattr(of, name, _Owed(of, name))


def _write(of: type) -> None:
    written: Any = dataclasses.make_dataclass(
        of.__name__,
        [(field.name, field.type, field) for field in dataclasses.fields(of)],
        namespace={"__post_init__": of.__post_init__} if hasattr(of, "__post_init__") else {},
        frozen=of.__setattr__ is _no_change,
    )
    for name, owed in list(vars(of).items()):
        if isinstance(owed, _Owed):
            method = vars(written)[name]
            method.__qualname__ = f"{of.__qualname__}.{name}"
            setattr(of, name, method)


def _freeze(of: Any, *, slots: bool) -> None:
    of.__setattr__ = of.__delattr__ = _no_change
    if slots:
        of.__getstate__, of.__setstate__ = _values, _set_values


def _no_change(value: object, name: str, _: object = None) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"the field '{name}' never changes")


def _values(value: Any) -> list[Any]:
    return [getattr(value, field.name) for field in dataclasses.fields(value)]


def _set_values(value: Any, values: list[Any]) -> None:
    for field, each in zip(dataclasses.fields(value), values, strict=True):
        object.__setattr__(value, field.name, each)
