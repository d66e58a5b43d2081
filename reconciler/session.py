"""One command of a person: with the right to write where no reconciler runs, else through the one that does."""

from __future__ import annotations

import contextlib
import errno
import getpass
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from reconciler import alerts, app, locks, loop, reviewing
from reconciler.core.plan import Plan
from reconciler.git import ahead
from reconciler.git import main as branches
from reconciler.git.errors import GitError, RefMoved
from reconciler.git.main import MergeConflict
from reconciler.git.remote import Remote
from reconciler.gitea.api import GiteaError
from reconciler.home import Held, Home
from reconciler.planned import Planned
from reconciler.planning import plan_main, plan_proposal
from reconciler.ports import Disk
from reconciler.query_client import Away, QueryClient
from reconciler.secrets import without_secrets
from reconciler.tokens import Keyring
from reconciler.world import World
from state import events, views
from state.outbox import Outbox
from state.review import ProposalRecord


class CommandError(Exception):
    """A command that cannot be done, in words for the person; `exit_code` as in the README."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Said:
    """What a pass came to, wherever it ran."""

    state: str
    said: str
    exit_code: int


@dataclass(frozen=True)
class Session:
    """A person at work in a home. `running` is the pid of the reconciler that holds the home, 0 where none does."""

    home: Home
    world: World
    running: int
    closed: str = ""  # why nothing can be written here, "" where it can
    stale: str = ""  # why a repository elsewhere could not be asked, "" where it could
    tell: locks.Say = lambda line: None  # what a person reads while they wait

    @property
    def keyring(self) -> Keyring:
        """The tokens of MCP clients."""
        return Keyring(self.home.tokens_path, Disk())

    # ── looking ──────────────────────────────────────────────────────────────────────────────────

    def head(self) -> str:
        head = self.world.store.head(self.world.branch)
        if head is None:
            raise CommandError(f"{self.world.source} has no branch '{self.world.branch}': push one, then try again")
        return head

    def plan(self, ref: str = "") -> Planned:
        """The plan of main, of a proposal by its id, or of any ref."""
        record = self.meant(ref) if ref else None
        if record:
            if not reviewing.arrived(self.world, record):
                raise CommandError(
                    f"the commit of proposal {record.id} has not arrived here yet: try again in a moment"
                )
            return plan_proposal(self.world, record.commit, self.head())
        return plan_main(self.world, self.world.store.resolve(ref) if ref else self.head())

    def proposals(self) -> list[ProposalRecord]:
        return list(self.world.log.view(views.Proposals).items.values())

    def find(self, id: str) -> ProposalRecord | None:
        """The proposal of that id, or of the only id that starts so."""
        items = self.world.log.view(views.Proposals).items
        if id in items:
            return items[id]
        starting = [item for name, item in items.items() if id and name.startswith(id)]
        return starting[0] if len(starting) == 1 else None

    def meant(self, text: str) -> ProposalRecord | None:
        """The proposal of that id where a commit could be meant as well.

        What Git knows under this name comes before the beginning of an id: those are made of what a model asks for.
        """
        found = self.find(text)
        if found is None or found.id == text:
            return found
        try:
            self.world.store.resolve(text)
        except GitError:
            return found
        return None

    def proposal(self, id: str) -> ProposalRecord:
        if found := self.find(id):
            return found
        waiting = ", ".join(one.id for one in self.proposals() if one.status == "open") or "none"
        raise CommandError(f"there is no proposal '{id}'; open ones: {waiting}")

    # ── answering ────────────────────────────────────────────────────────────────────────────────

    def say(self, event: events.Event, stream: str, id: str = "") -> None:
        """Put a person's word where the reconciler takes it from; durable when it returns. The same id is one word."""
        self._require_open()
        if reason := getattr(event, "reason", ""):  # the one field of theirs that a person writes freely
            event = replace(event, reason=without_secrets(reason))  # type: ignore[call-arg]
        people = Outbox.open(self.home.people_path, self.world.clock.now, create=True)
        try:
            people.put(event, stream=stream, actor=person(), id=id)
        finally:
            people.close()

    def saw(self, record: ProposalRecord, plan: Plan) -> None:
        """A person saw the plan of a proposal: whoever merges it then, by whatever road, knows what it costs."""
        if record.status != "approved":  # what is merged is judged already
            entry = reviewing.shown(record, plan, to_person=True)
            self.say(entry.event, entry.stream, entry.key)

    def consent(self, plan: Plan, proposal: str = "", reason: str = "") -> None:
        """A person's yes to one exact plan, its losses included. CommandError where the kill switch is on."""
        self.require_switched_on("approved")
        given = events.ConsentGiven(
            commit=plan.commit,
            digest=plan.digest,
            proposal=proposal,
            reason=reason,
            losses=tuple(loss.as_json() for loss in plan.losses),
        )
        self.say(given, "main")

    def prepare(self, record: ProposalRecord) -> str:
        """The commit that puts a proposal on top of main as it is now; nothing points to it yet."""
        store = self.world.store
        merged = branches.rebased(
            store, record.commit, onto=self.head(), person=_signature(), at=self.world.clock.now()
        )
        if isinstance(merged, MergeConflict):
            raise CommandError(
                f"main changed the same lines since this was proposed ({', '.join(merged.paths)}): "
                f"ask for it again, or merge {record.branch} by hand",
                exit_code=3,
            )
        return merged.commit

    def land(self, commit: str, record: ProposalRecord | None = None) -> str:
        """Point main at a prepared commit, or have Gitea merge the proposal that it is of; what main is at then.

        Raises RefMoved where somebody else came first, and CommandError where Gitea does not allow it, or where the
        kill switch is on.
        """
        self.require_switched_on("approved")
        if record and self.world.remote and self._merged_there(self.world.remote, record):
            return self.head()
        store, branch, head = self.world.store, self.world.branch, self.head()
        if store.is_ancestor(commit, head):
            return head  # it is there already, and whatever came after it stays
        if self.world.remote:
            self._land_elsewhere(self.world.remote, commit)
        else:
            store.move(f"refs/heads/{branch}", commit, was=branches.beneath(store, branch, commit))
        return commit

    def _merged_there(self, remote: Remote, record: ProposalRecord) -> bool:
        """Did Gitea merge the pull request in this person's name? Not without a token of theirs, or out of reach."""
        review = self.world.log.view(views.PullRequests).open().get(record.id)
        if review is None:
            return False
        with app.in_my_name(self.home) as gitea:
            if gitea is None:
                return False
            try:
                gitea.merge_pull(review.number, style="rebase", head=record.commit)
            except GiteaError as error:
                if error.retry:
                    self.tell(str(error))
                    self.tell("the proposal is brought to main without it")
                    return False
                raise CommandError(f"{error}; it can be merged at {review.address}", exit_code=3) from error
        remote.fetch(self.world.store, self.world.branch)
        return True

    def _land_elsewhere(self, remote: Remote, commit: str) -> None:
        """Theirs moves first, so that ours is not ahead of what people see; unless theirs is out of reach."""
        store, branch = self.world.store, self.world.branch
        try:
            remote.push(store, branch, commit)
            remote.fetch(store, branch)
        except RefMoved:
            raise
        except GitError as error:
            if not error.retry:
                raise
            ahead.go(store, branch, commit)
            self.tell(str(error))
            self.tell("main goes on here meanwhile, and is pushed there when it is back")

    def merge(self, record: ProposalRecord) -> str:
        """Put a proposal on main by fast-forward or rebase; returns the commit that is there now."""
        commit = self.prepare(record)
        self.land(commit)
        return commit

    # ── doing ────────────────────────────────────────────────────────────────────────────────────

    def run_pass(self) -> Said:
        """One pass now: by the reconciler that is running, or here, once nobody else is at work."""
        self._require_open()
        return self._pass_elsewhere() if self.running else self._pass_here(self.world)

    def _pass_here(self, world: World) -> Said:
        with locks.alone_in(self.home.target_directories, self.tell, time.sleep):
            outcome = loop.run_pass(world)
            alerts.announce(world, app.sender(self.home))
        return Said(outcome.state, outcome.said, outcome.exit_code)

    def _pass_elsewhere(self) -> Said:
        """Asked of who holds the home. One who does not answer (another command) is waited for."""
        told = False
        with contextlib.closing(QueryClient(self.home.settings.query_url)) as client:
            while isinstance(answer := client.nudge(), Away):
                with app.locked(self.home) as world:
                    if isinstance(world, World):
                        return self._pass_here(world)
                    if not told:
                        self.tell(f"waiting: {world.who} holds {self.home.path}{world.when}: {answer.reason}")
                        told = True
                time.sleep(0.2)
        return Said(str(answer["state"]), str(answer["said"]), int(answer["exit_code"]))

    def require_switched_on(self, done: str) -> None:
        """The kill switch holds for people too; who sits here may turn it off, and is told so.

        It may be on here, or for the reconciler that this command works through.
        """
        if self.world.read_only:
            raise CommandError(
                f"read-only (WAYPOST_READ_ONLY): nothing is {done}; where it has to be, turn the switch off first "
                f"(the environment, {self.home.settings_path}), and restart what runs",
                exit_code=3,
            )
        if self.running and self._is_switched_off_there():
            raise CommandError(
                f"the reconciler that runs here (process {self.running}) is read-only (WAYPOST_READ_ONLY in its "
                f"environment): nothing is {done}; where it has to be, start it anew without the switch first",
                exit_code=3,
            )

    def _is_switched_off_there(self) -> bool:
        """Whether who holds the home says that it is read-only.

        Who says nothing keeps nobody from deciding: a reconciler that cannot be asked from here heeds its own switch,
        and another command is soon over.
        """
        with contextlib.closing(QueryClient(self.home.settings.query_url)) as client:
            said = client.status()
        return not isinstance(said, Away) and bool(said.get("read_only"))

    def _require_open(self) -> None:
        if self.closed:
            raise CommandError(f"{self.home.path} cannot be written ({self.closed}): only looking is possible here")


@contextmanager
def opened(home: Home, tell: locks.Say = lambda line: None) -> Iterator[Session]:
    """A session; where nothing runs it first takes in what waits in the outboxes, so that it sees all there is."""
    with ExitStack() as stack:
        closed, held = "", Held(0)
        try:
            world = stack.enter_context(app.locked(home))
        except PermissionError as error:
            world, closed = held, error.strerror or "not permitted"
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            world, closed = held, "the file system is read-only"
        if isinstance(world, World):
            reviewing.take_in(world)
            yield Session(home, world, 0, stale=_fetched(world), tell=tell)
        else:
            reading = stack.enter_context(app.opened(home, write=False))
            yield Session(home, reading, world.pid, closed, tell=tell)


def _fetched(world: World) -> str:
    """Ask a repository elsewhere for what is new; "" or why that did not work."""
    try:
        if world.remote and not (world.read_only and ahead.pending(world.store)):  # to follow would bring that there
            ahead.follow(world.remote, world.store, world.branch, world.clock.now())
    except GitError as error:
        return str(error)
    return ""


def _signature() -> str:
    return f"{person()} <{person()}@{socket.gethostname()}>"


def person() -> str:
    """Who sits here, as far as the machine knows."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
