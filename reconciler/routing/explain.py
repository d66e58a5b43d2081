"""An answer in words and as plain data: who serves a request, who else matches, and why they do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from reconciler.routing.choosing import Layer, Ranked
from reconciler.routing.evaluate import compile_rule
from reconciler.routing.grammar import ParseError
from reconciler.routing.request import Request
from reconciler.routing.table import Answer, Table

_MOST_NAMED: Final = 10


def as_json(answer: Answer) -> dict[str, Any]:
    """The answer as JSON-plain data: what `waypost explain` prints a line of. Names are those in the files."""
    return {
        "router": None if answer.router is None else _as_written(answer.router),
        "service": _as_written(answer.service) or None,
        "middlewares": list(map(_as_written, answer.middlewares)),
        "candidates": list(map(_as_written, answer.candidates)),
        "ambiguous": answer.ambiguous,
        "tied": list(map(_as_written, answer.tied)),
        "status": answer.status,
        "entrypoint": answer.entry_point,
        "tls": answer.tls,
        "taken_by": answer.taken_by,
        "unknown": answer.unknown or None,
        "reason": answer.reason,
    }


def _as_written(name: str) -> str:
    return name.removesuffix("@file")


def lines(answer: Answer, table: Table, request: Request) -> Iterator[str]:
    """The answer for people."""
    yield f"{request.method} {request.url}"
    yield f"  arrives at {answer.entry_point}{' over TLS' if answer.tls else ''}"
    yield from (f"  {line}" for line in _verdict(answer))
    if answer.unknown or answer.taken_by != "http":
        return
    layer = table.layers.get((answer.entry_point, answer.tls))
    if layer is None or answer.seen is None:
        return
    yield from (f"  {line}" for line in _others(answer, layer))
    yield from (f"  {line}" for line in _chances(answer))
    yield from (f"  {line}" for line in _absent(answer, table))


def _verdict(answer: Answer) -> Iterator[str]:
    if answer.unknown:
        yield f"nobody can tell who serves it: {answer.unknown}"
    elif answer.taken_by == "nobody":
        yield answer.reason
    elif answer.ambiguous:
        yield f"! {answer.reason}"
        yield "  give one of them a priority of its own to decide it"
    elif answer.router is None:
        yield f"Traefik answers {answer.status}: {answer.reason}"
    else:
        yield f"goes to router {answer.router}, service {answer.service or 'none'}"
        if answer.middlewares:
            yield f"through {', '.join(answer.middlewares)}"
        yield f"because {answer.reason}"


def _others(answer: Answer, layer: Layer) -> Iterator[str]:
    """Who else matches, and why each of them comes later."""
    if answer.seen is None or not answer.path:
        return
    first = answer.path[0]
    matching = [one for one in layer.near(answer.seen.host) if _matches(one, answer)]
    later = [one for one in matching if one.key < first.key]
    for one in later[:_MOST_NAMED]:
        yield f"also matches: {one.shown} ({_lost(one, first)})"
    if len(later) > _MOST_NAMED:
        yield f"also match: {len(later) - _MOST_NAMED} more"


def _matches(one: Ranked, answer: Answer) -> bool:
    return one.rule is not None and answer.seen is not None and one.rule.matches(answer.seen)


def _lost(one: Ranked, winner: Ranked) -> str:
    if one.priority == winner.priority:
        return f"same priority {one.priority}, but its provider comes later in providers.precedence"
    origin = "set" if one.router.priority else "the length of its rule"
    return f"priority {one.priority}, {origin}; lower than {winner.priority}"


def _chances(answer: Answer) -> Iterator[str]:
    """Priorities that nobody set decide by the length of a text: worth a word where they are close to a tie."""
    if answer.router is not None and len(answer.candidates) > 1 and not answer.path[0].router.priority:
        yield "note: no priority is set; the longest rule comes first, whatever it matches"


def _absent(answer: Answer, table: Table) -> Iterator[str]:
    """Routers that would have matched if they served."""
    seen = answer.seen
    if seen is None:
        return
    named = 0
    for router in table.routers:
        why = table.disabled.get(router.name)
        if why is None or router.protocol != "http" or named >= _MOST_NAMED:
            continue
        if _would_match(router.rule, answer, table):
            named += 1
            yield f"! {router.name.removesuffix('@file')} would match and serves nothing: {why}"


def _would_match(rule: str, answer: Answer, table: Table) -> bool:
    try:
        return compile_rule(rule, "http", table.release).matches(answer.seen)
    except ParseError:
        return False
