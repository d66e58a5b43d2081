"""Alerts: decided from the log, one cause one message; delivered to each receiver once, however it behaves."""

import json
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from freezegun import freeze_time

from reconciler import alerts, watching
from reconciler.alerting.channels import over_apprise
from reconciler.alerting.receivers import Receivers
from reconciler.causes import causes
from reconciler.core.plan import Change, Plan
from reconciler.core.policy import AlertPolicy
from reconciler.core.target import Observation, TargetError
from reconciler.git.store import Store
from reconciler.planned import Planned
from reconciler.ports import SystemClock
from reconciler.world import World
from state import events, views
from state.log import Entry, EventLog
from state.model import Address

ROUTERS = [Address.parse(f"traefik/http.routers/r{number}") for number in range(8)]
FILE = "mcp-managed/waypost.yml"


@pytest.fixture
def world(tmp_path):
    """A world of which alerts use the log, the clock and the names of the targets."""
    clock = SystemClock()
    log, store = EventLog.open(tmp_path / "log.db", now=clock.now, create=True), Store.create(tmp_path / "desired.git")
    yield World(log=log, store=store, targets={"traefik": None}, clock=clock, chance=None)
    log.close()


@pytest.fixture
def time():
    """The machine's time, which stands still until a test moves it."""
    with freeze_time("2026-03-01 12:00:00") as frozen:
        yield frozen


class Receiver:
    """An address that takes alerts over HTTP; `status` is what it answers, `titles` what it heard."""

    def __init__(self, status=200, hangs=False):
        self.status, self.titles, self.free = status, [], threading.Event()
        if not hangs:
            self.free.set()
        outer = self

        class Take(BaseHTTPRequestHandler):
            def do_POST(self):
                outer.titles.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["title"])
                outer.free.wait(30)
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Take)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    @property
    def url(self):
        # The long read limit is the address's own; ours has to hold nevertheless.
        return f"json://ada:secret-of-{self.server.server_port}@127.0.0.1:{self.server.server_port}/?rto=25"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.free.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@contextmanager
def receivers(*made, limit=10.0):
    with ExitStack() as stack:
        for one in made:
            stack.enter_context(one)
        yield Receivers(over_apprise(*(one.url for one in made)), limit=limit)


def say(world, *happened):
    world.log.append([Entry(stream="test", event=event) for event in happened])


def recorded(world, kind):
    return [one.event for one in world.log.read() if isinstance(one.event, kind)]


def lose(world, reason="away"):
    say(world, events.TargetLost(instance="traefik", reason=reason))


def find(world):
    say(world, events.TargetFound(instance="traefik", reason="back"))


def drift(address, live_hash="l1"):
    return events.DriftFound(
        address=str(address), kind="missing", base_hash="b", live_hash=live_hash, fields=(), reason="it is gone"
    )


def looked(world, *, lost=(), changes=(), **seen):
    """What a pass records of a target that looks like this."""
    observed = {} if lost else {"traefik": Observation(live={}, own_file=FILE, **seen)}
    plan = Plan(commit="c", changes=tuple(changes))
    planned = Planned(plan=plan, desired=None, observed=observed, lost=dict(lost))
    watching.record_targets(world, planned)


def titles(world):
    """What a person has been told and not yet been told the end of."""
    alerts.decide(world)
    return sorted(one.title for one in world.log.view(views.Alerts).open.values())


# ── receivers ────────────────────────────────────────────────────────────────────────────────────


def test_one_failing_address_costs_the_good_one_nothing(world, time):
    lose(world)
    good, bad = Receiver(), Receiver(status=500)
    with receivers(good, bad) as both:
        for _ in range(3):
            alerts.announce(world, both)
    assert good.titles == ["Waypost: traefik does not answer"]
    assert len(bad.titles) == 1
    assert len(recorded(world, events.AlertRaised)) == 1


def test_a_failing_address_is_tried_again_less_and_less_often_and_without_an_event(world, time):
    lose(world)
    bad = Receiver(status=500)
    tries = []
    with receivers(bad) as one:
        for _ in range(60):
            alerts.announce(world, one)
            tries.append(len(bad.titles))
            time.tick(timedelta(seconds=10))
        before = len(list(world.log.read()))
        bad.status = 200
        time.tick(timedelta(hours=1))
        alerts.announce(world, one)
        alerts.announce(world, one)
    moments = [index * 10 for index, count in enumerate(tries) if count > (tries[index - 1] if index else 0)]
    assert moments == [0, 30, 90, 210, 450]
    assert len(bad.titles) == 6
    assert len(list(world.log.read())) == before + 1
    assert recorded(world, events.AlertDelivered)[-1].receivers


def test_who_took_a_message_is_remembered_by_the_log(world, time):
    lose(world)
    good, bad = Receiver(), Receiver(status=500)
    with receivers(good, bad) as both:
        alerts.announce(world, both)
        bad.status = 200
        alerts.announce(world, Receivers(over_apprise(good.url, bad.url)))  # the process was started anew
    assert (len(good.titles), len(bad.titles)) == (1, 2)


def test_no_address_is_in_the_log(world):
    lose(world)
    good, bad = Receiver(), Receiver(status=500)
    with receivers(good, bad) as both:
        alerts.announce(world, both)
        complaints = list(both.complaints())
        told = repr(list(world.log.read())) + repr(complaints)
    for one in (good, bad):
        assert "secret-of" not in told
        assert str(one.server.server_port) not in told
    assert len(complaints) == 1
    assert complaints[0].startswith("alert address 2 ")


def test_an_address_that_apprise_cannot_read_is_complained_of_and_the_others_work(world):
    lose(world)
    with Receiver() as good:
        both = Receivers(over_apprise("nonsense://?", good.url))
        alerts.announce(world, both)
        assert len(good.titles) == 1
        assert [one.split(" (")[0] for one in both.complaints()] == ["alert address 1"]


def test_a_recovery_that_could_not_be_delivered_is_delivered_later(world, time):
    lose(world)
    good, flaky = Receiver(), Receiver()
    with receivers(good, flaky) as both:
        alerts.announce(world, both)
        flaky.status = 500
        find(world)
        alerts.announce(world, both)
        assert world.log.view(views.Alerts).ended
        flaky.status = 200
        time.tick(timedelta(minutes=1))
        alerts.announce(world, both)
        alerts.announce(world, both)
    over = "Waypost: resolved: traefik does not answer"
    assert (good.titles.count(over), flaky.titles.count(over)) == (1, 2)
    assert world.log.view(views.Alerts).ended == {}
    assert len(recorded(world, events.AlertResolved)) == 1


def test_who_never_heard_of_a_trouble_hears_that_there_was_one_and_not_of_its_end(world, time):
    lose(world)
    bad = Receiver(status=500)
    with receivers(bad) as one:
        alerts.announce(world, one)
        bad.status = 200
        find(world)
        time.tick(timedelta(hours=2))
        alerts.announce(world, one)
    assert bad.titles == ["Waypost: traefik does not answer", "Waypost: 1 message could not be told in time"]


def test_a_receiver_that_hangs_costs_its_limit_once_and_gets_nothing_twice(world, until):
    lose(world)
    hung, good = Receiver(hangs=True), Receiver()
    with receivers(hung, good, limit=0.2) as both:
        alerts.announce(world, both)
        say(world, events.PassFailed(reason="disk full"))
        alerts.announce(world, both)
        assert len(good.titles) == 2
        hung.free.set()
        until(lambda: alerts.deliver(world, both) or len(hung.titles) > 1 or _took(world, "lost/traefik") == 2, "it")
        assert _took(world, "lost/traefik") == 2
    assert hung.titles.count("Waypost: traefik does not answer") == 1


def _took(world, fingerprint):
    return len(world.log.view(views.Alerts).open[fingerprint].took)


def test_the_announcer_does_not_wait_for_a_receiver_that_hangs(world, until):
    hung, good = Receiver(hangs=True), Receiver()
    said = []
    with receivers(hung, good, limit=3600) as both:
        announcer = alerts.Announcer(world, both, said.append)
        announcer.start()
        lose(world)
        announcer.announce()
        announcer.announce()
        until(lambda: good.titles and hung.titles, "the message")
        announcer.stop()
    assert len(recorded(world, events.AlertRaised)) == 1
    assert not said


def test_the_announcer_delivers_what_an_earlier_process_could_not(world, until):
    lose(world)
    alerts.decide(world)
    with Receiver() as good:
        announcer = alerts.Announcer(world, Receivers(over_apprise(good.url)), lambda _: None)
        announcer.start()
        until(lambda: recorded(world, events.AlertDelivered), "the message")
        announcer.stop()
    assert good.titles == ["Waypost: traefik does not answer"]


def test_an_announcer_that_never_started_can_be_stopped(world):
    alerts.Announcer(world, Receivers(over_apprise()), lambda _: None).stop()


def test_what_stands_is_reminded_of_once_a_day(world, time):
    lose(world)
    with receivers(Receiver()) as one:
        for _ in range(49):
            alerts.announce(world, one)
            time.tick(timedelta(hours=1))
    assert [raised.reason for raised in recorded(world, events.AlertRaised)] == ["new", "still so", "still so"]


def test_what_was_raised_by_a_clock_that_ran_ahead_is_reminded_of_before_that_day_comes(world, time):
    with receivers(Receiver()) as one:
        time.tick(timedelta(days=400))
        lose(world)
        alerts.announce(world, one)
        time.tick(timedelta(days=-400))
        for _ in range(25):
            alerts.announce(world, one)
            time.tick(timedelta(hours=1))
    assert [raised.reason for raised in recorded(world, events.AlertRaised)] == ["new", "still so", "still so"]


def test_who_is_expected_to_be_away_at_times_is_missed_though_a_clock_ran_ahead(world, time):
    policy = AlertPolicy(expected_offline={"traefik": "12h"})
    time.tick(timedelta(days=400))
    lose(world)
    time.tick(timedelta(days=-400))
    alerts.decide(world, policy)
    assert [one.title for one in world.log.view(views.Alerts).open.values()] == ["traefik does not answer"]


def test_of_what_nobody_has_heard_yet_nobody_is_reminded(world, time):
    lose(world)
    one = Receiver(status=500)
    with receivers(one) as all_of_them:
        for _ in range(4):
            alerts.announce(world, all_of_them)
            time.tick(timedelta(days=1))
        assert [raised.reason for raised in recorded(world, events.AlertRaised)] == ["new"]
        one.status = 200
        for _ in range(2):
            alerts.announce(world, all_of_them)
            time.tick(timedelta(days=1))
    assert [raised.reason for raised in recorded(world, events.AlertRaised)] == ["new", "still so"]


def test_a_proposal_that_waits_is_reminded_of_once(world, time):
    made = events.ProposalMade(
        proposal="p", branch="proposals/p", commit="c", parent="d", tool="t", client="m", resources=(),
        title="T\nwaypost approve q\u202e",
    )  # fmt: skip
    say(world, made, events.ProposalReminded(proposal="p", reason="it waits"))
    for _ in range(11):
        assert titles(world) == ["proposal p waits"]
        time.tick(timedelta(days=1))
    [raised] = recorded(world, events.AlertRaised)
    assert raised.body == r"T\nwaypost approve q\u202e" + "\nwaypost show p", "what to type is said by us alone"
    say(world, events.ProposalClosed(proposal="p", reason="too old"))
    assert titles(world) == []


def test_an_end_that_is_owed_to_an_address_that_is_gone_is_forgotten_after_a_day(world, time):
    lose(world)
    with receivers(Receiver()) as before:
        alerts.announce(world, before)
        find(world)
        alerts.decide(world)
    with receivers(Receiver()) as now:
        alerts.announce(world, now)
        assert world.log.view(views.Alerts).ended, "that address may be missing from this command's settings only"
        time.tick(alerts.GONE_FOR_GOOD)
        for _ in range(2):
            alerts.announce(world, now)
    assert world.log.view(views.Alerts).ended == {}
    assert len(recorded(world, events.AlertResolved)) == 2


def test_an_end_that_is_owed_to_an_address_that_only_fails_is_never_forgotten(world, time):
    lose(world)
    flaky = Receiver()
    with receivers(flaky) as one:
        alerts.announce(world, one)
        flaky.status = 500
        find(world)
        for _ in range(5):
            time.tick(alerts.GONE_FOR_GOOD)
            alerts.announce(world, one)
        flaky.status = 200
        time.tick(timedelta(hours=2))
        alerts.announce(world, one)
    assert flaky.titles[-1] == "Waypost: resolved: traefik does not answer"
    assert world.log.view(views.Alerts).ended == {}


# ── one cause, one alert ─────────────────────────────────────────────────────────────────────────


def test_a_deleted_file_of_ours_is_one_alert_that_names_everything_in_it(world):
    say(world, *map(drift, ROUTERS))
    (cause,) = causes(world)
    assert cause.title == "8 resources of traefik drifted"
    assert all(str(address) in cause.body for address in ROUTERS)


def test_drift_is_announced_again_when_it_grows_and_not_when_it_shrinks(world):
    say(world, drift(ROUTERS[0]), drift(ROUTERS[1]))
    alerts.decide(world)
    say(world, events.DriftCleared(address=str(ROUTERS[1]), reason="r"))
    alerts.decide(world)
    assert len(recorded(world, events.AlertRaised)) == 1
    say(world, drift(ROUTERS[1]))
    alerts.decide(world)
    alerts.decide(world)
    assert [one.reason for one in recorded(world, events.AlertRaised)] == ["new", "it grew"]


def test_another_edit_of_what_drifted_is_news(world):
    say(world, drift(ROUTERS[0]))
    alerts.decide(world)
    say(world, drift(ROUTERS[0], live_hash="l2"))
    alerts.decide(world)
    assert [one.reason for one in recorded(world, events.AlertRaised)] == ["new", "it grew"]


@pytest.mark.parametrize("gone", ["ejected", "out of the settings"])
def test_drift_of_a_target_that_is_not_ours_any_more_is_over(world, gone):
    say(world, drift(ROUTERS[0]))
    assert titles(world) == ["traefik/http.routers/r0 drifted"]
    if gone == "ejected":
        say(world, events.TargetEjected(instance="traefik", files=(), reason="native files hold all that ours held"))
    assert titles(replace(world, targets=world.targets if gone == "ejected" else {})) == []


def test_drift_that_was_accepted_is_silent_until_the_date_and_news_after_it(world, time):
    say(world, drift(ROUTERS[0]), drift(ROUTERS[1]))
    alerts.decide(world)
    accepted = events.DriftAccepted(address=str(ROUTERS[0]), live_hash="l1", until="2026-03-02T00:00:00+00:00")
    say(world, accepted)
    alerts.decide(world)
    (cause,) = causes(world)
    assert cause.title == f"{ROUTERS[1]} drifted"
    time.move_to("2026-03-02 00:00:01")
    alerts.decide(world)
    assert [one.reason for one in recorded(world, events.AlertRaised)] == ["new", "it grew"]


def test_garbage_in_our_file_is_one_alert_and_its_end_is_one_too(world):
    looked(world, poison={FILE: "not YAML"}, restart_losses=("r0@file", "r1@file"))
    say(world, *map(drift, ROUTERS))
    assert titles(world) == [f"{FILE} keeps Traefik from loading anything"]
    looked(world)
    say(world, *(events.DriftCleared(address=str(address), reason="r") for address in ROUTERS))
    assert titles(world) == []
    assert len(recorded(world, events.AlertResolved)) == 1


def test_routes_that_only_run_until_a_restart_because_they_were_deleted_are_the_drifts_news(world):
    say(world, *map(drift, ROUTERS))
    looked(world, restart_losses=("r0@file", "r1@file"))
    assert titles(world) == ["8 resources of traefik drifted"]
    looked(world, restart_losses=("r0@file", "theirs@file"))
    assert titles(world) == ["8 resources of traefik drifted", "a restart of traefik would lose routes"]


def test_poison_explains_that_our_newer_file_is_not_served_but_not_a_disabled_router(world):
    looked(world, poison={"theirs.yml": "bad"}, unserved="an older state is served")
    assert len(titles(world)) == 1
    looked(world, poison={"theirs.yml": "bad"}, disabled={ROUTERS[0]: "words"})
    assert len(titles(world)) == 2


def test_a_neighbours_poison_hides_no_drift(world):
    looked(world, poison={"theirs.yml": "bad"})
    say(world, drift(ROUTERS[0]))
    assert titles(world) == ["theirs.yml keeps Traefik from loading anything", f"{ROUTERS[0]} drifted"]


def test_an_alert_that_a_later_cause_explains_is_neither_resolved_nor_repeated(world):
    looked(world, restart_losses=("r0@file",))
    alerts.decide(world)
    looked(world, poison={"theirs.yml": "bad"}, restart_losses=("r0@file",))
    alerts.decide(world)
    looked(world, restart_losses=("r0@file",))
    alerts.decide(world)
    assert [one.title for one in recorded(world, events.AlertResolved)] == [
        "theirs.yml keeps Traefik from loading anything"
    ]
    assert len(recorded(world, events.AlertRaised)) == 2


# ── what is not served, not written, not known ───────────────────────────────────────────────────


def test_a_disabled_router_is_news_once_and_says_what_it_means(world):
    for _ in range(2):
        looked(world, disabled={ROUTERS[0]: 'middleware "auth@file" does not exist'})
    (lost,) = recorded(world, events.ServingLost)
    assert lost.resources == {str(ROUTERS[0]): 'middleware "auth@file" does not exist'}
    (cause,) = causes(world)
    assert str(ROUTERS[0]) in cause.body
    assert "without authentication" in cause.body.replace("\n", " ")
    assert "auth@file" in watching.explain(world, "waiting")
    looked(world)
    looked(world)
    assert len(recorded(world, events.ServingRestored)) == 1
    assert causes(world) == []


def test_disabled_routers_are_one_alert_that_is_repeated_when_there_are_more(world):
    looked(world, disabled=dict.fromkeys(ROUTERS[:2], "words"))
    alerts.decide(world)
    looked(world, disabled=dict.fromkeys(ROUTERS[:3], "words"))
    alerts.decide(world)
    looked(world, disabled=dict.fromkeys(ROUTERS[:1], "words"))
    alerts.decide(world)
    assert [one.reason for one in recorded(world, events.AlertRaised)] == ["new", "it grew"]
    assert len(causes(world)) == 1


def approved(commit):
    return events.CommitApproved(commit=commit, via="push")


def held(commit, *conflicts):
    # The digest is of changes: those of two plans that only consist of conflicts are the same.
    return events.PlanHeld(commit=commit, digest=Plan(commit="").digest, conflicts=conflicts, reason="in conflict")


def test_another_held_commit_is_news_and_no_end_of_the_first_one(world):
    say(world, approved("c1"), held("c1", "traefik/http.routers/r1"))
    assert titles(world) == titles(world) == ["commit c1 is held"]
    say(world, approved("c2"), held("c2", "traefik/http.routers/r1"))
    assert titles(world) == titles(world) == ["commit c2 is held"]
    assert len(recorded(world, events.AlertRaised)) == 2
    assert not recorded(world, events.AlertResolved)


def test_what_newly_speaks_against_a_held_commit_is_news(world):
    say(world, approved("c1"), held("c1", "traefik/http.routers/r1"))
    alerts.decide(world)
    say(world, held("c1", "traefik/http.routers/r1", "traefik/http.routers/r2"))
    alerts.decide(world)
    say(world, held("c1", "traefik/http.routers/r2"))
    alerts.decide(world)
    assert [one.reason for one in recorded(world, events.AlertRaised)] == ["new", "it grew"]


@pytest.mark.parametrize("what", ["disabled", "restart_losses"])
def test_a_relapse_of_one_of_two_is_news(world, what):
    def ails(number):
        names = ROUTERS[:number] if what == "disabled" else [f"r{one}@file" for one in range(number)]
        looked(world, **{what: dict.fromkeys(names, "words") if what == "disabled" else tuple(names)})
        alerts.decide(world)

    for number in (2, 1, 2, 2):
        ails(number)
    assert [one.reason for one in recorded(world, events.AlertRaised)] == ["new", "it grew"]


def test_other_words_about_the_same_router_are_no_news(world):
    for words in ("words", "other words"):
        looked(world, disabled={ROUTERS[0]: words}, unserved=words)
        alerts.decide(world)
    assert len(recorded(world, events.AlertRaised)) == 1


def test_a_write_that_traefik_did_not_notice_is_one_alert_and_a_disabled_router_another(world):
    say(world, started(), events.ApplyUnknown(instance="traefik", attempt="a1", commit="c", reason="not noticed"))
    looked(world, unserved="Traefik still serves an older state of our file")
    assert titles(world) == ["nobody knows whether traefik serves the last write"]
    looked(world, unserved="Traefik still serves an older state of our file", disabled={ROUTERS[0]: "words"})
    assert len(titles(world)) == 2


def test_a_file_that_is_not_served_as_it_stands_is_an_alert(world):
    looked(world, unserved="Traefik still serves an older state of our file")
    (cause,) = causes(world)
    assert "an older state" in cause.body
    assert "an older state" in watching.explain(world, "waiting")


def test_what_a_silent_target_does_not_say_is_not_over(world):
    looked(world, disabled={ROUTERS[0]: "words"}, restart_losses=("r1@file",))
    looked(world, witness="connection refused")
    looked(world, lost={"traefik": TargetError("unreadable")})
    assert not recorded(world, events.ServingRestored)
    assert not recorded(world, events.RestartLossCleared)


def test_secrets_that_a_target_quotes_stay_out_of_the_log(world):
    live = {Address.parse("traefik/http.middlewares/auth"): {"basicAuth": {"users": ["ada:$2y$05$hash-of-ada"]}}}
    seen = Observation(live=live, own_file=FILE, disabled={ROUTERS[0]: "cannot use ada:$2y$05$hash-of-ada"})
    watching.record_targets(world, Planned(plan=Plan(commit="c"), desired=None, observed={"traefik": seen}))
    assert "hash-of-ada" not in repr(list(world.log.read()))


def started(attempt="a1"):
    return events.ApplyStarted(
        instance="traefik", attempt=attempt, commit="c", digest="d", before="", after="f", changes={}, reason="r"
    )


def test_a_write_of_which_nobody_knows_is_an_alert_with_what_to_do(world):
    unknown = events.ApplyUnknown(instance="traefik", attempt="a1", commit="c", reason="no marker.", remedy="Mount it.")
    say(world, started(), unknown)
    (cause,) = causes(world)
    assert "no marker. Mount it." in cause.body
    assert "Mount it." in watching.explain(world, "unknown")
    proven = events.ApplyProven(
        instance="traefik", attempt="a1", commit="c", changes={}, file="f", seconds=0.1, evidence="e"
    )
    say(world, proven)
    assert causes(world) == []


def test_a_write_that_cannot_be_confirmed_because_the_target_is_away_is_the_outages_alert(world):
    say(world, started(), events.ApplyUnknown(instance="traefik", attempt="a1", commit="c", reason="away"))
    lose(world)
    assert titles(world) == ["traefik does not answer"]


def test_a_write_that_fails_is_one_alert_until_a_write_is_proven_or_no_longer_wanted(world):
    change = Change(address=ROUTERS[0], base=1, want=2, live=1, action="update")
    for attempt in ("a1", "a2"):
        denied = events.ApplyAbandoned(instance="traefik", attempt=attempt, reason="permission denied: give it to me")
        say(world, started(attempt), denied)
        looked(world, changes=[change])
        assert titles(world) == ["traefik cannot be written"]
    assert len(recorded(world, events.AlertRaised)) == 1
    assert "permission denied" in watching.explain(world, "waiting")
    for plan in (Plan(commit="c", changes=(change,)), Plan(commit="c"), Plan(commit="c")):
        watching.record_given_up(world, plan, owed=())
    assert len(recorded(world, events.WriteGivenUp)) == 1
    assert titles(world) == []


def test_what_could_not_be_taken_back_is_an_alert_that_says_why(world):
    held = events.UndoHeld(instance="edge", resources=("edge/http.routers/r1",), digest="", reason="it is away")
    say(world, held)
    (cause,) = causes(world)
    assert (cause.fingerprint, cause.body) == ("stuck/edge", "it is away\nedge/http.routers/r1")
    say(world, events.QuarantineLifted(addresses=(), reason="wanted otherwise"))
    assert causes(world) == []


def test_a_write_that_somebody_overwrote_is_not_a_target_that_cannot_be_written(world):
    overwritten = events.ApplyAbandoned(instance="traefik", attempt="a1", reason="it was overwritten", failed=False)
    say(world, started("a1"), overwritten)
    assert titles(world) == []


def test_what_a_proven_write_mended_is_seen_before_anything_false_is_announced(world):
    looked(world, poison={FILE: "not YAML"}, restart_losses=("r0@file",))
    say(world, drift(ROUTERS[0]))
    mended = Change(address=ROUTERS[0], base=1, want=1, live=2, action="update")

    class Whole:
        def observe(self):
            return Observation(live={}, own_file=FILE)

    watching.record_healed(replace(world, targets={"traefik": Whole()}), [mended])
    assert causes(world) == []


def test_a_shard_that_is_lost_is_told_once_and_its_return_as_well(world, time):
    with receivers(Receiver()) as one:
        say(world, events.ShardsDeclared(shards=("weather",)), events.ShardLost(shard="weather", reason="it is gone"))
        alerts.announce(world, one)
        alerts.announce(world, one)
        say(world, events.ShardFound(shard="weather", reason="it answers again"))
        alerts.announce(world, one)
    assert [raised.title for raised in recorded(world, events.AlertRaised)] == ["the shard weather is offline"]
    assert len(recorded(world, events.AlertResolved)) == 1


def test_what_a_gateway_calls_a_shard_and_its_trouble_stays_in_the_line_that_says_so(world):
    name = "weather\x1b[2J\nwaypost approve q"
    say(world, events.ShardsDeclared(shards=(name,)), events.ShardLost(shard=name, reason="gone\nwaypost approve q"))
    assert titles(world) == [r"the shard weather\x1b[2J\nwaypost approve q is offline"]
    [raised] = recorded(world, events.AlertRaised)
    assert raised.body.split("\n")[0] == r"gone\nwaypost approve q"


def test_a_shard_that_is_no_longer_declared_is_no_concern(world):
    say(world, events.ShardLost(shard="weather", reason="it is gone"), events.ShardsDeclared(shards=()))
    assert titles(world) == []
