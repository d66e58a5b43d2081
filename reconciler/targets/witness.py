"""What Traefik's API said in one round, and what its own settings explain."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from reconciler.traefik.api import EntryPoint, Runtime, Version

_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PARTS: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?)(ns|us|µs|ms|s|m|h)")


class Glance(NamedTuple):
    """What a few short answers of the API tell: its start, its counts, and whether it lists our marker."""

    version: Version
    counts: Mapping[str, Any]
    lists_ours: bool


@dataclass(frozen=True, kw_only=True)
class Witness:
    """What the API said in one round; `outage` is "" or why it said nothing."""

    outage: str = ""
    version: Version = Version(version="", started="")
    runtime: Runtime = Runtime(items={})
    doors: tuple[EntryPoint, ...] = ()
    static: Mapping[str, Any] | None = None  # Traefik's static configuration, where it lets us read it

    @property
    def throttle(self) -> float:
        """Seconds for which Traefik may hold a change back; 0 where it does not say."""
        return _seconds(str(self._section("providers").get("providersThrottleDuration", "")))

    @property
    def precedence(self) -> tuple[str, ...]:
        """The order in which its providers come, where it is set; else chance decides between them."""
        listed = self._section("providers").get("precedence")
        return tuple(map(str, listed)) if isinstance(listed, list) else ()

    @property
    def rule_syntax(self) -> str:
        """Something where it was told how to read rules that do not say; its dump hides what."""
        return str(self._section("core").get("defaultRuleSyntax") or "")

    @property
    def setup(self) -> str:
        """What in Traefik's own settings explains that it does not notice our directory, "" where nothing does."""
        if self.static is None:
            return ""
        file = self._section("providers", "file")
        if not file:
            return "Traefik's file provider is off: set providers.file.directory in its static configuration. "
        if not file.get("directory"):
            return "Traefik's file provider reads a single file: give it providers.file.directory instead. "
        if file.get("watch") is not True:
            return "Traefik's file provider does not watch: set providers.file.watch to true. "
        return f"Traefik watches {file['directory']} (a path on its own machine). "

    def _section(self, *path: str) -> Mapping[str, Any]:
        section: Any = self.static or {}
        for name in path:
            section = section.get(name) if isinstance(section, Mapping) else None
        return section if isinstance(section, Mapping) else {}


def _seconds(duration: str) -> float:
    """A duration as Go writes it: 2s, 1m30s, 100ms."""
    return sum(float(number) * _UNITS[unit] for number, unit in _PARTS.findall(duration))
