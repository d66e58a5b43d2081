"""What tests of routing share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from reconciler.routing.table import Table
from reconciler.traefik import insides
from tests.reconciler.routing import choices


def _faults(kind: str, spec: Any) -> Iterable[str]:
    return (words for _, words, severity in insides.faults(kind, spec) if severity == "error")


@pytest.fixture(scope="session")
def choices_of() -> Callable[[choices.Place], Table]:
    """`choices_of(place)`: the table of a place of made-up cases, as we see it now."""
    return lambda place: choices.table(place, _faults)
