"""Alerts before something ends that must be renewed: tokens of ours, certificates that are served, credentials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from reconciler.alerting.cause import Cause, as_text
from reconciler.tokens import EXPIRES_SOON
from reconciler.world import World
from state import views
from state.expiring import Ending


def tokens(world: World) -> Iterator[Cause]:
    """Told once before its end and once after it, until a week later nobody seems to miss it."""
    now = world.clock.now()
    for id, token in world.log.view(views.Tokens).lasting.items():
        if token.warned and now < token.expires + EXPIRES_SOON:
            over = token.expires <= now
            title = f"the token '{token.name}' {'has ended' if over else 'ends soon'}"
            when = f"{'Since' if over else 'On'} {token.expires:%Y-%m-%d %H:%M} UTC its client is let in no more."
            subjects = ("ends", "ended") if over else ("ends",)
            make = f"waypost token create {token.name}" if over else f"waypost token rotate {token.name}"
            yield Cause(f"token/{id}", title, f"{when}\nMake another: {make}", subjects, once=True)


def certificates(world: World) -> Iterator[Cause]:
    """One for each instance: what keeps one certificate from being renewed mostly keeps all of them."""
    now, grouped = world.clock.now(), dict[str, dict[str, Ending]]()
    for which, ending in world.log.view(views.Expiring).certificates.items():
        instance, entry_point, host = which.split(" ", 2)
        grouped.setdefault(instance, {})[f"{host} ({entry_point})"] = ending
    for instance, found in grouped.items():
        yield _of_instance(instance, found, now)


_RENEW = "See Traefik's own log for why it is not renewed: errors of ACME stand nowhere else."


def _of_instance(instance: str, found: Mapping[str, Ending], now: datetime) -> Cause:
    over = {host for host, one in found.items() if datetime.fromisoformat(one.ends) <= now}
    which = f"the certificate of {next(iter(found))}" if len(found) == 1 else f"{len(found)} certificates of {instance}"
    return Cause(
        f"certificates/{instance}",
        f"{which} {'ended' if over == found.keys() else 'ended or will soon' if over else 'will end soon'}",
        as_text([_RENEW, *(f"{host}: {one.reason}" for host, one in sorted(found.items()))]),
        subjects=tuple(f"{host}#{one.ends}{_urgency(one.ends, now)}" for host, one in sorted(found.items())),
        once=True,
        severity="critical" if over else "warning",
        instance=instance,
    )


_LAST_DAYS = timedelta(days=3)


def _urgency(ends: str, now: datetime) -> str:
    """Each end is news when it is noticed first, in its last days, and when it has come."""
    left = datetime.fromisoformat(ends) - now
    return "!" * ((left < _LAST_DAYS) + (left <= timedelta(0)))


def credentials(world: World) -> Iterator[Cause]:
    """One for each: it opens a system of its own."""
    now = world.clock.now()
    for name, failing in world.log.view(views.Expiring).credentials.items():
        yield Cause(
            f"credential/{name}",
            f"what {name} refers to {'ends soon' if failing.ends else 'is not accepted'}",
            f"{failing.reason}\nMake another, and put it where {name} leads: it counts without a restart.",
            subjects=(failing.ends + (_urgency(failing.ends, now) if failing.ends else ""),),
            once=bool(failing.ends),
            severity="warning" if failing.ends else "critical",
        )
