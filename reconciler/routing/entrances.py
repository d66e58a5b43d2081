"""Entry points as people write them down where no Traefik tells them: `web=:80,websecure=:443:tls`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from reconciler.routing.routers import EntryPoint, Router
from reconciler.routing.rules import is_range

_ENTRY_POINT: Final = re.compile(
    r"(?P<name>[^\s=:,\[\]]+)\s*=\s*(?:\[[^\]]*\]|[^:,\[\]\s]*):(?P<port>[0-9]{1,5})(?P<protocol>/udp|/tcp)?"
    r"(?P<options>(?:\s*:(?:\[[^\]]*\]|[^:\[\]])+)*)\Z"
)
_OPTION: Final = re.compile(r":((?:\[[^\]]*\]|[^:\[\]])+)")
_OPTIONS: Final = "tls, default, redirect=NAME, middleware=NAME, insecure, trusted=RANGE, unsanitized"


def entry_points(text: str) -> list[EntryPoint]:
    """`web=:80,websecure=:443:tls`. Raises ValueError, in words for a person.

    After the port may follow `tls`, `default`, `redirect=NAME`, `middleware=NAME` (several in order), `insecure`
    (it believes forwarded headers of everybody), `trusted=RANGE` (an address or a range, of IPv6 in brackets) and
    `unsanitized` (paths stay as they come).
    """
    found = [_entry_point(part.strip()) for part in text.split(",") if part.strip()]
    names = [door.name for door in found]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise ValueError(f"the entry point '{twice}' is there twice")
    if not found:
        raise ValueError("there is no entry point; write them like web=:80,websecure=:443:tls")
    for door in found:
        _check_redirection(door, [other.name for other in found if other is not door and not other.udp])
    return found


def _check_redirection(door: EntryPoint, others: list[str]) -> None:
    if door.redirects and door.redirects not in others:
        there = f"there are: {', '.join(others)}" if others else "there is no other"
        raise ValueError(f"'{door.name}' redirects to '{door.redirects}', which is no other entry point; {there}")


def _entry_point(text: str) -> EntryPoint:
    match = _ENTRY_POINT.match(text)
    if match is None:
        raise ValueError(f"'{text}' is no entry point; write one like web=:80 or websecure=:443:tls{_hint(text)}")
    if int(match["port"]) > 65535:
        raise ValueError(f"'{text}' is no entry point: there is no port {match['port']}")
    door = EntryPoint(name=match["name"], port=int(match["port"]), udp=match["protocol"] == "/udp")
    for option in _OPTION.findall(match["options"]):
        door = _with_option(door, option.strip())
    return door


def _hint(text: str) -> str:
    in_need = re.search(r"trusted=[0-9a-f]*:", text, re.IGNORECASE)
    return ", and an IPv6 range in brackets: trusted=[fd00::/8]" if in_need else ""


def _with_option(door: EntryPoint, option: str) -> EntryPoint:
    key, _, value = (part.strip() for part in option.partition("="))
    match key.lower(), bool(value):
        case "tls", False:
            return replace(door, tls=True, special=True)
        case "default", False:
            return replace(door, as_default=True)
        case "redirect", True:
            return replace(door, redirects=value)
        case "middleware", True:
            name = value if "@" in value else f"{value}@file"
            return replace(door, middlewares=(*door.middlewares, name), special=True)
        case "insecure", False:
            return replace(door, door=replace(door.door, trust_all=True))
        case "trusted", True:
            return replace(door, door=replace(door.door, trusted=(*door.door.trusted, _range(value))))
        case "unsanitized", False:
            return replace(door, door=replace(door.door, sanitize_path=False))
    raise ValueError(f"'{option}' is nothing that an entry point can have here; there are {_OPTIONS}{_hint(option)}")


def _range(text: str) -> str:
    plain = text.replace("[", "").replace("]", "")
    if not is_range(plain):
        hint = _hint(f"trusted={text}")
        raise ValueError(f"trusted={text} names no address and no range; write trusted=10.0.0.0/8{hint}")
    return plain


PLAIN_NAMES: Final = ("web", "http")
TLS_NAMES: Final = ("websecure", "https")


def inferred(routers: Iterable[Router]) -> list[EntryPoint]:
    """The entry points that routers name. web and http are taken to be at port 80, websecure and https at 443.

    Those at 443 are taken to give TLS to every router. Where no router names any, there are web and websecure.
    """
    named = dict.fromkeys(name for router in routers for name in router.entry_points)
    return [_usual(name) for name in named or (PLAIN_NAMES[0], TLS_NAMES[0])]


def _usual(name: str) -> EntryPoint:
    if name.lower() in TLS_NAMES:
        return EntryPoint(name=name, port=443, tls=True, special=True)
    return EntryPoint(name=name, port=80 if name.lower() in PLAIN_NAMES else None)
