"""The desired repo lives elsewhere: followed, pushed to, gone and back."""

import shutil
import subprocess
from datetime import UTC, datetime

import pytest

from reconciler import founding, home
from reconciler.causes import causes
from state import events

ROUTE = {
    "http": {
        "routers": {"hello": {"rule": "Host(`hello.lab`)", "service": "hello"}},
        "services": {"hello": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}},
    }
}


@pytest.fixture
def away(tmp_path, house):
    """The same house, but its desired repo is a bare repository somewhere else."""
    elsewhere = tmp_path / "elsewhere.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", str(house.clone), str(elsewhere)], check=True)
    made = founding.create(
        tmp_path / "second",
        chosen={
            "WAYPOST_DESIRED_REPO": f"file://{elsewhere}",
            "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(house.traefik.directory),
            "WAYPOST_TRAEFIK_API_URL": house.traefik.url,
            "WAYPOST_TRAEFIK_DEADLINE": "5s",
        },
        environ={},
        now=lambda: datetime.now(UTC),
    )
    house.git("remote", "set-url", "origin", str(elsewhere))
    house.home = home.open(made.path, {})
    house.elsewhere = elsewhere
    return house


def test_main_elsewhere_is_followed_and_revisions_are_copied_there(away):
    away.push({"traefik/hello.yaml": ROUTE})
    assert away.run().state == "applied"
    assert away.status("hello.lab") != 404
    references = subprocess.run(
        ["git", "-C", str(away.elsewhere), "for-each-ref", "--format=%(refname)"], capture_output=True, text=True
    ).stdout.split()
    assert "refs/waypost/revisions/1" in references
    assert "refs/notes/waypost" in references


def test_a_repo_that_is_gone_leaves_everything_live_and_is_told_once_and_comes_back(away):
    away.push({"traefik/hello.yaml": ROUTE})
    away.run()
    hidden = away.elsewhere.rename(away.elsewhere.with_name("hidden"))
    assert away.run().state == "lost"
    assert away.run().state == "lost"
    assert away.status("hello.lab") != 404
    (lost,) = away.events(events.SourceLost)
    assert str(away.elsewhere) in lost.reason
    with away.world() as world:
        (cause,) = causes(world)
    assert "the desired repo cannot be followed" in cause.title
    hidden.rename(away.elsewhere)
    assert away.run().state == "nothing"
    assert away.events(events.SourceFound)


def test_a_missing_branch_is_named(away):
    away.run()
    subprocess.run(["git", "-C", str(away.elsewhere), "update-ref", "-d", "refs/heads/main"], check=True)
    assert away.run().state == "lost"
    assert "main" in away.events(events.SourceLost)[-1].reason


def test_a_proposal_is_published_where_people_review_and_approval_is_pushed_there(away):
    away.run()
    id = away.propose({"traefik/hello.yaml": ROUTE})
    away.run()
    branches = subprocess.run(
        ["git", "-C", str(away.elsewhere), "branch", "--list"], capture_output=True, text=True
    ).stdout
    assert f"proposals/{id}" in branches
    with away.session() as person:
        person.merge(person.proposal(id))
    assert away.run().state == "applied"
    away.git("pull", "--quiet")
    assert "a proposal" in away.git("log", "-1", "--format=%s")


def test_a_corrupt_repository_says_so_and_leaves_everything_live(away):
    away.push({"traefik/hello.yaml": ROUTE})
    away.run()
    shutil.rmtree(away.elsewhere / "objects")
    (away.elsewhere / "objects").mkdir()
    away.run()
    assert away.status("hello.lab") != 404
    assert away.events(events.SourceLost)
