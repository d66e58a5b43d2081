"""What `doctor` needs, made even where half of the deployment is broken."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from reconciler import app
from reconciler.config import ConfigError, Place
from reconciler.core.target import TargetError, Verdict
from reconciler.doctor.check_up import Binary, Deployment, Witness
from reconciler.documentation.fetching import Fetcher, Reach
from reconciler.home import Home
from reconciler.ports import SystemClock
from reconciler.targets.shadow import find_binary, version_of

_PATIENCE: Final = 5.0
"""Seconds for a page of official documentation: somebody waits."""


@contextmanager
def deployment(home: Home, *, probe: bool, tell: bool = False, fetch: bool = False) -> Iterator[Deployment]:
    """Only with `probe` is anything opened that could fail to open, or written that Traefik could notice.

    Only with `tell` a message goes to alert channels, and only with `fetch` official documentation is asked for.
    """
    places = home.settings.places
    with ExitStack() as stack:
        yield Deployment(
            home=home,
            clock=SystemClock(),
            witnesses=_witnesses(home, stack),
            binary=next((found for place in places if (found := _binary(place))), None),
            probe=_probe(home, stack) if probe else None,
            tell=tell,
            fetcher=Fetcher(Reach(seconds=_PATIENCE), SystemClock(), home.settings.ca_file) if fetch else None,
        )


def _witnesses(home: Home, stack: ExitStack) -> dict[str, Witness]:
    found: dict[str, Witness] = {}
    for place in home.settings.places:
        try:
            api = app.api(home, place)
        except (ConfigError, TargetError):
            continue  # an unreadable secret has a finding of its own
        stack.callback(api.close)
        found[place.name] = api
    return found


def _binary(place: Place) -> Binary | None:
    path = find_binary(str(place.binary or ""))
    if path is None:
        return None
    try:
        return Binary(path, version_of(path))
    except TargetError:
        return Binary(path, "")


def _probe(home: Home, stack: ExitStack) -> Callable[[Place], Verdict]:
    world = stack.enter_context(app.opened(home, write=False))
    return lambda place: world.targets[place.name].probe(os.urandom(8).hex())
