"""What routers were before the steps of the last day that nobody looked at."""

from contextlib import closing
from datetime import timedelta

import pytest

from state.events import ApplyProven, CommitApproved, ConsentGiven, PlanShown, ResourcesAdopted, TargetEjected
from state.lately import WINDOW, Lately
from state.log import Entry, EventLog
from state.model import Address
from tests.state.conftest import START, ticking

LOSSES = ({"guard": "hostnames", "key": "k", "address": "traefik/http.routers/a"},)
SOON = START + timedelta(hours=1)


@pytest.fixture
def tell(tmp_path):
    """What routers were before the steps that nobody saw, after these events."""
    log = EventLog.open(tmp_path / "log.db", now=ticking(), create=True)

    def after(*events, now=SOON, instance="traefik"):
        log.append([Entry(stream="main", event=event) for event in events])
        return {address.name: spec for address, spec in log.view(Lately).before(instance, now).items()}

    yield after
    log.close()


def proven(commit, instance="traefik", **routers):
    changes = {str(Address(instance, "http.routers", name)): spec for name, spec in routers.items()}
    return ApplyProven(
        instance=instance, attempt="1", commit=commit, changes=changes, file="f", seconds=0.0, evidence=""
    )  # fmt: skip


def shown(*, to_person):
    return PlanShown(proposal="p", commit="c", digest="d", changes=(), losses=LOSSES, to_person=to_person)


def test_steps_lead_back_to_what_was_there_at_first(tell):
    assert tell(proven("1", a="A", b="B")) == {}
    tell(proven("2", a=None), now=SOON + WINDOW)
    assert tell(proven("3", b="B2"), proven("4", b=None)) == {}  # both came within the day


def test_what_was_there_a_day_ago_counts_until_a_day_has_passed(tell, tmp_path):
    clock = iter([START - 2 * WINDOW, START, START, START])
    log = EventLog.open(tmp_path / "other.db", now=lambda: next(clock), create=True)
    log.append(Entry(stream="main", event=proven("1", a="A", b="B")))
    log.append(Entry(stream="main", event=proven("2", a=None, b="B2")))
    log.append(Entry(stream="main", event=proven("3", b=None)))
    view = log.view(Lately)
    assert {a.name: spec for a, spec in view.before("traefik", SOON).items()} == {"a": "A", "b": "B"}
    assert view.before("traefik", START + WINDOW) == {}
    assert view.before("edge", SOON) == {}
    log.close()


@pytest.fixture
def settled(tell):
    """One router a, there for longer than the steps: adopted."""
    resources = {"traefik/http.routers/a": "A", "traefik/http.routers/b": "B", "traefik/http.services/s": "S"}
    tell(ResourcesAdopted(instance="traefik", commit="0", resources=resources, reason=""))
    return tell


def test_unseen_steps_add_up(settled):
    assert settled(proven("1", a=None), proven("2", b=None)) == {"a": "A", "b": "B"}


def test_consent_to_such_losses_starts_anew_and_its_own_losses_do_not_count(settled):
    settled(proven("1", a=None))
    consent = ConsentGiven(commit="2", digest="d", losses=LOSSES)
    assert settled(consent, CommitApproved(commit="2", via="push"), proven("2", b=None)) == {}


def test_so_does_the_approval_of_a_proposal_whose_plan_showed_them(settled):
    settled(proven("1", a=None), shown(to_person=True))
    assert settled(CommitApproved(commit="2", via="rebase", proposal="p"), proven("2", b=None)) == {}


def test_a_plan_that_was_only_made_starts_nothing_anew(settled):
    settled(proven("1", a=None), shown(to_person=False))
    assert settled(CommitApproved(commit="2", via="rebase", proposal="p"), proven("2", b=None)) == {"a": "A", "b": "B"}


def test_routers_whose_last_step_is_past_a_day_are_forgotten(tmp_path):
    moments = [START + number * WINDOW / 2 for number in range(5)]
    clock = iter(moments)
    with closing(EventLog.open(tmp_path / "other.db", now=lambda: next(clock), create=True)) as log:
        for number, _ in enumerate(moments):
            log.append(Entry(stream="main", event=proven("c", **{f"r{number}": "R", "often": str(number)})))
        view = log.view(Lately)
    assert [address.name for address in view.steps] == ["r3", "r4", "often"]
    assert [step.was for step in view.steps[Address.parse("traefik/http.routers/often")]] == ["2", "3"]


def test_a_look_at_other_losses_starts_nothing_anew(settled):
    other = ({"guard": "protected", "key": "k", "address": "traefik/http.routers/a"},)
    assert settled(proven("1", a=None), ConsentGiven(commit="2", digest="d", losses=other), proven("2")) == {"a": "A"}


def test_an_ejected_target_has_no_steps(settled):
    assert settled(proven("1", a=None), TargetEjected(instance="traefik", files=(), reason="")) == {}
