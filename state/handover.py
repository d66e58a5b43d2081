"""The view of directories that change hands: which targets are ours to reconcile, and where originals are kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from state.events import CommitApproved, OriginalMovedAside, OriginalPutBack, TargetAdopted, TargetEjected
from state.record import Occasion
from state.view import View, on


@dataclass
class Handover(View):
    """What was handed over and given back, by instance.

    `aside`: where a file is kept -> the place in the directory that it came from, oldest first. `ejected`: why we
    stepped out. `awaited`: proposal -> the instance that is ours again once it is on main.
    """

    aside: dict[str, dict[str, str]] = field(default_factory=dict)
    ejected: dict[str, str] = field(default_factory=dict)
    awaited: dict[str, str] = field(default_factory=dict)

    def is_ours(self, instance: str) -> bool:
        """Whether passes look after this instance: from the beginning, until it is ejected."""
        return instance not in self.ejected

    @on(OriginalMovedAside)
    def _move(self, event: OriginalMovedAside, at: Occasion) -> None:
        self.aside.setdefault(event.instance, {})[event.to] = event.file

    @on(OriginalPutBack)
    def _put_back(self, event: OriginalPutBack, at: Occasion) -> None:
        kept = self.aside.get(event.instance, {})
        # Of several that came from one place, the one moved last is the one that went back.
        last = next((to for to in reversed(kept) if kept[to] == event.file), None)
        if last is not None:
            del kept[last]

    @on(TargetEjected)
    def _eject(self, event: TargetEjected, at: Occasion) -> None:
        self.ejected[event.instance] = event.reason

    @on(TargetAdopted)
    def _adopt(self, event: TargetAdopted, at: Occasion) -> None:
        if event.proposal:
            self.awaited[event.proposal] = event.instance
        else:
            self.ejected.pop(event.instance, None)

    @on(CommitApproved)
    def _approve(self, event: CommitApproved, at: Occasion) -> None:
        instance = self.awaited.pop(event.proposal, None)
        if instance is not None:
            self.ejected.pop(instance, None)
