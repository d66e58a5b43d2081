"""What people, and programs that are not ours, do: in Git, at the live file, beside it, and in answer to us."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any, Final

import orjson
import pygit2

from reconciler import reviewing
from reconciler.core.plan import side_hash
from reconciler.git import main as branches
from reconciler.git import proposals, trees
from reconciler.git.errors import GitError, RefMoved
from reconciler.git.main import Merged
from reconciler.git.store import WAYPOST
from reconciler.git.trees import Leaf
from reconciler.planned import Planned
from reconciler.planning import plan_main, plan_proposal
from state import events, views
from state.outbox import Outbox
from tests.simulation.fate import Died
from tests.simulation.home import Home
from tests.simulation.traefik import QUIRK

MAIN: Final = "refs/heads/main"
CANARY: Final = "c4n4ry:$apr1$secret"
UNREADABLE: Final = b"# UNREADABLE: this: is: no: YAML\n{"

Json = dict[str, Any]
Files = dict[str, bytes]
Wanted = dict[tuple[str, str, str], Json]
"""Instance, kind and name -> what is wanted of it."""


def document(name: str, version: int, *, guarded: bool = False, flaw: str = "") -> Json:
    """A route with its service, as a person writes it. `flaw` is what Traefik will not like of it."""
    router: Json = {"rule": f"Host(`{name}.home`)", "service": name}
    middlewares: dict[str, Json] = {}
    if guarded:
        router["middlewares"] = ["auth"]
    if flaw == "refused":
        middlewares[f"{name}-plugin"] = {"plugin": {"unheard-of": {"level": str(version)}}}
        router["middlewares"] = [*router.get("middlewares", []), f"{name}-plugin"]
    elif flaw == "poison":
        middlewares[f"{name}-headers"] = {"headers": {"customRequestHeaders": {QUIRK: str(version)}}}
        router["middlewares"] = [*router.get("middlewares", []), f"{name}-headers"]
    http: Json = {
        "routers": {name: router},
        "services": {name: {"loadBalancer": {"servers": [{"url": f"http://10.0.0.{version}:80"}]}}},
    }
    return {"http": http | ({"middlewares": middlewares} if middlewares else {})}


def stack_files(name: str, version: int) -> dict[str, bytes | None]:
    """A stack of one service, as a person writes it; what is no database comes after it."""
    after = "" if name == "db" else 'after = ["db"]\n'
    described = f'[[stack]]\nname = "{name}"\n{after}[stack.config]\nserver = "nas"\n'
    compose = {"services": {"web": {"image": f"{name}:{version}"}}}
    return {f"komodo/{name}/stack.toml": described.encode(), f"komodo/{name}/compose.yaml": text(compose)}


AUTH: Final[Json] = {"http": {"middlewares": {"auth": {"forwardAuth": {"address": "http://10.0.0.9/auth"}}}}}


def text(value: Any) -> bytes:
    return _indented(orjson.dumps(value))


@lru_cache(10_000)
def _indented(plain: bytes) -> bytes:
    """As a person would write it. The same few documents come again and again, and indenting them takes its time."""
    return json.dumps(json.loads(plain), indent=1).encode()


class People:
    """Everybody but Waypost. Nothing that they do dies half way."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.counted = 0
        self.mains: list[str] = []  # every commit that main ever was at
        self.neighbours: dict[str, bytes] = {}
        self._read: dict[str, Files] = {}

    # ── Git ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def main(self) -> str | None:
        if self.home.setting.remote:
            return self.home.elsewhere.get(MAIN)
        return self.home.store.head()

    def move_main(self, commit: str) -> None:
        if self.home.setting.remote:
            self.home.elsewhere[MAIN] = commit
        else:
            self.home.store.repository.references.create(MAIN, commit, force=True)
        self.mains.append(commit)
        self.home.trace.add("main is at", commit[:12])

    def committed(self, edits: Mapping[str, bytes | None], *, onto: str | None, title: str) -> str:
        """A commit that nothing points to yet."""
        store = self.home.store
        tree = store.commit(onto).tree if onto else self._empty
        leaves = {
            path: None if content is None else Leaf(str(store.repository.create_blob(content)), trees.BLOB)
            for path, content in edits.items()
        }
        signature = WAYPOST.signed(self.home.time.wall)
        grown = trees.rooted(store.repository, tree, leaves)
        parents = (onto,) if onto else ()
        return store.write_commit(tree=grown, parents=parents, author=signature, committer=signature, text=title)

    def push(self, edits: Mapping[str, bytes | None], title: str = "a change by a person") -> str:
        self.counted += 1
        commit = self.committed(edits, onto=self.main, title=f"{title} {self.counted}")
        self.move_main(commit)
        return commit

    def files(self, commit: str) -> Files:
        """All that a commit holds, read with nothing of ours."""
        if commit not in self._read:
            repository = self.home.store.repository
            self._read[commit] = dict(_blobs(repository, repository[commit].peel(pygit2.Tree), ""))
        return self._read[commit]

    def wanted(self, commit: str) -> Wanted | None:
        """What a commit wants of every instance; None where it cannot be read."""
        files = self.files(commit)
        if any(UNREADABLE in content for content in files.values()):
            return None
        found: Wanted = {}
        for path, content in files.items():
            instance = path.partition("/")[0]
            if instance not in self.home.setting.instances:
                continue
            for kind, items in json.loads(content)["http"].items():
                for name, spec in items.items():
                    if (instance, f"http.{kind}", name) in found:
                        return None
                    found[instance, f"http.{kind}", name] = spec
        return found

    def wanted_stacks(self, commit: str) -> dict[str, str]:
        """Stack -> the image that a commit wants to run there."""
        compose = {path: one for path, one in self.files(commit).items() if path.endswith("/compose.yaml")}
        return {path.split("/")[1]: json.loads(one)["services"]["web"]["image"] for path, one in compose.items()}

    @cached_property
    def _empty(self) -> str:
        return str(self.home.store.repository.TreeBuilder().write())

    # ── proposals ────────────────────────────────────────────────────────────────────────────────

    def say(self, event: events.Event, stream: str, id: str = "") -> None:
        outbox = Outbox.open(
            self.home.people, lambda: self.home.time.wall, chance=self.home.random.randbytes, create=True
        )
        try:
            outbox.put(event, stream=stream, actor="ada", id=id)
        finally:
            outbox.close()
        self.home.trace.add("ada says", type(event).__name__)

    def propose(self, edits: Mapping[str, bytes | None], title: str) -> str | None:
        head = self.main
        if head is None:
            return None
        self.counted += 1
        id = f"p{self.counted}"
        try:
            commit = proposals.propose(
                self.home.store, parent=head, edits=edits, id=id, title=title, body="",
                trailers={"Waypost-Request": f"request-{id}", "Waypost-Tool": "test", "Waypost-Client": "test"},
                author="a model <model@localhost>", at=self.home.time.wall,
            )  # fmt: skip
        except GitError:
            return None  # it would change nothing
        self.tell_of(id, commit, head, title)
        return id

    def roll_back(self, to: str) -> str | None:
        """Propose what main was at a commit; None where it says so already."""
        head = self.main
        if head is None:
            return None
        self.counted += 1
        id = f"p{self.counted}"
        try:
            commit = proposals.revert_to(
                self.home.store, to, parent=head, id=id, title="Roll back", body="",
                trailers={"Waypost-Request": id, "Waypost-Tool": "rollback", "Waypost-Client": "ada"},
                author="Ada <ada@home>", at=self.home.time.wall,
            )  # fmt: skip
        except GitError:
            return None
        self.tell_of(id, commit, head, "Roll back")
        return commit

    def tell_of(self, id: str, commit: str, parent: str, title: str) -> None:
        made = events.ProposalMade(
            proposal=id, branch=f"proposals/{id}", commit=commit, parent=parent, tool="test", client="test",
            title=title, resources=(),
        )  # fmt: skip
        self.say(made, f"proposal/{id}")

    def prepared(self, commit: str) -> str | None:
        """The commit that would put a proposal on main as it is now; None where it conflicts."""
        head = self.main
        assert head is not None
        merged = branches.rebased(self.home.store, commit, onto=head, person="Ada <ada@home>", at=self.home.time.wall)
        return merged.commit if isinstance(merged, Merged) else None

    def land(self, commit: str, head: str | None) -> bool:
        """Point main at a prepared commit, unless somebody came first."""
        if self.main != head or head is None:
            return False
        if commit != head:
            if not self.home.setting.remote:
                try:
                    self.home.store.move(MAIN, commit, was=head)
                except RefMoved:
                    return False
            self.move_main(commit)
        return True

    def look_at(self, id: str) -> None:
        """A person is shown the plan of a proposal."""
        world, record = self.home.usable().world, self.records.get(id)
        head = world.store.head()
        if record is None or head is None or not reviewing.arrived(world, record) or record.status == "approved":
            return
        planned = plan_proposal(world, record.commit, head)
        entry = reviewing.shown(record, planned.plan, to_person=True)
        self.say(entry.event, entry.stream, entry.key)

    @property
    def records(self) -> Mapping[str, Any]:
        return self.home.usable().log.view(views.Proposals).items

    # ── answers ──────────────────────────────────────────────────────────────────────────────────

    def plan(self) -> Planned | None:
        """The plan of main, as the command line shows it."""
        world = self.home.usable().world
        head = world.store.head()
        try:
            return plan_main(world, head) if head else None
        except (GitError, Died):
            return None

    def consent(self) -> bool:
        """A person's yes to the plan that is held."""
        planned = self.plan()
        if planned is None or not planned.plan.refusals:
            return False
        plan = planned.plan
        losses = tuple(loss.as_json() for loss in plan.losses)
        self.say(events.ConsentGiven(commit=plan.commit, digest=plan.digest, losses=losses), "main")
        return True

    def answer_drift(self, *, accept: bool = False) -> bool:
        """Heal, or accept for a day, all that differs."""
        planned = self.plan()
        found = [*planned.plan.drift, *planned.plan.conflicts] if planned else []
        for one in found:
            stream, hashed = f"target/{one.address.instance}", side_hash(one.live)
            if accept:
                until = self.home.time.wall.replace(year=2028).isoformat()
                self.say(events.DriftAccepted(address=str(one.address), live_hash=hashed, until=until), stream)
            else:
                self.say(events.DriftHealRequested(address=str(one.address), live_hash=hashed), stream)
        return bool(found)

    # ── files ────────────────────────────────────────────────────────────────────────────────────

    def write_live(self, instance: str, content: bytes | None) -> None:
        """An edit of our own file, by hand."""
        path = self.home.live_file(instance)
        folder = path.rpartition("/")[0]
        if content is None:
            self.home.disk.drop(path)
        else:
            self.home.disk.folder(folder)
            self.home.disk.put(path, content)
        if self.home.audit:
            self.home.audit.edited_by_hand(instance, content)
        self.home.disk.touch(folder)
        self.home.trace.add("a hand edits", path)

    def put_neighbour(self, path: str, content: bytes | None) -> None:
        """Somebody else's file in the folder that Traefik reads."""
        if content is None:
            self.neighbours.pop(path, None)
            self.home.disk.drop(path)
        else:
            self.neighbours[path] = content
            self.home.disk.put(path, content)
        self.home.trace.add("a neighbour writes", path)


def _blobs(repository: pygit2.Repository, tree: pygit2.Tree, under: str) -> Any:
    for entry in tree:
        if isinstance(entry, pygit2.Tree):
            yield from _blobs(repository, entry, f"{under}{entry.name}/")
        elif isinstance(entry, pygit2.Blob):
            yield f"{under}{entry.name}", entry.data
