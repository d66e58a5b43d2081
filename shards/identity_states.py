"""What authentik has to do with a failing request: whether it knows the application whose route asks it who comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final
from urllib.parse import urlsplit

from shards import untrusted
from shards.authentik_live import Live, LiveApplication, LiveError
from shards.kit import Refused
from shards.knowing import About, Known, Question
from state.sparing import dataclass

OUTPOST: Final = "authentik Embedded Outpost"
"""The one that every authentik brings along."""


@dataclass(frozen=True)
class IdentityStates:
    """Knows who may in by what authentik tells."""

    live: Live
    instance: str = ""

    of: ClassVar[About] = "identity"

    def about(self, question: Question) -> Known:
        asking = [one for one in question.middlewares if "authentik" in one.lower()]
        try:
            mine = [one for one in self.live.applications() if _host(one) == question.host and question.host]
            attached = self.live.attached(OUTPOST) if mine and asking else []
        except LiveError as fault:
            raise Refused("authentik-away", f"authentik cannot be asked: {fault}", retry=True) from fault
        if not mine:
            return _of_nobody(question.host, asking)
        return _of(mine[0], attached, asking)


def _of_nobody(host: str, asking: Sequence[str]) -> Known:
    named = _short(host or "this route")
    if not asking:
        said = f"authentik has no application at {named}, and the route does not ask it"
        return Known(outcome="unknown", said=said, found=False)
    said = f"{_short(asking[0])} asks authentik who comes, and authentik has no application at {named}"
    return Known(outcome="trouble", said=said, cause=said, found=False)


def _of(one: LiveApplication, attached: Sequence[str], asking: Sequence[str]) -> Known:
    name = _short(one.name or one.slug)
    if not one.provider:
        said = f"application {name} has no provider, so nobody can sign in to it"
        return Known(outcome="trouble", said=said, cause=said)
    if asking and one.provider not in attached:
        said = f"application {name} is one that {OUTPOST} does not answer for: its provider is not attached to it"
        # Another outpost may have it, of which nothing is known here.
        return Known(outcome="trouble", said=said, details=(f"attached: {', '.join(map(_short, attached)) or 'none'}",))
    return Known(outcome="fine", said=f"application {name} lets people in through {_short(one.provider)}")


def _host(one: LiveApplication) -> str:
    try:
        return urlsplit(one.launch_url).hostname or ""
    except ValueError:
        return ""


def _short(text: str) -> str:
    return untrusted.short(text, 200)
