"""The drift report: all that differs from what was applied, on time to the channels, and always so in one issue."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

from reconciler.causes import unanswered
from reconciler.gitea.api import Gitea, GiteaError, Issue
from reconciler.schedule import next_time
from reconciler.world import World
from state import events, views
from state.log import Cursor, Entry
from state.model import Address, digest_bytes
from state.views import OpenDrift

STREAM: Final = "reports"
MARK: Final = "<!-- waypost: drift -->"
"""Stands in our issue, so that it is found again."""

NEVER: Final = "never"
_TITLE: Final = "Drift: live differs from what was applied"
_LOOKED: Final = "drift report"
_TICKS: Final = re.compile("`+")


def tend(world: World, schedule: str) -> None:
    """Make the report that is due, and keep the issue as things are. Raises LogError; Gitea may be away.

    While the kill switch is on the issue stays as it is: it is somebody else's system.
    """
    report_if_due(world, schedule)
    if world.gitea and not world.read_only:
        try:
            keep_issue(world, world.gitea)
        except GiteaError:
            return  # passes say that it is away, and in a minute it is tried again


# ── on time ──────────────────────────────────────────────────────────────────────────────────────


def report_if_due(world: World, schedule: str) -> None:
    """Record the report, if it is due and there is anything to tell; alerts carry it to the channels."""
    now, noted = world.clock.now(), world.log.cursor(_LOOKED)
    last = datetime.fromtimestamp(noted.row, UTC) if noted else None
    if schedule == NEVER:
        return
    if last is None or last > now:  # the first look, or the clock ran ahead
        world.log.append([], cursor=_looked(now))
    elif next_time(schedule, last) <= now:
        found = _drifted(world)
        made = [Entry(stream=STREAM, event=_made(found, now))] if found else []
        world.log.append(made, cursor=_looked(now))


def _looked(moment: datetime) -> Cursor:
    """When it was looked last: no event, for that nothing has drifted is no news."""
    return Cursor(_LOOKED, "", int(moment.timestamp()), "")


def _drifted(world: World) -> dict[Address, OpenDrift]:
    return {address: one for found in unanswered(world).values() for address, one in sorted(found.items())}


def _made(found: Mapping[Address, OpenDrift], now: datetime) -> events.DriftReported:
    many = "1 resource has drifted" if len(found) == 1 else f"{len(found)} resources have drifted"
    return events.DriftReported(
        title=f"drift report: {many}",
        body=page(found, now),
        resources=tuple(map(str, found)),
        reason=f"it was due at {now:%Y-%m-%d %H:%M} UTC",
    )


# ── what it says ─────────────────────────────────────────────────────────────────────────────────


_MOST: Final = 80
"""Resources in one report: a message and an issue hold no more."""


def _day(now: datetime) -> datetime:
    """A day to come for the command that accepts: a Monday, so that the issue is not another one every day."""
    return now + timedelta(days=7 + -now.weekday() % 7)


def page(found: Mapping[Address, OpenDrift], now: datetime) -> str:
    """The report in Markdown: what drifted, since when, by whom, and the three answers as commands."""
    if not found:
        return "Nothing differs from what was applied any more.\n"
    head = "What is live differs from what was applied last, and no commit asked for it."
    shown = dict(islice(found.items(), _MOST))
    more = [f"And {len(found) - _MOST} more: `waypost drift` has them all."] if len(found) > _MOST else []
    sections = (line for address, one in shown.items() for line in _section(address, one, _day(now)))
    return "\n".join([head, "", *sections, *more])


def _section(address: Address, one: OpenDrift, until: datetime) -> Iterator[str]:
    fields = f" ({', '.join(map(_code, one.found.fields))})" if one.found.fields else ""
    named = shlex.quote(str(address))
    yield f"### {_code(str(address))}"
    yield ""
    yield f"- what: {_plain(one.found.reason)}{fields}"
    yield f"- since: {one.since:%Y-%m-%d %H:%M} UTC"
    yield f"- by: {_code(one.found.by)}" if one.found.by else "- by: unknown; what was changed by hand bears no name"
    yield f"- put back what was applied: {_code(f'waypost drift --heal {named}')}"
    yield f"- make it what is wanted: {_code(f'waypost drift --adopt {named}')}"
    yield f"- leave it until a day: {_code(f'waypost drift --accept {named} --until {until:%Y-%m-%d}')}"
    yield ""


def _code(text: str) -> str:
    """Inline code that its text cannot leave: names are whatever a system allows."""
    plain = _plain(text)
    ticks = "`" * (1 + max(map(len, _TICKS.findall(plain)), default=0))
    pad = " " if "`" in plain else ""
    return f"{ticks}{pad}{plain}{pad}{ticks}"


def _plain(text: str) -> str:
    return "".join(filter(str.isprintable, " ".join(text.split()))) or "–"


# ── the issue ────────────────────────────────────────────────────────────────────────────────────


def keep_issue(world: World, gitea: Gitea) -> None:
    """Open the issue with a report, keep it as things are, and close it when nothing has drifted. Raises GiteaError."""
    reports, found = world.log.view(views.Reports), _drifted(world)
    body = f"{MARK}\n{page(found, world.clock.now())}"
    digest = digest_bytes(body.encode())
    if (known := reports.issue) is None or not known.is_open:
        reported = reports.drift and reports.drift.seq > reports.issue_seq
        if not (found and reported):
            return
    elif known.digest == digest:
        return
    shown = _shown(gitea, known.number if known else 0, body, is_open=bool(found))
    said = "what has drifted is another" if found else "nothing has drifted any more"
    number, address = (shown.number, shown.html_url) if shown else (0, "")
    event = events.DriftIssueShown(number=number, address=address, digest=digest, is_open=bool(found), reason=said)
    world.log.append(Entry(stream=STREAM, event=event))


def _shown(gitea: Gitea, number: int, body: str, *, is_open: bool) -> Issue | None:
    """Our one issue, saying this: the known one, one that a crash left unrecorded, or a new one. None: it is gone."""
    known = gitea.issue(number) if number else None
    if known is None or MARK not in known.body:  # a number of another repository may be somebody else's issue here
        me = gitea.me().login
        ours = (one for one in gitea.open_issues(by=me) if MARK in one.body)
        known = next(ours, None)
    if known is None:
        return gitea.open_issue(title=_TITLE, body=body) if is_open else None
    return gitea.edit_issue(known.number, body=body, is_open=is_open)
