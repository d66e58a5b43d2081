"""What must hold of the files that a loss of power left: the judges of each recorded workload."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from reconciler.backups import archive
from reconciler.backups.restoring import check
from reconciler.git.proposals import proposals, propose
from reconciler.git.starter import plant
from reconciler.git.store import Store
from reconciler.targets.owned import FOLDER
from state.codec import Redacted
from state.events import HomeRestored, PassFailed, ToolCalled
from state.log import Entry, EventLog
from state.outbox import GATEWAY_EVENTS, Outbox, drain
from state.views import Applied
from tests.durability import workloads
from tests.durability.workloads import AT, now, plan


def log(place: Path, said: tuple[str, ...]) -> None:
    """Opens, verifies, holds every acknowledged event under its hash, takes the outbox in once, can be appended to."""
    known = {int(seq): hash for word, seq, hash in map(_three, said) if word == "event"}
    opened = EventLog.open(place / "log.db", now=now, create=not known)
    with contextlib.closing(opened):
        found = {recorded.seq: recorded for recorded in opened.read()}
        assert list(found) == list(range(1, len(found) + 1)), "the log has a gap"
        lost = {seq for seq, hash in known.items() if seq not in found or found[seq].hash != hash}
        assert not lost, f"acknowledged events are lost: {sorted(lost)}"
        for seq in (int(seq) for word, seq, _ in map(_three, said) if word == "redacted"):
            assert isinstance(found[seq].event, Redacted), "what was redacted is back"
        assert opened.view(Applied) == Applied.empty().fold_all(found.values()), "a view is not what its events say"
        _outbox(place, opened, {id for word, id, _ in map(_three, said) if word == "put"})
        (appended,) = opened.append(Entry(stream="home", event=PassFailed(reason="after")))
        assert appended.seq == opened.head().seq
        verified = opened.verify()
        assert verified.ok, verified.reason


def _three(line: str) -> tuple[str, str, str]:
    word, first, *rest = line.split()
    return word, first, rest[0] if rest else ""


def _outbox(place: Path, opened: EventLog, put: set[str]) -> None:
    """What was said there is there, and the log takes it in: every event once, whatever it had of them before."""
    if put:
        with contextlib.closing(Outbox.open(place / "outbox.db", now)) as box:
            box.require_sound()
            assert put <= {row.id for row in box.read()}, "what an outbox acknowledged is lost"
    else:  # one that never said a word may be half made, and is made whole
        Outbox.open(place / "outbox.db", now, create=True).close()
    intake = drain(opened, place / "outbox.db", source="gateway", allowed=GATEWAY_EVENTS)
    assert not intake.problem, intake.problem
    taken = [recorded.id for recorded in opened.read() if isinstance(recorded.event, ToolCalled)]
    assert {f"gateway:{id}" for id in put} <= set(taken), "an event of the outbox did not reach the log"


# ── our file in a Traefik's directory ────────────────────────────────────────────────────────────

LOADED = (".yml", ".yaml", ".toml")
"""What Traefik loads of a directory, hidden or not."""


def one_whole_plan(files: Mapping[str, bytes | None], said: Sequence[str]) -> None:
    """Traefik finds one whole plan, never an older one than was acknowledged; and its predecessor was kept for undo."""
    done = max((int(line.split()[1]) for line in said), default=0)
    loaded = {name: data for name, data in files.items() if data is not None and name.endswith(LOADED)}
    if done == 0 and not loaded:
        return
    live: dict[str, object] = {}
    for name, data in loaded.items():
        try:
            live |= json.loads(data)
        except ValueError:
            raise AssertionError(f"Traefik would read half a file: {name} ({len(data)} bytes)") from None
    assert live in (plan(done), plan(done + 1)), f"after plan {done} there is {str(live)[:60]} …"
    if live != plan(done) and done:
        kept = files.get(f"{FOLDER}/waypost.previous") or b"{}"
        assert json.loads(kept) == plan(done), "what an undo would put back is not there"


# ── Git ──────────────────────────────────────────────────────────────────────────────────────────


def git(place: Path, said: tuple[str, ...]) -> None:
    """What was acknowledged is there with every object, nothing leads to what is lost, and work goes on."""
    store = Store.create(place / "desired.git")
    store.sweep_stale_locks()
    for commit in set(store.references("refs/").values()):
        for entry in store.entries(commit):
            store.read(entry.id)
    for word, key, commit in map(_three, said):
        if word == "proposal":
            assert proposals(store)[key] == commit
        elif word == "main":
            assert store.is_ancestor(commit, store.head() or "")
        elif word == "revision":
            assert store.revisions()[int(key)] == commit
        elif word == "anchor":
            assert commit in {anchor.commit for anchor in store.anchors()}
    again(store)


def backup(place: Path, said: tuple[str, ...]) -> None:
    """What was read back and found good is there, byte by byte; and nothing half bears the name of a backup."""
    known = {file: digest for _, file, digest in map(_three, said)}
    folder = place / "backups"
    found = {path.name: archive.digest(path) for path in folder.glob("*.zip")} if folder.is_dir() else {}
    assert known.items() <= found.items(), "a backup that was found good is lost"
    for path in folder.glob("[!.]*.zip") if not known else ():
        check(path, scratch=place, now=now, tell=lambda line: None)


def restored(place: Path, said: tuple[str, ...]) -> None:
    """A home that was restored is there, whole."""
    again = place / "again"
    if said:
        with contextlib.closing(EventLog.open(again / "log.db", now=now)) as opened:
            assert [type(one.event) for one in opened.read()][-1] is HomeRestored
            verified = opened.verify()
            assert verified.ok, verified.reason
        git(again, ())


def start(place: Path, said: tuple[str, ...]) -> None:
    """Whoever starts again can work in both repositories."""
    workloads.start(str(place), "")
    git(place, said)
    plant(Store.open(place / "other.git"), {"a": b"a"}, branch="main", subject="first", at=AT)


def again(store: Store) -> None:
    """One proposal more, put on main."""
    head = store.head() or ""
    edits: dict[str, bytes | None] = {"traefik/again.yaml": b"again"}
    commit = propose(store, parent=head, edits=edits, id="again", title="again", body="", trailers={},
                     author="a", at=AT)  # fmt: skip
    store.move("refs/heads/main", commit, was=head)
    store.anchor(commit, 99, "0" * 64, 99)
