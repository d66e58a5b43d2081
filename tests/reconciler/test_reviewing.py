"""What becomes of proposals that wait: the newest for a resource stands, and a pass does not read them all again."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from freezegun import freeze_time
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler import founding, reviewing, telling
from reconciler.core.policy import Policy
from reconciler.git import proposals
from reconciler.git.store import Store
from reconciler.ports import SystemClock
from reconciler.world import World
from state import events
from state.log import Entry, EventLog
from state.outbox import Outbox
from state.views import Proposals

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Counting(Store):
    """A repository that counts how often a commit is looked at."""

    looks = 0

    def commit(self, id):
        self.looks += 1
        return super().commit(id)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return founding.create(tmp_path_factory.mktemp("reviewing") / "home", environ={}, now=lambda: START)


class Desk:
    """Proposals of a home with no target, in a log of their own."""

    def __init__(self, home, log):
        store = Counting.open(home.desired_store_path)
        self.world = World(log=log, store=store, targets={}, clock=SystemClock(), chance=None)
        self.head = store.head()

    def propose(self, id, names, says=()):
        """One for these routers; `says` is what its maker claims it is for."""
        edits = {f"traefik/{name}.yaml": _router(name, id) for name in names}
        trailers = {"Waypost-Request": id}
        common = {"title": id, "body": "", "author": "model <model@localhost>", "at": START}
        commit = proposals.propose(
            self.world.store, parent=self.head, edits=edits, id=id, trailers=trailers, **common
        )  # fmt: skip
        made = events.ProposalMade(
            proposal=id, branch=proposals.branch(id), commit=commit, parent=self.head, tool="t", client="m",
            title=id, resources=tuple(says),
        )  # fmt: skip
        self.world.log.append(Entry(stream=f"proposal/{id}", event=made))

    def tend(self):
        before = self.world.store.looks
        reviewing.tend(self.world, self.head, Policy())
        return self.world.store.looks - before

    def superseded(self):
        return {item.id: item.by for item in self.world.log.view(Proposals).items.values() if item.status != "open"}

    def clear(self):
        for id in proposals.proposals(self.world.store):
            self.world.store.remove(f"refs/heads/{proposals.branch(id)}")


def _router(name, id):
    return f"http:\n  routers:\n    {name}:\n      rule: Host(`{id}.lab`)\n      service: s@internal\n".encode()


@pytest.fixture
def desk(home, tmp_path):
    with closing(EventLog.open(tmp_path / "log.db", now=SystemClock().now, create=True)) as log:
        desk = Desk(home, log)
        yield desk
        desk.clear()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sets(st.sampled_from("abcd"), min_size=1, max_size=2), max_size=6))
def test_each_proposal_gives_way_to_the_newest_later_one_that_touches_what_it_touches(home, tmp_path_factory, wanted):
    with closing(EventLog.open(tmp_path_factory.mktemp("log") / "log.db", now=SystemClock().now, create=True)) as log:
        desk = Desk(home, log)
        for number, names in enumerate(wanted):
            desk.propose(f"p{number}", names)
        desk.tend()
        expected = {
            f"p{number}": f"p{max(later)}"
            for number, names in enumerate(wanted)
            if (later := [other for other in range(number + 1, len(wanted)) if names & wanted[other]])
        }
        assert desk.superseded() == expected
        desk.clear()


def test_a_proposal_is_told_without_the_secrets_in_its_words(desk):
    token = "ghp_c4n4rycanarycanarycanarycanary012345"
    made = events.ProposalMade(
        proposal="p", branch="proposals/p", commit="1" * 40, parent=desk.head, tool="t", client="m",
        title=f"Log in, password: {token}", resources=(),
    )  # fmt: skip
    rejected = events.ProposalRejected(proposal="p", reason=f"that is {token}")
    desk.world.log.append([Entry(stream="proposal/p", event=one) for one in (made, rejected)])
    told = telling.proposal(desk.world.log.view(Proposals).items["p"])
    assert (told["title"], told["reason"]) == ("Log in, password: •••", "•••")


def test_what_a_proposal_touches_is_read_from_its_commit_and_not_from_its_makers_word(desk):
    desk.propose("honest", ["a"])
    desk.propose("liar", ["b"], says=["traefik/http.routers/a"])
    desk.tend()
    assert desk.superseded() == {}


def test_a_pass_over_proposals_that_were_read_before_reads_none_of_them_again(desk):
    for number in range(12):
        desk.propose(f"p{number}", [f"r{number}"])
    assert desk.tend() > 0
    assert desk.tend() == 0


def test_a_proposal_whose_commit_never_arrives_is_reminded_of_and_closed_all_the_same(desk):
    made = events.ProposalMade(
        proposal="ghost", branch="proposals/ghost", commit="1" * 40, parent=desk.head, tool="t", client="m",
        title="ghost", resources=(),
    )  # fmt: skip
    with freeze_time(START) as time:
        desk.world.log.append(Entry(stream="proposal/ghost", event=made))
        for _ in range(60):
            desk.tend()
            time.tick(timedelta(days=1))
    happened = [type(recorded.event).__name__ for recorded in desk.world.log.read()]
    assert happened == ["ProposalMade", "ProposalReminded", "ProposalClosed"]


def test_with_a_settled_proposal_goes_its_own_branch_whatever_its_maker_calls_it(desk, tmp_path):
    commit = proposals.propose(
        desk.world.store, parent=desk.head, edits={"traefik/a.yaml": _router("a", "evil")}, id="evil", title="evil",
        body="", trailers={}, author="model <model@localhost>", at=START,
    )  # fmt: skip
    made = events.ProposalMade(
        proposal="evil", branch="main", commit=commit, parent=desk.head, tool="t", client="m", title="", resources=(),
    )  # fmt: skip
    world = replace(desk.world, gateway_outbox=tmp_path / "gateway.db")
    with freeze_time(START) as time:
        with closing(Outbox.open(tmp_path / "gateway.db", SystemClock().now, create=True)) as gateway:
            gateway.put(made, stream="proposal/evil", actor="gateway")
        reviewing.take_in(world)
        rejected = events.ProposalRejected(proposal="evil", reason="no")
        world.log.append(Entry(stream="proposal/evil", event=rejected))
        time.tick(reviewing.KEPT + timedelta(days=1))
        reviewing.take_in(world)
    assert (world.store.head("main"), world.store.head("proposals/evil")) == (desk.head, None)
