"""Messages on their way: noted before they go out, so that after a death nobody is told the same a second time.

A receiver answers after the deed, over a network. Who dies before it has written the answer down cannot know whether
the message arrived; then exactly that is recorded, and the reminder of what still stands comes at its time.

A note is a cursor of the log and no event: every try of a receiver that is down for days needs one. It holds what the
message is about, the event after which its outcome is to be looked for, and which message of that it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from reconciler.world import World
from state import events
from state.log import Cursor, Entry


@dataclass(frozen=True)
class Message:
    """What is to be said about an alert: raised by the event `raised` (its seq), or 0: its end.

    `severity`, `instance` and `since` (when it began) are for channels that can do something with them.
    """

    fingerprint: str
    alert: str
    body: str
    raised: int
    severity: str = "warning"
    instance: str = ""
    since: datetime | None = None

    @property
    def title(self) -> str:
        return f"Waypost: {self.alert}" if self.raised else f"Waypost: resolved: {self.alert}"


def note(world: World, name: str, message: Message) -> None:
    """Write down that this message goes out to this receiver now."""
    goes_out = Cursor(_source(name), message.fingerprint, world.log.head().seq, f"{message.raised} {message.alert}")
    world.log.append([], cursor=goes_out)


def forget(world: World, name: str) -> None:
    """The receiver said no: the message is as if it had never been sent."""
    world.log.append([], cursor=_nothing(name))


def doubt(world: World, name: str) -> None:
    """Record it where an earlier process ended while a message was on its way to this receiver."""
    noted = world.log.cursor(_source(name))
    if noted is None or not noted.outbox:
        return
    raised, _, title = noted.id.partition(" ")
    doubted = events.AlertDoubted(
        fingerprint=noted.outbox,
        title=title,
        receivers=(name,),
        raised=int(raised),
        recovery=raised == "0",
        reason="Waypost ended while it sent this: it may have arrived or not, and is not sent a second time",
    )
    since = world.log.read(noted.row, stream="alerts")
    if not any(isinstance(one.event, events.AlertDelivered) and _is_of(doubted, one.event) for one in since):
        world.log.append(Entry(stream="alerts", event=doubted), cursor=_nothing(name))


def _is_of(doubted: events.AlertDoubted, delivered: events.AlertDelivered) -> bool:
    """Whether that is the outcome of what would be doubted."""
    same = (delivered.fingerprint, delivered.raised) == (doubted.fingerprint, doubted.raised)
    return same and set(doubted.receivers) <= set(delivered.receivers)


def _nothing(name: str) -> Cursor:
    return Cursor(_source(name), "", 0, "")


def _source(name: str) -> str:
    return f"alert to {name}"
