"""The desired repo lives elsewhere: followed, pushed to, gone and back."""

import shutil
import subprocess
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from reconciler import founding, home, rolling_back
from reconciler.backups import making
from reconciler.causes import causes
from reconciler.cli import waypost as command_line
from reconciler.housekeeping import check_here
from state import events
from state.log import Anchor

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


@pytest.fixture
def empty(tmp_path):
    """A repository on a server of one's own, as it is when it was just made."""
    path = tmp_path / "server" / "desired.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch", "main", str(path)], check=True)
    return path


def waypost(house, *arguments):
    return CliRunner().invoke(command_line, ["--home", str(house.home.path), *arguments])


def test_the_embedded_repo_moves_to_a_server_and_loses_nothing(house, empty):
    house.push({"traefik/hello.yaml": ROUTE})
    assert house.run().revision == 2
    waiting = house.propose({"traefik/other.yaml": None} | {"traefik/more.yaml": ROUTE})
    house.run()
    moved = waypost(house, "remote", "set", f"file://{empty}")
    assert moved.exit_code == 0, moved.output
    house.home = home.open(house.home.path, {})
    assert house.home.desired_source == f"file://{empty}"
    assert house.run().state == "nothing"
    with house.session() as one:
        assert one.find(waiting).status == "open"
        assert sorted(one.world.store.revisions()) == [1, 2]
        assert one.world.log.verify(Anchor(seq, hash) for _, seq, hash in one.world.store.anchors()).ok
    house.git("remote", "set-url", "origin", str(empty))
    house.push({"traefik/hello.yaml": None})
    assert house.run().revision == 3
    with house.session() as one:
        record = rolling_back.propose(one, 2)
        one.merge(record)
        assert one.run_pass().state == "applied"


def test_a_move_to_a_repository_with_a_history_of_its_own_is_refused_and_changes_nothing(house, empty):
    strange = house.clone.with_name("strange")
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main", str(strange)], check=True)
    commit = ["-c", "user.name=Eve", "-c", "user.email=eve@home", "commit", "--quiet", "--allow-empty", "-m", "ours"]
    subprocess.run(["git", "-C", str(strange), *commit], check=True)
    subprocess.run(["git", "-C", str(strange), "push", "--quiet", str(empty), "main"], check=True)
    refused = waypost(house, "remote", "set", f"file://{empty}")
    assert refused.exit_code == 1
    assert "of its own" in refused.output
    assert home.open(house.home.path, {}).embedded


def test_a_move_that_was_cut_off_is_done_again(house, empty):
    house.push({"traefik/hello.yaml": ROUTE})
    house.run()
    subprocess.run(["git", "-C", str(house.clone), "push", "--quiet", str(empty), "main"], check=True)
    (house.home.path / "mirror.git").mkdir()
    assert waypost(house, "remote", "set", f"file://{empty}").exit_code == 0
    house.home = home.open(house.home.path, {})
    assert house.run().state == "nothing"
    assert waypost(house, "remote", "set", f"file://{empty}").exit_code == 1  # it is there already


@pytest.mark.parametrize("rewritten", [False, True], ids=["as it was", "and main was rewritten meanwhile"])
def test_a_mirror_that_was_lost_is_whole_again_with_every_revision(away, tmp_path, rewritten):
    away.push({"traefik/hello.yaml": ROUTE})
    assert away.run().revision == 1
    away.push({"README.md": "words"})
    assert away.run().revision == 2
    if rewritten:
        away.git("reset", "--quiet", "--hard", "HEAD~1")
        away.git("push", "--quiet", "--force")
    shutil.rmtree(away.home.desired_store_path)
    outcome = away.run()
    assert outcome.state == ("held" if rewritten else "nothing"), outcome.said
    known = {made.number: made.commit for made in away.events(events.RevisionMade)}
    assert known.keys() == {1, 2}
    with away.world() as world:
        assert world.store.revisions() == known
        assert world.log.verify([Anchor(one.seq, one.hash) for one in world.store.anchors()]).ok
    made = making.make(away.home, tmp_path / "home.zip", now=lambda: datetime.now(UTC), tell=str, check=check_here)
    assert made.manifest.seq
