"""A desired repo that somebody rewrote, emptied or broke: what was applied last is served on, and somebody is told."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler import founding, home, loop, telling
from reconciler.causes import causes
from state import events
from tests.stories.test_hard_days import routes, wire


@pytest.fixture
def elsewhere(house, tmp_path) -> Path:
    """The house follows a repository elsewhere, which is this one; r1 and r2 are live."""
    bare = tmp_path / "elsewhere.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", str(house.clone), str(bare)], check=True)
    chosen = {
        "WAYPOST_DESIRED_REPO": f"file://{bare}",
        "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(house.traefik.directory),
        "WAYPOST_TRAEFIK_API_URL": house.traefik.url,
        "WAYPOST_TRAEFIK_DEADLINE": "5s",
    }
    made = founding.create(tmp_path / "second", chosen=chosen, environ={}, now=lambda: datetime.now(UTC))
    house.git("remote", "set-url", "origin", str(bare))
    house.home = home.open(made.path, {})
    house.push({"traefik/r1.yaml": routes("r1")})
    house.push({"traefik/r2.yaml": routes("r2")})
    assert house.run().state == "applied"
    return bare


def told(world) -> str:
    return "\n".join(f"{cause.title}\n{cause.body}" for cause in causes(world))


def force(house, *before: str) -> str:
    for command in before:
        house.git(*command.split())
    house.git("push", "--quiet", "--force", "origin", "HEAD:main")
    return house.git("rev-parse", "HEAD")


def test_another_past_is_held_until_a_person_agrees_and_what_was_applied_is_served_on(house, elsewhere):
    good = house.git("rev-parse", "HEAD")
    with house.world() as world:
        force(house, "reset --quiet --hard HEAD~1")
        assert loop.run_pass(world).state == "held"
        assert "the branch was rewritten" in told(world) and "r2.lab would no longer be served" in told(world)
        force(house, "checkout --quiet --orphan other", "rm -rf --quiet .", "commit --quiet --allow-empty -m emptied")
        assert loop.run_pass(world).state == "held"
        assert "the branch was rewritten" in told(world) and "waypost approve" in told(world)
        assert wire(house, "r1", "r2") == [True, True]
        assert world.store.commit(good).id == good  # what was a revision outlives the branch
        force(house, f"reset --quiet --hard {good}")
        assert loop.run_pass(world).state == "nothing"
        assert told(world) == ""
        assert world.log.verify(telling.anchors(world)).ok
    rewritten = house.events(events.HistoryRewritten)
    assert len(rewritten) == 3 and rewritten[-1].now == good


def emptied(bare: Path) -> None:
    """Somebody made the repository anew and pushed nothing yet."""
    shutil.rmtree(bare)
    subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True)


def torn(bare: Path) -> None:
    """The end of its pack is gone."""
    subprocess.run(["git", "-C", str(bare), "gc", "--quiet", "--prune=now"], check=True)
    (pack,) = (bare / "objects" / "pack").glob("*.pack")
    pack.chmod(0o644)
    pack.write_bytes(pack.read_bytes()[:200])


def mistaken(bare: Path) -> None:
    """The branch names a file."""
    blob = subprocess.run(
        ["git", "-C", str(bare), "hash-object", "-w", "--stdin"], input=b"x", capture_output=True, check=True
    ).stdout.decode()
    (bare / "refs" / "heads").mkdir(parents=True, exist_ok=True)
    (bare / "packed-refs").unlink(missing_ok=True)
    (bare / "refs" / "heads" / "main").write_text(blob)


def test_a_repo_that_is_no_good_any_more_leaves_everything_live_and_is_taken_up_again(house, elsewhere, tmp_path):
    house.push({"traefik/r3.yaml": routes("r3")})
    whole = tmp_path / "whole.git"
    shutil.copytree(elsewhere, whole)
    with house.world() as world:
        for broken in (emptied, torn, mistaken):
            broken(elsewhere)
            outcome = loop.run_pass(world)
            assert outcome.state == "lost", (broken.__name__, outcome.said)
            assert "the desired repo cannot be followed" in told(world), broken.__name__
            assert wire(house, "r1", "r2", "r3") == [True, True, False], broken.__name__
            shutil.rmtree(elsewhere)
            shutil.copytree(whole, elsewhere)
        assert loop.run_pass(world).state == "applied"
        assert wire(house, "r1", "r2", "r3") == [True] * 3
        assert told(world) == ""
