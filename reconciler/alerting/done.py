"""Messages that need no end: a report that was due, a change that went well."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from reconciler.alerting.cause import Cause, as_text
from reconciler.alerting.words import changed, looked_at
from reconciler.world import World
from state import views
from state.mainline import Revision

_TOLD_FOR: Final = timedelta(days=3)
"""How long such a message waits for a channel that is away."""

_NEWS: Final = timedelta(hours=1)
"""How old a revision may be to be told of: who begins to ask for such messages does not ask for old ones."""


def report(world: World) -> Iterator[Cause]:
    """The last report of drift: it is news for itself, whatever else was told."""
    last = world.log.view(views.Reports).drift
    if last and world.clock.now() - last.at < _TOLD_FOR:
        yield Cause(f"report/{last.seq}", last.title, last.body, once=True, severity="info", ends=False)


def changes(world: World) -> Iterator[Cause]:
    """What was applied and proven lately: each revision once, the oldest first."""
    revisions = world.log.view(views.Revisions)
    for made in reversed(list(_lately(revisions, world.clock.now()))):
        before = revisions.by_number.get(made.number - 1)
        if before and (told := _told(world, before, made)):
            yield told


def _lately(revisions: views.Revisions, now: datetime) -> Iterator[Revision]:
    made = revisions.latest
    while made and now - made.at < _TOLD_FOR:
        yield made
        made = revisions.by_number.get(made.number - 1)


def _told(world: World, before: Revision, made: Revision) -> Cause | None:
    """What a revision changed; as it was told, where it was, so that nothing is looked at again with every pass."""
    fingerprint = f"changed/{made.number}"
    if known := world.log.view(views.Alerts).open.get(fingerprint):
        return Cause(fingerprint, known.title, known.body, once=True, severity="info", ends=False)
    if world.clock.now() - made.at >= _NEWS:
        return None
    lines, addresses = changed(world, before.commit, made.commit)
    instances = {address.instance for address in addresses}
    return Cause(
        fingerprint,
        f"revision {made.number} is applied and proven",
        "\n".join((as_text(lines), *looked_at(world, made.commit))),
        once=True,
        severity="info",
        instance=instances.pop() if len(instances) == 1 else "",
        resources=tuple(map(str, addresses)),
        ends=False,
    )
