"""What a model learns of Gitea: repositories, reviews and their plans, webhooks, and what is live from which commit."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler import web
from reconciler.query_client import Away, QueryClient
from reconciler.setting import Secret
from shards.gitea import Gitea
from shards.gitea_reading import GiteaAt, Reader
from shards.kit import Call, Refused
from tests.gitea.fake_gitea import FakeGitea, Pull, Serving
from tests.shards.contracts import DOCS, OfTheGateway, desk_over
from tests.shards.serving import Answers, DesiredRepo, served

CALL = Call(request_id="r1", client="a model", tool="gitea")


class Query(QueryClient):
    """A reconciler that answers what a test gives it."""

    answer: Any = {"revisions": []}
    heard: Any = {"since": "2026-01-01T00:00:00+00:00", "taken": 0, "not_taken": 0, "deliveries": []}

    def deployed(self, limit: int) -> Any:
        return self.answer

    def webhooks(self) -> Any:
        return self.heard


@pytest.fixture
def gitea(tmp_path: Path) -> Iterator[FakeGitea]:
    repository = tmp_path / "desired.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(repository)], check=True)
    fake = FakeGitea(repository)
    yield fake
    assert fake.faults == []


@pytest.fixture
def serving(gitea: FakeGitea) -> Iterator[Serving]:
    serving = Serving(gitea)
    yield serving
    serving.close()


@pytest.fixture
def shard(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gitea]:
    monkeypatch.setenv("READ_TOKEN", "right")
    reader = Reader(GiteaAt(url=serving.url, repository="house/desired", token=Secret("env:READ_TOKEN")))
    query = Query("http://127.0.0.1:9")
    yield Gitea(reader, query)
    reader.close()
    query.close()


def test_repositories_are_listed_and_the_desired_one_is_known(shard: Gitea, gitea: FakeGitea) -> None:
    gitea.repositories = [
        {
            "full_name": "house/desired",
            "description": "what\u202e should be",
            "default_branch": "main",
            "private": True,
        },
        {"full_name": "house/notes", "description": None, "archived": True},
    ]
    desired, notes = shard.list_repositories(CALL).repositories
    assert (desired.name, desired.is_desired, desired.description) == ("house/desired", True, "what should be")
    assert (notes.is_desired, notes.archived) == (False, True)


def test_reviews_tell_their_proposal_and_what_its_plan_comes_to(shard: Gitea, gitea: FakeGitea) -> None:
    def git(*arguments: str) -> str:
        at = ["git", "-C", str(gitea.repository), "-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run([*at, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    commit = git("commit-tree", git("hash-object", "-t", "tree", "-w", "/dev/null"), "-m", "x")
    git("update-ref", "refs/heads/proposals/p1", commit)
    gitea.pulls = [
        Pull(1, "Mine", "", "main", "mine", "closed", "alice", "c" * 40),
        Pull(2, "Add a route", "", "main", "proposals/p1"),
    ]
    gitea.statuses = [
        {"commit": commit, "context": "ci", "state": "failure", "description": "red"},
        {"commit": commit, "context": "waypost/plan", "state": "success", "description": "1 changes; plan abc"},
    ]
    open_one, merged = shard.list_pull_requests(CALL, "all").reviews
    assert (open_one.proposal, open_one.plan, open_one.state) == ("p1", "success: 1 changes; plan abc", "open")
    assert (merged.proposal, merged.state, merged.merged_by) == ("", "merged", "alice")


def test_of_a_webhook_only_where_it_leads_is_told_and_no_secret(shard: Gitea, gitea: FakeGitea) -> None:
    hook = {"type": "gitea", "active": True, "events": ["push"], "created_at": "2026-01-01T00:00:00Z"}
    gitea.hooks = [
        {**hook, "id": 1, "config": {"url": "http://waypost:9101/webhooks/gitea", "secret": "canary"}},
        {**hook, "id": 2, "config": {"url": "https://discord.example/api/webhooks/1/canary"}},
        {**hook, "id": 3, "config": {"url": "https://who:canary@[nonsense"}, "authorization_header": "canary"},
    ]
    found = shard.list_webhooks(CALL)
    assert [one.calls for one in found.webhooks] == [
        "http://waypost:9101/webhooks/gitea", "https://discord.example/…", "an address that cannot be read",
    ]  # fmt: skip
    assert "canary" not in found.model_dump_json()


def test_what_arrived_at_waypost_is_told_beside_the_webhooks_of_the_desired_repo(
    shard: Gitea, gitea: FakeGitea, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged = {"event": "push\u202e", "delivery": "f626", "taken": False, "said": "the signature is not ours"}
    one = {"at": "2026-01-01T00:00:00+00:00", "due": 0, "is_over": False, "status": 401, **forged}
    monkeypatch.setattr(Query, "heard", {**Query.heard, "not_taken": 1, "deliveries": [one]})
    found = shard.list_webhooks(CALL).received
    assert found and [(one.event, one.said) for one in found.deliveries] == [("push", "the signature is not ours")]
    monkeypatch.setattr(Query, "heard", Away("nobody answers"))
    silent = shard.list_webhooks(CALL)
    assert silent.received is None and "nobody answers" in silent.left_out[0]


def test_what_was_live_is_told_with_its_commits(shard: Gitea, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = {"commit": "a" * 40, "subject": "Add\u200b it", "by": "gitea:alice", "reviewers": ["gitea:bob"]}
    revision = {"number": 3, "commit": "a" * 40, "at": "2026-01-01T00:00:00+00:00", "commits": [commit]}
    monkeypatch.setattr(Query, "answer", {"revisions": [revision]})
    [told] = shard.list_deployments(CALL, 5).revisions
    assert (told.number, told.commits[0].subject, told.commits[0].reviewers) == (3, "Add it", ["gitea:bob"])
    monkeypatch.setattr(Query, "answer", {"revisions": "none"})
    with pytest.raises(Refused, match="another version"):
        shard.list_deployments(CALL, 5)


def test_an_outage_a_refusal_and_a_stranger_are_each_told(shard: Gitea, gitea: FakeGitea, monkeypatch: Any) -> None:
    with pytest.raises(Refused, match="knows no") as unknown:
        shard.list_webhooks(CALL, "house/other")
    assert unknown.value.code == "not-found"
    gitea.down = True
    with pytest.raises(Refused, match="503"):
        shard.list_repositories(CALL)
    monkeypatch.setenv("READ_TOKEN", "wrong")
    with pytest.raises(Refused, match="WAYPOST_GITEA_READ_TOKEN") as forbidden:
        shard.list_repositories(CALL)
    assert not forbidden.value.retry


class TestGitea(OfTheGateway):
    name = "gitea"
    calls = {
        "list_repositories": {"name": "desired"},
        "list_pull_requests": {"state": "all"},
        "list_webhooks": {},
        "list_deployments": {"newest": 1},
        "get_gitea_docs": DOCS,
    }

    @pytest.fixture(autouse=True)
    def _known(
        self, serving: Serving, gitea: FakeGitea, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> Iterator[None]:
        monkeypatch.setenv("READ_TOKEN", "right")
        gitea.repositories = [{"full_name": "house/desired"}]
        at = GiteaAt(url=serving.url, repository="house/desired", token=Secret("env:READ_TOKEN"))
        self.known, self.desired = {"gitea": at}, DesiredRepo(tmp_path / "wanted.git")
        told = Answers({"deployed": Query.answer, "webhooks": Query.heard})
        with (
            served(web.build(told, ["127.0.0.1"])) as reconciler,
            desk_over(self.desired, tmp_path / "gateway", reconciler) as self.desk,
        ):
            yield
