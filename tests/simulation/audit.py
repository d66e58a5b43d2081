"""What must always hold, checked while it happens: at every event recorded, every file written, every load."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from state import events, views
from state.model import digest_bytes
from state.record import Recorded
from tests.simulation.audit_stacks import Stacks
from tests.simulation.fate import require
from tests.simulation.home import Home
from tests.simulation.people import People
from tests.simulation.traefik import OUR_FILE, Load

_PREFIX: Final = "waypost-gen-"
_MARKER: Final = re.compile(rb"waypost-gen-[A-Za-z0-9_-]+")
_HOST: Final = re.compile(r"Host\(`([^`]+)`\)")


@dataclass
class Attempt:
    """A write as the log tells of it, and how many times Traefik had read its folder when it began."""

    started: events.ApplyStarted
    loads: int
    trace: int
    verdicts: list[str] = field(default_factory=list)
    settled: set[str] = field(default_factory=set)  # digests of our file that a verdict says to be good

    @property
    def ended(self) -> bool:
        return bool({"ApplyProven", "ApplyUndone", "ApplyAbandoned"} & set(self.verdicts))


@dataclass
class Live:
    """Our file of one instance as it was known to stand whole, and every whole content there ever was."""

    content: bytes | None = None
    whole: dict[str, bytes] = field(default_factory=dict)
    shapes: set[bytes] = field(default_factory=set)
    staged_over: bool = False  # a hand edited while we were between looking and renaming: nobody can see that
    loads_seen: int = 0


class Audit:
    """Follows one home. Raises Violation as soon as something is not as it must be."""

    def __init__(self, home: Home, people: People) -> None:
        self._home = home
        self._people = people
        self.seen = 0
        self.attempts: dict[str, Attempt] = {}
        self.latest: dict[str, str] = {}
        self.live = {name: Live() for name in home.setting.instances}
        self.stacks = Stacks(home)
        self.revision = 0
        self.revised = ""
        self._last_of_stream: dict[str, events.Event] = {}
        self._agreed: list[tuple[str, str, Iterable[Mapping[str, Any]]]] = []
        self._approved_as: dict[str, str] = {}
        self._raised: dict[str, str] = {}
        home.audit = self
        home.disk.on_write = self._written

    # ── the log ──────────────────────────────────────────────────────────────────────────────────

    def started(self, log: Any) -> None:
        """A new process read the log: all that was acknowledged must be there. What was not, is heard of now."""
        hashes = [one.hash for one in log.events]
        for seq, hash in self._home.acknowledged:
            require(seq <= len(hashes) and hashes[seq - 1] == hash, "I5 what was acknowledged is there", f"event {seq}")
        self.recorded([one for one in log.events if one.seq > self.seen])
        self.whole()

    def whole(self) -> None:
        """What belongs together was recorded together, whenever the process ended."""
        refuted = {a for a, one in self.attempts.items() if "ApplyRefuted" in one.verdicts and not one.started.undoes}
        for attempt in refuted:
            require(attempt in self.quarantined, "one fact is one append", f"{attempt} was refuted and not quarantined")

    @property
    def quarantined(self) -> set[str]:
        return {attempt for attempt, one in self.attempts.items() if "ResourcesQuarantined" in one.verdicts}

    def recorded(self, news: Iterable[Recorded]) -> None:
        for one in news:
            require(one.seq == self.seen + 1, "I1 the log has no gap", f"event {one.seq} after {self.seen}")
            self.seen = one.seq
            self._is_news(one)
            if handler := getattr(self, f"_on_{one.type}", None):
                handler(one.event, one)

    def _is_news(self, one: Recorded) -> None:
        if not one.actor.startswith("person:") and self._last_of_stream.get(one.stream) == one.event:
            said = repr(one.event)[:200]
            require(False, "the log records news, not ticks", f"event {one.seq} repeats: {said}")
        self._last_of_stream[one.stream] = one.event

    # ── attempts ─────────────────────────────────────────────────────────────────────────────────

    def _on_ApplyStarted(self, event: events.ApplyStarted, at: Recorded) -> None:
        before = self.attempts.get(self.latest.get(event.instance, ""))
        over = before is None or before.ended
        require(over, "no apply is begun on one that is in doubt", event.attempt, before)
        require(event.attempt not in self.attempts, "I11 an attempt's id is its own", event.attempt)
        require(event.changes, "nothing is written for nothing", event.attempt)
        self.latest[event.instance] = event.attempt
        if event.instance == "komodo":
            self.attempts[event.attempt] = Attempt(event, 0, len(self._home.trace.lines))
            self.stacks.began(event)
            return
        traefik = self._home.traefiks[event.instance]
        self.attempts[event.attempt] = Attempt(event, len(traefik.loads), len(self._home.trace.lines))
        self.live[event.instance].staged_over = False
        if not event.undoes:
            self._guarded(event)

    def _on_ApplyProven(self, event: events.ApplyProven, at: Recorded) -> None:
        attempt = self._verdict(event)
        require("ApplyRefuted" not in attempt.verdicts, "what was refuted is not proven", event.attempt)
        if event.instance == "komodo":
            self.stacks.proven(event)
            return
        loads = self._loads(event.instance, attempt, event.file)
        good = [load for load in loads if not self._hit(load, attempt.started)]
        require(good, "only what Traefik serves is proven", event.attempt, "loads:", loads)
        attempt.settled.add(event.file)

    def _on_ApplyRefuted(self, event: events.ApplyRefuted, at: Recorded) -> None:
        attempt = self._verdict(event)
        if event.instance == "komodo":
            self.stacks.refuted(event)
            return
        mine = {
            digest for digest, content in self.live[event.instance].whole.items() if digest == attempt.started.after
        }
        read = [load for digest in mine for load in self._loads(event.instance, attempt, digest)]
        bad = [load for load in read if self._hit(load, attempt.started) or load.refused.startswith(OUR_FILE)]
        require(bad, "only what Traefik refuses is refuted", event.attempt, event.reason, "loads:", read)

    def _on_ApplyUnknown(self, event: events.ApplyUnknown, at: Recorded) -> None:
        self._verdict(event, again=True)

    def _on_ApplyAbandoned(self, event: events.ApplyAbandoned, at: Recorded) -> None:
        self._verdict(event)

    def _on_ApplyUndone(self, event: events.ApplyUndone, at: Recorded) -> None:
        attempt = self._verdict(event)
        require("ApplyRefuted" in attempt.verdicts, "only what was refuted is undone", event.attempt)
        attempt.settled.add(event.file)

    def _on_ResourcesQuarantined(self, event: events.ResourcesQuarantined, at: Recorded) -> None:
        attempt = self.attempts[event.attempt]
        require("ApplyRefuted" in attempt.verdicts, "only what was refuted is quarantined", event.attempt)
        attempt.verdicts.append("ResourcesQuarantined")

    def _verdict(self, event: Any, *, again: bool = False) -> Attempt:
        kind = type(event).__name__
        require(event.attempt in self.attempts, "a verdict is about an apply", kind, event.attempt)
        attempt = self.attempts[event.attempt]
        require(not attempt.ended, "a verdict is the last word", kind, event.attempt, "after", attempt.verdicts)
        require(again or kind not in attempt.verdicts, "a verdict is recorded once", kind, event.attempt)
        attempt.verdicts.append(kind)
        return attempt

    def _loads(self, instance: str, attempt: Attempt, digest: str) -> list[Load]:
        """The times since an attempt began that Traefik read its folder with this content in our file."""
        since = self._home.traefiks[instance].loads[max(0, attempt.loads - 1) :]
        return [load for load in since if load.ours is not None and digest_bytes(load.ours) == digest]

    def _hit(self, load: Load, started: events.ApplyStarted) -> set[str]:
        """What an attempt was about and is not served by this load."""
        if load.refused:
            return {load.refused}
        changed = {tuple(address.split("/", 2)[1:]) for address, spec in started.changes.items() if spec is not None}
        users = {
            ("http.routers", name)
            for name, spec in _section(load.ours, "routers").items()
            if changed & {("http.services", spec.get("service")), *_middlewares(spec)}
        }
        return {f"{kind}/{name}" for kind, name in load.broken if (kind, name) in changed | users}

    def _on_StackDeployed(self, event: events.StackDeployed, at: Recorded) -> None:
        self.stacks.told(event)

    # ── our file ─────────────────────────────────────────────────────────────────────────────────

    def edited_by_hand(self, instance: str, content: bytes | None) -> None:
        live, attempt = self.live[instance], self.attempts.get(self.latest.get(instance, ""))
        if attempt and not attempt.verdicts:
            deeds = self._home.trace.lines[attempt.trace :]
            live.staged_over |= any(deed.startswith(("create ", "remove ")) for deed in deeds)
        live.content = content
        if content is not None:
            live.whole[digest_bytes(content)] = content
            live.shapes.add(_shape(content))

    def _written(self, path: str, content: bytes | None) -> None:
        instance = path.split("/")[1]
        if instance == "targets":
            return  # what Komodo's target keeps for itself
        inside = path.startswith(f"/{instance}/mcp-managed/")
        require(inside, "nothing foreign is touched", path)
        require(instance in self._home.writing, "I11 who writes holds the lock", path)
        if path == self._home.live_file(instance):
            self._placed(instance, content)
            self.live[instance].content = content

    def _placed(self, instance: str, content: bytes | None) -> None:
        live, attempt = self.live[instance], self.attempts.get(self.latest.get(instance, ""))
        probing = attempt is None and self._probing(instance)
        if content is None:
            require(probing, "our file is removed after a probe only", instance)
            return
        known = _shape(content) in live.shapes
        if not probing:
            self._of_the_latest(instance, content)
        if attempt and not attempt.ended and digest_bytes(content) == attempt.started.after:
            self._over_what_was_planned(instance, attempt)
            self._rendered(instance, attempt.started, content)
        elif attempt and not attempt.ended and not known:
            before = resources(live.whole.get(attempt.started.before, b"{}"))
            stood = resources(content) in (before, self._applied(instance))
            require(stood, "I7 what is put back stood there before", instance)
        else:
            require(known or probing, "every write was announced", instance, digest_bytes(content)[:12])
        live.whole[digest_bytes(content)] = content
        live.shapes.add(_shape(content))

    def _of_the_latest(self, instance: str, content: bytes) -> None:
        """The attempt whose marker it carries is in the log, and none that began later is."""
        named = {marker.decode().removeprefix(_PREFIX).removesuffix("-undo") for marker in _MARKER.findall(content)}
        require(named <= self.attempts.keys(), "I2 our file is of an attempt that the log knows", instance, named)
        require(named == {self.latest.get(instance)}, "I11 no attempt writes after a later one", instance, named)

    def _rendered(self, instance: str, started: events.ApplyStarted, content: bytes) -> None:
        """It holds what stood there before with the changes that the log tells of, and nothing else."""
        expected = resources(self.live[instance].whole.get(started.before, b"{}"))
        if expected is None:
            return  # nobody can say what a broken file held
        for address, spec in started.changes.items():
            expected[address.partition("/")[2]] = spec
        wanted = {key: spec for key, spec in expected.items() if spec is not None}
        require(resources(content) == wanted, "I2 our file is what its attempt says", instance, started.attempt)

    def _over_what_was_planned(self, instance: str, attempt: Attempt) -> None:
        live = self.live[instance]
        standing = "" if live.content is None else digest_bytes(live.content)
        expected = {attempt.started.before, attempt.started.after}
        ours = live.content is not None and f"{attempt.started.attempt}-undo".encode() in live.content
        fine = standing in expected or ours or live.staged_over
        require(fine, "what somebody wrote meanwhile is not overwritten", instance, attempt.started.attempt)

    def _applied(self, instance: str) -> dict[str, Any]:
        """What was last applied there, as the log has it."""
        base = self._home.start().log.view(views.Applied).base(instance)
        return {f"{address.kind}/{address.name}": spec for address, spec in base.items()}

    def good(self, instance: str, digest: str) -> bool:
        """Whether what our file held when it had that digest could be read, by us and by Traefik."""
        if instance not in self.live:
            return True
        content = self.live[instance].whole.get(digest, b"{}")
        refused = [load.ours for load in self._home.traefiks[instance].loads if load.refused.startswith(OUR_FILE)]
        return resources(content) is not None and content not in refused

    def _probing(self, instance: str) -> bool:
        health = self._home.start().log.view(views.Health).of(instance)
        return not health.probed(f"/{instance}/mcp-managed")

    def looked(self) -> None:
        """Between two steps: what is on disk is whole, and so is all that Traefik ever read of ours."""
        for name, live in self.live.items():
            found = self._home.disk.content(self._home.live_file(name))
            if found is not None:
                require(digest_bytes(found) in live.whole, "I2 our file is never half", name, found[:80])
            live.content = found
            traefik = self._home.traefiks[name]
            for load in traefik.loads[live.loads_seen :]:
                half = load.ours is not None and digest_bytes(load.ours) not in live.whole
                require(not half, "I7 half a plan is never served", name)
            live.loads_seen = len(traefik.loads)
        self.stacks.looked()
        for path, content in self._people.neighbours.items():
            require(self._home.disk.content(path) == content, "nothing foreign is touched", path)

    # ── losses of power ──────────────────────────────────────────────────────────────────────────

    def proven(self) -> dict[str, bytes]:
        """What our files hold that was proven, or undone, and was not touched by anybody since."""
        found = {}
        for name in self.live:
            attempt = self.attempts.get(self.latest.get(name, ""))
            content = self._home.disk.content(self._home.live_file(name))
            if attempt and attempt.settled and content is not None and digest_bytes(content) in attempt.settled:
                found[name] = content
        return found

    def still(self, proven: Mapping[str, bytes]) -> None:
        """After the power went: what was proven stands, or a later pass would take it for an edit by hand."""
        for name, content in proven.items():
            found = self._home.disk.content(self._home.live_file(name))
            require(found == content, "what is proven stands after a loss of power", name, found)

    # ── guards ───────────────────────────────────────────────────────────────────────────────────

    def _on_ConsentGiven(self, event: events.ConsentGiven, at: Recorded) -> None:
        self._agreed.append((event.commit, event.proposal, event.losses))

    def _on_PlanShown(self, event: events.PlanShown, at: Recorded) -> None:
        if event.to_person:
            self._agreed.append(("", event.proposal, event.losses))

    def _on_CommitApproved(self, event: events.CommitApproved, at: Recorded) -> None:
        require(event.commit in self._line(self._people.mains), "approval is presence on main", event.commit)
        if event.proposal:
            self._approved_as[event.proposal] = event.commit

    def _guarded(self, event: events.ApplyStarted) -> None:
        """What people would lose by this write without having been asked."""
        content = self.live[event.instance].whole.get(event.before)
        before = resources(content) if content is not None else {}
        if before is None:
            return  # our file could not be read
        after = dict(before)
        for address, spec in event.changes.items():
            key = address.split("/", 1)[1]
            if spec is None:
                after.pop(key, None)
            else:
                after[key] = spec
        agreed = self._agreed_for(event.commit)
        gone = _hosts(before) - _hosts(after) - self._served_by_neighbours(event.instance)
        few = len(gone) <= 3 and (len(gone) <= 1 or len(gone) <= 0.5 * len(_hosts(before)))
        missing = {host for host in gone if host not in agreed}
        require(few or not missing, "a loss that nobody agreed to is not applied", sorted(missing))
        traefik = self._home.traefiks[event.instance]
        for address in traefik.served.load.broken:
            before.pop("/".join(address), None)
        opened = {
            host for host in _hosts(before, guarded=True) & _hosts(after, guarded=False) if host not in agreed
        } - _hosts(before, guarded=False)
        require(not opened, "authentication is not lost unseen", sorted(opened))
        applied = self._applied(event.instance)  # to put that back takes nothing from anybody
        protected = [
            key for key, spec in before.items() if "gitea" in key and after.get(key) not in (spec, applied.get(key))
        ]
        missing = {key for key in protected if key.split("/")[1] not in agreed}
        require(not missing, "what is protected is not touched unasked", sorted(missing))

    def _served_by_neighbours(self, instance: str) -> set[str]:
        """Hosts that somebody else's files have a route for too: ours may go, and they are served all the same."""
        disk = self._home.disk
        theirs = [path for path in disk.below(f"/{instance}") if path.rpartition("/")[0] == f"/{instance}"]
        return set().union(*(_hosts(resources(disk.content(path)) or {}) for path in theirs if path.endswith(".yml")))

    def _agreed_for(self, commit: str) -> str:
        """All losses that people agreed to of the commits that this one brings."""
        line = self._line([commit], until=self.revised)
        texts = [
            f"{loss.get('lost')} {loss.get('address')}"
            for consented, proposal, losses in self._agreed
            if consented in line or self._approved_as.get(proposal) in line
            for loss in losses
        ]
        return "\n".join(texts)

    def _line(self, heads: Iterable[str], until: str = "") -> set[str]:
        found: set[str] = set()
        store = self._home.store
        for head in heads:
            ahead: list[str] = [head]
            while ahead:
                commit = ahead.pop()
                if commit and commit != until and commit not in found:
                    found.add(commit)
                    ahead += store.commit(commit).parents
        return found

    # ── revisions ────────────────────────────────────────────────────────────────────────────────

    def _on_RevisionMade(self, event: events.RevisionMade, at: Recorded) -> None:
        skipped = set(range(self.revision + 1, event.number)) - self._home.store.revisions().keys()
        fresh = event.number > self.revision and not skipped  # one that was kept and not told of is not used again
        require(fresh, "I4 a revision's number is the next one", event.number, "after", self.revision)
        require(event.commit != self.revised, "I4 a revision is made once", event.number)
        self.revision, self.revised = event.number, event.commit
        kept = self._home.store.revisions().get(event.number)
        require(kept == event.commit, "a revision is kept in Git before it is told", event.number)

    # ── alerts ───────────────────────────────────────────────────────────────────────────────────

    def _on_AlertRaised(self, event: events.AlertRaised, at: Recorded) -> None:
        again = event.fingerprint in self._raised and event.reason == "new"
        require(not again, "I4 one cause is one alert", event.fingerprint, event.title)
        self._raised[event.fingerprint] = event.title

    def _on_AlertResolved(self, event: events.AlertResolved, at: Recorded) -> None:
        if not event.delivered:
            self._raised.pop(event.fingerprint, None)


# ── reading files without any code of ours ───────────────────────────────────────────────────────


def _shape(content: bytes) -> bytes:
    return _MARKER.sub(b"MARKER", content)


def resources(content: bytes | None) -> dict[str, Any] | None:
    """`kind/name` -> spec of what a file of ours holds, its marker left out; None where it cannot be read."""
    try:
        document = json.loads(content or b"{}")
        return {
            f"http.{kind}/{name}": spec
            for kind, items in document.get("http", {}).items()
            for name, spec in items.items()
            if not name.startswith("waypost-gen-")
        }
    except (ValueError, AttributeError):
        return None


def _section(content: bytes | None, kind: str) -> dict[str, Any]:
    found = resources(content) or {}
    return {key.split("/", 1)[1]: spec for key, spec in found.items() if key.startswith(f"http.{kind}/")}


def _middlewares(spec: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    return (("http.middlewares", name) for name in spec.get("middlewares", []))


def _hosts(resources: Mapping[str, Any], *, guarded: bool | None = None) -> set[str]:
    return {
        host
        for key, spec in resources.items()
        if key.startswith("http.routers/") and isinstance(spec, dict)
        if guarded is None or guarded == ("auth" in spec.get("middlewares", []))
        for host in _HOST.findall(str(spec.get("rule", "")))
    }
