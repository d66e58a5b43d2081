"""What containers have to do with a failing request: how those behind its route are, their last complaints."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Final

from reconciler.ports import Chance, Clock
from shards import untrusted
from shards.containers import TROUBLED, Container, Line, Route, Source, SourceError, Wanted, behind
from shards.dozzle import wrapped
from shards.knowing import About, Known, Question
from shards.log_sources import Sources
from shards.masking import masked, without_keys
from state.sparing import dataclass

_MOST: Final = 3
"""Containers of one route whose logs are looked into."""

_LINES: Final = 300
_COMPLAINTS: Final = 5
_SINCE: Final = timedelta(hours=1)


@dataclass(frozen=True)
class _Look:
    """One container, and the last of what it complained of; `unread` is why its log is not known."""

    container: Container
    complaints: tuple[Line, ...] = ()
    unread: str = ""


@dataclass(frozen=True)
class ContainerStates:
    """Knows containers by the sources of the Dozzle shard."""

    sources: Sources
    clock: Clock
    chance: Chance

    of: ClassVar[About] = "containers"
    instance: ClassVar[str] = ""

    def about(self, question: Question) -> Known:
        route = Route(host=question.host, router=question.router, service=question.service, backends=question.backends)
        told = self.sources.ask(lambda source: self._looked(source, route))
        known, looks = told.answer
        if not looks:
            said = f"none of the {known} containers that {untrusted.short(told.by, 100)} knows is behind it"
            return Known(outcome="unknown", said=said, found=False)
        troubled = [one for one in looks if one.container.trouble]
        worst = troubled[0] if troubled else looks[0]
        return Known(
            outcome="trouble" if troubled or any(one.complaints for one in looks) else "fine",
            said="; ".join(map(_said, looks)),
            details=tuple(detail for one in looks for detail in self._details(one)),
            cause=_said(worst) if troubled and not _another_serves(looks) else "",
        )

    def _looked(self, source: Source, route: Route) -> tuple[int, list[_Look]]:
        containers = source.containers()
        return len(containers), [self._look(source, one) for one in behind(route, containers)[:_MOST]]

    def _look(self, source: Source, container: Container) -> _Look:
        wanted = Wanted(most=_LINES, since=self.clock.now() - _SINCE)
        try:
            lines = without_keys(source.read(container, wanted).lines)
        except SourceError as fault:
            return _Look(container, unread=str(fault))
        complaints = [line for line in lines if line.level in TROUBLED]
        return _Look(container, tuple(masked(complaints[-_COMPLAINTS:])))

    def _details(self, look: _Look) -> list[str]:
        one = look.container
        found = [f"{_name(one)}: image {_short(one.image)}{f', {_short(one.status)}' if one.status else ''}"]
        if look.unread:
            found.append(f"the log of {_name(one)} is not known: {_short(look.unread)}")
        if look.complaints:
            found.append(wrapped(one, look.complaints, self.chance))
        return found


def _another_serves(looks: Sequence[_Look]) -> bool:
    return any(one.container.runs and not one.container.trouble for one in looks)


def _said(look: _Look) -> str:
    one = look.container
    if one.trouble:
        return f"container {_name(one)} {_short(one.trouble)}"
    last = f", its last complaint is of {look.complaints[-1].at:%H:%M:%S} UTC" if _timed(look.complaints) else ""
    return f"container {_name(one)} runs{f' and is {_short(one.health)}' if one.health else ''}{last}"


def _timed(lines: Sequence[Line]) -> bool:
    return bool(lines) and lines[-1].at is not None


def _name(one: Container) -> str:
    return _short(one.name)


def _short(text: str) -> str:
    return untrusted.short(text, 200)
