"""The doctor's look at those who tell about containers: Dozzle, and the Docker Engine behind its socket proxy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from reconciler.asking import AskError, Asking
from reconciler.config import Settings
from reconciler.doctor.finding import Finding, fail, ok, warn
from reconciler.dozzle import NEWEST, PAGES_BEFORE, Door, Version

_SINCE: Final[Version] = (10, 6, 12)
"""Since then its MCP server keeps to what its user may see."""

_NOBODY: Final = "waypost-doctor"
"""No container has this name: what is asked about it changes nothing, and an Engine would look for it."""

_KEPT_OUT: Final = frozenset({403, 405})


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything about both, as far as they are configured."""
    try:
        yield from _everything(settings)
    except AskError as fault:  # nobody was asked yet
        yield fail("containers", str(fault), "Correct WAYPOST_CA_FILE")


def _everything(settings: Settings) -> Iterator[Finding]:
    if settings.docker_url:
        with contextlib.closing(Asking("Docker", settings.docker_url, settings.ca_file)) as engine:
            yield from _docker(engine)
    if settings.dozzle_url:
        door = Door(settings.dozzle_url, settings.dozzle_auth, settings.ca_file)
        stranger = Asking("Dozzle", settings.dozzle_url, settings.ca_file)
        with contextlib.closing(door), contextlib.closing(stranger):
            yield from _dozzle(door, stranger)


# ── Docker ───────────────────────────────────────────────────────────────────────────────────────


def _docker(engine: Asking) -> Iterator[Finding]:
    answered = _answers(engine)
    yield answered
    if answered.level != "fail":
        yield _lists(engine)
        yield _only_reads(engine)


def _answers(engine: Asking) -> Finding:
    check, remedy = "docker: answers", "See that the socket proxy runs, and that WAYPOST_DOCKER_URL is right"
    try:
        reply = engine.get("/version")
        told = reply.json() if reply.status == 200 else {}
    except AskError as fault:
        return fail(check, str(fault), remedy)
    version = told.get("ApiVersion") if isinstance(told, dict) else None
    if not isinstance(version, str):
        return fail(check, f"{engine.url} answers with status {reply.status} and is no Docker Engine", remedy)
    return ok(check, f"Docker {told.get('Version', '')}, API {version}")


def _lists(engine: Asking) -> Finding:
    check = "docker: containers"
    try:
        reply = engine.get("/containers/json", [("limit", 1)])
    except AskError as fault:
        return fail(check, str(fault), "Try again in a moment")
    if reply.status != 200:
        remedy = "Let the proxy pass GET of /containers/json, and logs and stats of a container (see compose.yaml)"
        return fail(check, f"they cannot be listed (status {reply.status})", remedy)
    return ok(check, "they can be listed")


def _only_reads(engine: Asking) -> Finding:
    """Ask for what must not get through, of a container that there is not."""
    check = "docker: only reads"
    try:
        starts = engine.post(f"/containers/{_NOBODY}/start", {}).status
        shows = engine.get(f"/containers/{_NOBODY}/json").status
    except AskError as fault:
        return warn(check, f"that could not be tried: {fault}", "Try again in a moment")
    remedy = "Put a proxy before the socket that passes only reads, as compose.yaml does"
    if starts not in _KEPT_OUT:
        return fail(check, f"whoever reaches {engine.url} may start and stop containers, and so everything", remedy)
    if shows not in _KEPT_OUT:
        return warn(check, "it shows what containers were started with, and that holds secrets", remedy)
    return ok(check, "what starts, changes or shows too much is turned away")


# ── Dozzle ───────────────────────────────────────────────────────────────────────────────────────


def _dozzle(door: Door, stranger: Asking) -> Iterator[Finding]:
    try:
        version = door.version()
    except AskError as fault:
        remedy = "See that Dozzle runs, that WAYPOST_DOZZLE_URL is right, and whom WAYPOST_DOZZLE_AUTH leads to"
        yield fail("dozzle: answers", str(fault), remedy)
        return
    yield ok("dozzle: answers", f"Dozzle {door.known_version or 'of no known version'}")
    yield _asks_who_comes(stranger)
    yield _speaks_mcp(door, version)


def _asks_who_comes(stranger: Asking) -> Finding:
    check = "dozzle: access"
    try:
        status = stranger.get("/api/version").status
    except AskError as fault:
        return warn(check, f"that could not be tried: {fault}", "Try again in a moment")
    if status == 200:
        remedy = "Give it users (DOZZLE_AUTH_PROVIDER=simple), one of them for Waypost, without roles"
        return warn(check, "it shows every log to whoever reaches it, and lets the first of them take it over", remedy)
    return ok(check, "only those who are let in see logs")


def _speaks_mcp(door: Door, version: Version) -> Finding:
    check = "dozzle: MCP"
    if version < _SINCE:
        found = f"its MCP server is not used: before {'.'.join(map(str, _SINCE))} it showed more than its user may see"
        return warn(check, f"{found}; its pages are asked instead", "Update Dozzle")
    try:
        status = door.answer_to_nothing("/api/mcp")
    except AskError as fault:
        return warn(check, f"that could not be tried: {fault}", "Try again in a moment")
    if status == 404 and version >= PAGES_BEFORE:
        found = f"its MCP server is off, and only pages before {PAGES_BEFORE[0]} are known here: it is not asked"
        return fail(check, found, "Set DOZZLE_ENABLE_MCP=true; WAYPOST_DOCKER_URL, where it is set, answers meanwhile")
    if status == 404:
        return warn(check, "its MCP server is off, so its pages are asked instead", "Set DOZZLE_ENABLE_MCP=true")
    return ok(check, "its MCP server is on" if version != NEWEST else "its MCP server is on; which version, it hides")
