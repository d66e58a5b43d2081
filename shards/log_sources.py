"""Whom to ask about containers: the first source that answers, and the next one when it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import field
from threading import Lock
from typing import Final, Generic, TypeVar

from reconciler.asking import AskError
from reconciler.ports import Clock
from reconciler.setting import Secret
from shards.containers import Source, SourceError
from shards.kit import Refused
from state.sparing import dataclass

_RESTS: Final = 20.0
"""Seconds for which a source that does not answer is passed over: every caller would wait for it."""

_Answer = TypeVar("_Answer")


@contextmanager
def heard() -> Iterator[None]:
    """Around what a source asks: why there is no answer, in the words of sources."""
    try:
        yield
    except AskError as fault:
        away = fault.status in (0, 401, 403, 502, 503, 504)
        raise SourceError(str(fault), away=away, retry=fault.retry) from fault


@dataclass(frozen=True, kw_only=True)
class LogsAt:
    """Where those are who can tell about containers; "" where there is none."""

    dozzle_url: str = ""
    dozzle_auth: Secret | None = None
    docker_url: str = ""

    def __bool__(self) -> bool:
        return bool(self.dozzle_url or self.docker_url)


@dataclass(frozen=True)
class Told(Generic[_Answer]):
    """An answer, by whom it is, and why those that are asked before could not give it."""

    answer: _Answer
    by: str
    passed_over: tuple[str, ...] = ()


@dataclass
class Sources:
    """All that are configured, the best first. Safe to use from several threads."""

    sources: Sequence[Source]
    clock: Clock
    _resting: dict[int, tuple[float, str]] = field(default_factory=dict)  # by place: until when, and why
    _lock: Lock = field(default_factory=Lock)

    def close(self) -> None:
        for source in self.sources:
            source.close()

    def ask(self, question: Callable[[Source], _Answer]) -> Told[_Answer]:
        """The first answer. Raises Refused where nobody has one, and what the question itself refuses."""
        reasons: list[str] = []
        retry = False
        for place, source in enumerate(self.sources):
            if reason := self._rests(place):
                reasons.append(reason)
                retry = True
                continue
            try:
                return Told(question(source), source.title, tuple(reasons))
            except SourceError as fault:
                reasons.append(str(fault))
                retry = retry or fault.retry
                if fault.away:
                    self._rest(place, str(fault))
        raise _nobody(reasons, retry)

    def _rests(self, place: int) -> str:
        with self._lock:
            until, reason = self._resting.get(place, (0.0, ""))
            return reason if until > self.clock.monotonic() else ""

    def _rest(self, place: int, reason: str) -> None:
        with self._lock:
            self._resting[place] = (self.clock.monotonic() + _RESTS, reason)


def _nobody(reasons: Sequence[str], retry: bool) -> Refused:
    if not reasons:
        return Refused(
            "no-log-source",
            "Nobody is configured who could tell about containers: a person sets WAYPOST_DOZZLE_URL or "
            "WAYPOST_DOCKER_URL.",
        )
    return Refused("log-sources-away", f"Nobody can tell: {'; '.join(reasons)}.", retry=retry, after=_RESTS)
