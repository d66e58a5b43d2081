"""What we know of our stacks that Komodo has no place for, and the one attempt that is under way: a small file.

It stands before anything is asked of Komodo and is the whole intention: whoever finds it knows what is to be done, what
was done of it, and what was there before. Lost, it costs the order of stacks and the dates of requests, no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import orjson

from reconciler.core.target import TargetError
from reconciler.komodo import requests
from reconciler.komodo.deeds import Specs, Step
from reconciler.komodo.stacks import REQUEST
from reconciler.ports import Files

_FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True)
class UnderWay:
    """An attempt that is neither proven nor undone. `after` is the digest of what will be live.

    `back` is how far the step is that puts back the one that is "undoing". `left`: it failed, and stays as it failed,
    for a person to look at. Of stacks that are left alone, by address: `alone` says why it leaves them so, `known` what
    was said of them before for the same commit; `pending` are those whose turn is later.
    """

    attempt: str
    commit: str
    after: str
    steps: tuple[Step, ...]
    back: Step | None = None
    left: bool = False
    pending: tuple[str, ...] = ()
    alone: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_put_back(self) -> bool:
        """Whether it was begun to put it back, so that nobody may go on with it."""
        return any(step.state in ("undoing", "undone") for step in self.steps)

    def with_step(self, index: int, step: Step) -> UnderWay:
        return replace(self, steps=(*self.steps[:index], step, *self.steps[index + 1 :]), back=None)


@dataclass(frozen=True, kw_only=True)
class Held:
    """One stack as it was put in place: what was wanted, and the mark of the configuration that Komodo kept of it.

    `asked` is the date of the last request that was carried out, `commit` what it was put in place for.
    """

    mark: str
    specs: Specs
    asked: str = ""
    commit: str = ""  # "" where an older Waypost did not say


@dataclass(frozen=True, kw_only=True)
class Record:
    """`concluded` is the last attempt that was under way: whoever died before telling of it can still do so.

    `refused` are stacks that were nothing before and came to nothing: the mark of the configuration that is left.
    """

    held: Mapping[str, Held] = field(default_factory=dict)
    under_way: UnderWay | None = None
    concluded: UnderWay | None = None
    refused: Mapping[str, str] = field(default_factory=dict)

    def holding(self, stack: str, mark: str, specs: Specs, commit: str = "") -> Record:
        """`commit` is what puts it there; without one it stays what it was."""
        kept = {name: one for name, one in self.held.items() if name != stack}
        refused = {name: one for name, one in self.refused.items() if name != stack}
        if not specs:
            return replace(self, held=kept, refused={**refused, stack: mark} if mark else refused)
        before = self.held.get(stack, Held(mark="", specs={}))
        held = Held(mark=mark, specs=specs, asked=_last(before.asked, specs), commit=commit or before.commit)
        return replace(self, held={**kept, stack: held}, refused=refused)

    def ended(self) -> Record:
        return replace(self, under_way=None, concluded=self.under_way)

    def knows(self, attempt: str) -> UnderWay | None:
        """That attempt, under way or concluded, if it was the last one."""
        return next((one for one in (self.under_way, self.concluded) if one and one.attempt == attempt), None)

    def told_of(self, commit: str) -> dict[str, str]:
        """Why the last attempts at a commit left stacks alone."""
        last = self.concluded
        return {**last.known, **last.alone} if last and last.commit == commit else {}

    @property
    def asked(self) -> dict[str, str]:
        return {name: one.asked for name, one in self.held.items()}


def _last(asked: str, specs: Specs) -> str:
    request = specs.get(REQUEST)
    if not request or (asked and not requests.is_later(request, {"at": asked})):
        return asked
    return str(request["at"])


class RecordFile:
    """The record on disk, whole or as it was before. Without a path it is kept in memory only."""

    def __init__(self, path: Path | None, files: Files) -> None:
        self._path, self._files = path, files
        self._kept = Record()

    def load(self) -> Record:
        """Raises TargetError where it cannot be read: what is under way must not be guessed."""
        if self._path is None:
            return self._kept
        try:
            content = self._files.read(self._path)
            return Record() if content is None else decode(content)
        except (OSError, ValueError) as error:
            raise TargetError(
                f"{self._path} cannot be read: {error}",
                retry=False,
                remedy="It says which deploys are under way; where none is, move it away and the next pass goes on.",
            ) from None

    def save(self, record: Record) -> None:
        self._kept = record
        if self._path is None:
            return
        staged = self._path.with_suffix(".next")
        try:
            self._files.make_directory(self._path.parent, 0o700)
            self._files.write(staged, encode(record), 0o600)
            self._files.replace(staged, self._path)
        except OSError as error:
            raise TargetError(f"{self._path} cannot be written: {error}") from None


def encode(record: Record) -> bytes:
    return orjson.dumps({"format": _FORMAT, **asdict(record)})


def decode(content: bytes) -> Record:
    """Raises ValueError where it is no record, or one of another format."""
    try:
        return _record(orjson.loads(content))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no record of deploys: {error}") from None


def as_logged(content: bytes, attempt: str) -> bytes:
    """The same, of a moment at which the log has this one attempt open, or none (""): no other is under way then.

    Raises ValueError where it is no record.
    """
    record = decode(content)
    if record.under_way is None or record.under_way.attempt == attempt:
        return content
    return encode(replace(record, under_way=None))


def _record(data: Any) -> Record:
    if data["format"] != _FORMAT:
        raise ValueError(f"it is of format {data['format']}, written by another Waypost")
    held = {
        name: Held(
            mark=one["mark"],
            specs=one["specs"],
            asked=_last(one.get("asked", ""), one["specs"]),
            commit=one.get("commit", ""),
        )
        for name, one in data["held"].items()
    }
    under_way, concluded = _attempt(data["under_way"]), _attempt(data.get("concluded"))
    return Record(held=held, under_way=under_way, concluded=concluded, refused=data.get("refused", {}))


def _attempt(data: Any) -> UnderWay | None:
    if data is None:
        return None
    back = data.get("back")
    steps, pending = tuple(map(_step, data["steps"])), tuple(data.get("pending", ()))
    return UnderWay(**{**data, "steps": steps, "back": _step(back) if back else None, "pending": pending})


def _step(data: Any) -> Step:
    return Step(**{**data, "services": tuple(data["services"])})
