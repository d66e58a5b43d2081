"""Changes of treatment in words for people, and in JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from reconciler.routing.changes import Change, Changes
from reconciler.routing.request import Request
from reconciler.routing.treatments import Treatment

MOST_HOSTS: Final = 3
"""So many hosts are named in a sentence; the rest is counted."""


def told(change: Change) -> str:
    """One change in a sentence or two."""
    if change.unknown:
        return _unknown(change)
    before, after = change.before, change.after
    if before is None or after is None or change.witness is None:
        return ""
    if before.by_tcp and after.by_tcp:
        return f"{_connections(change)} {_went(before)}; after this they {_go(before, after)}.{_marked(change)}"
    return f"{_requests(change)} {_past(before)}; after this {_present(change, before, after)}.{_marked(change)}"


def listed(changes: Changes, most: int = 50) -> list[str]:
    """The most important changes, and how many more there are."""
    lines = [told(one) for one in changes.first(most)]
    left = changes.total - len(lines)
    return [*lines, f"… and {left} more."] if left else lines


def few(names: Sequence[str], most: int = MOST_HOSTS) -> str:
    """Names in a sentence: the first of them, and how many more there are."""
    if len(names) <= most:
        return _and(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


# ── which requests ───────────────────────────────────────────────────────────────────────────────

_USUAL = {False: ("web", "http"), True: ("websecure", "https")}


def _place(change: Change) -> str:
    """Where, unless a reader takes it for granted."""
    return "" if change.entry_point in _USUAL[change.tls] else f" at `{change.entry_point}`"


def _requests(change: Change) -> str:
    """A request of the sort, or in words what they have in common, and for which other hosts it holds."""
    request = change.witness
    if request is None:
        hosts = few(change.hosts)
        return f"Some requests for {hosts}{' over TLS' if change.tls else ''} at `{change.entry_point}`"
    if not change.host or " " not in change.host:
        shown = shown_request(request, change.host)
    else:
        shown = (
            f"`{request.method} {request.target}`{_more(request)} for {change.host}{' over TLS' if change.tls else ''}"
        )
    return f"{shown}{_beside(change.hosts)}{_place(change)}"


def _beside(hosts: Sequence[str]) -> str:
    return f" (also {few(hosts[1:])})" if len(hosts) > 1 else ""


def _connections(change: Change) -> str:
    """The same of connections that TCP routers take, whatever is said in them."""
    where = f" at `{change.entry_point}`" if change.entry_point not in _USUAL[change.tls] else ""
    if not change.tls:
        return f"Connections without TLS{where or f' at `{change.entry_point}`'}"
    return f"TLS connections for {change.host}{_beside(change.hosts)}{where}"


def shown_request(request: Request, host: str = "") -> str:
    """A request as people write one: method and address, and what else of it counts. `host`: as a rule has it."""
    if not request.host:
        return f"`{request.method} {request.target}` without a host{_more(request)}"
    url = request.url.replace(request.host, host, 1) if host else request.url
    return f"`{request.method} {url}`{_more(request)}"


def _more(request: Request) -> str:
    parts = [f"`{name}: {value}`" for name, value in request.headers]
    if request.client_ip != "127.0.0.1":
        parts.append(f"from {request.client_ip}")
    return f" ({', '.join(parts)})" if parts else ""


# ── what nobody can tell ─────────────────────────────────────────────────────────────────────────


def _unknown(change: Change) -> str:
    who, was, now = _requests(change), _named(change.before), _named(change.after)
    if was and now:
        moves = f"may no longer be treated as they are by {was}" if was == now else f"may go from {was} to {now}"
        return f"{who} {moves}; nobody can tell: {change.unknown}."
    if was and change.before is not None:
        return f"{who} {_past(change.before)}; after this nobody can tell who gets it: {change.unknown}."
    if now:
        return f"{who} may go to {now} after this; nobody can tell who gets it now: {change.unknown}."
    return f"{who} may be treated otherwise after this; nobody can tell: {change.unknown}."


def _named(one: Treatment | None) -> str:
    """Who gets it, "" where nobody can tell."""
    if one is None or one.kind == "unknown":
        return ""
    if one.kind == "tied":
        return _chances(one)
    return f"`{one.router}`" if one.router else "nobody"


# ── what becomes of them ─────────────────────────────────────────────────────────────────────────


def _marked(change: Change) -> str:
    if change.authentication_lost:
        return _asked_no_more(change)
    if change.newly_public:
        return " Anybody can reach it."
    gone = change.host_gone and " " not in change.host
    return " No router serves this host any more." if gone else ""


def _asked_no_more(change: Change) -> str:
    by_chance = (
        change.after is not None
        and change.before is not None
        and change.before.router in [one.router for one in change.after.among]
    )
    return (
        " Chance decides whether anybody asks who is there." if by_chance else " Nobody is asked who they are any more."
    )


_ENDS = {
    "not found": ("was answered 404", "it is answered 404"),
    "misdirected": (
        "was answered 421 (TLS options of another host)",
        "it is answered 421 (TLS options of another host)",
    ),
    "closed": ("was cut off (TLS options that do not exist)", "it is cut off (TLS options that do not exist)"),
    "absent": ("had no entry point to arrive at", "it has no entry point to arrive at"),
}


def _past(one: Treatment) -> str:
    if one.kind in _ENDS:
        return _ENDS[one.kind][0]
    if one.kind == "served":
        return f"went to `{one.router}`{_behind(one.middlewares)}"
    if one.by_tcp:
        return f"was in a connection that {_went(one)}"
    if one.kind == "tied":
        return f"went to {_chances(one)}, as chance had it"
    return f"was refused ({one.why})"


def _present(change: Change, before: Treatment, after: Treatment) -> str:
    if after.kind in _ENDS:
        return _ENDS[after.kind][1]
    if after.kind == "served":
        return f"it {', '.join(_goes(change, before, after))}"
    if after.by_tcp:
        return f"its connection {_go(before, after).replace('go ', 'goes ', 1)}"
    if after.kind == "tied":
        return f"it {_is_tied(before, after)}"
    return f"it is refused ({after.why})"


def _is_tied(before: Treatment, after: Treatment) -> str:
    redefined = altered(before, after)
    words = f", with {_all(redefined)} changed" if redefined and _chances(before) == _chances(after) else ""
    return f"goes to {_chances(after)}, as chance has it at every reload{words}"


def _goes(change: Change, before: Treatment, after: Treatment) -> Iterator[str]:
    """To whom it goes, and what is different about it."""
    if before.kind == "served" and before.router == after.router:
        yield f"still goes to `{after.router}`{_service(before, after)}"
        yield from _other_middlewares(before, after, change.authentication_lost)
        yield from _redefined(before, after)
    else:
        lost = [name for name in before.middlewares if name not in after.middlewares]
        replaced = bool(lost and after.middlewares) and not change.authentication_lost
        instead = f" instead of {_all(lost)}" if replaced else ""
        yield f"goes to `{after.router}`{_behind(after.middlewares)}{instead}"
        if lost and not replaced:
            yield f"without {_all(lost)}"


def _service(before: Treatment, after: Treatment) -> str:
    return "" if before.service == after.service else f", and on to `{after.service}` instead of `{before.service}`"


def _other_middlewares(before: Treatment, after: Treatment, authentication_lost: bool = False) -> Iterator[str]:
    """How the middlewares of one and the same router differ."""
    lost = [name for name in before.middlewares if name not in after.middlewares]
    new = [name for name in after.middlewares if name not in before.middlewares]
    if lost and new and not authentication_lost:
        yield f"behind {_all(new)} instead of {_all(lost)}"
        return
    if new:
        yield f"now behind {_all(new)}"
    if lost:
        yield f"without {_all(lost)}"
    if not lost and not new and before.middlewares != after.middlewares:
        yield f"through its middlewares in another order: {', then '.join(f'`{name}`' for name in after.middlewares)}"


def _redefined(before: Treatment, after: Treatment) -> Iterator[str]:
    if redefined := altered(before, after):
        yield f"with {_all(redefined)} changed"
    if after.options != before.options:
        yield f"with the TLS options `{after.options or 'default'}` instead of `{before.options or 'default'}`"


def altered(before: Treatment, after: Treatment) -> list[str]:
    """The names that both have and that are defined differently."""
    old = dict(part for one in before.chances for part in one.parts)
    new = dict(part for one in after.chances for part in one.parts)
    return [name for name, digest in new.items() if name in old and old[name] != digest]


def _behind(middlewares: Sequence[str]) -> str:
    return f" behind {_all(middlewares)}" if middlewares else ""


def _chances(one: Treatment) -> str:
    return " or ".join(f"`{each.router}`" if each.router else "nobody" for each in one.among)


def _all(names: Iterable[str]) -> str:
    return _and([f"`{name}`" for name in names])


def _and(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


# ── connections ──────────────────────────────────────────────────────────────────────────────────


def outcome(one: Treatment) -> str:
    """What becomes of a request, after "it …"."""
    if one.kind in _ENDS:
        return _ENDS[one.kind][1].removeprefix("it ")
    if one.kind == "unknown":
        return f"goes nobody can tell where: {one.why}"
    if one.kind == "tied":
        return f"goes to {_chances(one)}, as chance has it at every reload"
    if one.kind == "tcp":
        return f"is in a connection that goes to the TCP router `{one.router}`"
    if one.kind == "served":
        return f"goes to `{one.router}`{_behind(one.middlewares)}"
    return f"is answered {one.why}"


def _went(one: Treatment) -> str:
    if one.kind == "tied":
        return f"went to the TCP router {_chances(one)}, as chance had it"
    return f"went to the TCP router `{one.router}`{_behind(one.middlewares)}"


def _go(before: Treatment, after: Treatment) -> str:
    """To which TCP router connections go, and what is different about it."""
    if after.kind == "tied":
        return f"go to the TCP router {_chances(after)}, as chance has it at every reload"
    if (before.kind, before.router) != ("tcp", after.router):
        return ", ".join((f"go to the TCP router `{after.router}`{_behind(after.middlewares)}", *_ending(after)))
    differences = (*_other_middlewares(before, after), *_redefined(before, after))
    ending = _ending(after) if before.passthrough != after.passthrough else ()
    return ", ".join((f"still go to `{after.router}`{_service(before, after)}", *differences, *ending))


def _ending(one: Treatment) -> Iterator[str]:
    if one.tls:
        yield "which passes TLS on to the service" if one.passthrough else "where Traefik ends TLS"


# ── for programs ─────────────────────────────────────────────────────────────────────────────────


def as_json(change: Change) -> dict[str, Any]:
    """One change for programs."""
    return {
        "entrypoint": change.entry_point,
        "tls": change.tls,
        "hosts": list(change.hosts),
        "witness": witness_of(change.witness) if change.witness else None,
        "before": treatment_of(change.before) if change.before else None,
        "after": treatment_of(change.after) if change.after else None,
        "unknown": change.unknown,
        "authentication_lost": change.authentication_lost,
        "newly_public": change.newly_public,
        "host_gone": change.host_gone,
        "target_changed": change.target_changed,
        "altered": altered(change.before, change.after) if change.before and change.after else [],
        "words": told(change),
    }


def witness_of(request: Request) -> dict[str, Any]:
    """A request such as `explain --requests` reads it."""
    return {
        "method": request.method,
        "target": request.target,
        "host": request.host,
        "tls": request.tls,
        "headers": [list(pair) for pair in request.headers],
        "client_ip": request.client_ip,
        "entrypoint": request.entry_point,
    }


def treatment_of(one: Treatment) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": one.kind, "tls": one.tls}
    if one.kind in ("served", "tcp"):
        found |= {"router": one.router, "service": one.service, "middlewares": list(one.middlewares)}
        found |= {"tls_options": one.options} if one.options else {}
        found |= {"tls_passthrough": one.passthrough} if one.kind == "tcp" and one.tls else {}
    if one.among:
        found["tied"] = [treatment_of(each) for each in one.among]
    return found | ({"why": one.why} if one.why else {})
