"""Modules that are loaded when something of them is first used: what a command does not need costs it nothing."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    def __getattr__(self, name: str) -> Any:
        found = getattr(import_module(self.__name__), name)
        if not isinstance(found, ModuleType):  # a part that is a module of its own may not be complete yet
            setattr(self, name, found)
        return found


def module(name: str) -> Any:
    """Stands for the module of that name. Checkers of types see the `import` that is written beside it."""
    return _Later(name)
