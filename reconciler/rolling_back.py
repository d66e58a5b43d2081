"""Rollback: a proposal that restores the tree of an earlier revision, its policy excepted."""

from __future__ import annotations

from reconciler import making
from reconciler.commits import load, touches
from reconciler.git import proposals
from reconciler.session import CommandError, Session, person
from state import views
from state.review import ProposalRecord


def propose(one: Session, revision: int) -> ProposalRecord:
    """The proposal that makes main say again what that revision said. CommandError where the kill switch is on."""
    one.require_switched_on("rolled back")
    revisions = one.world.log.view(views.Revisions)
    target = revisions.by_number.get(revision)
    if target is None:
        last = revisions.latest.number if revisions.latest else 0
        raise CommandError(
            f"there is no revision {revision}; there are 1 to {last}" if last else "nothing was applied yet"
        )
    head, id = one.head(), making.fresh_id(one)
    differing = touches(load(one.world, target.commit), load(one.world, head))
    if not differing:
        raise CommandError(f"main already says what revision {revision} said", exit_code=0)
    title = f"Roll back to revision {revision}"
    commit = proposals.revert_to(
        one.world.store,
        target.commit,
        parent=head,
        id=id,
        title=title,
        body=f"Restores the tree of {target.commit}, the policy excepted.",
        trailers=making.trailers(id, "rollback"),
        author=f"{person()} <{person()}@localhost>",
        at=one.world.clock.now(),
    )
    return making.record(one, id, commit, tool="rollback", title=title, resources=sorted(map(str, differing)))
