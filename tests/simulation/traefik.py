"""Traefik as Waypost meets it: the file provider of 3.7 over the simulated disk, and the API that tells of it.

It is written from observed behaviour, not from our reconciler's code: one broken file freezes all of them, the first
file in byte order wins a name, a broken router is disabled and the others are not, changes are held back by a
throttle, only names in the top folder are watched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from reconciler.traefik.api import KINDS, ApiError, EntryPoint, Item, Json, Runtime, Version, item
from tests.simulation.fate import Fate
from tests.simulation.machine import SimulatedDisk, VirtualTime

OUR_FILE: Final = "mcp-managed/waypost.yml"
RELOAD: Final = 0.02
"""Seconds from a notice to the new configuration, throttle apart."""

QUIRK: Final = "X-Quirk"
"""A header that this version's decoder chokes on. No rule that is known outside of Traefik says so."""

DOORS: Final = ("web", "websecure")

Mood = Literal["", "down", "error", "slow", "garbage", "stale", "halved", "omits", "disables", "lists omit", "denies"]
"""What ails the API. The last four are lies, each told by one kind of question only."""

_SECTIONS: Final = {
    "http": ("routers", "services", "middlewares", "serversTransports"),
    "tcp": ("routers", "services", "middlewares", "serversTransports"),
    "udp": ("routers", "services"),
    "tls": ("options", "stores", "certificates"),
}
_ROUTER: Final = {"rule", "service", "middlewares", "entryPoints", "priority", "tls"}

Name = tuple[str, str]


@dataclass(frozen=True)
class Load:
    """One time that the folder was read: `ours` is what stood in our file, `refused` the file that froze it all.

    `broken` are names of ours that are not served as our file says -> why.
    """

    number: int
    ours: bytes | None
    refused: str = ""
    broken: Mapping[Name, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Served:
    """What one generation comes to: kind -> qualified name -> what the API says."""

    items: Mapping[str, Mapping[str, Json]]
    load: Load


class SimulatedTraefik:
    """One running Traefik. `loads` are all the times it read its folder, oldest first."""

    def __init__(self, disk: SimulatedDisk, time: VirtualTime, directory: str, throttle: float) -> None:
        self._disk = disk
        self._time = time
        self.directory = directory
        self.throttle = throttle
        self.mood: Mood = ""
        self.losing = 0  # so many notices will get lost
        self.watching = True
        self.starts = 0
        self.loads: list[Load] = []
        self._due: float | None = None
        self._free = 0.0  # when the throttle lets the next change through
        self.served = Served(_runtime({}), Load(0, None))
        self.before = self.served
        disk.watchers.append(self._noticed)
        time.passing.append(self._catch_up)
        self.restart()

    def restart(self) -> None:
        """A new process: what was loaded is forgotten, and the watch is alive again."""
        self.starts += 1
        self.watching, self.losing, self._due = True, 0, None
        self.served = Served(_runtime({}), Load(len(self.loads), None))
        self._load()

    @property
    def running_file(self) -> bytes | None:
        """What stood in our file when the configuration that runs now was read."""
        return self.served.load.ours

    def taken(self) -> set[Name]:
        """Names that another file holds as the folder is now, whether or not it was read like that yet."""
        read = {name: _decoded(content) for name, content in self._files() if _can_be_decoded(content)}
        _, owners = _merged(read)
        return {name for name, owner in owners.items() if owner != OUR_FILE}

    def _noticed(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        if folder != self.directory or not self.watching:
            return
        if self.losing:
            self.losing -= 1
            return
        if self._due is None:
            self._due = max(self._time.elapsed, self._free) + RELOAD

    def _catch_up(self) -> None:
        if self._due is not None and self._due <= self._time.elapsed:
            self._free = self._due - RELOAD + self.throttle
            self._due = None
            self._load()

    def _load(self) -> None:
        read = dict(self._files())
        ours = read.get(OUR_FILE)
        documents: dict[str, Any] = {}
        for name, content in read.items():
            try:
                documents[name] = _decoded(content)
            except _Refused as reason:
                self.loads.append(Load(len(self.loads), ours, refused=f"{name}: {reason}"))
                return
        merged, owners = _merged(documents)
        items = _runtime(merged)
        load = Load(len(self.loads), ours, broken=_broken(documents.get(OUR_FILE, {}), items, owners))
        self.loads.append(load)
        self.before, self.served = self.served, Served(items, load)

    def _files(self) -> Iterator[tuple[str, bytes | None]]:
        for path in self._disk.below(self.directory):
            if path.lower().endswith((".yml", ".yaml", ".toml")) and not self._disk.is_folder(path):
                yield path.removeprefix(f"{self.directory}/"), self._disk.content(path)


class _Refused(Exception):
    """This file makes Traefik keep all that it had."""


def _decoded(content: bytes | None) -> Any:
    if content is None:
        raise _Refused("no such file")
    try:
        document = json.loads(content or b"{}")
    except ValueError as fault:
        raise _Refused(f"yaml: {fault}") from None
    if not isinstance(document, dict):
        raise _Refused("cannot unmarshal")
    for root, section in document.items():
        if root in _SECTIONS and section is not None:
            _require_known(root, section)
    return document


def _can_be_decoded(content: bytes | None) -> bool:
    try:
        _decoded(content)
    except _Refused:
        return False
    return True


def _require_known(root: str, section: Any) -> None:
    if not isinstance(section, dict) or not section:
        raise _Refused(f"{root} cannot be a standalone element")
    for kind, items in section.items():
        if kind not in _SECTIONS[root]:
            raise _Refused(f"field not found, node: {kind}")
        if not items:
            raise _Refused(f"{kind} cannot be a standalone element")
        for spec in items.values() if isinstance(items, dict) else ():
            if not isinstance(spec, dict) or (kind == "routers" and spec.keys() - _ROUTER):
                raise _Refused(f"field not found, node: {kind}")
            if QUIRK in json.dumps(spec):
                raise _Refused(f"this decoder knows no {QUIRK}")


def _merged(documents: Mapping[str, Any]) -> tuple[dict[Name, Json], dict[Name, str]]:
    merged: dict[Name, Json] = {}
    owners: dict[Name, str] = {}
    for file, document in documents.items():
        for name, spec in _named(document):
            if name not in merged:
                merged[name], owners[name] = spec, file
    return merged, owners


def _named(document: Any) -> Iterator[tuple[Name, Json]]:
    for root in ("http", "tcp", "udp"):
        for kind, items in (document.get(root) or {}).items():
            for name, spec in (items or {}).items():
                yield (f"{root}.{kind}", name), spec


def _runtime(merged: Mapping[Name, Json]) -> dict[str, dict[str, Json]]:
    items: dict[str, dict[str, Json]] = {kind: {} for kind in KINDS.values()}
    items["http.services"]["whoami@docker"] = {"name": "whoami@docker", "status": "enabled"}
    items["http.routers"]["whoami@docker"] = {
        "name": "whoami@docker", "status": "enabled", "rule": "Host(`whoami.home`)", "service": "whoami",
        "entryPoints": ["web"], "provider": "docker", "using": ["web"],
    }  # fmt: skip
    for (kind, name), spec in merged.items():
        if kind in items:
            fault = _fault(kind, spec, merged)
            told = {**spec, "name": f"{name}@file", "provider": "file", "status": "disabled" if fault else "enabled"}
            items[kind][f"{name}@file"] = told | ({"error": [fault]} if fault else {})
    return items


def _fault(kind: str, spec: Json, merged: Mapping[Name, Json]) -> str:
    """Why a router is disabled. Traefik quotes what it does not like."""
    if kind != "http.routers":
        return ""
    if "`" not in str(spec.get("rule", "")):
        return f"error while parsing rule {spec.get('rule')}"
    if "@" not in str(spec.get("service", "")) and ("http.services", spec.get("service")) not in merged:
        return f'the service "{spec.get("service")}@file" does not exist'
    for door in spec.get("entryPoints", []):
        if door not in DOORS:
            return f'EntryPoint doesn\'t exist: "{door}"'
    for middleware in spec.get("middlewares", []):
        found = merged.get(("http.middlewares", middleware.removesuffix("@file")))
        if found is None:
            return f'middleware "{middleware}" does not exist'
        if "plugin" in found:
            return f"unknown plugin type: {json.dumps(found)}"
    return ""


def _broken(document: Any, items: Mapping[str, Mapping[str, Json]], owners: Mapping[Name, str]) -> dict[Name, str]:
    found = {}
    for (kind, name), spec in _named(document):
        if kind not in items:
            continue
        told = items[kind][f"{name}@file"]
        # A name that somebody else holds is told by what the API shows of a router: its rule and its service.
        alike = kind != "http.routers" or all(told.get(key) == spec.get(key) for key in ("rule", "service"))
        if owners[kind, name] != OUR_FILE and not alike:
            found[kind, name] = f"{owners[kind, name]} holds this name"
        elif told["status"] != "enabled":
            found[kind, name] = told["error"][0]
    return found


# ── its API, as one process of ours asks it ──────────────────────────────────────────────────────


class SimulatedApi:
    """The same questions as `reconciler.traefik.api.TraefikApi`, answered by a simulated Traefik in its mood."""

    def __init__(self, traefik: SimulatedTraefik, time: VirtualTime, fate: Fate) -> None:
        self._traefik = traefik
        self._time = time
        self._fate = fate
        self._known: tuple[int, Mood, Runtime] | None = None

    def close(self) -> None:
        """Nothing to close."""

    def version(self) -> Version:
        self._asked()
        return Version(version="3.7.15", started=f"start {self._traefik.starts}")

    def entry_points(self) -> tuple[EntryPoint, ...]:
        self._asked()
        return tuple(EntryPoint(name=name, address=f":{number}") for number, name in enumerate(DOORS, 80))

    def overview(self) -> Json:
        self._asked()
        return {}

    def certificates(self) -> list[Json]:
        self._asked()
        return []

    def support_dump(self) -> Json | None:
        self._asked()
        throttle = f"{self._traefik.throttle}s"
        return {"providers": {"providersThrottleDuration": throttle, "file": {"directory": "/d", "watch": True}}}

    def rawdata(self) -> Runtime:
        self._asked()
        served, mood = self._traefik.served, self._traefik.mood
        if mood == "stale":
            served = self._traefik.before
        if self._known is None or self._known[:2] != (id(served), mood):
            listed = {kind: self._told(kind, items, mood) for kind, items in served.items.items()}
            self._known = id(served), mood, Runtime(items=listed)
        return self._known[2]

    def middleware(self, name: str) -> Json | None:
        self._asked()
        if self._traefik.mood == "denies":
            return None
        found = self._traefik.served.items["http.middlewares"].get(name)
        return dict(found) if found else None

    def routers(self, protocol: str = "http") -> list[Json]:
        return self._listed(f"{protocol}.routers")

    def services(self, protocol: str = "http") -> list[Json]:
        return self._listed(f"{protocol}.services")

    def middlewares(self, protocol: str = "http") -> list[Json]:
        return self._listed(f"{protocol}.middlewares")

    def _listed(self, kind: str) -> list[Json]:
        self._asked()
        found = list(self._traefik.served.items[kind].values())
        if self._traefik.mood == "lists omit":
            return found[1::2]
        return found

    @staticmethod
    def _told(kind: str, items: Mapping[str, Json], mood: Mood) -> dict[str, Item]:
        pairs = list(items.items())
        if mood == "halved":
            pairs = pairs[::2]
        elif mood == "omits" and kind.endswith("routers"):
            pairs = [pair for pair in pairs if not pair[0].endswith("@file")]
        told = {name: item(spec) for name, spec in pairs}
        if mood == "disables" and kind.endswith("routers"):
            return {name: Item(status="disabled", errors=("it says",), spec=one.spec) for name, one in told.items()}
        return told

    def _asked(self) -> None:
        self._fate.look()
        mood = self._traefik.mood
        if mood == "slow":
            self._time.pass_by(1.0)
        complaints = {
            "down": "Traefik's API at http://traefik does not answer: connection refused",
            "slow": "Traefik's API at http://traefik does not answer: no answer in time",
            "error": "http://traefik/api answers with status 500",
            "garbage": "http://traefik/api answers with something that is not JSON: '<html>'",
        }
        if mood in complaints:
            raise ApiError(complaints[mood])
