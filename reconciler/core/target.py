"""What a target is to the loop: look, check, write, prove, undo. Growth goes into the values, not the methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from state.events import Event
from state.model import Address, Problem, Snapshot


class TargetError(Exception):
    """A target could not be observed or written. `retry` says whether trying again may help."""

    def __init__(self, message: str, *, retry: bool = True, remedy: str = "") -> None:
        super().__init__(message)
        self.retry = retry
        self.remedy = remedy


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What a target holds at one moment.

    `live` is what we own there; `file` the digest of the file that holds it ("" where there is none).
    `foreign` names what others own there: address -> origin (a file, or a provider such as "docker").
    `problems` are standing faults, ours or a neighbour's (poison files, restart losses, duplicate names).
    `witness` is "" while the target answers, else why it does not. `served` is all that the target itself says
    it runs, ours and others', in its own words and names.
    """

    live: Snapshot
    file: str = ""
    foreign: Mapping[Address, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    poison: Mapping[str, str] = field(default_factory=dict)  # file -> what its decoder says
    own_file: str = ""  # what our file is called in `poison`
    taken_over: Mapping[Address, str] = field(default_factory=dict)  # ours, but a file that is read first has it too
    disabled: Mapping[Address, str] = field(default_factory=dict)  # ours, on disk, not served -> the target's words
    unserved: str = ""  # why the target does not serve our file as it stands, "" while it does or there is none
    restart_losses: tuple[str, ...] = ()  # routes that a restart of the target would lose
    witness: str = ""
    version: str = ""
    served: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # kind -> name -> what the target says
    doors: tuple[Mapping[str, Any], ...] = ()  # where it listens, in its own words
    beside: Mapping[tuple[str, str], tuple[Any, ...]] = field(default_factory=dict)
    """Kind and name -> what others' files hold under it, the one first that is read first."""
    precedence: tuple[str, ...] = ()  # which of its sources come first, where it is set
    by: Mapping[Address, str] = field(default_factory=dict)  # ours, otherwise than applied -> who did it, where known
    idle: Mapping[str, Snapshot] = field(default_factory=dict)
    """By name, what it has in its books and does not run; nothing is said of what was put there from here."""
    deeds: Mapping[str, Event] = field(default_factory=dict)
    """What was done of the last attempt until now, as in a verdict: who died before telling it can still do so."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One write: everything a target needs to carry it out, prove it, and undo it after a crash.

    `live` is the whole state to serve (not only what changes); `gone` what must not be served any more.
    `about` is what the plan changes. `before` and `after` are digests of the owned file around the write.
    """

    id: str
    instance: str
    commit: str
    live: Snapshot
    gone: frozenset[Address] = frozenset()
    about: frozenset[Address] = frozenset()
    before: str = ""
    after: str = ""
    put_back: bool = True  # what was refused is undone; else it is left as it is, for a person to look at
    pending: frozenset[Address] = frozenset()  # wanted otherwise, and not changed by this write: its turn is later


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of a write. Only "refuted" undoes and quarantines; an outage of the witness is "unknown".

    `faults` names, per resource, what the target says; `suspects` is what may have caused that: these resources
    and all they need. `evidence` is a sentence for the log.

    `deeds` are facts for the log beside the verdict: what the target did for it part by part, what it left as it is,
    and why. Each stands under its idempotency key, so a target may tell all of them each time it is asked.
    """

    outcome: Literal["proven", "refuted", "unknown"]
    evidence: str
    faults: Mapping[Address, str] = field(default_factory=dict)
    suspects: frozenset[Address] = frozenset()
    file: str = ""  # digest of the file that this verdict is about
    seconds: float = 0.0
    remedy: str = ""
    deeds: Mapping[str, Event] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Validation:
    """What is wrong with a wanted state before it is written, and what could not be checked."""

    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


class Target(Protocol):
    """A live system that can be observed and changed."""

    @property
    def instance(self) -> str: ...

    @property
    def kind(self) -> str:
        """What sort of system it is: traefik, komodo, authentik."""
        ...

    @property
    def place(self) -> str:
        """Where it is written to, in words for a person: a directory, an address."""
        ...

    @property
    def renderer(self) -> str:
        """Version of how wanted state becomes written state; part of a plan's digest."""
        ...

    def apart(self) -> Target:
        """The same target for others who ask meanwhile: what this one remembers of its last look stays its own."""
        ...

    def observe(self) -> Observation:
        """Look; change nothing. Raises TargetError where even our own part cannot be read."""
        ...

    def unmoved(self, seen: Observation) -> bool:
        """Whether all still stands as `observe` saw it then, as far as a glance tells. Never raises.

        False where something moved or was amiss, and where that look is so old that a glance is not enough.
        """
        ...

    def validate(self, wanted: Snapshot, observed: Observation) -> Validation:
        """Everything wrong with serving `wanted`, all at once; writes nothing live."""
        ...

    def wake(self, seen: Observation) -> None:
        """Have the target look again, once, where it does not serve our file as it stands and nothing says why."""
        ...

    def probe(self, attempt: str) -> Verdict:
        """Does the target notice what we write at all? A marker-only write, content unchanged."""
        ...

    def render(self, attempt: Attempt) -> bytes:
        """The bytes that `write` would put in place: same attempt, same bytes."""
        ...

    def blocked(self, attempt: Attempt) -> str:
        """Why this could not be written at the moment, "" where it could. Changes nothing that is live."""
        ...

    def write(self, attempt: Attempt) -> str:
        """Put the attempt in place, whole and durable, keeping what was there for `undo`.

        Returns the digest of the written file. Raises TargetError if the file is no longer `attempt.before`.
        """
        ...

    def prove(self, attempt: Attempt) -> Verdict:
        """Ask the target itself whether it serves the attempt; waits no longer than its own deadline."""
        ...

    def undo(self, attempt: Attempt, fallback: Snapshot) -> Verdict:
        """Put back what stood before the attempt (`fallback` where that copy is lost), and prove it."""
        ...
