"""Puts the sources of containers and logs together, in the order in which they are asked."""

from __future__ import annotations

from pathlib import Path

from reconciler.dozzle import Door
from reconciler.ports import Clock
from shards.containers import Source
from shards.docker_engine import Engine
from shards.dozzle_pages import Pages
from shards.log_sources import LogsAt, Sources
from shards.wire.dozzle import Tools


def sources(at: LogsAt, clock: Clock, ca_file: Path | None = None) -> Sources:
    """Dozzle's MCP server, then what its pages use, then Docker: of those that are configured."""
    found: list[Source] = []
    if at.dozzle_url:
        door = Door(at.dozzle_url, at.dozzle_auth, ca_file)
        found += [Tools(door, clock, ca_file), Pages(door, clock)]
    if at.docker_url:
        found.append(Engine(at.docker_url, ca_file))
    return Sources(found, clock)


def dozzle_version(among: Sources) -> str:
    """Which Dozzle there is; "" where there is none, or it does not say."""
    return next((one.version() for one in among.sources if isinstance(one, Pages)), "")
