"""Alerts follow transitions: one cause, one message, one reminder interval, a recovery. Apprise carries them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import apprise

from reconciler.world import World
from state import events, views
from state.log import Entry

REMINDER = timedelta(hours=24)


@dataclass(frozen=True)
class Cause:
    """Something a person should know, for as long as it stands."""

    fingerprint: str
    title: str
    body: str


Send = Callable[[str, str], bool]
"""Deliver (title, body); True when every address took it."""


def sender(urls: Iterable[str]) -> Send:
    """Deliver through Apprise to all addresses; with none, nothing is sent and that counts as delivered."""
    channel = apprise.Apprise()
    for url in urls:
        channel.add(url)
    return lambda title, body: not len(channel) or bool(channel.notify(title=title, body=body))


def announce(world: World, send: Send) -> None:
    """Compare what stands with what was announced; send what is new, due again, or over."""
    standing = {cause.fingerprint: cause for cause in causes(world)}
    announced = world.log.view(views.Alerts).open
    now = world.clock.now()
    for cause in standing.values():
        if _due(announced.get(cause.fingerprint), now):
            delivered = send(f"Waypost: {cause.title}", cause.body)
            _record(
                world,
                events.AlertRaised(
                    fingerprint=cause.fingerprint,
                    title=cause.title,
                    body=cause.body,
                    delivered=delivered,
                    reason="still so" if cause.fingerprint in announced else "new",
                ),
            )
    for fingerprint in announced.keys() - standing.keys():
        title = announced[fingerprint].title
        delivered = send(f"Waypost: resolved: {title}", "This is over; nothing more to do.")
        _record(
            world,
            events.AlertResolved(fingerprint=fingerprint, title=title, delivered=delivered, reason="its cause is gone"),
        )


def _due(announced: views.OpenAlert | None, now: datetime) -> bool:
    return announced is None or announced.last_sent is None or now - announced.last_sent >= REMINDER


def causes(world: World) -> list[Cause]:
    """Everything that stands and deserves a person's attention, from the log alone."""
    return [*_main(world), *_targets(world), *_drift(world), *_reviews(world)]


def _main(world: World) -> Iterable[Cause]:
    main, health = world.log.view(views.Main), world.log.view(views.Health)
    if main.source_lost:
        yield Cause("source", "the desired repo cannot be followed", main.source_lost)
    if main.refused:
        lines = "\n".join(str(problem["where"]) for problem in main.refused.problems[:20])
        yield Cause(f"refused/{main.refused.commit}", f"commit {main.refused.commit[:12]} cannot be read", lines)
    if main.held:
        yield Cause(f"held/{main.held.digest}", f"commit {main.held.commit[:12]} is held", _held(main.held.plan))
    if health.pass_failed:
        yield Cause("pass", "a pass failed", health.pass_failed)


def _held(held: events.PlanHeld) -> str:
    lines = [held.reason]
    lines += [f"{one['guard']}: {one['address']}: {one['lost']}. {one['consent']}" for one in held.refusals]
    lines += [f"changed by hand and by commit: {address}" for address in held.conflicts]
    lines += [str(one["where"]) for one in held.problems]
    return "\n".join(lines[:40])


def _targets(world: World) -> Iterable[Cause]:
    health = world.log.view(views.Health)
    for name in world.targets:
        known = health.of(name)
        if known.lost:
            yield Cause(f"lost/{name}", f"{name} does not answer", known.lost)
        for file, reason in known.poison.items():
            yield Cause(f"poison/{name}/{file}", f"{file} keeps Traefik from loading anything", reason)
        if known.restart_losses:
            routes = "\n".join(known.restart_losses[:40])
            yield Cause(f"restart/{name}", f"a restart of {name} would lose routes", routes)
        if known.failure:
            yield Cause(f"probe/{name}", f"{name} does not see our directory", known.failure)
    for attempt, addresses in _quarantined(world).items():
        body = "\n".join(sorted(addresses))
        yield Cause(f"quarantine/{attempt}", "a change was refuted and undone; it stays out until it changes", body)


def _quarantined(world: World) -> Mapping[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    quarantine = world.log.view(views.Quarantine)
    for address in quarantine.held:
        grouped.setdefault(quarantine.why[address].attempt, []).append(str(address))
    return grouped


def _drift(world: World) -> Iterable[Cause]:
    drift, now = world.log.view(views.Drift), world.clock.now().isoformat()
    for address, standing in drift.open.items():
        found, accepted = standing.found, drift.accepted.get(address)
        if accepted and accepted.live_hash == found.live_hash and accepted.until > now:
            continue
        body = (
            f"{found.reason}\n{', '.join(found.fields)}\nAnswer with: waypost drift --heal|--adopt|--accept {address}"
        )
        yield Cause(f"drift/{address}/{found.live_hash[:12]}", f"{address} drifted", body)


def _reviews(world: World) -> Iterable[Cause]:
    for record in world.log.view(views.Proposals).items.values():
        if record.status == "open" and record.reminded:
            yield Cause(
                f"review/{record.id}", f"proposal {record.id} waits", f"{record.title}\nwaypost show {record.id}"
            )


def _record(world: World, event: events.Event) -> None:
    world.log.append(Entry(stream="alerts", event=event))
