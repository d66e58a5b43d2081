"""People review in Gitea: proposals are pull requests there, and what is merged there, in whatever style, goes live."""

import contextlib
import subprocess
from datetime import UTC, datetime

import pytest

from reconciler import founding, home, rolling_back
from state import events
from tests.gitea.fake import FakeGitea, HungUp, Serving


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


@pytest.mark.parametrize("style", ["merge", "rebase", "squash", "fast-forward-only"])
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


def test_what_a_person_saw_in_the_pull_request_is_agreed_to_by_merging_it(away):
    away.push({f"traefik/{name}.yaml": route(name) for name in ("a", "b", "c", "d", "e")})
    assert away.run().state == "applied"
    away.propose({f"traefik/{name}.yaml": None for name in ("b", "c", "d", "e")}, title="Remove most of it")
    away.run()
    assert "e.lab would no longer be served" in away.gitea.pulls[0].body
    away.gitea.merge(1, "rebase", by="alice")
    assert away.run().state == "applied"


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


def test_while_gitea_is_down_proposals_wait_and_go_there_when_it_is_back(away):
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


def there(house):
    command = ["git", "-C", str(house.elsewhere), "rev-parse", "main"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_rollback_needs_no_gitea_and_gets_there_when_it_is_back(away, without):
    away.push({"traefik/hello.yaml": route("hello")})
    away.run()
    away.push({"traefik/hello.yaml": route("hello", "broken")})
    assert away.run().revision == 3
    with without():
        landing, said = roll_back(away, 2)
        assert (said.state, away.status("hello.lab")) == ("applied", 502)
        assert away.run().state == "nothing"
        assert away.status("hello.lab") == 502
    assert away.run().state == "nothing"
    assert there(away) == landing
    assert len(away.events(events.SourceLost)) == len(away.events(events.SourceFound)) == 1
    assert [one.commit for one in away.events(events.CommitApproved)][-1] == landing


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
    away.gitea.approve(2, by="bob")
    away.gitea.approve(2, by="alice")
    away.gitea.merge(2, "rebase", by="alice")
    away.run()
    assert away.events(events.CommitApproved)[-1].reviewers == ("gitea:bob",)
    with away.session() as one:  # the second person consents where the reconciler runs
        one.consent(one.plan().plan, reason="bob looked too")
        assert one.run_pass().state == "applied"
    assert (away.status("hello.lab"), away.status("more.lab")) == (502, 502)


def test_who_only_pushed_is_vouched_for_by_nobody(away):
    away.push({"waypost.yaml": "guards:\n  approvals: 2\n"})
    away.run()
    away.push({"traefik/hello.yaml": route("hello")})
    assert "nobody whom a system vouches for" in str(away.run().plan.refusals[0])
