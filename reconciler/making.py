"""Proposals that a person makes with the command line: the same one commit on a branch, with the same record."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.git import proposals
from reconciler.secrets import find_secrets
from reconciler.session import CommandError, Session, person
from state import events
from state.review import ProposalRecord


def record(one: Session, id: str, commit: str, *, tool: str, title: str, resources: Iterable[str]) -> ProposalRecord:
    """Write down that a proposal was made, and return it as everybody will see it."""
    made = events.ProposalMade(
        proposal=id,
        branch=proposals.branch(id),
        commit=commit,
        parent=one.world.store.commit(commit).parents[0],
        tool=tool,
        client=person(),
        title=title,
        resources=tuple(resources),
    )
    one.say(made, f"proposal/{id}")
    one.run_pass()
    return one.proposal(id)


def refuse_secrets(one: Session, file: str, before: bytes, after: bytes) -> None:
    """Raises CommandError where an edit would bring a secret into Git that was not there before."""
    in_use = one.world.secrets()
    known = {problem.message for problem in find_secrets(file, before.decode(errors="replace"), in_use)}
    found = [p for p in find_secrets(file, after.decode(errors="replace"), in_use) if p.message not in known]
    if found:
        listed = "\n".join(str(problem) for problem in found)
        raise CommandError(f"this would put a secret into Git, where it stays for ever:\n{listed}", exit_code=3)


def fresh_id(one: Session) -> str:
    return one.world.chance(6).hex()


def trailers(request: str, tool: str) -> dict[str, str]:
    return {"Waypost-Request": request, "Waypost-Tool": tool, "Waypost-Client": person()}
