"""Who commits, and what a commit says."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pygit2

from reconciler.git import message


@dataclass(frozen=True, slots=True)
class Identity:
    """A name and an address as Git records them. Git does not check either."""

    name: str
    email: str

    @classmethod
    def parse(cls, text: str) -> Identity:
        """`Ada <ada@example.org>`, or a bare name, whose address is then `<name>@localhost`."""
        name, _, rest = text.partition("<")
        cleaned = _plain(name, " ") or "unknown"
        local = re.sub(r"[^A-Za-z0-9._-]+", "-", cleaned).strip("-.") or "unknown"
        return cls(cleaned, re.sub(r"\s", "", _plain(rest, "")) or f"{local}@localhost")

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"

    def signed(self, at: datetime) -> pygit2.Signature:
        """The same with a moment (UTC), as Git stores it."""
        return pygit2.Signature(self.name, self.email, int(at.timestamp()), 0)


WAYPOST = Identity("Waypost", "waypost@localhost")
"""Who commits what no person commits."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit. `at` is when it was committed, aware, UTC; names are as their writer claimed them."""

    id: str
    tree: str
    parents: tuple[str, ...]
    author: str
    author_email: str
    committer: str
    committer_email: str
    at: datetime
    subject: str
    message: str
    trailers: dict[str, str] = field(default_factory=dict)


def _plain(text: str, instead: str) -> str:
    """Without what would end the field, and without the marks that Git itself trims from its ends."""
    whole = text.encode("utf-8", "replace").decode()
    return re.sub(r"[<>\x00-\x1f\x7f]+", instead, whole).strip(" .,:;\"'\\")


def read_commit(raw: pygit2.Commit) -> Commit:
    """The library's commit in our words; bytes that are not UTF-8 are replaced."""
    text = raw.raw_message.decode("utf-8", "replace")
    return Commit(
        id=str(raw.id),
        tree=str(raw.tree_id),
        parents=tuple(str(parent) for parent in raw.parent_ids),
        author=raw.author.raw_name.decode("utf-8", "replace"),
        author_email=raw.author.raw_email.decode("utf-8", "replace"),
        committer=raw.committer.raw_name.decode("utf-8", "replace"),
        committer_email=raw.committer.raw_email.decode("utf-8", "replace"),
        at=_moment(raw.commit_time),
        subject=message.subject(text),
        message=text,
        trailers=message.trailers(text),
    )


def _moment(seconds: int) -> datetime:
    """A commit may claim any time at all; what no calendar holds is read as the epoch."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)
