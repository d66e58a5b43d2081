"""`waypost docs`: what is watched, what is unread, and that it was read. Nothing here goes to the network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from reconciler import app, home
from reconciler.cli import waypost
from reconciler.git.store import Store
from state import events, views
from state.log import Entry
from tests.shards.serving import DesiredRepo

PAGE = "https://doc.traefik.io/traefik/migrate/v3/"
CHANGED = events.DocumentationChanged(
    page=PAGE,
    at=PAGE,
    title="Migration",
    sections={"a": "1"},
    reader=1,
    changed=({"kind": "changed", "anchor": "a", "heading": "A", "before": "0", "after": "1"},),
    difference="changed: A #a\n-old\n+new",
    resources=(),
    concerns=("traefik/http.middlewares/auth (traefik/auth.yaml:3): forwardAuth",),
    releases="https://github.com/traefik/traefik/releases",
    reason="a section says something else",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that watches one page, of which a change is unread."""
    path = tmp_path_factory.mktemp("home") / "home"
    assert CliRunner().invoke(waypost, ["--home", str(path), "init", str(path)]).exit_code == 0
    desired = DesiredRepo.__new__(DesiredRepo)
    desired.store = Store.open(home.open(path).desired_store_path)
    desired.commit({"docs/watch.yaml": f"pages:\n  - {PAGE}\n".encode()})
    with app.opened(home.open(path), write=True) as world:
        listed = events.DocumentationListed(commit="", pages=(PAGE,), problems=(), reason="test")
        world.log.append([Entry(stream="documentation", event=one) for one in (listed, CHANGED)])
    return path


def docs(place: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(waypost, ["--home", str(place), "docs", *arguments])
    return done.exit_code, done.output


def test_it_shows_what_is_watched_what_changed_and_ends_once_that_was_read(place: Path) -> None:
    code, said = docs(place)
    assert code == 2
    for words in (PAGE, "read never", "a section says something else", "traefik/auth.yaml:3", "+new"):
        assert words in said
    assert docs(place, "--read", "https://komo.do/")[0] == 1
    code, said = docs(place, "--json", "--read")
    assert code == 0 and json.loads(said)["pages"][0]["news"] == []
    assert docs(place)[0] == 0
    with app.opened(home.open(place), write=False) as world:
        assert world.log.view(views.Documentation).unread == {}


def test_a_look_now_at_nothing_asks_nobody(tmp_path: Path) -> None:
    path = tmp_path / "home"
    CliRunner().invoke(waypost, ["--home", str(path), "init", str(path)])
    assert docs(path, "--now") == (0, "no page is watched; docs/watch.yaml says how\n")
