from __future__ import annotations

import gc
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from state import folding
from state import log as log_module
from state.events import (
    AlertRaised,
    AlertResolved,
    ApplyAbandoned,
    ApplyProven,
    ApplyRefuted,
    ApplyStarted,
    ApplyUndone,
    ApplyUnknown,
    ApproverAwaited,
    ApproverTold,
    CommitApproved,
    DesiredRefused,
    DriftAccepted,
    DriftCleared,
    DriftFound,
    DriftHealRequested,
    HistoryRewritten,
    PassFailed,
    PassRecovered,
    PlanHeld,
    PlanMade,
    PlanShown,
    PoisonCleared,
    PoisonFound,
    ProbeFailed,
    ProbeSucceeded,
    ProposalClosed,
    ProposalMade,
    ProposalRejected,
    ProposalReminded,
    ProposalSuperseded,
    ProposalWithdrawn,
    QuarantineLifted,
    ResourcesAdopted,
    ResourcesQuarantined,
    RestartLossCleared,
    RestartLossFound,
    RevisionMade,
    SourceFound,
    SourceLost,
    TargetFound,
    TargetLost,
    UndoHeld,
)
from state.log import Entry, EventLog
from state.model import Address
from state.record import Recorded
from state.views import (
    ALL,
    Alerts,
    Applied,
    Approvals,
    Attempts,
    Before,
    Drift,
    Health,
    Main,
    Proposals,
    Provenance,
    Quarantine,
    Revisions,
)
from tests.state.conftest import START, ticking
from tests.state.events_of_chance import ADDRESSES, some_entry

A, B, C = map(Address.parse, ADDRESSES[:3])


def after(view, *events):
    """The state of a view after these events, one second apart from START + 1 on."""
    clock = ticking()
    clock()
    state = view.empty()
    for seq, event in enumerate(events, 1):
        state = state.fold(
            Recorded(
                seq=seq,
                id=str(seq),
                at=clock(),
                stream="",
                version=seq,
                type=type(event).__name__,
                schema=1,
                actor="person:ann",
                request_id="r",
                event=event,
                hash="",
            )
        )
    return state


def states(log):
    """Every view as bytes: the order of things counts, too."""
    return {view: log.view(view).encode() for view in ALL}


# ── every view ───────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=20)
@given(st.lists(st.lists(some_entry, max_size=6), min_size=1, max_size=8), st.integers(1, 5))
def test_views_folded_as_events_come_are_those_folded_anew(batches, often):
    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "CHECKPOINT_EVERY", often)
        patch.setattr(log_module, "CHUNK", often)
        path = Path(directory) / "log.db"
        log = EventLog.open(path, now=ticking(), create=True)
        for batch in batches:
            log.append(batch)
            came = states(log)
        subjects = {f"commit:c{number}" for number in (1, 2, 3)} | {"request:r1", *ADDRESSES}
        found = {subject: log.touching(subject) for subject in subjects}
        anew = {view: view.empty().fold_all(log.read()).encode() for view in ALL}
        assert came == anew
        log.close()

        taken_up = EventLog.open(path, now=ticking())
        assert states(taken_up) == anew
        taken_up.rebuild()
        assert states(taken_up) == anew
        assert {subject: taken_up.touching(subject) for subject in subjects} == found
        taken_up.close()


@settings(max_examples=20)
@given(st.lists(some_entry, max_size=12), st.data())
def test_after_a_redaction_views_are_those_of_what_is_left(entries, data):
    with TemporaryDirectory() as directory:
        log = EventLog.open(Path(directory) / "log.db", now=ticking(), create=True)
        recorded = log.append([*entries, Entry(stream="home", event=PassFailed(reason="x"))])
        for view in ALL:
            log.view(view)
        log.redact(data.draw(st.sampled_from(recorded)).seq, "a secret", "person:ann")
        assert states(log) == {view: view.empty().fold_all(log.read()).encode() for view in ALL}
        assert log.verify().ok
        log.close()


@given(st.lists(some_entry, max_size=12))
def test_a_state_survives_being_put_away(entries):
    events = [entry.event for entry in entries]
    for view in ALL:
        state = after(view, *events)
        assert view.decode(state.encode()) == state == state.copy()
        assert view.decode(state.encode()).encode() == state.encode()  # the order of things, too


def test_a_state_that_was_handed_out_does_not_change(log):
    log.append(Entry(stream="x", event=proven({A: 1})))
    before = log.view(Applied)
    log.append(Entry(stream="x", event=proven({A: 2, B: 3})))
    assert before.base("traefik") == {A: 1}
    assert log.view(Applied).base("traefik") == {A: 2, B: 3}


def test_a_base_that_was_handed_out_is_the_callers_own(log):
    log.append(Entry(stream="x", event=proven({A: 1})))
    log.view(Applied).base("traefik").clear()
    assert log.view(Applied).base("traefik") == {A: 1}


def test_python_need_not_look_for_garbage_among_what_was_just_replayed(log):
    log.append(Entry(stream="x", event=proven({A: 1})))
    gc.unfreeze()
    try:
        replayed = log.replayed([Applied])[Applied]
        assert any(old is replayed for old in gc.get_objects(generation=2))
        assert gc.isenabled()
    finally:
        gc.freeze()


def test_a_replay_leaves_frozen_what_somebody_froze(log):
    gc.freeze()
    log.replayed([Applied])
    assert gc.get_freeze_count()


def test_another_version_of_a_view_is_folded_from_the_start(path, monkeypatch):
    log = EventLog.open(path, now=ticking(), create=True)
    log.append(Entry(stream="x", event=TargetLost(instance="traefik", reason="away")))
    log.view(Health)
    log.close()
    spoil(path, "UPDATE checkpoints SET state = replace(state, 'away', 'astray')")
    assert looked(path, Health).of("traefik").lost == "astray"
    monkeypatch.setattr(Health, "version", Health.version + 1)
    assert looked(path, Health).of("traefik").lost == "away"


@pytest.mark.parametrize("state", ["{", "{}", '{"instances":3,"pass_failed":""}', "null"])
def test_a_checkpoint_that_cannot_be_read_is_folded_again(path, state):
    log = EventLog.open(path, now=ticking(), create=True)
    log.append(Entry(stream="x", event=TargetLost(instance="traefik", reason="away")))
    log.view(Health)
    log.close()
    spoil(path, f"UPDATE checkpoints SET state = '{state}'")
    assert looked(path, Health).of("traefik").lost == "away"


def test_a_checkpoint_of_another_history_is_not_used(path):
    log = EventLog.open(path, now=ticking(), create=True)
    log.append(Entry(stream="x", event=TargetLost(instance="traefik", reason="away")))
    log.view(Health)
    log.close()
    spoil(path, "UPDATE checkpoints SET hash = zeroblob(32), state = replace(state, 'away', 'astray')")
    assert looked(path, Health).of("traefik").lost == "away"


def looked(path, view):
    log = EventLog.open(path, now=ticking(), readonly=True)
    try:
        return log.view(view)
    finally:
        log.close()


def spoil(path, statement):
    database = Database(path)
    database.execute(statement)
    database.close()


@pytest.mark.parametrize("view", ALL, ids=lambda view: view.name)
def test_each_handler_is_written_for_the_events_it_is_marked_with(view):
    by_method: dict = {}
    for event, method in view.handlers.items():
        by_method.setdefault(method, set()).add(event)
    for method, marked in by_method.items():
        hint = get_type_hints(method)["event"]
        assert set(get_args(hint) or (hint,)) == marked


def test_view_names_are_their_own():
    assert len({view.name for view in ALL}) == len(ALL)
    assert all(view.empty() == view.empty() and fields(view) for view in ALL)


# ── what is applied ──────────────────────────────────────────────────────────────────────────────


def proven(changes, instance="traefik", attempt="a1", commit="c1", file="f1"):
    return ApplyProven(
        instance=instance,
        attempt=attempt,
        commit=commit,
        changes={str(address): spec for address, spec in changes.items()},
        file=file,
        seconds=0.1,
        evidence="e",
    )


def adopted(resources, instance="traefik"):
    by_text = {str(address): spec for address, spec in resources.items()}
    return ResourcesAdopted(instance=instance, commit="c9", resources=by_text, reason="r")


def test_the_base_is_what_was_proven_or_adopted_last():
    state = after(Applied, proven({A: {"rule": 1}, B: 2}), adopted({B: 3, C: 4}), proven({A: None}, file="f2"))
    assert state.base("traefik") == {B: 3, C: 4}
    assert state.file("traefik") == "f2"
    assert state.provenance == {B: Provenance("c9", "", 2), C: Provenance("c9", "", 2)}


def back(changes, attempt="a2"):
    by_text = {str(address): spec for address, spec in changes.items()}
    return replace(proven({}), attempt=attempt, commit="c0", changes=by_text, undoes=("refuted",))


REVISION = RevisionMade(number=1, commit="c", tree="t", policy="p", reason="r")


def test_what_was_proven_since_the_last_revision_is_known_as_it_was_then():
    state = after(Applied, proven({A: 1, B: 2}), REVISION, proven({A: 3, C: 4}), proven({A: 5, B: None}))
    first = Provenance(proven({}).commit, proven({}).attempt, 1)
    assert state.before == {A: Before(1, first), B: Before(2, first), C: Before(None, None)}
    state = after(Applied, proven({A: 1}), REVISION, proven({A: True}), proven({A: 1}))
    assert state.before == {}
    assert after(Applied, proven({A: 1}), REVISION).before == {}


def test_what_is_put_back_comes_from_where_it_came_from_before():
    state = after(Applied, proven({A: 1}), REVISION, proven({A: 2, B: 3}), back({A: 1, B: None}))
    assert (state.base("traefik"), state.before) == ({A: 1}, {})
    assert state.provenance == {A: Provenance(proven({}).commit, proven({}).attempt, 1)}


def test_what_an_older_version_put_back_comes_from_where_it_came_from_before():
    undone = ApplyUndone(instance="traefik", attempt="a", proven=True, file="f", reason="r", changes={str(A): 1})
    state = after(Applied, proven({A: 1}), REVISION, proven({A: 2}), undone)
    assert (state.base("traefik"), state.provenance[A].seq) == ({A: 1}, 1)


def test_a_later_commit_that_says_the_same_again_is_where_it_comes_from():
    state = after(Applied, proven({A: 1}), REVISION, proven({A: 2}), proven({A: 1}))
    assert state.provenance[A].seq == 4


def test_instances_have_bases_of_their_own():
    other = Address("edge", "http.routers", "a")
    state = after(Applied, proven({A: 1}), proven({other: 2}, instance="edge", file="f9"))
    assert (state.base("traefik"), state.base("edge"), state.base("none")) == ({A: 1}, {other: 2}, {})
    assert (state.file("edge"), state.file("none")) == ("f9", "")


# ── attempts ─────────────────────────────────────────────────────────────────────────────────────

STARTED = ApplyStarted(
    instance="traefik", attempt="a1", commit="c", digest="d", before="", after="f", changes={}, reason="r"
)
UNKNOWN = ApplyUnknown(instance="traefik", attempt="a1", commit="c", reason="out")
REFUTED = ApplyRefuted(instance="traefik", attempt="a1", commit="c", reason="no")
UNDONE = ApplyUndone(instance="traefik", attempt="a1", proven=True, file="f", reason="r")
ABANDONED = ApplyAbandoned(instance="traefik", attempt="a1", reason="r")


@pytest.mark.parametrize(
    "events, state",
    [
        ([STARTED], "started"),
        ([STARTED, UNKNOWN], "unknown"),
        ([STARTED, REFUTED], "refuted"),
        ([STARTED, UNKNOWN, REFUTED], "refuted"),
        ([STARTED, REFUTED, UNDONE], None),
        ([STARTED, UNKNOWN, proven({})], None),
        ([STARTED, ABANDONED], None),
        ([UNKNOWN], None),
        ([STARTED, ApplyAbandoned(instance="traefik", attempt="older", reason="r")], "started"),
        ([STARTED, ApplyAbandoned(instance="edge", attempt="a1", reason="r")], "started"),
    ],
)
def test_a_write_is_open_until_its_end_is_known(events, state):
    found = after(Attempts, *events).open.get("traefik")
    assert (found.state if found else None) == state
    assert found is None or found.started == STARTED


# ── quarantine ───────────────────────────────────────────────────────────────────────────────────


def test_quarantine_holds_until_it_is_lifted():
    held = ResourcesQuarantined(
        instance="traefik", commit="c", attempt="a", resources={str(A): "w1", str(B): ""}, reason="r"
    )
    state = after(Quarantine, held, QuarantineLifted(addresses=(str(A), "nonsense"), reason="r"))
    assert state.held == {B: ""}
    assert (state.why[B].commit, state.why[B].attempt, state.why[B].reason) == ("c", "a", "r")
    assert A not in state.why


def test_what_could_not_be_taken_back_is_known_until_it_is_or_nothing_is_kept_out_there():
    held = ResourcesQuarantined(instance="traefik", commit="c", attempt="a", resources={str(A): "w1"}, reason="r")
    stuck = UndoHeld(instance="traefik", resources=(str(A),), digest="", reason="r")
    assert after(Quarantine, held, stuck, proven({A: 2})).stuck == {"traefik": stuck}
    assert after(Quarantine, held, stuck, back({A: 1})).stuck == {}
    found = replace(adopted({A: 1}), commit="")  # somebody had put it back
    assert after(Quarantine, held, stuck, found).stuck == {}
    assert after(Quarantine, held, stuck, QuarantineLifted(addresses=(str(A),), reason="r")).stuck == {}


# ── proposals ────────────────────────────────────────────────────────────────────────────────────

MADE = ProposalMade(
    proposal="p", branch="proposals/p", commit="c", parent="b", tool="t", client="m", title="T", resources=(str(A),)
)
SHOWN = PlanShown(proposal="p", commit="c", digest="d", changes=(), losses=({"lost": "x"},), refusals=("no",))
APPROVED = CommitApproved(commit="c2", via="rebase", proposal="p", by="ann")
REJECTED = ProposalRejected(proposal="p", reason="not now")


def test_a_new_proposal_is_open():
    state = after(Proposals, MADE)
    record = state.items["p"]
    assert (record.status, record.request_id, record.made_at, record.resources) == (
        "open",
        "r",
        START.replace(second=1),
        (str(A),),
    )
    assert state.open() == [record]


def test_a_proposal_never_becomes_another_one():
    other = ProposalMade(**{**vars(MADE), "commit": "forged", "title": "other"})
    assert after(Proposals, MADE, other).items["p"].commit == "c"


def test_a_proposal_keeps_what_was_shown_last():
    record = after(Proposals, MADE, SHOWN, ProposalReminded(proposal="p", reason="r")).items["p"]
    assert (record.shown, record.losses, record.refusals) == ("d", ({"lost": "x"},), ("no",))
    assert (record.reminded, record.status) == (True, "open")


@pytest.mark.parametrize(
    "events, status, reason",
    [
        ([APPROVED], "approved", "rebase"),
        ([REJECTED], "rejected", "not now"),
        ([REJECTED, APPROVED], "approved", "rebase"),
        ([APPROVED, REJECTED], "approved", "rebase"),
        ([ProposalSuperseded(proposal="p", by="q", reason="newer")], "superseded", "newer"),
        ([ProposalWithdrawn(proposal="p", reason="oops")], "withdrawn", "oops"),
        ([ProposalClosed(proposal="p", reason="stale")], "closed", "stale"),
        ([ProposalClosed(proposal="p", reason="stale"), REJECTED], "closed", "stale"),
    ],
)
def test_a_proposal_ends_once_and_approval_has_the_last_word(events, status, reason):
    state = after(Proposals, MADE, *events)
    assert (state.items["p"].status, state.items["p"].reason) == (status, reason)
    assert state.open() == []


def test_what_is_said_of_an_unknown_proposal_is_passed_over():
    assert after(Proposals, SHOWN, APPROVED, REJECTED).items == {}


def test_who_is_told_later_to_have_approved_stands_in_the_place_of_who_was_known():
    known = CommitApproved(commit="c", via="rebase", by="person:ann")
    awaited = ApproverAwaited(commit="c", reason="Gitea is away")
    told = ApproverTold(commit="c", by="gitea:ann", reviewers=("gitea:bob",), reason="it is back")
    assert after(Approvals, known, awaited).awaited.keys() == {"c"}
    state = after(Approvals, known, awaited, told)
    assert (state.waiting["c"].people, state.awaited) == (("gitea:ann", "gitea:bob"), {})
    assert after(Approvals, known, awaited, replace(told, by="")).waiting["c"].people == ("person:ann",)
    late = after(Approvals, known, awaited, revision(1, "c"), told)
    assert (late.waiting, late.told["c"].by) == ({}, "gitea:ann")


def test_whose_approver_is_awaited_is_known_with_its_proposal_after_it_is_a_revision_too():
    known = CommitApproved(commit="c", via="rebase", proposal="p")
    [awaited] = after(Approvals, known, ApproverAwaited(commit="c", reason="away"), revision(1, "c")).awaited.values()
    assert awaited.proposal == "p"


def test_only_of_the_last_commits_it_is_kept_who_was_told_later():
    told = [ApproverTold(commit=str(number), by="gitea:ann", reviewers=(), reason="") for number in range(203)]
    assert list(after(Approvals, *told).told) == [str(number) for number in range(3, 203)]


def revision(number, commit):
    return RevisionMade(number=number, commit=commit, tree="t", policy="p", reason="r")


def test_revisions_are_found_by_number_and_commit():
    state = after(Revisions, revision(1, "c1"), revision(2, "c2"))
    assert state.latest is state.by_number[2] is state.by_commit["c2"]
    assert (state.by_number[1].seq, state.by_number[1].at) == (1, START.replace(second=1))
    assert Revisions.empty().latest is None


def held(commit="c", digest="d"):
    return PlanHeld(commit=commit, digest=digest, reason="guard")


def approved(commit):
    return CommitApproved(commit=commit, via="push")


@pytest.mark.parametrize(
    "events, stands",
    [
        ([held()], True),
        ([held("b"), held()], True),
        ([held(), PlanMade(commit="c", digest="d", changes=())], True),
        ([held(), PlanMade(commit="c", digest="e", changes=())], False),
        ([held(), approved("n")], False),
        ([held(), revision(1, "c")], False),
        ([held(), HistoryRewritten(was="c", now="b", reason="r")], False),
        ([held("c"), ApplyStarted(**{**vars(STARTED), "commit": "c"})], False),
        ([held("c"), ApplyStarted(**{**vars(STARTED), "commit": "b"})], True),
    ],
)
def test_a_held_plan_stands_until_another_verdict_is_due(events, stands):
    state = after(Main, *events)
    assert (state.held is not None) == stands
    assert state.held is None or (state.held.commit, state.held.digest) == ("c", "d")


def test_a_refused_commit_stands_until_the_next_one():
    refused = DesiredRefused(commit="c", problems=({"file": "x", "line": 1},))
    state = after(Main, approved("c"), refused)
    assert (state.head, state.refused.commit, state.refused.problems) == ("c", "c", ({"file": "x", "line": 1},))
    assert after(Main, approved("c"), refused, approved("d")).refused is None
    assert after(Main, refused, PlanMade(commit="c", digest="d", changes=())).refused is None


def test_a_lost_source_is_remembered_until_it_is_found():
    assert after(Main, SourceLost(source="s", reason="gone")).source_lost == "gone"
    assert after(Main, SourceLost(source="s", reason="gone"), SourceFound(source="s", commit="c")).source_lost == ""


# ── drift ────────────────────────────────────────────────────────────────────────────────────────


def drifted(address=A, live="l1"):
    return DriftFound(
        address=str(address), kind="changed", base_hash="b", live_hash=live, fields=("/rule",), reason="r"
    )


def test_drift_is_open_since_it_was_found_first():
    state = after(Drift, drifted(), drifted(live="l2"), drifted(B))
    assert (state.open[A].found.live_hash, state.open[A].since, state.open[A].seq) == (
        "l2",
        START.replace(second=1),
        2,
    )
    assert set(after(Drift, drifted(), drifted(B), DriftCleared(address=str(A), reason="r")).open) == {B}


ACCEPTED = DriftAccepted(address=str(A), live_hash="l1", until="2027-01-01T00:00:00+00:00")
HEAL = DriftHealRequested(address=str(A), live_hash="l1")


def test_the_last_answer_to_a_drift_counts():
    state = after(Drift, drifted(), HEAL, ACCEPTED)
    assert (state.heal, state.accepted[A].live_hash, state.accepted[A].by) == ({}, "l1", "person:ann")
    state = after(Drift, drifted(), ACCEPTED, HEAL)
    assert (state.heal, state.accepted) == ({A: "l1"}, {})


@pytest.mark.parametrize("event", [proven({A: 1}), proven({A: None}), adopted({A: 1})])
def test_answers_are_spent_once_the_resource_is_another(event):
    state = after(Drift, drifted(), HEAL, event)
    assert (state.heal, A in state.open) == ({}, True)
    assert after(Drift, drifted(), ACCEPTED, event).accepted == {}


def test_answers_about_other_resources_stay():
    assert after(Drift, HEAL, proven({B: 1})).heal == {A: "l1"}


def test_a_drift_that_went_away_need_not_be_healed():
    assert after(Drift, drifted(), HEAL, DriftCleared(address=str(A), reason="r")).heal == {}


# ── health and alerts ────────────────────────────────────────────────────────────────────────────


def test_a_target_nobody_complained_of_is_well():
    well = Health.empty().of("traefik")
    assert (well.lost, well.poison, well.restart_losses, well.failure) == ("", {}, (), "")
    assert not well.probed("/etc/traefik")


def test_ills_are_kept_by_target_until_they_are_over():
    ill = (
        TargetLost(instance="traefik", reason="away"),
        PoisonFound(instance="traefik", file="a.yml", reason="bad"),
        PoisonFound(instance="traefik", file="b.yml", reason="bad"),
        RestartLossFound(instance="traefik", routes=("r",), reason="r"),
        ProbeFailed(instance="traefik", reason="unseen.", remedy="Mount it."),
        PassFailed(reason="disk full"),
    )
    state = after(Health, *ill)
    found = state.of("traefik")
    assert (found.lost, found.poison, found.restart_losses) == ("away", {"a.yml": "bad", "b.yml": "bad"}, ("r",))
    assert (found.failure, state.pass_failed) == ("unseen. Mount it.", "disk full")
    assert state.of("edge").lost == ""
    over = (
        TargetFound(instance="traefik", reason="r"),
        PoisonCleared(instance="traefik", file="a.yml", reason="r"),
        RestartLossCleared(instance="traefik", reason="r"),
        ProbeSucceeded(instance="traefik", attempt="a", seconds=0.1, directory="/d"),
        PassRecovered(reason="r"),
    )
    state = after(Health, *ill, *over)
    found = state.of("traefik")
    assert (found.lost, found.poison, found.restart_losses) == ("", {"b.yml": "bad"}, ())
    assert (found.failure, state.pass_failed, found.probed("/d"), found.probed("/e")) == ("", "", True, False)


def raised(delivered):
    return AlertRaised(fingerprint="f", title="T", body="B", delivered=delivered, reason="r")


def test_an_alert_is_open_since_the_first_and_was_sent_with_the_last():
    state = after(Alerts, raised(True), raised(False), raised(True))
    assert (state.open["f"].since, state.open["f"].last_sent) == (START.replace(second=1), START.replace(second=3))
    assert after(Alerts, raised(True), raised(False)).open["f"].last_sent == START.replace(second=1)
    assert after(Alerts, raised(False)).open["f"].last_sent is None
    resolved = AlertResolved(fingerprint="f", title="T", delivered=True, reason="r")
    assert after(Alerts, raised(True), resolved).open == {}


def test_moments_in_states_are_aware():
    assert after(Alerts, raised(True)).open["f"].since.tzinfo is UTC
    assert isinstance(Alerts.decode(after(Alerts, raised(True)).encode()).open["f"].since, datetime)
