"""Everything the reconciler works with, as one value: log, desired repo, targets, clock, chance."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from reconciler.core.target import Target
from reconciler.git.remote import Remote
from reconciler.git.store import Store
from reconciler.ports import Chance, Clock
from reconciler.recall import Recall
from state.log import EventLog

if TYPE_CHECKING:
    from reconciler.gitea.api import Gitea

ACTOR = "waypost"


@dataclass(frozen=True, kw_only=True)
class World:
    """`remote` is None where the desired repo is the embedded one; `gateway_clone` need not exist yet.

    `secrets` gives what Waypost itself uses, as it is now, and must stand in no proposal.
    """

    log: EventLog
    store: Store
    targets: Mapping[str, Target]
    clock: Clock
    chance: Chance
    branch: str = "main"
    remote: Remote | None = None
    gitea: Gitea | None = None
    gateway_clone: Path | None = None
    gateway_outbox: Path | None = None
    people_outbox: Path | None = None
    source: str = ""
    read_only: bool = False
    secrets: Callable[[], Collection[str]] = field(default=frozenset, repr=False, compare=False)
    taking: Lock = field(default_factory=Lock, repr=False, compare=False)  # one thread of this process takes in
    recall: Recall = field(default_factory=Recall, repr=False, compare=False)
