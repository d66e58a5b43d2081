"""Komodo as a target, against a Komodo that behaves: busy, half-failed, timed out, vanished, cut off in the middle."""

import copy
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from reconciler.core.target import Attempt, TargetError
from reconciler.komodo.api import KomodoApi
from reconciler.komodo.wire import KomodoError
from reconciler.ports import Disk
from reconciler.targets.komodo import KomodoTarget
from state.events import StackDeployed, StacksSkipped
from state.model import Address, digest_bytes
from tests.komodo.fake_komodo import KEY, SECRET, FakeKomodo, Fate, HungUp, Serving


class Told:
    """A secret as settings hold it."""

    def __init__(self, text):
        self._text = text

    def reveal(self):
        return self._text


class Quick:
    """A clock on which waiting takes no time."""

    def __init__(self):
        self.passed = 0.0

    def now(self):
        return datetime(2026, 11, 21, tzinfo=UTC)

    def monotonic(self):
        return self.passed

    def sleep(self, seconds):
        self.passed += seconds


class Lab:
    """A Komodo, and the target that looks at it; `restarted` is the same after the process died."""

    def __init__(self, komodo, url, directory):
        self.komodo, self.url, self.record = komodo, url, directory / "komodo.json"
        self.attempts = 0
        self.api = None
        self.restarted()

    def close(self):
        if self.api:
            self.api.close()

    def restarted(self):
        self.close()
        self.api = KomodoApi(self.url, Told(KEY), Told(SECRET))
        self.target = KomodoTarget(
            "komodo",
            self.api,
            clock=Quick(),
            deadline=60.0,
            record=self.record,
            files=Disk(),
        )

    def dies_at(self, nth, attempt, where, *, undoing=None):
        """Prove it, or undo it, in a process that dies when Komodo answers such a thing for the n-th time; did it?"""
        answers = []

        def die(asked, params):
            if where(asked):
                answers.append(asked)
                if len(answers) == nth:
                    raise HungUp

        self.komodo.after = die
        try:
            self.target.prove(attempt) if undoing is None else self.target.undo(attempt, undoing)
        except TargetError:
            self.restarted()
            return True
        finally:
            self.komodo.after = lambda asked, params: None
        return False

    def attempt(self, wanted, commit="c" * 40):
        """The attempt that makes it so, as the loop would write it."""
        seen = self.target.observe()
        self.attempts += 1
        draft = Attempt(
            id=f"attempt-{self.attempts}",
            instance="komodo",
            commit=commit,
            live=wanted,
            gone=frozenset(seen.live.keys() - wanted.keys()),
            before=seen.file,
        )
        return Attempt(**{**vars(draft), "after": digest_bytes(self.target.render(draft))})

    def apply(self, wanted, commit="c" * 40):
        attempt = self.attempt(wanted, commit)
        self.target.write(attempt)
        return attempt, self.target.prove(attempt)


@pytest.fixture(scope="module")
def serving():
    serving = Serving(FakeKomodo())
    yield serving
    serving.close()


@pytest.fixture
def lab(serving, tmp_path):
    komodo = serving.komodo = FakeKomodo()
    lab = Lab(komodo, serving.url, tmp_path)
    yield lab
    lab.close()
    assert komodo.faults == []


def wanted(**stacks):
    """name -> (image, more of stack.toml, request)."""
    found = {}
    for name, (image, *rest) in stacks.items():
        more, request = (*rest, {}, None)[:2] if rest else ({}, None)
        found[Address("komodo", "stack", name)] = {"server": "nas", **more}
        found[Address("komodo", "compose", name)] = {"services": {"web": {"image": image}}}
        if request:
            found[Address("komodo", "request", name)] = request
    return found


RESTART = {"do": "restart", "at": "2026-11-21T15:04:05Z", "reason": "stuck"}


def test_a_new_stack_is_configured_deployed_and_read_back(lab):
    attempt, verdict = lab.apply(wanted(media=("jellyfin:10",)))
    assert verdict.outcome == "proven"
    assert "media: deployed because it is new: 1 services up, update" in verdict.evidence
    assert lab.komodo.done() == ["DeployStack media"]
    contents = lab.komodo.stacks["media"].config["file_contents"]
    assert contents.startswith(f"# Written by Waypost: komodo/ at commit {'c' * 12}.")
    seen = lab.target.observe()
    assert (seen.file, seen.live, seen.unserved) == (attempt.after, attempt.live, "")


def told(verdict):
    """What was done, and what was left alone, each with its reason."""
    deployed = [one for one in verdict.deeds.values() if isinstance(one, StackDeployed)]
    skipped = [one.resources for one in verdict.deeds.values() if isinstance(one, StacksSkipped)]
    return [(one.deed, one.stack, one.reason, one.good) for one in deployed], skipped


def test_unchanged_stacks_are_left_alone_and_it_is_said_so(lab):
    lab.apply(wanted(media=("a:1",), books=("b:1",)))
    _, verdict = lab.apply(wanted(media=("a:2",), books=("b:1",)), "d" * 40)
    assert lab.komodo.done("books") == ["DeployStack books"]
    assert lab.komodo.done("media") == ["DeployStack media"] * 2
    assert told(verdict) == (
        [("deploy", "media", "compose.yaml changes (services.web.image)", True)],
        [{"komodo/stack/books": f"nothing of it changes since commit {'c' * 12} was deployed"}],
    )
    [deployed] = [one for one in verdict.deeds.values() if isinstance(one, StackDeployed)]
    assert deployed.resources == ("komodo/compose/media", "komodo/stack/media")
    assert deployed.update == lab.komodo.updates[-1].id
    assert deployed.seconds > 0


def test_who_died_before_it_was_told_tells_the_same_of_what_was_done(lab):
    lab.apply(wanted(media=("a:1",), books=("b:1",)))
    lab.komodo.fates["books"] = [Fate(fails="no such image")]
    attempt, refused = lab.apply(wanted(media=("a:2",), books=("b:2",)))
    undone = lab.target.undo(attempt, wanted(media=("a:1",), books=("b:1",)))
    lab.restarted()
    assert lab.target.undo(attempt, {}) == replace(undone, seconds=0.0)
    assert told(refused)[0] == [("deploy", "books", "compose.yaml changes (services.web.image)", False)]
    assert told(undone) == ([("deploy", "books", "all that went with it is put back", True)], [])
    attempt, proven = lab.apply(wanted(media=("a:3",), books=("b:1",)))
    lab.restarted()
    assert lab.target.prove(attempt).deeds == proven.deeds != {}


def test_a_stack_that_was_configured_by_hand_and_never_deployed_is_not_live(lab):
    lab.komodo.has_idle("media", file_contents='{"services": {"web": {"image": "a:1"}}}')
    stacks = wanted(media=("a:1",))
    seen = lab.target.observe()
    assert seen.live == {}
    assert not lab.target.validate(stacks, seen).problems
    _, verdict = lab.apply(stacks)
    assert told(verdict)[0] == [("deploy", "media", "it is configured in Komodo, and nothing of it is there", True)]
    assert lab.target.observe().live == stacks


def test_one_that_was_configured_otherwise_by_hand_is_not_written_over_before_somebody_decides(lab):
    lab.komodo.has_idle("media", file_contents='{"services": {"web": {"image": "mine:1"}}}')
    lab.komodo.has_idle("others", file_contents='{"services": {"web": {"image": "others:1"}}}')
    [problem] = lab.target.validate(wanted(media=("a:1",)), lab.target.observe()).problems
    assert (problem.address, "was not put there from here" in problem.message) == ("komodo/stack/media", True)


def test_one_that_was_configured_by_hand_stays_in_komodos_books_when_its_deploy_is_undone(lab):
    lab.komodo.has_idle("media", file_contents='{"services": {"web": {"image": "a:1"}}}')
    lab.komodo.fates["media"] = [Fate(fails="no such image: a:1")]
    attempt, verdict = lab.apply(wanted(media=("a:1",)))
    assert (verdict.outcome, lab.target.undo(attempt, {}).outcome) == ("refuted", "proven")
    assert lab.komodo.done() == ["DeployStack media", "DestroyStack media"]
    assert lab.target.observe().live == {}
    assert "a:1" in lab.komodo.stacks["media"].config["file_contents"]
    mended = wanted(media=("a:2",))  # what stands there was written from here: nobody else has to decide
    assert not lab.target.validate(mended, lab.target.observe()).problems
    assert lab.apply(mended)[1].outcome == "proven"


def test_what_comes_after_another_is_deployed_after_it_and_removed_before_it(lab):
    stacks = {"app": ("a:1", {"after": ["db"]}), "db": ("b:1", {"after": ["vpn"]}), "vpn": ("c:1",)}
    lab.apply(wanted(**stacks))
    assert lab.komodo.done() == ["DeployStack vpn", "DeployStack db", "DeployStack app"]
    _, verdict = lab.apply({})
    assert verdict.outcome == "proven"
    assert lab.komodo.done()[3:] == ["DestroyStack app", "DestroyStack db", "DestroyStack vpn"]
    assert lab.komodo.stacks == {}


def test_what_stands_in_komodo_already_as_it_is_wanted_is_seen_as_that(lab):
    lab.komodo.has("media", file_contents='{"services": {"web": {"image": "a:1"}}}')
    assert lab.target.observe().live == wanted(media=("a:1",))


def test_more_stacks_than_a_page_holds_are_all_seen(lab):
    for number in range(45):
        lab.komodo.has(f"stack-{number}", file_contents='{"services": {"web": {"image": "a:1"}}}')
    assert len(lab.target.observe().live) == 90


def test_a_hand_edit_is_seen_and_its_secrets_are_covered(lab):
    lab.apply(wanted(media=("a:1", {"environment": "TOKEN = [[TOKEN]]", "after": ["db"]}), db=("b:1",)))
    stack = lab.komodo.stacks["media"]
    stack.config = {**stack.config, "environment": "TOKEN = hunter2\nTZ = UTC\n", "repo": ""}
    seen = lab.target.observe()
    spec = seen.live[Address("komodo", "stack", "media")]
    assert spec == {"server": "nas", "after": ["db"], "environment": "TOKEN = •••\nTZ = UTC"}
    stack.config["file_contents"] = '{"services": {"web": {"image": "a:1", "environment": {"DB_PASSWORD": "hunter2"}}}}'
    assert "hunter2" not in repr(lab.target.observe())
    assert not lab.target.unmoved(seen)


def test_who_edited_a_stack_by_hand_is_told_where_komodo_says_so(lab, monkeypatch):
    lab.apply(wanted(media=("a:1",), books=("b:1",)))
    assert lab.target.observe().by == {}
    lab.komodo.edited("media", "ada", environment="TZ = UTC")
    who = dict.fromkeys((Address("komodo", "stack", "media"), Address("komodo", "compose", "media")), "ada")
    assert lab.target.observe().by == who
    lab.komodo.updates.clear()
    assert lab.target.observe().by == {}

    def away(stack_id):
        raise KomodoError("it does not answer")

    monkeypatch.setattr(lab.api, "updates", away)
    assert lab.target.observe().by == {}


def test_a_write_over_what_somebody_changed_meanwhile_is_refused(lab):
    attempt = lab.attempt(wanted(media=("a:1",)))
    lab.komodo.has("media", file_contents='{"services": {"web": {"image": "z"}}}')
    with pytest.raises(TargetError, match="changed by somebody"):
        lab.target.write(attempt)
    assert lab.komodo.done() == []


def test_a_busy_stack_is_waited_for(lab):
    lab.apply(wanted(media=("a:1",)))
    lab.komodo.at_work["media"] = 5
    _, verdict = lab.apply(wanted(media=("a:2",)))
    assert verdict.outcome == "proven"
    assert lab.komodo.done() == ["DeployStack media"] * 2


def test_a_deploy_that_is_refused_as_busy_though_http_says_200_is_asked_for_again(lab):
    lab.apply(wanted(media=("a:1",)))
    lab.komodo.fates["media"] = [Fate(busy=True), Fate(busy=True)]
    _, verdict = lab.apply(wanted(media=("a:2",)))
    assert verdict.outcome == "proven"
    assert lab.komodo.done() == ["DeployStack media"] * 4


def test_a_stack_that_stays_busy_refutes_nothing_and_is_done_later(lab):
    lab.apply(wanted(media=("a:1",)))
    lab.komodo.at_work["media"] = 10_000
    attempt, verdict = lab.apply(wanted(media=("a:2",)))
    assert (verdict.outcome, verdict.evidence) == ("unknown", "media: Komodo is busy with it: deploying")
    seen = lab.target.observe()
    assert (seen.file, seen.unserved) == (attempt.after, "deploy media is under way")
    lab.komodo.at_work["media"] = 0
    assert lab.target.prove(attempt).outcome == "proven"
    assert lab.komodo.done() == ["DeployStack media"] * 2


def test_an_update_that_fails_refutes_and_the_previous_one_is_put_back(lab):
    before = wanted(media=("a:1",))
    lab.apply(before)
    lab.komodo.fates["media"] = [Fate(fails="no such image: a:2")]
    attempt, verdict = lab.apply(wanted(media=("a:2",), books=("b:1",)))
    assert verdict.outcome == "refuted"
    [failed] = [one for one in lab.komodo.updates if not one.success]
    assert [(log["stage"], log["success"]) for log in failed.logs] == [("Compose Pull", True), ("Compose Up", False)]
    assert "Compose Up: no such image: a:2" in verdict.evidence and "Pull" not in verdict.evidence
    assert Address("komodo", "compose", "media") in verdict.faults
    assert "books" in lab.komodo.stacks
    undone = lab.target.undo(attempt, before)
    assert undone.outcome == "proven"
    assert lab.target.observe().live == before
    assert lab.komodo.stacks.keys() == {"media"}
    assert "a:1" in lab.komodo.stacks["media"].deployed
    assert undone.file == attempt.before


def test_stacks_that_were_not_begun_because_one_failed_are_told_as_skipped_once(lab):
    lab.apply(wanted(media=("a:1",)))
    lab.komodo.fates["media"] = [Fate(fails="no such image: a:2")]
    after = {"after": ["media"]}
    attempt, verdict = lab.apply(
        wanted(books=("b:1",), media=("a:2", {}, RESTART), player=("c:1", after), tube=("d:1", after))
    )
    [(key, told)] = [(key, one) for key, one in verdict.deeds.items() if isinstance(one, StacksSkipped)]
    assert told.resources == dict.fromkeys(("komodo/stack/player", "komodo/stack/tube"), "media failed before it")
    assert (told.commit, told.reason) == (attempt.commit, "media failed before them")
    deployed = {one.stack: one.good for one in verdict.deeds.values() if isinstance(one, StackDeployed)}
    assert deployed == {"books": True, "media": False}
    lab.restarted()
    assert lab.target.prove(attempt).deeds[key] == told


def test_containers_that_do_not_come_up_refute_an_update_that_succeeded(lab):
    lab.komodo.fates["media"] = [Fate(containers={"web": ("exited", "Exited (1) 1 second ago")})]
    attempt, verdict = lab.apply(wanted(media=("a:1",)))
    assert (verdict.outcome, verdict.evidence) == ("refuted", "media: web: exited (Exited (1) 1 second ago)")
    assert lab.target.undo(attempt, {}).outcome == "proven"
    assert lab.komodo.done() == ["DeployStack media", "DestroyStack media"]
    assert lab.komodo.stacks == {}


def test_one_service_that_does_not_come_up_beside_one_that_does_refutes_and_is_named(lab):
    stack = wanted(media=("a:1",))
    stack[Address("komodo", "compose", "media")]["services"]["worker"] = {"image": "b:1"}
    lab.komodo.fates["media"] = [Fate(containers={"worker": ("exited", "Exited (1) 1 second ago")})]
    _, verdict = lab.apply(stack)
    assert lab.komodo.stacks["media"].containers["web"] == ("running", "Up 2 seconds")
    assert (verdict.outcome, verdict.evidence) == ("refuted", "media: worker: exited (Exited (1) 1 second ago)")


@pytest.mark.parametrize(
    ("state", "status", "outcome"),
    [
        ("running", "Up 2 minutes (unhealthy)", "refuted"),
        ("running", "Up 2 seconds (health: starting)", "refuted"),
        ("running", "Up 2 minutes (healthy)", "proven"),
        ("restarting", "Restarting (1) 2 seconds ago", "refuted"),
        ("exited", "Exited (0) 2 seconds ago", "proven"),
    ],
)
def test_what_counts_as_up(lab, state, status, outcome):
    lab.komodo.fates["media"] = [Fate(containers={"web": (state, status)})]
    assert lab.apply(wanted(media=("a:1",)))[1].outcome == outcome


def test_an_update_that_does_not_end_in_time_is_followed_by_the_next_pass_and_not_asked_for_again(lab):
    lab.komodo.fates["media"] = [Fate(takes=None)]
    attempt, verdict = lab.apply(wanted(media=("a:1",)))
    assert verdict.outcome == "unknown"
    assert "DeployStack is still under way after 60 s" in verdict.evidence
    lab.restarted()
    lab.komodo.updates[-1].left = 1
    assert lab.target.prove(attempt).outcome == "proven"
    assert lab.komodo.done() == ["DeployStack media"]


def test_an_update_that_vanished_is_asked_for_again(lab):
    lab.komodo.fates["media"] = [Fate(vanishes=True)]
    _, verdict = lab.apply(wanted(media=("a:1",)))
    assert verdict.outcome == "proven"
    assert lab.komodo.asked.count("execute/DeployStack") == 2


def test_an_update_that_vanished_after_it_was_done_is_not_asked_for_again(lab):
    lab.komodo.fates["media"] = [Fate(vanishes=True, takes=0)]
    _, verdict = lab.apply(wanted(media=("a:1",)))
    assert verdict.outcome == "proven"
    assert "knows nothing of update" in verdict.evidence
    assert lab.komodo.asked.count("execute/DeployStack") == 1


def test_updates_that_vanish_each_time_refute_nothing(lab):
    lab.komodo.fates["media"] = [Fate(vanishes=True) for _ in range(9)]
    _, verdict = lab.apply(wanted(media=("a:1",)))
    assert verdict.outcome == "unknown"
    assert lab.komodo.asked.count("execute/DeployStack") == 3


def test_an_update_that_a_restart_of_komodo_left_hanging_is_asked_for_again(lab):
    lab.komodo.fates["media"] = [Fate(takes=None, hangs=True)]
    assert lab.apply(wanted(media=("a:1",)))[1].outcome == "unknown"
    attempt = lab.attempt(wanted(media=("a:1",)))
    again = Attempt(**{**vars(attempt), "id": "attempt-1"})
    assert lab.target.prove(again).outcome == "proven"
    assert lab.komodo.done() == ["DeployStack media"] * 2


def test_a_fault_of_komodo_is_not_taken_for_a_stack_that_is_gone(lab, monkeypatch):
    lab.apply(wanted(media=("a:1",)))
    monkeypatch.setattr(lab.komodo, "_read", lambda request, params: (500, {"error": "no space left", "trace": []}))
    with pytest.raises(TargetError, match="no space left"):
        lab.target.observe()


def test_what_komodo_fills_in_may_be_otherwise_afterwards(lab):
    stack = wanted(media=("a:[[VERSION]]",))
    lab.komodo.fates["media"] = [Fate(deploys='{"services": {"web": {"image": "a:1"}}}')]
    assert lab.apply(stack)[1].outcome == "proven"


def test_an_answer_without_an_id_is_followed_by_what_komodo_lists(lab):
    lab.komodo.fates["media"] = [Fate(nameless=True)]
    assert lab.apply(wanted(media=("a:1",)))[1].outcome == "proven"
    assert lab.komodo.done() == ["DeployStack media"]


def test_what_runs_must_be_what_was_reviewed(lab):
    lab.komodo.fates["media"] = [Fate(deploys='{"services": {"web": {"image": "evil"}}}')]
    _, verdict = lab.apply(wanted(media=("a:1",)))
    assert verdict.outcome == "refuted"
    assert "another compose file" in verdict.evidence


def test_a_restart_that_fails_after_a_deploy_brings_the_deploy_back_too(lab):
    before = wanted(media=("a:1",))
    lab.apply(before)
    lab.komodo.fates["media"] = [Fate(), Fate(fails="it hangs")]
    attempt, verdict = lab.apply(wanted(media=("a:2", {}, RESTART)))
    assert verdict.evidence == "media: RestartStack failed: Compose Up: it hangs"
    undone = lab.target.undo(attempt, before)
    assert (undone.outcome, undone.file) == ("proven", attempt.before)
    assert lab.target.observe().live == before
    assert "a:1" in lab.komodo.stacks["media"].deployed


def test_an_attempt_that_nobody_remembers_is_no_ground_to_build_on(lab):
    lab.target.write(lab.attempt(wanted(media=("a:1",))))
    lab.restarted()
    assert lab.apply(wanted(media=("a:1",), books=("b:1",)))[1].outcome == "proven"
    assert lab.komodo.done() == ["DeployStack books", "DeployStack media"]


PINNED = {Address("komodo", "stack", "site"): {"server": "nas", "repo": "lab/site", "commit": "a" * 40}}


def test_a_stack_of_a_repository_is_pinned_to_its_commit(lab):
    lab.komodo.repositories["lab/site"] = ["web"]
    _, verdict = lab.apply(PINNED)
    assert (verdict.outcome, lab.komodo.stacks["site"].config["commit"]) == ("proven", "a" * 40)


def test_another_commit_than_the_pinned_one_refutes(lab):
    lab.komodo.fates["site"] = [Fate(deploys="b" * 40)]
    assert "Komodo deployed commit bbbbbbb, and not aaaaaaaaaaaa" in lab.apply(PINNED)[1].evidence


def test_a_deploy_after_which_there_is_no_container_is_none(lab):
    assert lab.apply(PINNED)[1].evidence == "site: nothing: Komodo shows no container of it"


def test_a_restart_happens_once(lab):
    lab.apply(wanted(media=("a:1",)))
    attempt, verdict = lab.apply(wanted(media=("a:1", {}, RESTART)))
    assert verdict.outcome == "proven"
    assert "restarted because asked for at 2026-11-21T15:04:05Z: stuck" in verdict.evidence
    assert lab.komodo.done() == ["DeployStack media", "RestartStack media"]
    lab.restarted()
    seen = lab.target.observe()
    assert seen.live == attempt.live
    _, verdict = lab.apply(wanted(media=("a:1",)))
    assert "left alone" in verdict.evidence
    assert lab.komodo.done() == ["DeployStack media", "RestartStack media"]


def test_a_request_that_nobody_waits_for_any_more_is_noted_and_not_carried_out(lab):
    lab.apply(wanted(media=("a:1",)))
    old = {**RESTART, "at": "2026-09-21T15:04:05Z"}
    _, verdict = lab.apply(wanted(media=("a:1", {}, old)))
    assert "too late to be carried out, asked for at 2026-09-21T15:04:05Z" in verdict.evidence
    assert lab.komodo.done() == ["DeployStack media"]
    assert lab.target.observe().live == wanted(media=("a:1", {}, old))


def test_a_stack_can_be_asked_to_be_deployed_as_it_is(lab):
    lab.apply(wanted(media=("a:1",)))
    again = {**RESTART, "do": "deploy", "services": ["web"]}
    assert lab.apply(wanted(media=("a:1", {}, again)))[1].outcome == "proven"
    assert lab.komodo.done() == ["DeployStack media"] * 2
    assert lab.komodo.updates[-1].services == ("web",)


CHANGING = {
    "CreateStack", "UpdateStack", "DeleteStack", "DeployStack", "RestartStack", "DestroyStack", "GetUpdate",
}  # fmt: skip


def deaths(lab, attempt, where, *, undoing=None):
    """Die at the first such answer of Komodo, at the second, and so on, each time from here; what was asked happened.

    `where` says whether an answer is such a one. The last time nobody dies.
    """
    komodo, record = lab.komodo, lab.record.read_bytes()
    then, died, nth = copy.deepcopy((komodo.stacks, komodo.updates)), True, 0
    while died:
        nth += 1
        komodo.stacks, komodo.updates = copy.deepcopy(then)
        lab.record.write_bytes(record)
        lab.restarted()
        died = lab.dies_at(nth, attempt, where, undoing=undoing)
        yield died


def cut_off(lab, asked_for, where):
    lab.apply(wanted(db=("b:1",), media=("a:1", {"after": ["db"]})))
    attempt = lab.attempt(wanted(db=("b:2",), media=("a:2", {"after": ["db"]}, asked_for)))
    done = lab.komodo.done()
    done += ["DeployStack db", "DeployStack media", *(["RestartStack media"] if asked_for else [])]
    lab.target.write(attempt)
    times = 0
    for died in deaths(lab, attempt, where):
        seen = lab.target.observe()
        assert (seen.file, seen.live) == (attempt.after if died else seen.file, attempt.live)
        assert lab.target.prove(attempt).outcome == "proven"
        times += 1
        assert lab.komodo.done() == done, times
    return times


def test_cut_off_at_whatever_changes_something_it_is_finished_and_nothing_is_done_twice(lab):
    assert cut_off(lab, RESTART, CHANGING.__contains__) == 9


@pytest.mark.soak
@pytest.mark.parametrize("asked_for", [None, RESTART], ids=["deploy", "deploy and restart"])
def test_cut_off_anywhere_it_is_finished_and_nothing_is_done_twice(lab, asked_for):
    assert cut_off(lab, asked_for, lambda asked: True) > 15


ANY_DEATH = pytest.mark.parametrize(
    "where",
    [CHANGING.__contains__, pytest.param(lambda asked: True, marks=pytest.mark.soak)],
    ids=["a change", "any answer"],
)


@ANY_DEATH
def test_cut_off_while_stacks_are_taken_down_each_goes_once(lab, where):
    lab.apply(wanted(db=("b:1",), media=("a:1", {"after": ["db"]})))
    attempt, done = lab.attempt({}), [*lab.komodo.done(), "DestroyStack media", "DestroyStack db"]
    lab.target.write(attempt)
    times = 0
    for _ in deaths(lab, attempt, where):
        assert lab.target.prove(attempt).outcome == "proven"
        seen = lab.target.observe()
        assert (lab.komodo.stacks, seen.live, seen.file) == ({}, {}, attempt.after)
        times += 1
        assert lab.komodo.done() == done, times
    assert times > 6


@ANY_DEATH
def test_cut_off_while_an_attempt_is_put_back_each_stack_is_put_back_once(lab, where):
    before = wanted(db=("b:1",), media=("a:1", {"after": ["db"]}))
    lab.apply(before)
    lab.komodo.fates["media"] = [Fate(fails="no such image")]
    attempt, verdict = lab.apply(wanted(books=("c:1",), db=("b:2",), media=("a:2", {"after": ["books", "db"]})))
    assert verdict.outcome == "refuted"
    done = [*lab.komodo.done(), "DeployStack media", "DeployStack db", "DestroyStack books"]
    times = 0
    for _ in deaths(lab, attempt, where, undoing=before):
        undone = lab.target.undo(attempt, before)
        assert (undone.outcome, undone.file, lab.target.observe().live) == ("proven", attempt.before, before)
        assert all("2" not in stack.deployed for stack in lab.komodo.stacks.values())
        times += 1
        assert lab.komodo.done() == done, times
    assert times > 9


def test_komodo_away_in_the_middle_leaves_it_for_later(lab):
    lab.apply(wanted(media=("a:1",)))
    attempt = lab.attempt(wanted(media=("a:2",)))
    lab.target.write(attempt)
    lab.komodo.down = True
    with pytest.raises(TargetError, match="status 503"):
        lab.target.prove(attempt)
    lab.komodo.down = False
    assert lab.target.prove(attempt).outcome == "proven"


def test_a_wrong_key_says_which_setting_to_look_at(lab):
    lab.close()
    lab.api = api = KomodoApi(lab.url, Told("K-wrong"), Told("S"))
    target = KomodoTarget("komodo", api, clock=Quick())
    with pytest.raises(TargetError, match="WAYPOST_KOMODO_KEY"):
        target.observe()
    assert target.probe("x").outcome == "unknown"


def test_secrets_that_somebody_typed_into_komodo_are_put_back_by_the_process_that_saw_them(lab):
    before = wanted(media=("a:1", {"environment": "TOKEN = •••"}))
    lab.komodo.has("media", environment="TOKEN = hunter2\n", file_contents='{"services": {"web": {"image": "a:1"}}}')
    assert lab.target.observe().live == before
    lab.komodo.fates["media"] = [Fate(fails="broken")]
    attempt, verdict = lab.apply(wanted(media=("a:2",)))
    assert verdict.outcome == "refuted"
    assert lab.target.undo(attempt, before).outcome == "proven"
    assert lab.komodo.stacks["media"].config["environment"] == "TOKEN = hunter2\n"
    assert "hunter2" not in lab.record.read_text()


def test_what_is_covered_is_never_written_to_komodo(lab):
    lab.komodo.has("media", environment="TOKEN = hunter2\n", file_contents='{"services": {"web": {"image": "a:1"}}}')
    lab.komodo.fates["media"] = [Fate(fails="broken")]
    attempt, _ = lab.apply(wanted(media=("a:2",)))
    lab.restarted()
    with pytest.raises(TargetError, match="held secrets that nobody here kept"):
        lab.target.undo(attempt, {})


def problems(lab, wanted):
    return [f"{one.address}: {one.message}" for one in lab.target.validate(wanted, lab.target.observe()).problems]


def test_what_only_all_files_together_show_is_told_before_anything_is_done(lab):
    lab.komodo.has("foreign")
    alone = {Address("komodo", "stack", "a"): {"server": "nas"}}
    assert problems(lab, alone) == ["komodo/stack/a: there is no compose.yaml beside it, and it names no 'repo' either"]
    ring = wanted(a=("x", {"after": ["b"]}), b=("x", {"after": ["a"]}), c=("x", {"after": ["nobody", "a"]}))
    told = problems(lab, ring)
    assert "komodo/stack/c: it comes after 'nobody', and there is no such stack" in told
    assert [one for one in told if "waits for itself" in one and "/a" in one or "/b:" in one]
    assert not [one for one in told if "waits for itself" in one and "/c:" in one]
    moved = wanted(a=("x", {"server": "pi"}))
    assert problems(lab, moved) == ["komodo/stack/a: Komodo knows no server 'pi'; there are: nas"]
    lost = {Address("komodo", "compose", "a"): {"services": {"web": {"image": "x"}}}}
    assert "there is no stack.toml beside it" in problems(lab, lost)[0]
    request = wanted(a=("x", {}, {**RESTART, "services": ["db"]}))
    assert problems(lab, request) == ["komodo/request/a: its compose file has no service 'db'"]


def test_a_stack_of_ours_that_is_down_is_told(lab):
    lab.apply(wanted(media=("a:1",)))
    lab.komodo.stacks["media"].state, lab.komodo.stacks["media"].containers = "down", {}
    lab.komodo.has("foreign").state = "down"
    assert lab.target.observe().disabled == {Address("komodo", "stack", "media"): "Komodo says that it is down"}


def test_a_stack_whose_containers_have_done_what_they_had_to_do_is_not_down(lab):
    more = wanted(media=("a:1",))
    more[Address("komodo", "compose", "media")] = {"services": {"web": {"image": "a"}, "init": {"image": "b"}}}
    lab.komodo.fates["media"] = [Fate(containers={"init": ("exited", "Exited (0) 1 second ago")})]
    assert lab.apply(more)[1].outcome == "proven"
    assert lab.komodo.stacks["media"].state == "unhealthy"
    assert lab.target.observe().disabled == {}


def test_a_404_that_is_not_komodos_own_proves_no_removal(lab, monkeypatch):
    lab.apply(wanted(media=("a:1",)))
    attempt = lab.attempt({})
    lab.target.write(attempt)
    answer = lab.komodo.answer

    def proxied(path, body):
        return (404, "404 page not found") if path.endswith("/GetStack") else answer(path, body)

    monkeypatch.setattr(lab.komodo, "answer", proxied)
    with pytest.raises(TargetError, match="status 404"):
        lab.target.prove(attempt)
    monkeypatch.undo()
    assert lab.target.prove(attempt).outcome == "proven"
    assert lab.komodo.done() == ["DeployStack media", "DestroyStack media"]


def test_what_a_person_put_back_by_hand_counts_as_undone_though_it_holds_secrets(lab):
    old = '{"services": {"web": {"image": "a:1", "environment": {"API_KEY": "hunter2"}}}}'
    stack = lab.komodo.has("media", environment="TOKEN = hunter2\n", file_contents=old)
    before = lab.target.observe().live
    lab.komodo.fates["media"] = [Fate(fails="broken")]
    attempt, _ = lab.apply(wanted(media=("a:2",)))
    lab.restarted()
    with pytest.raises(TargetError, match="held secrets that nobody here kept"):
        lab.target.undo(attempt, before)
    stack.config = {**stack.config, "environment": "TOKEN = hunter2\n", "file_contents": old}
    undone = lab.target.undo(attempt, before)
    assert (undone.outcome, undone.file) == ("proven", attempt.before)
    assert "hunter2" in stack.config["environment"]
    assert "hunter2" not in lab.record.read_text()


def test_cut_off_after_it_was_configured_and_then_refuted_what_was_before_is_put_back(lab):
    before = wanted(media=("a:1",))
    lab.apply(before)
    attempt = lab.attempt(wanted(media=("a:2",)))
    lab.target.write(attempt)
    assert lab.dies_at(1, attempt, lambda asked: asked == "UpdateStack")
    lab.komodo.fates["media"] = [Fate(fails="broken")]
    assert lab.target.prove(attempt).outcome == "refuted"
    assert lab.target.undo(attempt, before).outcome == "proven"
    assert lab.target.observe().live == before
    assert "a:1" in lab.komodo.stacks["media"].config["file_contents"]
    assert "a:1" in lab.komodo.stacks["media"].deployed


def test_cut_off_after_it_was_made_a_new_stack_is_taken_away_when_it_is_undone(lab):
    attempt = lab.attempt(wanted(media=("a:1",)))
    lab.target.write(attempt)
    assert lab.dies_at(1, attempt, lambda asked: asked == "CreateStack")
    assert lab.target.undo(attempt, {}).outcome == "proven"
    assert lab.komodo.stacks == {}


def test_where_the_record_is_lost_in_the_middle_nothing_is_proven_that_nobody_deployed(lab):
    lab.apply(wanted(media=("a:1",)))
    attempt = lab.attempt(wanted(media=("a:2",)))
    lab.target.write(attempt)
    assert lab.dies_at(1, attempt, lambda asked: asked == "UpdateStack")
    lab.record.unlink()
    verdict = lab.target.prove(attempt)
    assert (verdict.outcome, verdict.evidence) == (
        "unknown",
        "media: Komodo does not say that it was deployed as it is configured",
    )
    assert "Deploy it in Komodo" in verdict.remedy
    deploying = lab.api.deploy("media", []).key
    while not lab.api.update(deploying).over:
        pass
    assert lab.target.prove(attempt).outcome == "proven"


class Unsure(Disk):
    """Renames, and cannot say whether that will be known after a power cut."""

    def replace(self, staged, path):
        super().replace(staged, path)
        raise OSError(5, "Input/output error")


def test_an_intention_of_which_the_disk_is_unsure_is_carried_out_once_the_disk_is_well_and_not_before(lab):
    attempt = lab.attempt(wanted(media=("a:1",)))
    unsure = KomodoTarget("komodo", lab.api, clock=Quick(), deadline=60.0, record=lab.record, files=Unsure())
    unsure.write(attempt)
    with pytest.raises(TargetError, match="cannot be written"):
        unsure.prove(attempt)
    assert lab.komodo.stacks == {} and lab.target.observe().unserved == "deploy media is under way"
    assert lab.target.prove(attempt).outcome == "proven"


def test_a_request_that_is_reverted_to_an_earlier_one_is_not_carried_out_again(lab):
    first, second = ({**RESTART, "at": f"2026-11-{day}T10:00:00Z"} for day in (18, 19))
    for request in (None, first, second):
        assert lab.apply(wanted(media=("a:1", {}, request)))[1].outcome == "proven"
    for request in (first, None, second, first):
        lab.restarted()
        assert "left alone" in lab.apply(wanted(media=("a:1", {}, request)))[1].evidence
    assert lab.komodo.done() == ["DeployStack media", "RestartStack media", "RestartStack media"]


def test_a_restart_whose_update_vanished_is_asked_for_again_though_an_older_one_is_there(lab):
    later = {**RESTART, "at": "2026-11-21T16:00:00Z"}
    lab.apply(wanted(media=("a:1", {}, RESTART)))
    lab.komodo.fates["media"] = [Fate(vanishes=True, takes=None)]
    assert lab.apply(wanted(media=("a:1", {}, later)))[1].outcome == "proven"
    assert lab.komodo.done() == ["DeployStack media", "RestartStack media", "RestartStack media"]


def test_what_somebody_changes_while_a_stack_is_restarted_stays_drift(lab):
    lab.apply(wanted(media=("a:1",)))
    restarted = wanted(media=("a:1", {}, RESTART))
    attempt = lab.attempt(restarted)
    lab.target.write(attempt)
    stack = lab.komodo.stacks["media"]
    stack.config = {**stack.config, "file_contents": '{"services": {"web": {"image": "evil"}}}\n'}
    assert lab.target.prove(attempt).outcome == "proven"
    live = lab.target.observe().live
    assert live[Address("komodo", "compose", "media")] == {"services": {"web": {"image": "evil"}}}
    assert live[Address("komodo", "request", "media")] == RESTART


def test_a_repository_that_somebody_links_by_hand_is_drift_and_the_next_deploy_ends_it(lab):
    lab.apply(wanted(media=("a:1",)))
    stack = lab.komodo.stacks["media"]
    stack.config = {**stack.config, "linked_repo": "evil"}
    assert lab.target.observe().live[Address("komodo", "stack", "media")]["linked_repo"] == "evil"
    lab.apply(wanted(media=("a:2",)))
    assert lab.komodo.stacks["media"].config["linked_repo"] == ""


def test_what_held_secrets_is_put_back_with_them_though_komodo_is_busy_meanwhile(lab):
    before = wanted(media=("a:1", {"environment": "TOKEN = •••"}))
    lab.komodo.has("media", environment="TOKEN = hunter2\n", file_contents='{"services": {"web": {"image": "a:1"}}}')
    lab.komodo.fates["media"] = [Fate(fails="broken"), Fate(busy=True)]
    attempt, verdict = lab.apply(wanted(media=("a:2",)))
    assert verdict.outcome == "refuted"
    assert lab.target.undo(attempt, before).outcome == "proven"
    assert lab.komodo.stacks["media"].config["environment"] == "TOKEN = hunter2\n"


def test_what_cannot_be_put_back_for_its_secrets_keeps_its_whole_attempt_from_being_put_back(lab):
    lab.komodo.has("media", environment="TOKEN = hunter2\n", file_contents='{"services": {"web": {"image": "a:1"}}}')
    lab.komodo.fates["zeta"] = [Fate(takes=None)]
    attempt, verdict = lab.apply(wanted(media=("a:2",), zeta=("z:1",)))
    assert verdict.outcome == "unknown"
    lab.restarted()  # what the environment was is known to nobody now
    with pytest.raises(TargetError, match="held secrets that nobody here kept"):
        lab.target.undo(attempt, {})
    for update in lab.komodo.updates:
        update.status, update.success = "Complete", True
    assert lab.target.prove(attempt).outcome == "refuted"  # it went on to its end instead: nothing came up there
    assert lab.komodo.done() == ["DeployStack media", "DeployStack zeta"]


def test_a_stack_that_is_gone_when_its_removal_is_followed_is_removed(lab):
    lab.apply(wanted(media=("a:1",)))
    attempt = lab.attempt({})
    lab.target.write(attempt)
    assert lab.dies_at(1, attempt, lambda asked: asked == "DeleteStack")
    lab.komodo.updates.clear()
    assert lab.target.prove(attempt).outcome == "proven"


def test_an_attempt_that_was_being_put_back_is_put_back_by_whoever_comes_next(lab):
    before = wanted(media=("a:1",), books=("b:1",))
    lab.apply(before)
    lab.komodo.at_work["media"] = 100_000
    attempt, verdict = lab.apply(wanted(media=("a:2",), books=("b:2",)))
    assert verdict.outcome == "unknown"

    def die(asked, params):
        if asked == "DeployStack":
            raise HungUp

    lab.komodo.after = die
    with pytest.raises(TargetError):
        lab.target.undo(attempt, before)
    lab.komodo.after = lambda asked, params: None
    lab.restarted()
    proven = lab.target.prove(attempt)
    assert (proven.outcome, "it was being put back: books: back as it was before" in proven.evidence) == (
        "unknown",
        True,
    )
    seen = lab.target.observe()
    assert (seen.live, seen.file) == (before, attempt.before)
    assert [one.reason for one in seen.deeds.values()] == ["all that went with it is put back"]
    assert lab.komodo.done("books") == ["DeployStack books"] * 3


def test_what_is_left_as_it_failed_is_said_so_again_by_who_comes_next(lab):
    lab.komodo.fates["media"] = [Fate(fails="broken")]
    attempt, _ = lab.apply(wanted(media=("a:1",)))
    attempt = replace(attempt, put_back=False)
    left = lab.target.undo(attempt, {})
    lab.restarted()
    assert lab.target.undo(attempt, {}).evidence == left.evidence
    assert "left as it failed" in left.evidence


def test_a_new_stack_that_was_left_as_it_failed_is_nobody_elses_and_is_deployed_anew(lab):
    lab.komodo.repositories["lab/site"] = ["web"]
    lab.komodo.fates["site"] = [Fate(fails="no such image")]
    attempt, _ = lab.apply(PINNED)
    lab.target.undo(replace(attempt, put_back=False), {})
    mended = {Address("komodo", "stack", "site"): {**PINNED[Address("komodo", "stack", "site")], "commit": "b" * 40}}
    for state in ("unhealthy", "down"):
        lab.komodo.stacks["site"].state = state
        seen = lab.target.observe()
        assert (seen.live, lab.target.validate(mended, seen).problems) == ({}, ())
    lab.komodo.edited("site", "ada", branch="mine")
    [problem] = lab.target.validate(mended, lab.target.observe()).problems
    assert "was not put there from here" in problem.message
    lab.komodo.edited("site", "ada", branch="main")
    assert lab.apply(mended)[1].outcome == "proven"


def test_why_stacks_are_left_alone_is_told_again_only_where_the_reason_is_another_one(lab):
    def applied(pending, **stacks):
        attempt = replace(lab.attempt(wanted(**stacks), commit="d" * 40), pending=frozenset(pending))
        lab.target.write(attempt)
        return told(lab.target.prove(attempt))[1]

    since = f"nothing of it changes since commit {'c' * 12} was deployed"
    lab.apply(wanted(media=("a:1",), books=("b:1",), db=("c:1",)))
    waiting = {Address("komodo", "compose", "books")}
    assert applied(waiting, media=("a:2",), books=("b:1",), db=("c:1",)) == [{"komodo/stack/db": since}]
    assert applied((), media=("a:2",), books=("b:2",), db=("c:1",)) == []
    late = {**RESTART, "at": "2026-09-21T15:04:05Z"}
    [again] = applied((), media=("a:2",), books=("b:2",), db=("c:1", {}, late))
    assert "too late to be carried out" in again["komodo/stack/db"]


def test_a_komodo_that_has_no_time_is_not_asked_again_all_the_time(lab):
    lab.komodo.fates["media"] = [Fate(busy=True) for _ in range(1_000)]
    _, verdict = lab.apply(wanted(media=("a:1",)))
    assert (verdict.outcome, verdict.evidence) == ("unknown", "media: Komodo was busy with it")
    assert 3 < len(lab.komodo.done()) < 20  # in a minute


def test_what_held_secrets_is_not_put_back_under_what_komodo_is_doing(lab):
    before = wanted(media=("a:1", {"environment": "TOKEN = •••"}))
    lab.komodo.has("media", environment="TOKEN = hunter2\n", file_contents='{"services": {"web": {"image": "a:1"}}}')
    lab.komodo.fates["media"] = [Fate(fails="broken")]
    attempt, _ = lab.apply(wanted(media=("a:2",)))
    lab.komodo.at_work["media"] = 100_000
    with pytest.raises(TargetError, match="cannot be put back yet: Komodo is busy with it: deploying"):
        lab.target.undo(attempt, before)
    assert "a:2" in lab.komodo.stacks["media"].config["file_contents"]
    lab.komodo.at_work["media"] = 0
    assert lab.target.undo(attempt, before).outcome == "proven"
    assert lab.komodo.stacks["media"].config["environment"] == "TOKEN = hunter2\n"
