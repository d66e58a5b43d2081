"""What stands and should not: serving, failed writes, and who was told of which alert."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from state import events
from state.record import Recorded
from state.views import Alerts, Attempts, Health


def after(view, *happened):
    state = view.empty()
    for seq, event in enumerate(happened, 1):
        at = datetime(2026, 3, 1, 12, 0, seq, tzinfo=UTC)
        state = state.fold(Recorded(seq, str(seq), at, "", seq, type(event).__name__, 1, "a", "", event, ""))
    return view.decode(state.encode())


def of(*happened):
    return after(Health, *happened).of("traefik")


LOST = events.ServingLost(instance="traefik", resources={"traefik/http.routers/a": "words"}, unserved="old", reason="r")
FAILED = events.ApplyAbandoned(instance="traefik", attempt="a1", reason="denied")
PROVEN = events.ApplyProven(
    instance="traefik", attempt="a2", commit="c", changes={}, file="f", seconds=0.1, evidence="e"
)


def test_what_is_not_served_is_kept_until_it_is_served_again():
    found = of(LOST)
    assert (found.disabled, found.unserved) == ({"traefik/http.routers/a": "words"}, "old")
    found = of(LOST, events.ServingRestored(instance="traefik", reason="r"))
    assert (found.disabled, found.unserved) == ({}, "")


@pytest.mark.parametrize("end", [PROVEN, events.WriteGivenUp(instance="traefik", reason="r")])
def test_a_failed_write_is_kept_until_one_is_proven_or_none_is_wanted(end):
    assert of(FAILED).write_failed == "denied"
    assert of(FAILED, end).write_failed == ""


def test_a_write_that_a_crash_cut_off_or_somebody_wrote_over_is_no_write_that_failed():
    assert of(replace(FAILED, failed=False)).write_failed == ""


def test_poison_of_our_own_file_is_known_as_such_until_it_is_gone():
    ours = events.PoisonFound(instance="traefik", file="ours.yml", reason="bad", ours=True)
    theirs = events.PoisonFound(instance="traefik", file="theirs.yml", reason="bad")
    cleared = events.PoisonCleared(instance="traefik", file="theirs.yml", reason="r")
    assert of(ours, theirs, cleared).own_poison == "ours.yml"
    assert of(theirs).own_poison == ""
    assert of(ours, theirs, events.PoisonCleared(instance="traefik", file="ours.yml", reason="r")).own_poison == ""


def test_an_unknown_attempt_says_what_to_do():
    begun = events.ApplyStarted(
        instance="traefik", attempt="a1", commit="c", digest="d", before="", after="f", changes={}, reason="r"
    )
    unknown = events.ApplyUnknown(instance="traefik", attempt="a1", commit="c", reason="why", remedy="do this")
    attempt = after(Attempts, begun, unknown).open["traefik"]
    assert (attempt.state, attempt.reason, attempt.remedy) == ("unknown", "why", "do this")


def raised(*subjects):
    return events.AlertRaised(
        fingerprint="f", title="T", body="B", delivered=False, reason="new", subjects=tuple(subjects)
    )


def delivered(*receivers, raised=1, recovery=False):
    return events.AlertDelivered(
        fingerprint="f", title="T", receivers=tuple(receivers), raised=raised, recovery=recovery, reason="r"
    )


RESOLVED = events.AlertResolved(fingerprint="f", title="T", delivered=False, reason="r")


def test_an_alert_knows_who_has_its_last_message_and_who_ever_had_one():
    alert = after(Alerts, raised("x"), delivered("1"), raised("x", "y"), delivered("2", raised=3)).open["f"]
    assert (alert.took, alert.told, alert.subjects) == ({"2"}, {"1", "2"}, ("x", "y"))
    assert (alert.since.second, alert.raised.second, alert.last_sent.second) == (1, 3, 4)


def test_the_end_is_owed_to_whoever_was_told_until_they_have_it():
    told = (raised(), delivered("1", "2"), RESOLVED)
    assert after(Alerts, *told).ended["f"].owed == {"1", "2"}
    assert after(Alerts, *told, delivered("1", recovery=True)).ended["f"].owed == {"2"}
    assert after(Alerts, *told, delivered("1", "2", recovery=True)).ended == {}
    assert after(Alerts, raised(), RESOLVED).ended == {}


def test_an_alert_that_comes_back_before_its_end_was_told_is_one_whose_end_is_still_owed():
    state = after(Alerts, raised(), delivered("1"), RESOLVED, raised())
    assert (state.ended, state.open["f"].took, state.open["f"].told) == ({}, frozenset(), {"1"})
    assert after(Alerts, raised(), delivered("1"), RESOLVED, raised(), RESOLVED).ended["f"].owed == {"1"}


def test_who_took_a_message_that_was_outdated_meanwhile_is_still_to_get_the_newer_one():
    alert = after(Alerts, raised("x"), raised("x", "y"), delivered("1", raised=1)).open["f"]
    assert (alert.took, alert.told) == (frozenset(), {"1"})


def test_who_took_a_message_after_the_end_is_owed_the_end():
    assert after(Alerts, raised(), RESOLVED, delivered("1")).ended["f"].owed == {"1"}


def test_an_end_that_nobody_is_owed_changes_nothing():
    known = after(Alerts, delivered("1", recovery=True))
    assert (known.open, known.ended, known.missed) == ({}, {}, {})
