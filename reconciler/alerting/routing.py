"""Which channels an alert is for: by how bad it is, which instance and which resources it is about. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final

from reconciler.core.policy import AlertPolicy, AlertRoute

EVERY: Final = "*"
"""Stands for all channels there are, those included that are added later."""


def channels(policy: AlertPolicy, severity: str, instance: str, resources: Sequence[str]) -> tuple[str, ...]:
    """The names of the channels: of every route that fits, or of all channels where none does."""
    fitting = [route for route in policy.routes.values() if _fits(route, severity, instance, resources)]
    if not fitting:
        return (EVERY,)
    return tuple(sorted({name for route in fitting for name in route.to}))


def _fits(route: AlertRoute, severity: str, instance: str, resources: Sequence[str]) -> bool:
    return (
        (not route.severity or severity in route.severity)
        and (not route.instances or _any_like((instance,), route.instances))
        and (not route.resources or _any_like(resources, route.resources))
    )


def _any_like(names: Iterable[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for name in names for pattern in patterns)
