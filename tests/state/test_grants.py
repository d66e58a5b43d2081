"""Agreement to a loss belongs to one commit, and is spent with it."""

import pytest

from state.events import (
    ApplyProven,
    ApplyRefuted,
    CommitApproved,
    ConsentGiven,
    HistoryRewritten,
    PlanMade,
    PlanShown,
    ProposalRejected,
    ResourcesQuarantined,
    RevisionMade,
)
from state.grants import Grants
from state.log import Entry, EventLog
from tests.state.conftest import ticking

LOSS = {"key": "k1", "address": "traefik/http.routers/a", "guard": "authentication", "lost": "…", "level": "shown"}
EDGE = {"key": "k2", "address": "edge/http.routers/a", "guard": "authentication", "lost": "…", "level": "shown"}
PAST = {"key": "k3", "address": "main", "guard": "history", "lost": "…", "level": "consent"}


@pytest.fixture
def tell(tmp_path):
    """Grants after these events, folded by a real log; more events go on from there."""
    log = EventLog.open(tmp_path / "log.db", now=ticking(), create=True)

    def after(*events):
        log.append([Entry(stream="main", event=event, actor="person:ada") for event in events])
        return log.view(Grants)

    yield after
    log.close()


def shown(*losses, proposal="p", commit="c"):
    return PlanShown(proposal=proposal, commit=commit, digest="d", changes=(), losses=losses, to_person=True)


def consent(commit, *losses, proposal=""):
    return ConsentGiven(commit=commit, digest="d", proposal=proposal, losses=losses)


def approved(commit, proposal=""):
    return CommitApproved(commit=commit, via="push", proposal=proposal)


def proven(commit, instance="traefik", **changes):
    return ApplyProven(
        instance=instance, attempt="1", commit=commit, changes=changes, file="f", seconds=0.0, evidence=""
    )  # fmt: skip


def refuted(commit, instance="traefik"):
    common = {"instance": instance, "attempt": "1", "commit": commit, "reason": "no"}
    return ApplyRefuted(**common), ResourcesQuarantined(**common, resources={})


def revision(commit):
    return RevisionMade(number=1, commit=commit, tree="t", policy="p", reason="")


def test_a_consent_is_for_the_commit_it_was_given_for_and_spent_when_that_is_a_revision(tell):
    assert tell(approved("c"), consent("c", LOSS)).consented == {"k1"}
    assert not tell(proven("c"), revision("c")).consented
    assert not tell(approved("again")).consented


def test_a_loss_that_happened_in_another_resource_than_it_is_told_of_is_spent_all_the_same(tell):
    tell(approved("c"), consent("c", LOSS))
    middleware = proven("c", **{"traefik/http.middlewares/auth": {"compress": {}}})
    assert not tell(middleware).consented


def test_what_was_shown_for_a_refuted_commit_does_not_hold_for_the_next(tell):
    assert tell(shown(LOSS), approved("c", "p")).shown == {"k1"}
    assert not tell(*refuted("c")).shown
    assert not tell(approved("revert"), revision("revert"), approved("push")).shown


def test_a_fix_of_a_refuted_commit_need_not_have_shown_the_losses_of_that_commit(tell):
    assert tell(shown(), approved("c", "p")).all_shown
    state = tell(*refuted("c"), shown(proposal="fix"), approved("d", "fix"))
    assert not state.all_shown


def test_a_commit_that_something_newer_overtook_takes_its_grants_along(tell):
    tell(approved("c"), consent("c", LOSS), approved("d"))
    assert tell().consented == {"k1"}  # d has c below it
    assert not tell(revision("d"), approved("e")).consented


def test_consent_to_a_proposal_survives_an_earlier_head_becoming_a_revision(tell):
    tell(approved("head"), shown(LOSS), consent("c", LOSS, proposal="p"), proven("head"), revision("head"))
    state = tell(approved("c-rebased", "p"))
    assert (state.consented, state.shown) == ({"k1"}, {"k1"})
    assert not tell(proven("c-rebased"), revision("c-rebased")).consented


def test_consent_to_a_commit_of_main_survives_an_earlier_head_becoming_a_revision(tell):
    tell(approved("head"), consent("c", LOSS), proven("head"), revision("head"))
    assert tell(approved("c")).consented == {"k1"}
    tell(approved("later"), consent("later", EDGE), revision("c"))
    assert tell().consented == {"k2"}


def test_consent_grants_nothing_before_its_commit_is_on_main(tell):
    assert not tell(approved("head"), consent("c", LOSS), consent("q", LOSS, proposal="p")).consented


def test_consent_to_a_head_that_is_a_revision_already_holds_for_one_apply(tell):
    assert tell(approved("c"), revision("c"), consent("c", LOSS)).consented == {"k1"}
    assert not tell(proven("c")).consented


def test_one_instance_proven_leaves_what_was_agreed_to_for_another(tell):
    tell(approved("c"), consent("c", LOSS, EDGE, PAST))
    assert tell(proven("c")).consented == {"k2", "k3"}
    assert not tell(revision("c")).consented


def test_a_rewritten_branch_keeps_only_the_consent_to_where_it_is_now(tell):
    tell(approved("c"), consent("c", LOSS))
    assert tell(consent("forced", PAST), HistoryRewritten(was="c", now="forced", reason="")).consented == {"k3"}
    assert tell(approved("forced")).consented == {"k3"}


def test_after_a_rewrite_all_of_the_new_line_is_spent_with_its_revision(tell):
    tell(revision("old"), HistoryRewritten(was="old", now="c2", reason=""), approved("c1"), approved("c2"))
    tell(revision("c2"), shown(), approved("c3", "p"))
    assert tell().all_shown  # c1 and c2 are a revision, and c3 was seen


def test_a_rejected_proposal_loses_its_consent_but_was_seen(tell):
    tell(shown(LOSS), consent("c", LOSS, proposal="p"))
    assert tell().people == {"p": "person:ada"}
    state = tell(ProposalRejected(proposal="p", reason="no"), approved("c", "p"))
    assert (state.people, state.consented, state.shown, state.all_shown) == ({}, frozenset(), {"k1"}, True)


def test_all_was_shown_only_if_every_waiting_commit_came_with_a_plan(tell):
    assert not tell().all_shown
    assert tell(shown(), approved("c", "p")).all_shown
    assert not tell(approved("push")).all_shown
    assert not tell(revision("push")).all_shown


def test_a_plan_that_no_person_looked_at_agrees_to_nothing(tell):
    made = PlanShown(proposal="p", commit="c", digest="d", changes=(), losses=(LOSS,))
    state = tell(made, approved("c", "p"))
    assert (state.shown, state.all_shown) == (frozenset(), False)


def test_a_merge_of_two_proposals_was_shown_only_if_both_were(tell):
    assert not tell(shown(), approved("merge", "p"), approved("merge", "unseen")).all_shown


def test_what_has_its_turn_in_a_later_step_is_agreed_to_until_that_is_proven(tell):
    old = {**LOSS, "key": "k4", "address": "komodo/stack/old"}
    tell(approved("c"), consent("c", old))
    changes = ("create komodo/stack/new", "delete komodo/stack/old")
    tell(PlanMade(commit="c", digest="d", changes=changes))
    assert tell(proven("c", "komodo", **{"komodo/stack/new": {}})).consented == {"k4"}
    assert tell(proven("c", "komodo", **{"komodo/stack/old": None})).consented == set()
