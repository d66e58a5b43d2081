"""A plugin of pytest: takes safeguards out for a whole run of tests. PLANTED names them, separated by spaces."""

from __future__ import annotations

import contextlib
import os

import pytest

from tests.durability.warm import find


def pytest_configure(config: pytest.Config) -> None:
    """Before any test module is imported: it may have a safeguard by a name of its own."""
    stack = contextlib.ExitStack()
    for name in os.environ.get("PLANTED", "").split():
        stack.enter_context(find(name)())
    config.add_cleanup(stack.close)
