"""A home beside a running Traefik that can be put back to one moment, and what must hold whenever it was killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from reconciler import founding, home
from reconciler.git.proposals import proposals
from reconciler.git.store import Store
from reconciler.home import Home
from reconciler.traefik import render
from state import events, views
from state.log import EventLog
from state.model import digest_bytes
from state.record import Anchor
from tests.durability.steps import ROUTE
from tests.durability.warm import Child, Server, Work

HELLO, OTHER = "hello", "other"
BEGINNING = "beginning"
"""The moment to which `put_back` brings what `set_up` made."""


def now() -> datetime:
    return datetime.now(UTC)


def route(name: str, priority: int) -> dict[str, Any]:
    return {
        "http": {
            "routers": {name: {"rule": f"Host(`{name}.lab`)", "service": name, "priority": priority}},
            "services": {name: {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}},
        }
    }


@dataclass
class Receiver:
    """An address that takes alerts and remembers them. `answer` is called before it says that it took one."""

    url: str
    titles: list[str] = field(default_factory=list)
    answer: Callable[[], object] = int


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    class Take(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known.titles.append(body["title"])
            known.answer()
            with contextlib.suppress(ConnectionError):  # whoever sent it may be gone
                self.send_response(200)
                self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Take)
    known = Receiver(f"json://127.0.0.1:{server.server_port}/")
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Scene:
    """A home, a Traefik, a person's clone, a receiver of alerts; processes of `server` work on it."""

    home: Home
    traefik: Any
    server: Server
    receiver: Receiver
    until: Callable[..., None]
    place: Path
    kept: dict[str, dict[str, bytes]] = field(default_factory=dict)
    by_hand: set[str] = field(default_factory=set)

    # ── what happens in it ───────────────────────────────────────────────────────────────────────

    @property
    def said_path(self) -> Path:
        return self.place / "acknowledged"

    @property
    def said(self) -> list[list[str]]:
        """What was acknowledged since `forget`, as words; the last line may have been cut off."""
        text = self.said_path.read_text() if self.said_path.exists() else ""
        return [line.split() for line in text.split("\n")[:-1]]

    def forget(self) -> None:
        self.said_path.unlink(missing_ok=True)
        self.receiver.titles.clear()

    def command(self, *arguments: str) -> Work:
        """`waypost …` in this home."""
        return Work("tests.durability.steps:command", (str(self.home.path), str(self.said_path), *arguments))

    def proposing(self, name: str = "new") -> Work:
        given = {**ROUTE, "name": name, "host": f"{name}.lab"}
        return Work("tests.durability.steps:propose", (str(self.home.path), str(self.said_path), "create_route", given))

    def passing(self) -> Work:
        return self.command("reconcile", "--once")

    def starting_gateway(self) -> Work:
        return Work("tests.durability.steps:start_gateway", (str(self.home.path), str(self.said_path)))

    def gateway_starts(self) -> None:
        self.server.do(self.starting_gateway())

    def do(self, work: Work, allowed: tuple[int, ...] = (0, 2)) -> Child:
        """Do it to the end; 2 says that drift is pending."""
        child = self.server.fork(work)
        child.go()
        assert child.wait() in allowed, f"{work.arguments}: {child.code}: {child.said}"
        return child

    def passes(self) -> Child:
        return self.do(self.passing())

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.clone), "-c", "user.name=Ada", "-c", "user.email=ada@home", *arguments]
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.strip()

    @property
    def clone(self) -> Path:
        return self.place / "clone"

    def push(self, *named: tuple[str, int]) -> None:
        """A person commits these routes on main."""
        shutil.rmtree(self.clone, ignore_errors=True)
        subprocess.run(["git", "clone", "--quiet", str(self.home.desired_source), str(self.clone)], check=True)
        for name, priority in named:
            path = self.clone / f"traefik/{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(route(name, priority)))
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "by hand")
        self.git("push", "--quiet")

    # ── there and back ───────────────────────────────────────────────────────────────────────────

    @property
    def folder(self) -> Path:
        return Path(self.traefik.directory) / "mcp-managed"

    @property
    def live_path(self) -> Path:
        return self.folder / "waypost.yml"

    def keep(self, moment: str) -> None:
        """Remember everything as it is now, under this name."""
        shutil.rmtree(self.place / moment, ignore_errors=True)
        shutil.copytree(self.home.path, self.place / moment, symlinks=True)
        self.kept[moment] = {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def put_back(self, moment: str) -> None:
        """Make everything as it was remembered, and wait until Traefik serves that."""
        shutil.rmtree(self.home.path)
        shutil.copytree(self.place / moment, self.home.path, symlinks=True)
        kept = self.kept[moment]
        for path in self.folder.iterdir():
            if path.name not in kept:
                path.unlink()
        for name, content in kept.items():
            if not (self.folder / name).exists() or (self.folder / name).read_bytes() != content:
                self.traefik.drop(f"mcp-managed/{name}", content)
        os.utime(self.folder)
        marker = f"{render.marker_of(kept['waypost.yml'])}@file"
        self.until(lambda: marker in self.traefik.names(), "Traefik's return to what was before")
        self.by_hand = {digest_bytes(kept["waypost.yml"])}
        self.forget()

    # ── what must hold ───────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def log(self) -> Iterator[EventLog]:
        with contextlib.closing(EventLog.open(self.home.log_path, now=now, readonly=True)) as log:
            yield log

    def events(self, kind: type[events.Event]) -> list[Any]:
        with self.log() as log:
            return [recorded.event for recorded in log.read() if isinstance(recorded.event, kind)]

    def require_sound(self) -> None:
        """Right after a death: nothing acknowledged is lost, log and anchors verify, our file is one we know whole."""
        store = Store.open(self.home.desired_store_path)
        with self.log() as log:
            verified = log.verify([Anchor(one.seq, one.hash) for one in store.anchors()])
            assert verified.ok, verified.reason
            found = {recorded.seq: recorded for recorded in log.read()}
        assert list(found) == list(range(1, len(found) + 1))
        for word, *rest in self.said:
            if word == "event":
                assert found[int(rest[0])].hash == rest[1], f"event {rest[0]} was acknowledged and is lost"
        content = self.live_path.read_bytes()
        known = self.by_hand | {one.event.after for one in found.values() if isinstance(one.event, events.ApplyStarted)}
        known |= {
            one.event.file for one in found.values() if isinstance(one.event, events.ApplyProven | events.ApplyUndone)
        }
        assert digest_bytes(content) in known, "what is live is no rendering of anything that was ever decided"
        render.parse(content, "traefik")

    def require_settled(self, *, priority: int) -> None:
        """After the next pass: main is live and a revision, everything was done once, nothing was left over."""
        store = Store.open(self.home.desired_store_path)
        head = store.head()
        with self.log() as log:
            revisions = log.view(views.Revisions)
            assert revisions.latest and revisions.latest.commit == head
            assert list(revisions.by_number) == list(range(1, len(revisions.by_number) + 1))
            assert len(revisions.by_commit) == len(revisions.by_number), "one commit, one revision"
            assert store.revisions() == {number: made.commit for number, made in revisions.by_number.items()}
            assert not log.view(views.Attempts).open
            verified = log.verify([Anchor(one.seq, one.hash) for one in store.anchors()])
            assert verified.ok, verified.reason
            recorded = [one.event for one in log.read()]
            known = log.view(views.Proposals).items
        assert store.anchored(head or "")
        for kind, name in ((events.CommitApproved, "commit"), (events.ApplyProven, "attempt")):
            done = [getattr(one, name) for one in recorded if isinstance(one, kind)]
            assert len(done) == len(set(done)), f"{kind.__name__} twice: {done}"
        proven = [one.commit for one in recorded if isinstance(one, events.ApplyProven)]
        assert proven.count(head or "") <= 1, "one commit was deployed twice"
        live = json.loads(self.live_path.read_bytes())
        assert live["http"]["routers"][HELLO]["priority"] == priority
        assert proposals(store).keys() <= known.keys(), "a proposal without a record"
        left = [path for path in self.home.path.rglob("*.lock") if path.name not in ("reconciler.lock", "gateway.lock")]
        assert not left, f"stale locks: {left}"
        assert {path.name for path in self.folder.iterdir()} <= {"waypost.yml", "waypost.previous", ".waypost.lock"}

    def require_quiet(self) -> None:
        """One pass more finds nothing to do and nothing to tell anybody."""
        with self.log() as log:
            before = log.head().seq
        heard = len(self.receiver.titles)
        self.passes()
        with self.log() as log:
            assert log.head().seq == before, [one.event for one in log.read(before)]
        assert len(self.receiver.titles) == heard


def set_up(place: Path, traefik: Any, server: Server, known: Receiver, until: Callable[..., None]) -> Scene:
    """Two routes live; one of them was edited by hand since, and nobody noticed yet: the next pass raises an alert."""
    made = founding.create(
        place / "home",
        chosen={
            "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(traefik.directory),
            "WAYPOST_TRAEFIK_API_URL": traefik.url,
            "WAYPOST_TRAEFIK_DEADLINE": "5s",
            "WAYPOST_TRAEFIK_BINARY": __file__,  # no program: what a throw-away Traefik has on disk is worthless
            "WAYPOST_APPROVE_WITHOUT_TERMINAL": "true",
            "WAYPOST_ALERT_URLS": known.url,
        },
        environ={},
        now=now,
    )
    scene = Scene(home.open(made.path, {}), traefik, server, known, until, place)
    scene.push((HELLO, 1), (OTHER, 1))
    scene.passes()
    scene.passes()
    scene.keep(BEGINNING)
    return scene


def edit_by_hand(scene: Scene, was: bytes = b"other.lab", becomes: bytes = b"edited.lab") -> None:
    """Somebody edits a route of ours in place that nobody will change."""
    content = scene.live_path.read_bytes()
    assert was in content
    edited = content.replace(was, becomes)
    scene.traefik.drop("mcp-managed/waypost.yml", edited)
    os.utime(scene.folder)
    scene.by_hand.add(digest_bytes(edited))


def take_back_by_hand(scene: Scene) -> None:
    """And makes it again what it was."""
    edit_by_hand(scene, b"edited.lab", b"other.lab")
