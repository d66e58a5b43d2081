"""Once a day: does what we serve and what we hold come to its end? Certificates, and credentials for other systems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from reconciler import credentials
from reconciler.core.target import TargetError
from reconciler.home import Home
from reconciler.world import World
from state import events, views
from state.log import Cursor, Entry

Encryption = Callable[[str], Mapping[str, Any]]
"""Instance -> where it speaks TLS and for which hosts. Raises TargetError."""

_LOOKED: Final = "daily look"
_EVERY: Final = timedelta(days=1)
_AGAIN: Final = timedelta(hours=1)
"""How soon after one at which a Traefik did not answer."""


def look(home: Home, world: World, encryption: Encryption) -> None:
    """Look, if it is time, and record what is news. Raises LogError."""
    now, noted = world.clock.now(), world.log.cursor(_LOOKED)
    due = datetime.fromtimestamp(noted.row, UTC) if noted else now
    if now < due <= now + _EVERY:  # later than that the clock was wrong
        return
    complete = _credentials(home, world, now)
    for place in home.settings.places:
        complete = _certificates(home, world, place.name, encryption, now) and complete
    following = now + (_EVERY if complete else _AGAIN)
    world.log.append([], cursor=Cursor(_LOOKED, "", int(following.timestamp()), ""))


def _credentials(home: Home, world: World, now: datetime) -> bool:
    """Whether all could be asked."""
    found = list(credentials.looked_at(home.settings, world.gitea, now))
    for event in credentials.news(world.log.view(views.Expiring), found, now):
        _say(world, event)
    return not any(one.unsure for one in found)


def _certificates(home: Home, world: World, instance: str, encryption: Encryption, now: datetime) -> bool:
    """Whether this Traefik could be asked."""
    # It brings ten megabytes with it, and a home without TLS here never needs it.
    from reconciler.certificates import ending

    try:
        told = encryption(instance)
    except TargetError:  # away, or what opens it is
        return False
    if told["witness"]:  # it says nothing of its routers now, which is no word on their certificates
        return False
    found = ending.shown(ending.doors(told), home.settings.ca_file)
    for event in ending.news(instance, world.log.view(views.Expiring).certificates, found, now):
        _say(world, event)
    return True


def _say(world: World, event: events.Event) -> None:
    world.log.append(Entry(stream="daily", event=event))
