"""Changes of treatment in words for people, and in JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from reconciler.routing.changes import Change, Changes
from reconciler.routing.request import Request
from reconciler.routing.treatments import Treatment


def told(change: Change) -> str:
    """One change in a sentence or two."""
    if change.unknown:
        return _unknown(change)
    before, after = change.before, change.after
    if before is None or after is None or change.witness is None:
        return ""
    there = f"{shown_request(change.witness)}{_place(change)} {_past(before)}; after this it {_present(before, after)}"
    return f"{there}.{_marked(change)}"


def listed(changes: Changes, most: int = 50) -> list[str]:
    """The most important changes, and how many more there are."""
    lines = [told(one) for one in changes.first(most)]
    left = changes.total - len(lines)
    return [*lines, f"… and {left} more."] if left else lines


_USUAL = {False: ("web", "http"), True: ("websecure", "https")}


def _place(change: Change) -> str:
    """Where, unless a reader takes it for granted."""
    return "" if change.entry_point in _USUAL[change.tls] else f" at `{change.entry_point}`"


def _unknown(change: Change) -> str:
    what = shown_request(change.witness) if change.witness else "Requests"
    was = _named(change.before) if change.before else "somebody"
    now = _named(change.after) if change.after else "somebody"
    where = f"at {change.entry_point}{' over TLS' if change.tls else ''}"
    return f"{what} {where} may go from {was} to {now}, and nobody can tell: {change.unknown}."


def _marked(change: Change) -> str:
    if change.authentication_lost:
        return " Nobody is asked who they are any more."
    if change.newly_public:
        return " Anybody can reach it."
    return " No router serves this host any more." if change.host_gone else ""


def shown_request(request: Request) -> str:
    """A request as people write one: method and address, and what else of it counts."""
    text = (
        f"`{request.method} {request.url}`" if request.host else f"`{request.method} {request.target}` without a host"
    )
    parts = [f"`{name}: {value}`" for name, value in request.headers]
    if request.client_ip != "127.0.0.1":
        parts.append(f"from {request.client_ip}")
    return f"{text} ({', '.join(parts)})" if parts else text


def _past(one: Treatment) -> str:
    match one.kind:
        case "served":
            return f"went to `{one.router}`{_behind(one)}"
        case "tied":
            return f"went to {_chances(one)}, as chance had it"
        case "tcp":
            return f"was inside a connection that the TCP router `{one.router}` took"
        case "not found":
            return "was answered 404"
        case "misdirected":
            return "was answered 421 (TLS options of another host)"
        case "closed":
            return "was cut off (TLS options that do not exist)"
        case "absent":
            return "had no entry point to arrive at"
    return f"was refused ({one.why})"


def _present(before: Treatment, one: Treatment) -> str:
    match one.kind:
        case "served":
            return _goes(before, one)
        case "tied":
            redefined = altered(before, one)
            words = f", with another {_all(redefined)}" if redefined and _chances(before) == _chances(one) else ""
            return f"goes to {_chances(one)}, as chance has it at every reload{words}"
        case "tcp":
            return f"is inside a connection that the TCP router `{one.router}` takes"
        case "not found":
            return "is answered 404"
        case "misdirected":
            return "is answered 421 (TLS options of another host)"
        case "closed":
            return "is cut off (TLS options that do not exist)"
        case "absent":
            return "has no entry point to arrive at"
    return f"is refused ({one.why})"


def _goes(before: Treatment, one: Treatment) -> str:
    stays = before.kind == "served" and before.router == one.router
    head = f"still goes to `{one.router}`" if stays else f"goes to `{one.router}`{_behind(one)}"
    if stays and one.middlewares != before.middlewares:
        head += _behind(one)
    return ", ".join([head, *_differences(before, one, stays)])


def _differences(before: Treatment, one: Treatment, stays: bool) -> Iterator[str]:
    if stays and before.service != one.service:
        yield f"and on to `{one.service}` in place of `{before.service}`"
    if lost := [name for name in before.middlewares if name not in one.middlewares]:
        yield f"without {_all(lost)}"
    if stays and (redefined := altered(before, one)):
        yield f"with another {_all(redefined)}"
    if stays and one.options != before.options:
        yield f"with the TLS options `{one.options or 'default'}`"


def altered(before: Treatment, after: Treatment) -> list[str]:
    """The names that both have and that are defined differently."""
    old = dict(part for one in before.chances for part in one.parts)
    new = dict(part for one in after.chances for part in one.parts)
    return [name for name, digest in new.items() if name in old and old[name] != digest]


def _behind(one: Treatment) -> str:
    return f" behind {_all(one.middlewares)}" if one.middlewares else ""


def _chances(one: Treatment) -> str:
    return " or ".join(f"`{each.router}`" if each.router else "nobody" for each in one.among)


def _all(names: Iterable[str]) -> str:
    *most, last = [f"`{name}`" for name in names]
    return f"{', '.join(most)} and {last}" if most else last


def _named(one: Treatment) -> str:
    if one.kind == "tied":
        return _chances(one)
    return f"`{one.router}`" if one.router else "nobody"


# ── for programs ─────────────────────────────────────────────────────────────────────────────────


def as_json(change: Change) -> dict[str, Any]:
    """One change for programs."""
    return {
        "entrypoint": change.entry_point,
        "tls": change.tls,
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
    if one.among:
        found["tied"] = [treatment_of(each) for each in one.among]
    return found | ({"why": one.why} if one.why else {})
