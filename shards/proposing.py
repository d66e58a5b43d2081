"""Where write tools work: the gateway's clone of the desired repo. Everything ends as one commit, or as nothing."""

from __future__ import annotations

import base64
import logging
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any, Literal

from pydantic import BaseModel, Field

from reconciler import desired as desired_state
from reconciler.desired import Desired, Instance
from reconciler.git import proposals
from reconciler.git.errors import GitError
from reconciler.git.store import Commit, Store
from reconciler.ports import Chance, Clock
from reconciler.query_client import Answer, Away, QueryClient
from reconciler.secrets import without_secrets
from reconciler.setting import secrets_in
from shards.audit import Audit
from shards.config import GatewaySettings
from shards.drafting import Draft, Ground
from shards.kit import Call, Made, Refused
from state.errors import LogError
from state.events import ProposalMade, ProposalWithdrawn
from state.model import Address, Problem
from state.sparing import dataclass

MOST_SHOWN = 50
"""Entries of each list in a plan that a model is shown; a person sees them all."""

_PARTS = ("HEAD", "objects", "refs")
"""What a repository cannot be without."""

_logger = logging.getLogger("waypost.gateway")

REVIEW = "A person reviews it: waypost show {id}, then waypost approve {id}. Nothing is live before that."


class Plan(BaseModel):
    """What the reconciler would do, as it says itself. Long lists are cut, and a note says so."""

    state: Literal["shown", "pending"] = Field(description="pending: the reconciler has not planned it yet")
    reason: str = Field(default="", description="why it is pending")
    digest: str = Field(default="", description="names this exact plan; an approval refers to it")
    code: str = Field(default="", description="short form of the digest, which a person types")
    held: str = Field(default="", description="why it would not be applied as it is; '' where nothing holds it")
    changes: list[dict[str, Any]] = Field(default_factory=list, description="what would be done, a resource each")
    effects: list[dict[str, Any]] = Field(
        default_factory=list, description="sorts of requests that it treats differently, each with a witness in words"
    )
    losses: list[dict[str, Any]] = Field(default_factory=list, description="what people would lose")
    conflicts: list[dict[str, Any]] = Field(default_factory=list, description="changed by hand too: a person decides")
    refusals: list[dict[str, Any]] = Field(default_factory=list, description="what a guard refuses without consent")
    problems: list[dict[str, Any]] = Field(default_factory=list, description="what is wrong with it")
    notes: list[str] = Field(default_factory=list)


class Proposed(Made):
    """A proposal: one commit on a branch of its own, waiting for a person."""

    branch: str
    commit: str
    parent: str = Field(description="the commit of main it stands on")
    title: str
    resources: list[str] = Field(description="addresses it touches")
    files: list[str] = Field(description="files of the desired repo it touches")
    plan: Plan
    review: str = Field(description="what a person does next")


@dataclass(frozen=True, kw_only=True)
class Intent:
    """What a proposal is called and why it is made."""

    slug: str
    title: str
    reason: str


class Desk:
    """The gateway's clone and what is done there. One writer at a time; safe from several threads."""

    def __init__(
        self, settings: GatewaySettings, store: Store, audit: Audit, query: QueryClient, clock: Clock, chance: Chance
    ) -> None:
        self.settings = settings
        self.query = query
        self._store = store
        self._audit = audit
        self._clock = self.clock = clock
        self._chance = self.chance = chance
        # A libgit2 handle is not to be used from two threads at once.
        self._lock = RLock()
        self._ground: Ground | None = None
        self._tidied = ""

    def ground(self) -> Ground:
        """main as it is now, fetched into the clone. Raises Refused where there is no readable main."""
        with self._at_work():
            commit = proposals.follow(self._store, self.settings.source, self.settings.branch)
            if self._ground and self._ground.commit == commit:
                return self._ground
            policy, _ = desired_state.policy(self._store, commit)
            instances = tuple(Instance(name, target.kind, target.directory) for name, target in policy.targets.items())
            desired = desired_state.load(self._store, commit, instances)
            secrets = tuple(secrets_in(self.settings))
            self._ground = Ground(commit=commit, instances=instances, desired=desired, secrets=secrets)
            return self._ground

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """The clone to oneself, made anew where somebody deleted it: all that it must hold can be fetched again."""
        with self._lock, _git_words():
            if not all((self.settings.clone / part).exists() for part in _PARTS):
                _logger.warning("the clone %s was gone; it is made anew", self.settings.clone)
                shutil.rmtree(self.settings.clone, ignore_errors=True)  # what is left of it is no repository
                self._store, self._ground = Store.create(self.settings.clone, self.settings.branch), None
            yield

    def propose(self, call: Call, intent: Intent, edit: Callable[[Draft], None]) -> Proposed:
        """Let `edit` change files on today's main, check them, and commit them as a proposal.

        Durable when it returns: commit, audit and all. Raises Refused, and then nothing was committed.
        """
        self._refuse_read_only()
        with self._at_work():
            ground = self.ground()
            draft = Draft(ground=ground, read=lambda path: self._content(ground.commit, path))
            edit(draft)
            draft.check(f"{intent.title}\n{intent.reason}")
            making = self._making(call, intent, ground)
            commit = proposals.propose(self._store, edits=draft.edits, roots=_roots(ground.instances), **making)
            made = self._made(call, intent, ground, making["id"], commit, draft.resources())
        return self._proposed(made, sorted(draft.edits))

    def judge(self, edit: Callable[[Draft], None]) -> tuple[list[Address], tuple[Problem, ...]]:
        """What `edit` would change on today's main, and what speaks against it; nothing is committed."""
        with self._at_work():
            ground = self.ground()
            draft = Draft(ground=ground, read=lambda path: self._content(ground.commit, path))
            edit(draft)
            try:
                draft.check("")
            except Refused as refusal:
                return [], refusal.problems
            return draft.resources(), ()

    def _refuse_read_only(self) -> None:
        """The switch holds wherever it is on: what the reconciler would not take is not proposed either."""
        if self.settings.read_only or self._reconciler_is_read_only():
            raise Refused(
                "read-only",
                "This Waypost is switched to read-only (WAYPOST_READ_ONLY): nothing is proposed, nothing is withdrawn.",
            )

    def _reconciler_is_read_only(self) -> bool:
        """One that is away cannot say so, and takes nothing meanwhile."""
        answer = self.query.status()
        return not isinstance(answer, Away) and bool(answer.get("read_only"))

    def _making(self, call: Call, intent: Intent, ground: Ground) -> dict[str, Any]:
        """What every proposal's commit carries, whatever it changes."""
        return {
            "parent": ground.commit,
            "id": self._new_id(intent.slug),
            "title": intent.title,
            "body": intent.reason,
            "trailers": {
                "Waypost-Request": call.request_id,
                "Waypost-Tool": call.tool,
                "Waypost-Client": call.client,
            },
            "author": call.client,
            "at": self._clock.now(),
        }

    def _made(
        self, call: Call, intent: Intent, ground: Ground, id: str, commit: str, resources: Sequence[Address]
    ) -> ProposalMade:
        """Record that a proposal was made; durable when it returns."""
        made = ProposalMade(
            proposal=id,
            branch=proposals.branch(id),
            commit=commit,
            parent=ground.commit,
            tool=call.tool,
            client=call.client,
            title=intent.title,
            resources=tuple(map(str, resources)),
        )
        try:
            self._audit.record(made, stream=f"proposal/{id}", call=call, id=f"made:{id}")
        except LogError:
            proposals.withdraw(self._store, id)  # what cannot be recorded was not proposed
            raise
        return made

    def recover(self) -> None:
        """Record what a killed gateway had committed but not yet recorded. Repeating it changes nothing."""
        standing = self.standing()
        if standing:
            self._audit.record_all(_made_by(id, commit) for id, commit in standing)

    def _proposed(self, made: ProposalMade, files: Sequence[str]) -> Proposed:
        # Asked without the lock: a slow reconciler must not keep others from proposing.
        plan = self.plan(made.proposal)
        if plan.state == "shown":
            self._tidy(made.parent)
        return Proposed(
            proposal=made.proposal,
            branch=made.branch,
            commit=made.commit,
            parent=made.parent,
            title=made.title,
            resources=list(made.resources),
            files=list(files),
            plan=plan,
            review=REVIEW.format(id=made.proposal),
        )

    def _tidy(self, main: str) -> None:
        """Take away the branches of proposals that the reconciler says are settled; once for each state of main."""
        if main == self._tidied:
            return
        told = self.query.proposals()
        settled = _settled(told)
        with self._at_work():
            for id, commit in proposals.proposals(self._store).items():
                if settled.get(id) == commit:
                    proposals.withdraw(self._store, id)
            if not isinstance(told, Away):
                self._tidied = main

    def plan(self, proposal: str) -> Plan:
        """The plan of a proposal; "pending" where the reconciler cannot be asked now."""
        return read_plan(self.query.plan(proposal))

    def withdraw(self, call: Call, id: str, reason: str) -> None:
        """Take a proposal back. Raises Refused where this gateway made none of that name."""
        self._refuse_read_only()
        with self._at_work():
            self.commit_of(id)
            # The fact first: a branch that outlives it is harmless, a branch gone without a word is not.
            event = ProposalWithdrawn(proposal=id, reason=without_secrets(reason))
            self._audit.record(event, stream=f"proposal/{id}", call=call, id=f"withdrawn:{id}")
            proposals.withdraw(self._store, id)

    def commit_of(self, id: str) -> Commit:
        """The commit of a proposal, fetched where it was made elsewhere. Raises Refused where none is known."""
        with self._at_work():
            commit = proposals.proposals(self._store).get(id)
            if commit is None:
                proposals.follow(self._store, self.settings.source, self.settings.branch, proposal=id)
                commit = proposals.proposals(self._store).get(id)
            if commit is None:
                raise Refused("unknown-proposal", f"No proposal '{id[:80]}' stands here; see proposals_list.")
            return self._store.commit(commit)

    def standing(self) -> list[tuple[str, Commit]]:
        """Id and commit of every proposal of this clone, newest first."""
        with self._at_work():
            found = [(id, self._store.commit(commit)) for id, commit in proposals.proposals(self._store).items()]
        return sorted(found, key=lambda item: (item[1].at, item[0]), reverse=True)

    def touched(self, commit: Commit) -> dict[str, tuple[bytes | None, bytes | None]]:
        """Path -> content before and after, for what a proposal's one commit changes."""
        with self._at_work():
            parent = commit.parents[0]
            paths = self._store.changed(parent, commit.id)
            return {path: (self._content(parent, path), self._content(commit.id, path)) for path in paths}

    def content(self, commit: str, path: str) -> bytes | None:
        """What a file holds in a commit, byte for byte; None where there is none."""
        with self._at_work():
            return self._content(commit, path)

    def restore(self, call: Call, intent: Intent, revision: str) -> Proposed:
        """Propose the tree of a revision (its number, or a commit of main), policy excepted. As `propose`."""
        self._refuse_read_only()
        with self._at_work():
            ground = self.ground()
            before = self._restorable(ground, revision)
            addresses = ground.desired.snapshot.keys() | before.snapshot.keys()
            differ = [a for a in addresses if ground.desired.snapshot.get(a) != before.snapshot.get(a)]
            making = self._making(call, intent, ground)
            commit = proposals.revert_to(self._store, before.commit, roots=_roots(ground.instances), **making)
            made = self._made(call, intent, ground, making["id"], commit, sorted(differ))
            files = self._store.changed(ground.commit, commit)
        return self._proposed(made, files)

    def _restorable(self, ground: Ground, revision: str) -> Desired:
        try:
            commit = self._store.resolve(revision)
        except GitError as fault:
            raise Refused("unknown-revision", f"There is no revision '{revision[:80]}'; see history.") from fault
        if not revision.isdecimal() and not self._store.is_ancestor(commit, ground.commit):
            raise Refused("unknown-revision", f"{revision[:80]} is not in the history of main.")
        found = desired_state.load(self._store, commit, ground.instances)
        if found.problems:
            raise Refused("invalid", f"{revision[:80]} held no valid desired state.", problems=found.problems)
        return found

    def _content(self, commit: str, path: str) -> bytes | None:
        entry = self._store.entry(commit, path)
        return None if entry is None else self._store.read(entry.id)

    def _new_id(self, slug: str) -> str:
        plain = re.sub(r"[^a-z0-9]+", "-", slug.lower()).strip("-")[:40].strip("-")
        return f"{plain or 'change'}-{base64.b32encode(self._chance(5)).decode().lower()[:6]}"


def _made_by(id: str, commit: Commit) -> tuple[ProposalMade, str, Call, str]:
    """What its own commit says about a proposal. The reconciler reads the resources from there as well."""
    call = Call(
        request_id=commit.trailers.get("Waypost-Request", ""),
        client=commit.trailers.get("Waypost-Client", "unknown"),
        tool=commit.trailers.get("Waypost-Tool", "unknown"),
    )
    made = ProposalMade(
        proposal=id,
        branch=proposals.branch(id),
        commit=commit.id,
        parent=commit.parents[0],
        tool=call.tool,
        client=call.client,
        title=commit.subject,
        resources=(),
    )
    return made, f"proposal/{id}", call, f"made:{id}"


_LISTS = ("changes", "effects", "losses", "conflicts", "refusals", "problems")


def read_plan(answer: Answer) -> Plan:
    """A plan as a model gets it; fields this version does not know are left out."""
    if isinstance(answer, Away):
        return Plan(state="pending", reason=answer.reason)
    told = answer.get("plan")
    if not isinstance(told, dict):
        return Plan(state="pending", reason="the reconciler answered without a plan")
    notes, lists = told.get("notes"), {name: _objects(told.get(name)) for name in _LISTS}
    long = [
        f"{len(items) - MOST_SHOWN} more {name} are not shown" for name, items in lists.items() if items[MOST_SHOWN:]
    ]
    return Plan.model_validate(
        {
            "state": "shown",
            **{name: str(told.get(name, "")) for name in ("digest", "code", "held")},
            **{name: items[:MOST_SHOWN] for name, items in lists.items()},
            "notes": [*map(str, notes if isinstance(notes, list) else ()), *long],
        }
    )


SETTLED = frozenset({"approved", "superseded", "rejected", "withdrawn", "closed"})


def _settled(answer: Answer) -> dict[str, str]:
    """Id and commit of the proposals that are surely settled, by the reconciler's own words."""
    told = [] if isinstance(answer, Away) else _objects(answer.get("proposals"))
    return {str(one["id"]): str(one.get("commit")) for one in told if "id" in one and one.get("status") in SETTLED}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _roots(instances: Sequence[Instance]) -> tuple[str, ...]:
    """Where a tool may write: the directories of the declared targets, and the notes beside them."""
    return (*(instance.directory for instance in instances), "docs")


@contextmanager
def _git_words() -> Iterator[None]:
    """Faults of the repository as refusals: what was wrong with a proposal, or with the clone itself."""
    try:
        yield
    except proposals.ProposalRefused as fault:
        problems = tuple(Problem(message=reason) for reason in fault.reasons)
        raise Refused("refused", "This cannot be proposed; nothing was committed.", problems=problems) from fault
    except GitError as fault:
        raise Refused("repository", f"{fault}.", retry=fault.retry) from fault
