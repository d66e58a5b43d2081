"""What stands and deserves a person's attention, by the log. One cause is one alert, however much it touches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from reconciler.alerting import done, ending
from reconciler.alerting.cause import Cause, as_text
from reconciler.alerting.words import looked_at, taken_back
from reconciler.core.policy import AlertPolicy, interval
from reconciler.lineage import is_ours
from reconciler.visible import visible
from reconciler.watching import doubt
from reconciler.world import World
from state import events, views
from state.model import Address
from state.views import InstanceHealth, OpenDrift

_UNFOLLOWED = (
    "What was applied last stays live, and is watched. See that the repository is there and its branch with it, and "
    "that this account may read it."
)
_UNANSWERED = (
    "What was applied last stays served; nothing is written before it answers. See that Traefik runs, and that "
    "WAYPOST_TRAEFIK_API_URL is its address as seen from here."
)
_READ = "waypost docs --read {}"
_AWAY_FOR_LONG = timedelta(hours=6)
"""How long documentation must be out of reach before that is worth a message: nothing waits for it."""
_TRIED_AGAIN = "What was applied last stays served; every pass tries again. `waypost doctor` looks for what hinders it."


def causes(world: World, policy: AlertPolicy | None = None) -> list[Cause]:
    """All that stands now. The policy says what is expected, and whether changes that went well are told."""
    policy = policy or AlertPolicy()
    return [
        *_main(world),
        *_targets(world, policy),
        *_quarantined(world),
        *_drift(world),
        *_reviews(world),
        *_backups(world),
        *_shards(world, policy),
        *ending.tokens(world),
        *_documentation(world),
        *ending.certificates(world),
        *ending.credentials(world),
        *done.report(world),
        *(done.changes(world) if policy.changes else ()),
    ]


def _main(world: World) -> Iterator[Cause]:
    main, health = world.log.view(views.Main), world.log.view(views.Health)
    if main.source_lost:
        body = as_text((main.source_lost, _UNFOLLOWED))
        yield Cause("source", "the desired repo cannot be followed", body, severity="critical")
    if main.refused:
        lines = as_text(str(problem["where"]) for problem in main.refused.problems)
        yield Cause(f"refused/{main.refused.commit}", f"commit {main.refused.commit[:12]} cannot be read", lines)
    if main.held:
        plan = main.held.plan
        # Another commit is news, and so is what newly speaks against this one; how its plan moves else is none.
        against = (*(one["address"] for one in plan.refusals), *(one["where"] for one in plan.problems))
        subjects = (plan.commit, *map(str, against), *plan.conflicts)
        about = (*(str(one["address"]) for one in plan.refusals), *plan.conflicts)
        body = "\n".join((_held(plan), *looked_at(world, plan.commit)))
        yield Cause("held", f"commit {plan.commit[:12]} is held", body, subjects, resources=about)
    if health.pass_failed:
        yield Cause("pass", "a pass failed", as_text((health.pass_failed, _TRIED_AGAIN)), severity="critical")


def _held(held: events.PlanHeld) -> str:
    lines = [held.reason]
    lines += [f"{one['guard']}: {one['address']}: {one['lost']}. {one['consent']}" for one in held.refusals]
    lines += [f"changed by hand and by commit: {address}" for address in held.conflicts]
    lines += [str(one["where"]) for one in held.problems]
    return as_text(lines)


# ── targets ──────────────────────────────────────────────────────────────────────────────────────


def _targets(world: World, policy: AlertPolicy) -> Iterator[Cause]:
    health, attempts = world.log.view(views.Health), world.log.view(views.Attempts).open
    drift = world.log.view(views.Drift).open
    for name in world.targets:
        known = health.of(name)
        yield from _away(name, known, _grace(policy, name, known.lost_since, world.clock.now()))
        yield from _serving(name, known, attempts.get(name))
        yield from _restart(name, known, drift)
        yield from _writes(name, known, attempts.get(name))


def _grace(policy: AlertPolicy, name: str, since: datetime | None, now: datetime) -> datetime | None:
    """Until when somebody who is expected to be away at times may be; None for all others.

    None as well where that began by a clock that ran ahead: nobody can say for how long it has been.
    """
    allowed = interval(policy.expected_offline.get(name, ""))
    return since + allowed if since and allowed and since - now < allowed else None


def _away(name: str, known: InstanceHealth, expected_until: datetime | None) -> Iterator[Cause]:
    if known.lost:
        body = as_text((known.lost, _UNANSWERED, *_since_when(known.lost_since)))
        yield Cause(
            f"lost/{name}",
            f"{name} does not answer",
            body,
            severity="critical",
            instance=name,
            expected_until=expected_until,
        )
    for file, reason in known.poison.items():
        title = f"{file} keeps Traefik from loading anything"
        yield Cause(_poison_of(name, file), title, reason, severity="critical", instance=name)
    if known.failure:
        yield Cause(f"probe/{name}", f"{name} does not see our directory", known.failure, instance=name)


def _since_when(moment: datetime | None) -> list[str]:
    return [f"Since {moment:%Y-%m-%d %H:%M} UTC."] if moment else []


def _serving(name: str, known: InstanceHealth, attempt: views.OpenAttempt | None) -> Iterator[Cause]:
    if known.disabled or known.unserved:
        title = f"{name} does not serve all that is in our file"
        subjects = _since(known, (*known.disabled, *([""] if known.unserved else [])))
        # A poison file, or a write that nobody saw arrive, explains that an older file of ours is served, but no
        # router that is disabled.
        in_doubt = _unknown(name, attempt) if attempt and attempt.state == "unknown" else ""
        part_of = "" if known.disabled else _any_poison_of(name, known) or in_doubt
        yield Cause(
            f"serving/{name}",
            title,
            _not_served(known),
            subjects=subjects,
            part_of=part_of,
            severity="critical",
            instance=name,
            resources=tuple(known.disabled),
        )


def _since(known: InstanceHealth, what: Iterable[str]) -> tuple[str, ...]:
    """Subjects that are others again after they were gone for a while: a relapse is news."""
    return tuple(f"{one}#{known.since[one]}" for one in what)


def _restart(name: str, known: InstanceHealth, drift: Mapping[Address, OpenDrift]) -> Iterator[Cause]:
    losses = known.restart_losses
    if losses:
        # With a poison file there, no restart brings any file's route back; and what was deleted from our file
        # is served no longer than until a restart. Neither is news beside its cause.
        missing = {f"{a.name}@file" for a, one in drift.items() if a.instance == name and one.found.kind == "missing"}
        part_of = _any_poison_of(name, known) or (f"drift/{name}" if missing.issuperset(losses) else "")
        title = f"a restart of {name} would lose routes"
        yield Cause(f"restart/{name}", title, as_text(losses), _since(known, losses), part_of, instance=name)


def _not_served(known: InstanceHealth) -> str:
    lines = [known.unserved] if known.unserved else []
    lines += [f"{address}: {words}" for address, words in known.disabled.items()]
    if any(".routers/" in str(address) for address in known.disabled):
        lines.insert(
            0,
            "A disabled router does not block: its requests fall through to a broader router, perhaps without "
            "authentication. Mend or remove what each one complains of:",
        )
    return as_text(lines)


def _writes(name: str, known: InstanceHealth, attempt: views.OpenAttempt | None) -> Iterator[Cause]:
    if known.write_failed:
        body = as_text((known.write_failed, _TRIED_AGAIN))
        yield Cause(f"write/{name}", f"{name} cannot be written", body, severity="critical", instance=name)
    if attempt and attempt.state == "unknown":
        part_of = f"lost/{name}" if known.lost else _any_poison_of(name, known)
        title = f"nobody knows whether {name} serves the last write"
        resources = tuple(attempt.started.changes)
        yield Cause(_unknown(name, attempt), title, doubt(attempt), part_of=part_of, instance=name, resources=resources)


def _unknown(instance: str, attempt: views.OpenAttempt) -> str:
    return f"unknown/{instance}/{attempt.started.attempt}"


def _poison_of(instance: str, file: str) -> str:
    return f"poison/{instance}/{file}"


def _any_poison_of(instance: str, known: InstanceHealth) -> str:
    return next((_poison_of(instance, file) for file in known.poison), "")


def _quarantined(world: World) -> Iterator[Cause]:
    quarantine = world.log.view(views.Quarantine)
    grouped: dict[str, list[Address]] = {}
    for address in quarantine.held:
        grouped.setdefault(quarantine.why[address].attempt, []).append(address)
    for attempt, addresses in grouped.items():
        title, why = "a change was refuted and undone; it stays out until it changes", quarantine.why[addresses[0]]
        body = "\n".join((as_text(taken_back(world, why, addresses)), *looked_at(world, why.commit)))
        about = tuple(map(str, sorted(addresses)))
        instance = addresses[0].instance
        yield Cause(f"quarantine/{attempt}", title, body, severity="critical", instance=instance, resources=about)
    for instance, stuck in quarantine.stuck.items():
        title = f"{instance} still holds part of a change that was refuted elsewhere"
        body = as_text([stuck.reason, *stuck.resources])
        yield Cause(f"stuck/{instance}", title, body, severity="critical", instance=instance, resources=stuck.resources)


# ── drift and reviews ────────────────────────────────────────────────────────────────────────────


def _drift(world: World) -> Iterator[Cause]:
    """One for each instance: a deleted file is one deed, not one for each resource in it."""
    health, accepted = world.log.view(views.Health), world.log.view(views.Drift).accepted
    for name, found in sorted(unanswered(world).items()):
        own_poison = health.of(name).own_poison
        yield Cause(
            f"drift/{name}",
            f"{next(iter(found))} drifted" if len(found) == 1 else f"{len(found)} resources of {name} drifted",
            as_text([*_answers(found), *(_drifted(address, one) for address, one in sorted(found.items()))]),
            # What was accepted until a date that is past is news again.
            subjects=tuple(
                f"{address}#{one.seq}{'!' * (address in accepted)}" for address, one in sorted(found.items())
            ),
            # Of a file that cannot be read, everything is missing: what keeps it from being read is the news.
            part_of=_poison_of(name, own_poison) if own_poison else "",
            instance=name,
            resources=tuple(map(str, sorted(found))),
        )


def unanswered(world: World) -> Mapping[str, Mapping[Address, OpenDrift]]:
    """Open drift that nobody accepted, or not until now, by instance. No pass looks at what is not ours any more."""
    drift, now = world.log.view(views.Drift), world.clock.now().isoformat()
    grouped: dict[str, dict[Address, OpenDrift]] = {}
    for address, standing in drift.open.items():
        accepted = drift.accepted.get(address)
        is_answered = accepted and accepted.live_hash == standing.found.live_hash and accepted.until > now
        if not is_answered and is_ours(world, address.instance):
            grouped.setdefault(address.instance, {})[address] = standing
    return grouped


def _drifted(address: Address, standing: OpenDrift) -> str:
    fields = ", ".join(standing.found.fields)
    what = f"{address}: {standing.found.reason}{f' ({fields})' if fields else ''}"
    by = f", by {standing.found.by}" if standing.found.by else ""
    return f"{what}, since {standing.since:%Y-%m-%d %H:%M} UTC{by}"


def _answers(found: Iterable[Address]) -> list[str]:
    addresses = list(found)
    which = str(addresses[0]) if len(addresses) == 1 else "ADDRESS"
    return [f"Answer with: waypost drift --heal|--adopt|--accept {which}"]


def _reviews(world: World) -> Iterator[Cause]:
    for record in world.log.view(views.Proposals).items.values():
        if record.status == "open" and record.reminded:
            body = f"{visible(record.title)}\nwaypost show {record.id}"
            title, resources = f"proposal {record.id} waits", tuple(map(str, record.resources))
            yield Cause(f"review/{record.id}", title, body, once=True, severity="info", resources=resources)


def _backups(world: World) -> Iterator[Cause]:
    if overdue := world.log.view(views.Backups).overdue:
        yield Cause("backup", "there is no recent good backup", f"{overdue}\nMake one: waypost backup FILE")


def _shards(world: World, policy: AlertPolicy) -> Iterator[Cause]:
    for name, missing in world.log.view(views.Shards).lost.items():
        title, reason = f"the shard {visible(name)} is offline", visible(missing.reason)
        body = f"{reason}\nIts tools stay listed and say so; all other shards work."
        expected = _grace(policy, name, missing.since, world.clock.now())
        yield Cause(f"shard/{name}", title, body, instance=name, expected_until=expected)


def _documentation(world: World) -> Iterator[Cause]:
    """What others changed in what they write: news until somebody says that it was read."""
    known, now = world.log.view(views.Documentation), world.clock.now()
    for page, unread in known.unread.items():
        title = f"documentation changed: {unread.change.title or page}"
        yield Cause(
            f"documentation/{page}",
            title,
            as_text(_change(unread.change)),
            (str(unread.seq),),
            once=True,
            severity="info",
        )
    for page, move in known.moved.items():
        title = f"documentation {'moved' if move.moved_to else 'is gone'}: {page}"
        body = as_text((move.reason, f"Correct docs/watch.yaml, or answer with: {_READ.format(page)}"))
        yield Cause(f"documentation-moved/{page}", title, body, (str(move.seq),), once=True, severity="info")
    if known.problems:
        yield Cause(
            "documentation-list", "docs/watch.yaml has faults", as_text(known.problems), known.problems, once=True
        )
    if away := [one.reason for one in known.unreached.values() if now - one.since >= _AWAY_FOR_LONG]:
        lines = dict.fromkeys(["Nobody knows whether it changed; it is tried again every hour.", *away])
        title = "watched documentation cannot be read"
        yield Cause("documentation-away", title, as_text(lines), once=True, severity="info")


def _change(change: events.DocumentationChanged) -> list[str]:
    concerns = [f"It may be about {one}" for one in change.concerns] or ["No desired resource uses what it names."]
    answer = f"Answer with: {_READ.format(change.page)}"
    return [change.at, *concerns, f"Release notes: {change.releases}", answer, *change.difference.split("\n")]
