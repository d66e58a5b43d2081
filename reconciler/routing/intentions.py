"""What somebody who wrote a condition that never holds surely meant: the request they had in mind, as it is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from reconciler.routing import matchers
from reconciler.routing.decide import Found, find
from reconciler.routing.headers import TOKEN
from reconciler.routing.lints import OLD_STYLE, never, sent
from reconciler.routing.matchers import And, Matcher, Node, Not, Or
from reconciler.routing.patterns import pattern_fault
from reconciler.routing.request import Request
from reconciler.routing.urls import Release
from reconciler.routing.witnesses import USUAL_HOST

_ANY_LABEL: Final = "any"


def intended(rule: Node, dead: Matcher, release: Release) -> Iterator[Request]:
    """Requests that a condition which never holds was meant for, along with what the rule asks beside it.

    None where no request can be written. Entry point and TLS are left to others.
    """
    base = _beside(rule, dead, release)
    for request in _meant(dead, base):
        if request != base or not _is_host(dead):
            yield request


def _beside(rule: Node, dead: Matcher, release: Release) -> Request:
    """A request that meets the other conditions, as far as those can be met."""
    living = [node for node in _companions(rule, dead) if not never(node, release)]
    found = find(living, release=release) if living else None
    return found.witness if isinstance(found, Found) else Request(host=USUAL_HOST)


def _companions(node: Node, dead: Matcher) -> Iterator[Node]:
    """What has to hold beside a condition for it to matter."""
    match node:
        case And(parts):
            for part in parts:
                if _holds(part, dead):
                    yield from _companions(part, dead)
                else:
                    yield part
        case Or(parts):
            yield from _companions(next(part for part in parts if _holds(part, dead)), dead)


def _holds(node: Node, dead: Matcher) -> bool:
    match node:
        case And(parts) | Or(parts):
            return any(_holds(part, dead) for part in parts)
        case Not(part):
            return _holds(part, dead)
    return node == dead


def is_excepted(node: Node, dead: Matcher) -> bool:
    """Whether a rule denies what the condition asks for: then it matches all that was meant to be left out."""
    match node:
        case And(parts) | Or(parts):
            return any(is_excepted(part, dead) for part in parts)
        case Not(part):
            return _holds(part, dead) and not is_excepted(part, dead)
    return False


# ── one condition ────────────────────────────────────────────────────────────────────────────────


def _meant(dead: Matcher, base: Request) -> Iterator[Request]:
    match dead:
        case matchers.Host(value):
            yield from (replace(base, host=host) for host in _hosts(value))
        case matchers.HostRegexp(value):
            yield from (replace(base, host=host) for host in _hosts_like(value))
        case matchers.Path(value) | matchers.PathPrefix(value):
            yield replace(base, target=_target(value))
        case matchers.Method(value) if TOKEN.match(value):
            yield replace(base, method=value.upper())
        case matchers.Header(key, value) if TOKEN.match(key) and value.isprintable():
            yield from _with_header(base, key, value)


def _is_host(dead: Matcher) -> bool:
    return isinstance(dead, matchers.Host | matchers.HostRegexp)


_HOST: Final = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?(\[[^\]]*\](?::[0-9]*)?|[^/?#\s]+)", re.IGNORECASE)


def _hosts(value: str) -> Iterator[str]:
    """The host in what was taken for one: without a scheme and a path; a star stands for anything."""
    if (found := _HOST.match(value)) and found[1].isascii():
        yield re.sub(r"\*+", _ANY_LABEL, found[1])


def _hosts_like(pattern: str) -> Iterator[str]:
    """A host that an expression finds once it is written as it was meant: in lower case, without a port."""
    for tried in (_renewed(pattern) if OLD_STYLE.search(pattern) else pattern, re.sub(r":[^)\]]*\Z", "$", pattern)):
        if not pattern_fault(lowered := f"(?i){tried}"):
            found = find((matchers.HostRegexp(lowered), matchers.HostRegexp("^[a-z0-9.-]+$")))
            if isinstance(found, Found) and found.witness.host:
                yield found.witness.host


def _renewed(pattern: str) -> str:
    """An expression of Traefik 2, where all but the braces stands for itself, as one of today."""
    found, at = "", 0
    for part in OLD_STYLE.finditer(pattern):
        found += re.escape(pattern[at : part.start()]) + f"(?:{part[0][1:-1].partition(':')[2] or '[^.]+'})"
        at = part.end()
    return f"^{found}{re.escape(pattern[at:])}$"


def _target(value: str) -> str:
    """A path as it was written, where it can be sent so."""
    return value if re.fullmatch(r"/[!-~]*", value) and "#" not in value else sent(value, "%")


def _with_header(base: Request, key: str, value: str) -> Iterator[Request]:
    if key.lower() == "host":
        yield replace(base, host=value)
    elif key.lower() != "transfer-encoding":
        yield replace(base, headers=(*base.headers, (key, value)))
