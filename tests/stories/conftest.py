"""A house to tell stories in: a real Traefik, a home of its own, a person with a clone of the desired repo."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler import app, founding, home, loop
from reconciler.cli import main
from reconciler.git import proposals
from reconciler.home import Home
from reconciler.loop import Outcome
from reconciler.session import Session, opened
from reconciler.world import World
from state import events
from state.events import Event
from tests.ports import free_port


@dataclass
class House:
    """A home beside a running Traefik."""

    home: Home
    traefik: Any
    clone: Path
    until: Callable[..., None]
    counter: list[int] = field(default_factory=list)

    # ── a person with git ────────────────────────────────────────────────────────────────────────

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.clone), "-c", "user.name=Ada", "-c", "user.email=ada@home", *arguments]
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def push(self, files: dict[str, Any], message: str = "a change by a person") -> str:
        """Commit these files (None removes) on main, where they do not stand there yet, and push; the commit."""
        for name, content in files.items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
        self.git("add", "--all")
        if self.git("status", "--porcelain"):
            self.git("commit", "--quiet", "--message", message)
            self.git("push", "--quiet")
        return self.git("rev-parse", "HEAD")

    # ── the reconciler ───────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def world(self) -> Iterator[World]:
        with app.locked(self.home) as world:
            assert isinstance(world, World)
            yield world

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        with opened(self.home) as session:
            yield session

    def run(self) -> Outcome:
        with self.world() as world:
            return loop.run_pass(world)

    def events(self, kind: type[Event] | None = None) -> list[Any]:
        with self.world() as world:
            found = [recorded.event for recorded in world.log.read()]
        return [event for event in found if kind is None or isinstance(event, kind)]

    def propose(self, files: dict[str, Any], title: str = "a proposal") -> str:
        """A proposal as the command line makes it; its id."""
        self.counter.append(1)
        id = f"p{len(self.counter)}"
        with self.session() as one:
            edits = {
                name: None
                if content is None
                else (content if isinstance(content, str) else json.dumps(content)).encode()
                for name, content in files.items()
            }
            head = one.head()
            commit = proposals.propose(
                one.world.store, parent=head, edits=edits, id=id, title=title, body="",
                trailers={"Waypost-Request": f"request-{id}", "Waypost-Tool": "test", "Waypost-Client": "test"},
                author="a model <model@localhost>", at=datetime.now(UTC),
            )  # fmt: skip
            one.say(
                events.ProposalMade(
                    proposal=id, branch=f"proposals/{id}", commit=commit, parent=head, tool="test", client="test",
                    title=title, resources=(),
                ),
                f"proposal/{id}",
            )  # fmt: skip
        return id

    # ── the wire ─────────────────────────────────────────────────────────────────────────────────

    @property
    def live_file(self) -> Path:
        return self.traefik.directory / "mcp-managed" / "waypost.yml"

    def status(self, host: str, path: str = "/") -> int:
        return int(self.traefik.get(host, path)[0])

    def edit_live(self, old: str, new: str) -> None:
        """A hand edit of our own file, in place, as an editor does it."""
        text = self.live_file.read_text()
        assert old in text
        self.live_file.write_text(text.replace(old, new))
        os.utime(self.live_file.parent)


@pytest.fixture
def house(tmp_path: Path, traefik: Any, until: Callable[..., None]) -> House:
    """A home with its starter state applied."""
    made = founding.create(
        tmp_path / "home",
        chosen={
            "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(traefik.directory),
            "WAYPOST_TRAEFIK_API_URL": traefik.url,
            "WAYPOST_TRAEFIK_DEADLINE": "5s",
            "WAYPOST_APPROVE_WITHOUT_TERMINAL": "true",
        },
        environ={},
        now=lambda: datetime.now(UTC),
    )
    house = House(home.open(made.path, {}), traefik, tmp_path / "clone", until)
    subprocess.run(["git", "clone", "--quiet", str(made.desired_source), str(house.clone)], check=True)
    assert house.run().state == "applied"
    return house


@pytest.fixture(name="free_port")
def a_free_port() -> Callable[[], int]:
    """A factory of ports at which nothing listens."""
    return free_port


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory, traefik_binary: Path) -> Iterator[Any]:
    """A whole town, started once for all its stories: each brings hosts of its own and leaves others' alone."""
    from tests.stories.town import living  # which needs this module

    directory = tmp_path_factory.mktemp("town")
    acme = {
        "caServer": "http://127.0.0.1:9/directory",  # an authority that never answers
        "storage": str(directory / "acme.json"),
        "httpChallenge": {"entryPoint": "web"},
    }
    with living(directory, traefik_binary, certificatesResolvers={"le": {"acme": acme}}) as town:
        yield town


@pytest.fixture
def waypost(house: House) -> Callable[..., tuple[int, str]]:
    """Run a command in this house's home: exit code, what it printed.

    In this process: a new one for each of a hundred commands would take a second and a half to start.
    """

    def run(*arguments: str) -> tuple[int, str]:
        written, complained, code = io.BytesIO(), io.StringIO(), 0
        said = io.TextIOWrapper(written, "utf-8")
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
            try:
                main(["--home", str(house.home.path), *arguments])
            except SystemExit as end:
                code = int(end.code or 0)
        assert "Traceback" not in complained.getvalue()
        assert "a fault of ours" not in complained.getvalue()
        said.flush()
        return code, written.getvalue().decode() + complained.getvalue()

    return run
