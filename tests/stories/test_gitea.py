"""People review in Gitea: proposals are pull requests there, and what is merged there, in whatever style, goes live."""

import contextlib
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler import alerts, founding, home, loop, rolling_back
from reconciler.alerting.receivers import Receivers
from reconciler.deployed import deployed
from reconciler.git import ahead
from reconciler.git.errors import RefMoved
from reconciler.gitea import pages, vouching
from reconciler.session import CommandError
from state import events
from tests.gitea.fake_gitea import FakeGitea, HungUp, Pull, Serving


def route(name, host=""):
    return {
        "http": {
            "routers": {name: {"rule": f"Host(`{host or name}.lab`)", "service": name}},
            "services": {name: {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}},
        }
    }


@pytest.fixture
def away(tmp_path, house):
    """The same house, with its desired repo in a Gitea."""
    elsewhere = tmp_path / "house" / "desired.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", str(house.clone), str(elsewhere)], check=True)
    gitea = FakeGitea(elsewhere)
    serving = Serving(gitea)
    (tmp_path / "token").write_text("right")
    made = founding.create(
        tmp_path / "second",
        chosen={
            "WAYPOST_DESIRED_REPO": f"file://{elsewhere}",
            "WAYPOST_GITEA_URL": serving.url,
            "WAYPOST_GITEA_TOKEN": f"file:{tmp_path / 'token'}",
            "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(house.traefik.directory),
            "WAYPOST_TRAEFIK_API_URL": house.traefik.url,
            "WAYPOST_TRAEFIK_DEADLINE": "5s",
        },
        environ={},
        now=lambda: datetime.now(UTC),
    )
    house.git("remote", "set-url", "origin", str(elsewhere))
    house.home = home.open(made.path, {})
    house.gitea, house.token, house.elsewhere = gitea, tmp_path / "token", elsewhere
    house.run()
    yield house
    serving.close()
    assert gitea.faults == []


def status(gitea, commit, context):
    return [one["state"] for one in gitea.statuses if (one["commit"], one["context"]) == (commit, context)]


def test_a_proposal_is_a_pull_request_whose_body_is_its_plan(away):
    id = away.propose({"traefik/hello.yaml": route("hello")}, title="Say hello, @alice, and fix #1")
    away.run()
    [pull] = away.gitea.pulls
    assert (pull.base, pull.head) == ("main", f"proposals/{id}")
    assert pull.title == "Say hello, @ alice, and fix # 1"
    assert "create traefik/http.routers/hello" in pull.body
    assert f"waypost approve {id}" in pull.body
    commit = away.events(events.ProposalMade)[0].commit
    assert status(away.gitea, commit, "waypost/plan") == ["success"]
    asked = len(away.gitea.asked)
    away.run()
    away.run()
    assert away.gitea.asked[asked:] == ["GET /api/v1/repos/house/desired/pulls/1"] * 2


@pytest.mark.parametrize("style", ["merge", "rebase", "rebase-merge", "squash", "fast-forward-only"])
def test_whatever_style_it_is_merged_in_it_goes_live_and_the_one_who_merged_is_known(away, style):
    id = away.propose({"traefik/hello.yaml": route("hello")})
    away.run()
    if style != "fast-forward-only":
        away.push({"README.md": "main moved on"})
    merged = away.gitea.merge(1, style, by="alice")
    assert away.run().state == "applied"
    approved = [one for one in away.events(events.CommitApproved) if one.proposal == id]
    assert [(one.commit, one.by) for one in approved] == [(merged, "gitea:alice")]
    assert away.status("hello.lab") != 404
    assert status(away.gitea, merged, "waypost/apply") == ["success"]
    assert away.events(events.PullRequestClosed)


def test_when_main_moves_the_plan_follows_in_one_comment(away):
    away.propose({"traefik/hello.yaml": route("hello")})
    away.run()
    away.push({"traefik/other.yaml": route("hello", "other")})
    away.run()
    away.push({"traefik/other.yaml": route("hello", "third")})
    away.run()
    [comment] = away.gitea.pulls[0].comments
    assert "third.lab would no longer be served" in comment["body"]
    commit = away.events(events.ProposalMade)[0].commit
    assert "losses to agree to" in away.gitea.statuses[-2]["description"]
    assert away.gitea.statuses[-2]["commit"] == commit


def run_until(house, *states):
    """Passes until one comes to this: a Traefik on a busy machine may take more than one."""
    house.until(lambda: house.run().state in states, " or ".join(states))


def in_gitea(house):
    """What stands beside a proposal's commit, and the words there."""
    commit = house.events(events.ProposalMade)[-1].commit
    last = [one for one in house.gitea.statuses if (one["commit"], one["context"]) == (commit, "waypost/plan")][-1]
    return last["state"], last["description"]


def test_conflicts_refusals_and_values_before_and_after_stand_there_and_are_followed(away, waypost):
    away.push({f"traefik/{name}.yaml": route(name) for name in ("hello", "other", "gitea")})
    assert away.run().state == "applied"
    away.edit_live("hello.lab", "edited.lab")
    wanted = {"traefik/hello.yaml": route("hello", "wanted"), "traefik/other.yaml": route("other", "moved")}
    away.propose({**wanted, "traefik/gitea.yaml": None}, title="Change three")
    away.run()
    [pull] = away.gitea.pulls
    shown = [line.strip() for line in pull.body.splitlines()]
    assert "- delete traefik/http.routers/gitea" in shown
    assert "rule: 'Host(`other.lab`)' → 'Host(`moved.lab`)'" in shown
    at = shown.index("in conflict: changed by hand and by a commit:")
    assert shown[at + 1] == "x traefik/http.routers/hello"
    assert "edited.lab" in shown[at + 2] and shown[at + 2].startswith("live is:")
    assert "wanted.lab" in shown[at + 3] and shown[at + 3].startswith("wanted is:")
    refused = "protected: traefik/http.routers/gitea: it is protected and would be removed"
    assert shown[shown.index("refused:") + 1].startswith(f"{refused}. If that is meant: waypost approve ")
    assert in_gitea(away) == (
        "failure", "in conflict with changes made by hand, refused by a guard: read the plan",
    )  # fmt: skip

    away.edit_live("edited.lab", "again.lab")  # main stands where it stood: only what is live moves
    away.run()
    [comment] = pull.comments
    assert "again.lab" in comment["body"] and "edited.lab" not in comment["body"]

    waypost("drift", "--heal", "traefik/http.routers/hello")
    run_until(away, "applied", "nothing")
    told = [line.strip() for line in comment["body"].splitlines()]
    assert "rule: 'Host(`hello.lab`)' → 'Host(`wanted.lab`)'" in told
    assert refused in told and "in conflict: changed by hand and by a commit:" not in told
    assert told[told.index("refused:") + 1].startswith(refused)
    state, description = in_gitea(away)
    assert (state, description[:24]) == ("pending", "needs a person's word on")

    away.push({"traefik/other.yaml": route("other", "elsewhere")})
    run_until(away, "applied", "nothing")
    assert "rule: 'Host(`elsewhere.lab`)' → 'Host(`moved.lab`)'" in pull.comments[0]["body"]
    assert len(pull.comments) == 1


def beside_main(house):
    """What stands beside the head of main, and the words there."""
    [*_, last] = [one for one in house.gitea.statuses if one["context"] == "waypost/apply"]
    assert last["commit"] == there(house)
    return last["state"], last["description"]


class Saying:
    """A Traefik that gives this verdict on a write; all else is the real one."""

    def __init__(self, real, outcome):
        self._real, self._outcome = real, outcome

    def __getattr__(self, name):
        return getattr(self._real, name)

    def prove(self, attempt):
        return replace(self._real.prove(attempt), outcome=self._outcome, evidence="it says so")


def run_saying(house, outcome):
    with house.world() as world:
        return loop.run_pass(replace(world, targets={"traefik": Saying(world.targets["traefik"], outcome)}))


def test_beside_main_stands_what_failed_and_what_only_waits(away):
    away.push({f"traefik/{name}.yaml": route(name) for name in ("hello", "gitea")})
    run_until(away, "applied", "nothing")
    assert beside_main(away) == ("success", "revision 2: live, and proven")

    away.push({"traefik/gitea.yaml": None})  # a protected one: nothing failed, a person's word is missing
    assert away.run().state == "held"
    assert beside_main(away) == ("pending", "held: refused by a guard")
    with away.session() as one:
        one.consent(one.plan().plan)
    run_until(away, "applied", "nothing")
    assert beside_main(away)[0] == "success"

    away.push({"traefik/hello.yaml": route("hello", "other")})
    assert run_saying(away, "unknown").state == "unknown"
    assert beside_main(away)[0] == "pending"  # nobody could say yet whether it is served
    run_until(away, "applied", "nothing")
    assert beside_main(away)[0] == "success"

    more = route("hello", "other")
    more["http"]["routers"]["hello"]["priority"] = 7
    away.push({"traefik/hello.yaml": more})
    assert run_saying(away, "refuted").state == "refuted"
    assert beside_main(away)[0] == "failure"
    run_until(away, "waiting")  # it was undone and is kept out: that it failed stays true
    assert beside_main(away)[0] == "failure"
    away.push({"traefik/hello.yaml": route("hello", "other")})
    run_until(away, "applied", "nothing")
    assert beside_main(away)[0] == "success"


def test_a_forgejo_is_spoken_to_as_a_gitea(away, as_alice):
    away.gitea.become_a_forgejo()
    id = away.propose({"traefik/hello.yaml": route("hello")})
    away.run()
    assert "create traefik/http.routers/hello" in away.gitea.pulls[0].body
    assert in_gitea(away)[0] == "success"
    for moved in (route("hello", "older"), None):  # the one comment is written, and then written anew
        away.push({"traefik/other.yaml": moved})
        away.run()
        [comment] = away.gitea.pulls[0].comments
        assert ("'Host(`older.lab`)' → 'Host(`hello.lab`)'" in comment["body"]) == bool(moved)
    digest = json.loads(as_alice("show", id, "--json")[1])["plan"]["digest"]
    code, said = as_alice("approve", id, "--plan", digest)
    assert code == 0, said
    assert away.events(events.CommitApproved)[-1].by == "gitea:alice"
    assert away.status("hello.lab") == 502
    assert beside_main(away)[0] == "success"


def test_what_a_person_saw_in_the_pull_request_is_agreed_to_by_merging_it_and_told_with_its_address(away):
    routes = {f"traefik/{name}.yaml": route(name) for name in ("a", "b", "c", "d", "e")}
    away.push({**routes, "waypost.yaml": "alerts: {changes: true}\n"})
    assert away.run().state == "applied"
    away.propose({f"traefik/{name}.yaml": None for name in ("b", "c", "d", "e")}, title="Remove most of it")
    away.run()
    assert "e.lab would no longer be served" in away.gitea.pulls[0].body
    away.gitea.merge(1, "rebase", by="alice")
    assert away.run().state == "applied"
    with away.world() as world:
        alerts.announce(world, Receivers([]))
    by_hand, reviewed = (one.body for one in away.events(events.AlertRaised))
    assert "Look at it: git show" in by_hand
    assert reviewed.endswith("\nLook at https://git.lab/house/desired/pulls/1")


def test_what_was_cut_off_in_the_pull_request_nobody_saw(away, monkeypatch):
    monkeypatch.setattr(pages, "MOST_BYTES", 300)  # else it takes hundreds of routes
    away.push({f"traefik/{name}.yaml": route(name) for name in ("a", "b", "c", "d", "e")})
    assert away.run().state == "applied"
    away.propose({f"traefik/{name}.yaml": None for name in ("b", "c", "d", "e")}, title="Remove most of it")
    away.run()
    assert "e.lab would no longer be served" not in away.gitea.pulls[0].body
    away.gitea.merge(1, "rebase", by="alice")
    assert away.run().state == "held"


def test_what_was_cut_off_stays_unseen_however_main_moves(away, monkeypatch):
    away.push({f"traefik/{name}.yaml": route(name) for name in ("a", "b", "c", "d", "e")})
    assert away.run().state == "applied"
    monkeypatch.setattr(pages, "MOST_BYTES", 1_500)
    away.propose({f"traefik/{name}.yaml": None for name in ("b", "c", "d", "e")}, title="Remove most of it")
    away.run()
    away.push({"README.md": "main moves"})
    away.run()
    shown = away.gitea.pulls[0].body + "".join(one["body"] for one in away.gitea.pulls[0].comments)
    agreed = [one for one in away.events(events.PlanShown) if one.to_person]
    assert bool(agreed) == ("e.lab would no longer be served" in shown)


def test_a_pull_request_that_was_deleted_rejects_its_proposal_and_holds_up_nobody(away):
    away.propose({"traefik/hello.yaml": route("hello")})
    away.run()
    away.gitea.deleted = {1}
    away.propose({"traefik/other.yaml": route("other")}, title="Another")
    away.run()
    assert "was deleted in Gitea" in away.events(events.ProposalRejected)[-1].reason
    assert len(away.gitea.pulls) == 2
    assert not away.events(events.GiteaLost)


@pytest.mark.parametrize("of_a_fork", [False, True])
def test_a_number_that_is_another_pull_requests_by_now_is_not_trusted(away, of_a_fork):
    id = away.propose({"traefik/hello.yaml": route("hello")})
    away.run()
    branch = f"proposals/{id}" if of_a_fork else "feature"
    ours, strangers = away.gitea.pulls[0], Pull(1, "not ours", "", "main", branch, state="closed", fork=of_a_fork)
    ours.number = 2
    away.gitea.pulls[:] = [strangers, ours]  # put back from an old copy, where the numbers began anew
    away.run()
    assert not away.events(events.ProposalRejected)
    assert [one.number for one in away.events(events.PullRequestOpened)] == [1, 2]
    ours.state = "closed"
    away.run()
    assert [one.proposal for one in away.events(events.ProposalRejected)] == [id]


def test_a_pull_request_that_a_crash_left_behind_gets_the_plan_of_now(away):
    away.propose({"traefik/hello.yaml": route("hello")})

    def die(asked):
        if asked == "POST /repos/{owner}/{repo}/pulls":
            raise HungUp

    away.gitea.after = die
    away.run()
    away.gitea.after = lambda asked: None
    away.push({"traefik/other.yaml": route("hello", "other")})
    away.run()
    [comment] = away.gitea.pulls[0].comments
    assert "other.lab would no longer be served" in comment["body"]


def test_a_pull_request_that_is_closed_there_rejects_the_proposal(away):
    id = away.propose({"traefik/hello.yaml": route("hello")})
    away.run()
    away.gitea.pulls[0].state = "closed"
    away.run()
    assert [one.proposal for one in away.events(events.ProposalRejected)] == [id]


def test_a_proposal_that_is_settled_elsewhere_closes_its_pull_request_and_says_why(away):
    away.propose({"traefik/hello.yaml": route("hello")})
    away.run()
    away.propose({"traefik/hello.yaml": route("hello", "newer")})
    away.run()
    away.run()
    first, second = away.gitea.pulls
    assert (first.state, second.state) == ("closed", "open")
    assert "superseded" in first.comments[-1]["body"]


def test_while_gitea_is_down_proposals_wait_and_go_there_when_it_is_back(away, without):
    away.gitea.down = True
    away.propose({"traefik/hello.yaml": route("hello")})
    away.run()
    away.run()
    assert len(away.events(events.GiteaLost)) == 1
    assert away.gitea.pulls == []
    away.gitea.down = False
    away.run()
    assert len(away.gitea.pulls) == 1
    assert len(away.events(events.GiteaFound)) == 1
    with without():  # and where there is not even a repository to push to
        id = away.propose({"traefik/other.yaml": route("other")}, title="Another")
        assert away.run().state == "lost"
    assert f"proposals/{id}" not in away.git("ls-remote", "--heads", "origin")
    away.run()
    assert f"proposals/{id}" in away.git("ls-remote", "--heads", "origin")
    assert [(pull.head, pull.state) for pull in away.gitea.pulls[1:]] == [(f"proposals/{id}", "open")]


def test_a_crash_after_the_pull_request_was_opened_opens_no_second_one(away):
    away.propose({"traefik/hello.yaml": route("hello")})

    def die(asked):
        if asked == "POST /repos/{owner}/{repo}/pulls":
            raise HungUp

    away.gitea.after = die
    away.run()
    away.gitea.after = lambda asked: None
    away.run()
    assert len(away.gitea.pulls) == 1
    assert len(away.events(events.PullRequestOpened)) == 1


def test_a_token_that_is_not_taken_is_told_with_what_it_needs(away):
    away.token.write_text("wrong")
    away.propose({"traefik/hello.yaml": route("hello")})
    away.run()
    assert "write:repository" in away.events(events.GiteaLost)[-1].reason
    away.token.write_text("right")  # rotated in place: no restart is needed
    away.run()
    assert len(away.gitea.pulls) == 1


@pytest.fixture
def without(away):
    """A way to be without the repository for a while."""

    @contextlib.contextmanager
    def gone():
        hidden = away.elsewhere.rename(away.elsewhere.with_name("hidden"))
        away.gitea.down = True
        yield
        hidden.rename(away.elsewhere)
        away.gitea.down = False

    return gone


def roll_back(house, number):
    """As `waypost rollback N --approve` does."""
    with house.session() as one:
        record = rolling_back.propose(one, number)
        landing = one.prepare(record)
        one.consent(one.plan(record.id).plan, record.id, "the way to Gitea is broken")
        one.land(landing)
        return landing, one.run_pass()


class Person(io.StringIO):
    """A terminal with somebody at it, who types the code that is asked for last."""

    def isatty(self):
        return True

    def readline(self, *_):
        sys.stdout.flush()
        return re.findall(r"type (\S+) to approve", sys.stdout.buffer.getvalue().decode())[-1] + "\n"


def allow_without_terminal(house):
    with house.home.settings_path.open("a") as settings:
        settings.write("\nWAYPOST_APPROVE_WITHOUT_TERMINAL=true\n")
    house.home = home.open(house.home.path, {})


def there(house):
    command = ["git", "-C", str(house.elsewhere), "rev-parse", "main"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def head(house):
    with house.session() as one:
        return one.head()


def test_a_rollback_needs_no_gitea_and_gets_there_when_it_is_back(away, without, waypost, monkeypatch):
    away.push({"traefik/hello.yaml": route("hello")})
    away.run()
    away.push({"traefik/hello.yaml": route("hello", "broken")})
    assert away.run().revision == 3
    with without():
        monkeypatch.setattr(sys, "stdin", Person())
        code, said = waypost("rollback", "2", "--approve")
        assert (code, away.status("hello.lab")) == (0, 502), said
        landing = head(away)
        assert landing.startswith(re.search(r"on main as (\S+)", said)[1])
        id = away.propose({"traefik/other.yaml": route("other")})  # it waits for the repository, and nobody for it
        assert away.run().state == "nothing"
        assert away.status("hello.lab") == 502
    assert away.run().state == "nothing"
    assert there(away) == landing
    assert [(one.commit, one.by) for one in away.events(events.ApproverTold)][-1] == (landing, "")
    assert len(away.events(events.SourceLost)) == len(away.events(events.SourceFound)) == 1
    assert [one.commit for one in away.events(events.CommitApproved)][-1] == landing
    assert [pull.head for pull in away.gitea.pulls] == [f"proposals/{id}"]


def switch(house, to):
    """Turn the kill switch on or off, as a person does."""
    path = house.home.settings_path
    kept = [line for line in path.read_text().splitlines() if not line.startswith("WAYPOST_READ_ONLY")]
    path.write_text("\n".join([*kept, f"WAYPOST_READ_ONLY={to}", ""]))
    house.home = home.open(house.home.path, {})


def test_while_the_kill_switch_is_on_nothing_goes_to_gitea_and_nobody_approves_or_rolls_back(away, waypost):
    away.push({"traefik/hello.yaml": route("hello")})
    assert away.run().revision == 2
    id = away.propose({"traefik/more.yaml": route("more")})
    switch(away, "on")
    main, asked = there(away), list(away.gitea.asked)
    assert "read-only" in away.run().said
    adopting = ("drift", "--adopt", "traefik/http.routers/hello")
    for command in (("approve", id), ("rollback", "1", "--approve"), adopting):
        code, said = waypost(*command)
        assert code == 3 and "WAYPOST_READ_ONLY" in said and str(away.home.settings_path) in said
    with away.session() as one:
        for decide in (lambda: one.merge(one.proposal(id)), lambda: one.consent(one.plan(id).plan)):
            with pytest.raises(CommandError, match="turn the switch off first"):
                decide()
    assert not away.events(events.ConsentGiven)
    assert (there(away), away.gitea.asked, away.gitea.pulls) == (main, asked, [])
    assert id not in away.git("ls-remote", "--heads", "origin")
    switch(away, "off")
    away.run()
    assert [pull.head for pull in away.gitea.pulls] == [f"proposals/{id}"]


def roll_back_without_terminal(house, waypost):
    """As a program does it: the command ends and names the plan that it would have asked for, which is approved."""
    code, said = waypost("rollback", "2", "--approve")
    assert code == 3
    id, digest = (re.search(rf"{before} (\w+)", said)[1] for before in ("proposal", "say --plan"))
    return waypost("approve", id, "--plan", digest)


def test_a_rollback_without_gitea_and_two_people_needs_a_second_word(away, without, waypost):
    away.push({"traefik/hello.yaml": route("hello")})
    away.run()
    away.push({"traefik/hello.yaml": route("hello", "broken"), "waypost.yaml": "guards:\n  approvals: 2\n"})
    assert away.run().revision == 3
    allow_without_terminal(away)
    with without():
        code, said = roll_back_without_terminal(away, waypost)
        assert (code, away.status("hello.lab")) == (3, 404), said
        assert "on main as" in said and "held: refused by a guard" in said
        told = waypost("plan")[1]
        assert "the policy asks for 2 people" in told
        code, said = waypost(*re.search(r"waypost (approve \w+ --plan \w+)", told)[1].split())
        assert (code, away.status("hello.lab")) == (0, 502), said
    assert away.run().state == "nothing"
    assert there(away) == head(away)


def test_what_was_approved_here_before_the_kill_switch_goes_there_once_that_is_off(away, without, waypost):
    away.push({"traefik/hello.yaml": route("hello")})
    away.run()
    away.push({"traefik/hello.yaml": route("hello", "broken")})
    away.run()
    allow_without_terminal(away)
    with without():
        code, said = roll_back_without_terminal(away, waypost)
        assert (code, away.status("hello.lab")) == (0, 502), said
        landing = head(away)
    was = there(away)
    switch(away, "on")
    assert "read-only" in away.run().said
    assert waypost("proposals")[0] == 0
    assert there(away) == was != landing
    switch(away, "off")
    away.run()
    assert there(away) == landing


def test_what_was_approved_here_goes_on_top_of_what_came_there_meanwhile(away, without):
    away.push({"traefik/hello.yaml": route("hello")})
    away.run()
    away.push({"traefik/hello.yaml": route("hello", "broken")})
    away.run()
    with without():
        roll_back(away, 2)
    away.push({"traefik/more.yaml": route("more")})
    assert away.run().state == "applied"
    assert (away.status("hello.lab"), away.status("more.lab")) == (502, 502)
    away.git("pull", "--quiet", "--rebase")
    assert there(away) == away.git("rev-parse", "HEAD")


def test_what_does_not_fit_what_came_there_meanwhile_is_given_up_and_told(away, without):
    away.push({"traefik/hello.yaml": route("hello")})
    away.run()
    away.push({"traefik/hello.yaml": route("hello", "broken")})
    away.run()
    with without():
        roll_back(away, 2)
    fixed = away.push({"traefik/hello.yaml": route("hello", "fixed")})
    assert away.run().state == "lost"
    assert "traefik/hello.yaml" in away.events(events.SourceLost)[-1].reason
    held = away.run()  # what is live is not in main's history any more: that needs a person
    assert (held.state, there(away), away.status("hello.lab")) == ("held", fixed, 502)
    assert "no longer in its history" in str(held.plan.refusals[0])


def test_of_two_who_approve_here_while_it_is_away_the_second_looks_again(away, without):
    mine, theirs = (away.propose({f"traefik/{name}.yaml": route(name)}) for name in ("mine", "theirs"))
    with without(), away.session() as one:
        landing = one.prepare(one.proposal(mine))
        first = one.merge(one.proposal(theirs))
        with pytest.raises(RefMoved):
            one.land(landing, one.proposal(mine))
        assert one.head() == first
    away.run()
    assert there(away) == first


def test_what_somebody_died_over_approving_while_it_is_away_is_not_lost_to_the_next_approval(away, without):
    mine, theirs = (away.propose({f"traefik/{name}.yaml": route(name)}) for name in ("mine", "theirs"))
    with without():
        with away.session() as one:
            landing = one.prepare(one.proposal(mine))
            one.world.store.move(ahead.AHEAD, landing, was=None)  # and main is not moved any more
            with pytest.raises(RefMoved):
                one.merge(one.proposal(theirs))
            one.merge(one.proposal(theirs))  # having looked again
        assert away.run().state == "applied"
    away.run()
    away.git("fetch", "--quiet", "origin", "main")
    away.git("merge-base", "--is-ancestor", landing, "FETCH_HEAD")
    assert (away.status("mine.lab"), away.status("theirs.lab")) == (502, 502)


def test_a_branch_that_somebody_wrote_anew_keeps_no_other_proposal_from_its_review(away):
    first = away.propose({"traefik/hello.yaml": route("hello")})
    away.run()
    away.git("fetch", "--quiet", "origin", f"proposals/{first}")
    away.git("checkout", "--quiet", "-b", "more", "FETCH_HEAD")
    away.git("commit", "--quiet", "--amend", "--message", "in better words")
    away.git("push", "--quiet", "--force", "origin", f"HEAD:proposals/{first}")
    second = away.propose({"traefik/more.yaml": route("more")})
    away.run()
    assert [pull.head for pull in away.gitea.pulls] == [f"proposals/{first}", f"proposals/{second}"]


def test_a_branch_that_somebody_went_on_with_leaves_its_proposal_as_it_was_shown(away):
    id = away.propose({"traefik/hello.yaml": route("hello")})
    away.run()
    away.git("fetch", "--quiet", "origin", f"proposals/{id}")
    away.git("checkout", "--quiet", "-b", "more", "FETCH_HEAD")
    (away.clone / "traefik" / "more.yaml").write_text(json.dumps(route("more")))
    away.git("add", "--all")
    away.git("commit", "--quiet", "--message", "one more thing")
    away.git("push", "--quiet", "origin", f"HEAD:proposals/{id}")
    away.run()
    with away.session() as one:
        assert one.world.store.head(f"proposals/{id}") == one.proposal(id).commit
        assert "more" not in str(one.plan(id).plan.changes)
        one.merge(one.proposal(id))
    assert away.run().state == "applied"
    assert (away.status("hello.lab"), away.status("more.lab")) == (502, 404)


def test_where_the_policy_asks_for_two_one_who_merges_is_not_enough(away):
    away.push({"waypost.yaml": "guards:\n  approvals: 2\n"})
    assert away.run().state in ("applied", "nothing")
    away.propose({"traefik/hello.yaml": route("hello")})
    away.run()
    away.gitea.merge(1, "rebase", by="alice")
    held = away.run()
    assert held.state == "held"
    assert "approved by gitea:alice; the policy asks for 2 people" in str(held.plan.refusals[0])
    away.propose({"traefik/more.yaml": route("more")})
    away.run()
    away.gitea.review(2, by="bob")
    away.gitea.review(2, by="alice")
    away.gitea.review(2, by="waypost-bot")
    away.gitea.review(2, by="a guest", official=False)
    away.gitea.merge(2, "rebase", by="alice")
    away.run()
    assert away.events(events.CommitApproved)[-1].reviewers == ("gitea:bob",)
    with away.session() as one:  # the second person consents where the reconciler runs
        one.consent(one.plan().plan, reason="bob looked too")
        assert one.run_pass().state == "applied"
    assert (away.status("hello.lab"), away.status("more.lab")) == (502, 502)


def approved_by_bob(house, *names):
    """A house whose policy asks for two people, and a proposal per route to which one of them said yes already."""
    house.push({"waypost.yaml": "guards:\n  approvals: 2\n"})
    house.run()
    for number, name in enumerate(names, start=1):
        house.propose({f"traefik/{name}.yaml": route(name)})
        house.run()
        house.gitea.review(number, by="bob")


def merged_while_it_does_not_answer(house):
    """A proposal that bob approved and alice merged; Gitea's interface is out of order just then."""
    approved_by_bob(house, "hello")
    merged = house.gitea.merge(1, "rebase", by="alice")
    house.gitea.down = True
    held = house.run()
    assert held.state == "held"
    assert "and is asked again" in str(held.plan.refusals[0])
    return merged


def test_who_approved_is_asked_again_where_gitea_did_not_answer_at_the_moment_of_the_merge(away, waypost):
    merged = merged_while_it_does_not_answer(away)
    away.run()
    assert [one.commit for one in away.events(events.ApproverAwaited)] == [merged]
    away.gitea.down = False
    assert away.run().state == "applied"
    [told] = away.events(events.ApproverTold)
    assert (told.commit, told.by, told.reviewers) == (merged, "gitea:alice", ("gitea:bob",))
    away.run()
    assert len(away.events(events.ApproverTold)) == 1
    assert "by gitea:alice" in waypost("why", "traefik/http.routers/hello")[1]
    with away.world() as world:
        newest = deployed(world, limit=1)["revisions"][0]
    assert [(one["by"], one["reviewers"]) for one in newest["commits"]] == [("gitea:alice", ["gitea:bob"])]


def test_a_gitea_that_does_not_answer_is_asked_once_for_all_that_came(away):
    for number in range(3):
        away.push({"README.md": f"change {number}"})
    away.gitea.down, asked = True, len(away.gitea.asked)
    assert away.run().state == "nothing"
    assert asked_of_commits(away.gitea, asked) == 1
    assert len(away.events(events.ApproverAwaited)) == 3
    away.gitea.down = False
    away.run()
    assert [one.by for one in away.events(events.ApproverTold)] == ["", "", ""]


def test_a_gitea_that_never_says_who_approved_is_not_asked_for_ever(away, monkeypatch):
    merged_while_it_does_not_answer(away)
    monkeypatch.setattr(vouching, "PATIENCE", timedelta(0))
    held = away.run()
    assert (held.state, "asked again" in str(held.plan.refusals[0])) == ("held", False)
    assert [one.by for one in away.events(events.ApproverTold)] == [""]
    with away.session() as one:  # two people on the spot are two people as well
        one.consent(one.plan().plan, reason="alice and bob told me")
        assert one.run_pass().state == "applied"


def asked_of_commits(gitea, since):
    return len([one for one in gitea.asked[since:] if "/commits/" in one])


@pytest.mark.parametrize("passes_in_between", [1, 3])
def test_a_merge_that_gitea_has_not_counted_yet_is_asked_again_until_it_has(away, passes_in_between):
    approved_by_bob(away, "hello")
    merged = away.gitea.move_branch(1, "rebase", by="alice")
    for _ in range(passes_in_between):
        held = away.run()
        assert (held.state, "and is asked again" in str(held.plan.refusals[0])) == ("held", True)
    assert away.gitea.pulls[0].state == "open"
    assert (len(away.events(events.ApproverAwaited)), away.events(events.ApproverTold)) == (1, [])
    away.gitea.count_as_merged(1, by="alice", commit=merged)
    assert away.run().state == "applied"
    [told] = away.events(events.ApproverTold)
    assert (told.commit, told.by, told.reviewers) == (merged, "gitea:alice", ("gitea:bob",))


def test_a_pull_request_that_never_counts_as_merged_is_waited_for_only_minutes_and_closed(away, monkeypatch):
    id = away.propose({"traefik/hello.yaml": route("hello")})
    away.run()
    merged = away.gitea.move_branch(1, "rebase", by="alice")  # as anybody can do by hand, too
    assert away.run().state == "applied"
    assert (away.gitea.pulls[0].state, away.events(events.ApproverTold)) == ("open", [])
    monkeypatch.setattr(vouching, "MERGING", timedelta(0))
    away.run()
    assert [(one.commit, one.by) for one in away.events(events.ApproverTold)] == [(merged, "")]
    assert away.gitea.pulls[0].state == "closed"
    assert [one.proposal for one in away.events(events.PullRequestClosed)] == [id]


def test_a_commit_that_gitea_cannot_answer_for_holds_up_no_other(away):
    approved_by_bob(away, "hello", "more")
    away.gitea.broken = {"/pulls/1/reviews"}
    first, second = (away.gitea.merge(number, "rebase", by="alice") for number in (1, 2))
    away.gitea.down = True
    away.run()
    away.gitea.down = False
    assert away.run().state == "held"
    assert [one.commit for one in away.events(events.ApproverAwaited)] == [first, second]
    assert [(one.commit, one.by) for one in away.events(events.ApproverTold)] == [(second, "gitea:alice")]
    away.gitea.broken = set()
    assert away.run().state == "applied"


def test_a_silent_gitea_is_asked_once_a_pass_however_long_many_commits_wait(away, monkeypatch):
    for number in range(3):
        away.push({"README.md": f"change {number}"})
    away.gitea.down = True
    away.run()

    def hang_up(asked):
        raise HungUp

    away.gitea.down, away.gitea.after = False, hang_up
    monkeypatch.setattr(vouching, "PATIENCE", timedelta(0))
    asked = len(away.gitea.asked)
    away.run()
    assert asked_of_commits(away.gitea, asked) == 2  # one question: where a connection breaks it is sent again
    assert [one.by for one in away.events(events.ApproverTold)] == ["", "", ""]


def test_who_only_pushed_is_vouched_for_by_nobody(away):
    away.push({"waypost.yaml": "guards:\n  approvals: 2\n"})
    away.run()
    away.push({"traefik/hello.yaml": route("hello")})
    assert "nobody whom a system vouches for" in str(away.run().plan.refusals[0])


def test_nobody_is_vouched_for_by_a_name_in_a_commit(away):
    away.push({"waypost.yaml": "guards:\n  approvals: 2\n"})
    away.run()
    away.git("config", "user.name", "unused")
    (away.clone / "traefik" / "hello.yaml").write_text(json.dumps(route("hello")))
    away.git("add", "--all")
    away.git("-c", "user.name=gitea:alice", "commit", "--quiet", "--message", "I am alice, says the commit")
    away.git("push", "--quiet")
    assert "nobody whom a system vouches for" in str(away.run().plan.refusals[0])


def test_where_the_policy_asks_for_two_nobody_alone_makes_it_ask_for_one(away):
    away.push({"waypost.yaml": "guards:\n  approvals: 2\n"})
    away.run()
    away.push({"waypost.yaml": "guards:\n  approvals: 1\n"})
    held = away.run()
    assert (held.state, held.plan.changes) == ("held", ())
    assert "nobody whom a system vouches for" in str(held.plan.refusals[0])
    away.push({"traefik/hello.yaml": route("hello")})
    assert away.run().state == "held"
    with away.session() as one:
        one.consent(one.plan().plan, reason="bob looked too")
        assert one.run_pass().state == "applied"
    away.push({"traefik/more.yaml": route("more")})
    assert away.run().state == "applied"


def test_a_commit_that_was_taken_off_main_again_asks_for_nobody(away):
    away.push({"waypost.yaml": "guards:\n  approvals: 2\n"})
    away.run()
    away.push({"traefik/kept.yaml": route("kept")})
    away.push({"traefik/slip.yaml": route("slip")})
    assert away.run().state == "held"
    away.git("reset", "--quiet", "--hard", "HEAD~1")
    away.git("push", "--quiet", "--force")
    held = away.run()
    assert [len(held.plan.refusals), held.state] == [1, "held"]  # what stayed on main still asks for two
    away.git("reset", "--quiet", "--hard", "HEAD~1")
    away.git("push", "--quiet", "--force")
    assert away.run().state == "nothing"
    away.propose({"traefik/hello.yaml": route("hello")})
    away.run()
    away.gitea.review(1, by="bob")
    away.gitea.merge(1, "rebase", by="alice")
    assert away.run().state == "applied"


def test_a_yes_to_another_branch_is_none_to_main(away):
    away.push({"waypost.yaml": "guards:\n  approvals: 2\n"})
    away.run()
    away.git("push", "--quiet", "origin", "HEAD:refs/heads/attic")
    away.git("checkout", "--quiet", "-b", "topic")
    (away.clone / "traefik" / "hello.yaml").write_text(json.dumps(route("hello")))
    away.git("add", "--all")
    away.git("commit", "--quiet", "--message", "hello")
    away.git("push", "--quiet", "origin", "HEAD:refs/heads/topic")
    away.gitea.pulls.append(Pull(1, "hello", "", base="attic", head="topic"))
    away.gitea.review(1, by="bob")
    merged = away.gitea.merge(1, "fast-forward-only", by="alice")
    away.git("push", "--quiet", "origin", f"{merged}:refs/heads/main")
    held = away.run()
    assert held.state == "held"
    assert "nobody whom a system vouches for" in str(held.plan.refusals[0])


def test_waypost_itself_is_none_of_those_who_approve(away):
    approved_by_bob(away, "hello")
    away.gitea.merge(1, "rebase", by="waypost-bot")
    held = away.run()
    assert held.state == "held"
    assert "was approved by gitea:bob; the policy asks for 2 people" in str(held.plan.refusals[0])


def test_who_said_yes_and_then_no_has_not_said_yes(away):
    away.push({"waypost.yaml": "guards:\n  approvals: 2\n"})
    away.run()
    away.propose({"traefik/hello.yaml": route("hello")})
    away.run()
    away.gitea.review(1, by="bob", state="APPROVED")
    away.gitea.review(1, by="bob", state="REQUEST_CHANGES")
    away.gitea.merge(1, "rebase", by="alice")
    assert away.run().state == "held"
    assert away.events(events.CommitApproved)[-1].reviewers == ()


@pytest.fixture
def as_alice(away, tmp_path, waypost):
    """`waypost` in the shell of alice, who has a token of her own."""
    (tmp_path / "alices").write_text("alices")
    with (away.home.path / "waypost.env").open("a") as settings:
        settings.write(
            f"\nWAYPOST_GITEA_PERSON_TOKEN=file:{tmp_path / 'alices'}\nWAYPOST_APPROVE_WITHOUT_TERMINAL=true\n"
        )
    away.home = home.open(away.home.path, {})
    return waypost


def test_who_approves_with_a_token_of_their_own_merges_in_gitea_in_their_name(away, as_alice):
    id = away.propose({"traefik/hello.yaml": route("hello")})
    away.run()
    away.push({"traefik/other.yaml": route("other")})
    away.gitea.protected = {"alice"}  # nobody else may merge, and nobody may push
    digest = json.loads(as_alice("show", id, "--json")[1])["plan"]["digest"]
    code, said = as_alice("approve", id, "--plan", digest)
    assert code == 0, said
    assert away.gitea.pulls[0].merged_by == "alice"
    assert away.events(events.CommitApproved)[-1].by == "gitea:alice"
    assert (away.status("hello.lab"), away.status("other.lab")) == (502, 502)


def test_what_gitea_does_not_allow_is_told_with_its_words_and_the_address(away, as_alice):
    id = away.propose({"traefik/hello.yaml": route("hello")})
    away.run()
    away.gitea.protected = {"bob"}
    digest = json.loads(as_alice("show", id, "--json")[1])["plan"]["digest"]
    code, said = as_alice("approve", id, "--plan", digest)
    assert code == 3
    assert "User not allowed to merge PR" in said
    assert "https://git.lab/house/desired/pulls/1" in said
    assert away.status("hello.lab") == 404


def test_while_gitea_does_not_answer_a_proposal_is_brought_to_main_without_it(away, as_alice):
    id = away.propose({"traefik/hello.yaml": route("hello")})
    away.run()
    digest = json.loads(as_alice("show", id, "--json")[1])["plan"]["digest"]
    away.gitea.down = True
    code, said = as_alice("approve", id, "--plan", digest)
    assert code == 0, said
    assert "without it" in said
    assert away.status("hello.lab") == 502


def test_one_pull_request_that_gitea_fails_at_keeps_no_other_from_its_turn(away):
    away.propose({"traefik/hello.yaml": route("hello")})
    away.run()
    away.gitea.broken = {"/pulls/1"}  # of this one it always says 500
    away.propose({"traefik/other.yaml": route("other")})
    away.run()
    assert [pull.number for pull in away.gitea.pulls] == [1, 2]
    merged = away.gitea.merge(2, "rebase", by="alice")
    away.run()
    assert status(away.gitea, merged, "waypost/apply") == ["success"]
    away.run()
    [lost] = away.events(events.GiteaLost)
    assert "500" in lost.reason and not away.events(events.GiteaFound)
    away.gitea.broken = set()
    away.run()
    assert away.events(events.GiteaFound)
