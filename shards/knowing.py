"""What other shards may know about a failing request: how `diagnose` asks them, and what they say. Pure.

A shard that can tell offers a `Knowing`; the gateway hands it to the diagnosis. It is asked once for each request, in a
thread of its own, and an answer that comes late is one that is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from state.sparing import dataclass

About = Literal["containers", "deploys", "identity"]
"""Which part of the house it is about: how containers are, what was deployed, who is let in by whom."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A request that fails, and the route that serves it, or should. What nobody knows is empty."""

    host: str = ""
    path: str = "/"
    status: int | None = None  # what somebody was answered
    router: str = ""  # with its provider where that is another than file
    service: str = ""
    middlewares: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()  # addresses


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a shard knows about it.

    `found`: whether the thing is known at all. `cause` is a sentence that goes on after the name of the thing ("gitea
    is exited"), and only where this by itself would explain that the request fails; "" else. Text from elsewhere in
    `details` is cleaned and marked by the shard.
    """

    outcome: Literal["fine", "trouble", "unknown"]
    said: str
    details: tuple[str, ...] = ()
    cause: str = ""
    found: bool = True


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What one of those who were asked said: what it knows, or why it could not be asked."""

    of: About
    instance: str = ""
    said: Known | str


def certain_cause(heard: Sequence[Heard]) -> str:
    """What explains the request, of all that was heard about one part of the house; "" where nothing does for sure.

    Of several instances only those count that know the thing. Where one of them says that it is fine, another's
    trouble may be of a namesake; where one could not be asked, it may be the one that knows.
    """
    known = [one.said for one in heard if isinstance(one.said, Known)]
    finders = [one for one in known if one.found]
    if any(one.outcome == "fine" for one in finders) or (not finders and len(known) < len(heard)):
        return ""
    return next((one.cause for one in finders or known if one.cause), "")


class Knowing(Protocol):
    """Somebody who may know."""

    @property
    def of(self) -> About: ...

    @property
    def instance(self) -> str:
        """Which of several that know about the same part of the house, "" where there is one."""
        ...

    def about(self, question: Question) -> Known:
        """What is known. Raises kit.Refused where that cannot be found out now."""
        ...
