"""The answers to drift: heal, accept until a date, or adopt what is live as a proposal."""

from __future__ import annotations

from datetime import datetime

from reconciler import edit, languages, making
from reconciler.core.plan import ABSENT, Difference, side_hash
from reconciler.git import proposals
from reconciler.language import Unwritable
from reconciler.planned import Planned
from reconciler.session import CommandError, Session, person
from state import events
from state.model import Address, Spec
from state.review import ProposalRecord


def heal(one: Session, address: Address | None, reason: str) -> None:
    """Ask that this very difference, or every one there is, be put back to what was last applied."""
    one.require_switched_on("put back")
    planned = one.plan()
    every = [*planned.plan.open_drift, *planned.plan.conflicts]
    for found in [_found(planned, address)] if address else every:
        asked = events.DriftHealRequested(address=str(found.address), live_hash=side_hash(found.live), reason=reason)
        one.say(asked, f"target/{found.address.instance}")


def accept(one: Session, address: Address, until: datetime, reason: str) -> None:
    """Leave this very difference as it is until a moment (UTC)."""
    one.require_switched_on("accepted")
    if until <= one.world.clock.now():
        raise CommandError(f"{until:%Y-%m-%d} is past already; name a day to come")
    found = _found(one.plan(), address)
    accepted = events.DriftAccepted(
        address=str(address), live_hash=side_hash(found.live), until=until.isoformat(), reason=reason
    )
    one.say(accepted, f"target/{address.instance}")


def adopt(one: Session, address: Address) -> ProposalRecord:
    """Propose that what is live be what is desired, in the file where the resource stands."""
    one.require_switched_on("proposed")
    planned = one.plan()
    found, file = _found(planned, address), _file(planned, address)
    head = one.head()
    entry = one.world.store.entry(head, file)
    text = one.world.store.read(entry.id) if entry else None
    edited = _as_live(one, found, file, text)
    making.refuse_secrets(one, file, text or b"", edited or b"")
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


def _as_live(one: Session, found: Difference, file: str, text: bytes | None) -> bytes | None:
    """The file as it would say what is live; None where it goes. CommandError where only a person can write that."""
    address, kind = found.address, one.world.targets[found.address.instance].kind
    if kind == "traefik" and found.live is ABSENT:
        return edit.remove_resource(text or b"", address.kind, address.name, file=file)
    if kind == "traefik":
        return edit.set_resource(text, address.kind, address.name, found.live, file=file)
    if kind == "komodo" and found.live is ABSENT:
        raise CommandError(f"{address} is gone: take the folder of {file} out of the desired repo")
    if found.live is ABSENT:
        return None
    return _written(address, kind, found.live, file)


def _written(address: Address, kind: str, live: Spec, file: str) -> bytes:
    """The file of what is live. CommandError where no file can say that, or main would not take it."""
    language = languages.of(kind)
    if language.written is None:
        raise CommandError(f"what is live of {address} cannot be written as a file here: edit {file} by hand")
    answer = f"`waypost drift --heal {address}` puts it back as it was applied"
    try:
        written = language.written(live, "Adopted as it was live.")
    except Unwritable as fault:
        raise CommandError(f"{address} cannot be adopted: {fault}, and no file can say that; {answer}") from None
    if problems := language.parse(file, written).problems:
        raise CommandError(f"{address} cannot be adopted: {'; '.join(map(str, problems))}; {answer}")
    return written


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
