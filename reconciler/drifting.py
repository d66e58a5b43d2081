"""The answers to drift: heal, accept until a date, or adopt what is live as a proposal."""

from __future__ import annotations

from datetime import datetime

from reconciler import edit, making
from reconciler.core.plan import ABSENT, Difference, side_hash
from reconciler.git import proposals
from reconciler.planned import Planned
from reconciler.session import CommandError, Session, person
from state import events
from state.model import Address
from state.review import ProposalRecord


def heal(one: Session, address: Address | None, reason: str) -> None:
    """Ask that this very difference, or every one there is, be put back to what was last applied."""
    planned = one.plan()
    every = [*planned.plan.open_drift, *planned.plan.conflicts]
    for found in [_found(planned, address)] if address else every:
        asked = events.DriftHealRequested(address=str(found.address), live_hash=side_hash(found.live), reason=reason)
        one.say(asked, f"target/{found.address.instance}")


def accept(one: Session, address: Address, until: datetime, reason: str) -> None:
    """Leave this very difference as it is until a moment (UTC)."""
    if until <= one.world.clock.now():
        raise CommandError(f"{until:%Y-%m-%d} is past already; name a day to come")
    found = _found(one.plan(), address)
    accepted = events.DriftAccepted(
        address=str(address), live_hash=side_hash(found.live), until=until.isoformat(), reason=reason
    )
    one.say(accepted, f"target/{address.instance}")


def adopt(one: Session, address: Address) -> ProposalRecord:
    """Propose that what is live be what is desired, in the file where the resource stands."""
    planned = one.plan()
    found, file = _found(planned, address), _file(planned, address)
    head = one.head()
    entry = one.world.store.entry(head, file)
    text = one.world.store.read(entry.id) if entry else None
    if found.live is ABSENT:
        edited = edit.remove_resource(text or b"", address.kind, address.name, file=file)
    else:
        edited = edit.set_resource(text, address.kind, address.name, found.live, file=file)
    making.refuse_secrets(file, text or b"", edited or b"")
    id, title = making.fresh_id(one), f"Adopt {address} as it is live"
    commit = proposals.propose(
        one.world.store,
        parent=head,
        edits={file: edited},
        id=id,
        title=title,
        body="What is live differs from what was applied; this makes it what is desired.",
        trailers=making.trailers(id, "drift --adopt"),
        author=f"{person()} <{person()}@localhost>",
        at=one.world.clock.now(),
    )
    return making.record(one, id, commit, tool="drift --adopt", title=title, resources=[str(address)])


def _found(planned: Planned, address: Address) -> Difference:
    differences = (*planned.plan.drift, *planned.plan.conflicts)
    for one in differences:
        if one.address == address:
            return one
    drifted = ", ".join(str(one.address) for one in differences) or "nothing"
    raise CommandError(f"{address} has not drifted; what has: {drifted}")


def _file(planned: Planned, address: Address) -> str:
    resource = planned.desired.resources.get(address)
    if resource:
        return resource.file
    raise CommandError(f"{address} stands in no file of main, so there is nothing to adopt it into")
