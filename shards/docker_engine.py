"""Containers as the Docker Engine tells of them, through a socket proxy that lets only these reads through.

Three requests are all there is: the list, a log, one reading of what is used. What a container was started with (its
environment holds secrets) is never asked for, and the proxy would not let it through.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from reconciler.asking import AskError, Asking, Cut, Query, Reply
from shards.containers import Container, Excerpt, Line, SourceError, Usage, Wanted
from shards.docker_stream import NoFrames, lines
from shards.log_sources import heard
from shards.reading import objects, texts

SPOKEN: Final = (1, 56)
"""The version of the interface that this was written for; an older Engine is asked in its own."""

_SCANNED: Final = 50_000
"""Lines of which a search looks at the newest."""

_MOST_BYTES: Final = 48 << 20
_SECONDS: Final = 6.0
_FEWER: Final = 8


class Engine:
    """A Docker Engine behind its proxy."""

    def __init__(self, url: str, ca_file: Path | None = None, most_bytes: int = _MOST_BYTES) -> None:
        """`most_bytes`: how much of a log is read to come to its end."""
        self._asking = Asking("Docker", url, ca_file)
        self._most_bytes = most_bytes
        self._version = ""

    @property
    def title(self) -> str:
        return f"Docker Engine (API {self._version})" if self._version else "Docker Engine"

    def close(self) -> None:
        self._asking.close()

    @heard()
    def containers(self) -> list[Container]:
        return [_container(one) for one in objects(self._json("/containers/json", [("all", 1)]))]

    @heard()
    def read(self, container: Container, wanted: Wanted) -> Excerpt:
        """Ask for the newest lines, and for fewer where they do not come to their end: it is the end that counts."""
        asked = _SCANNED if wanted.text else wanted.most
        while asked:
            found = self._newest(container, wanted, asked)
            if found is not None:
                return found
            asked //= _FEWER
        raise SourceError(f"Docker did not come to the end of the log of {container.name} in time")

    def _newest(self, container: Container, wanted: Wanted, asked: int) -> Excerpt | None:
        """The wanted ones of the newest lines; None where the answer was cut off before its end."""
        query = [
            ("stdout", int(wanted.output != "stderr")),
            ("stderr", int(wanted.output != "stdout")),
            ("timestamps", 1),
            ("tail", asked),
            ("since", int(wanted.since.timestamp())),
        ]
        path = f"{self._prefix()}/containers/{quote(container.id, safe='')}/logs"
        try:
            with self._asking.stream(path, query, largest=self._most_bytes, seconds=_SECONDS) as stream:
                if stream.status != 200:
                    raise _refused(path, Reply(stream.status, stream.headers, b"".join(stream.pieces)))
                return _chosen(lines(stream.pieces, stream.headers.get("content-type", "")), wanted, asked)
        except Cut:
            return None
        except NoFrames as fault:
            raise SourceError(f"Docker answers no log of {container.name}: {fault}", retry=False) from fault

    @heard()
    def usage(self, container: Container) -> Usage:
        # Not a single shot: what a processor does is the difference of two readings.
        return _usage(self._json(f"/containers/{quote(container.id, safe='')}/stats", [("stream", 0)]))

    def _json(self, path: str, query: Query) -> Any:
        reply = self._asking.get(f"{self._prefix()}{path}", query)
        if reply.status != 200:
            self._version = ""  # it may be another Engine by now
            raise _refused(path, reply)
        return reply.json()

    def _prefix(self) -> str:
        """The beginning of every path: the version that both sides know, asked for once."""
        if not self._version:
            reply = self._asking.get("/version")
            if reply.status != 200:
                raise _refused("/version", reply)
            told = reply.json()
            self._version = spoken(str(told.get("ApiVersion", "")) if isinstance(told, dict) else "")
        return f"/v{self._version}"


def spoken(offered: str) -> str:
    """The newest version of the interface that we and an Engine know. Raises SourceError for what is none."""
    found = re.fullmatch(r"([0-9]{1,5})\.([0-9]{1,5})", offered)
    if found is None:
        raise SourceError("what answers at WAYPOST_DOCKER_URL is no Docker Engine", away=True, retry=False)
    major, minor = min((int(found[1]), int(found[2])), SPOKEN)
    return f"{major}.{minor}"


def _refused(path: str, reply: Reply) -> SourceError:
    if reply.status in (403, 405):
        return SourceError(
            f"the socket proxy does not let {path} through (status {reply.status}): its rules must allow GET of "
            "/version, /containers/json, and logs and stats of a container",
            away=True,
            retry=False,
        )
    try:
        told = reply.json()
    except AskError:
        told = {}
    said = " ".join(str(told.get("message", "")).split())[:200] if isinstance(told, dict) else ""
    away = reply.status in (502, 503, 504)
    return SourceError(f"Docker answers {path} with status {reply.status}{f': {said}' if said else ''}", away=away)


def _chosen(found: Iterable[Line], wanted: Wanted, asked: int) -> Excerpt:
    kept: deque[Line] = deque(maxlen=wanted.most)
    seen = fitting = 0
    first: Line | None = None
    for line in found:
        first = first or line
        seen += 1
        if wanted.takes(line):
            fitting += 1
            kept.append(line)
    left_out = []
    if seen >= asked and wanted.text:
        since = f", back to {first.at:%Y-%m-%d %H:%M:%S} UTC" if first and first.at else ""
        left_out.append(f"only the newest {seen:,} lines were searched{since}")
    elif seen >= asked:
        left_out.append(f"older lines: these are the newest {len(kept):,}")
    further = [f"{fitting - len(kept):,} older lines that fit as well"] if fitting > len(kept) else []
    return Excerpt(tuple(kept), tuple(left_out), tuple(further))


# ── shapes ───────────────────────────────────────────────────────────────────────────────────────


def _container(one: Mapping[str, Any]) -> Container:
    names = [name.removeprefix("/") for name in texts(one.get("Names")) if name.count("/") == 1]
    id, status = str(one.get("Id", "")), str(one.get("Status", ""))
    return Container(
        id=id,
        name=names[0] if names else id[:12],
        image=str(one.get("Image", "")),
        state=str(one.get("State", "")),
        status=status,
        health=_health(one.get("Health"), status),
        labels=_texts(one.get("Labels")),
        addresses=tuple(_addresses(one.get("NetworkSettings"))),
        ports=tuple(sorted({port["PublicPort"] for port in objects(one.get("Ports")) if _is_port(port)})),
    )


def _is_port(port: Mapping[str, Any]) -> bool:
    return isinstance(port.get("PublicPort"), int)


def _health(told: Any, status: str) -> str:
    """Newer Engines say it by itself, all of them in the words of the status."""
    named = told.get("Status") if isinstance(told, dict) else None
    if isinstance(named, str):
        return "" if named == "none" else named
    words = ("unhealthy", "healthy", "health: starting")
    return next((word.removeprefix("health: ") for word in words if f"({word})" in status), "")


def _addresses(settings: Any) -> Iterable[str]:
    networks = settings.get("Networks") if isinstance(settings, dict) else None
    for network in (networks if isinstance(networks, dict) else {}).values():
        if isinstance(network, dict):
            yield from (
                str(network[key]) for key in ("IPAddress", "GlobalIPv6Address") if isinstance(network.get(key), str)
            )
            yield from texts(network.get("Aliases"))


def _texts(value: Any) -> dict[str, str]:
    return {str(key): str(text) for key, text in value.items()} if isinstance(value, dict) else {}


def _usage(told: Any) -> Usage:
    """By the formulas of the Engine's own documentation."""
    memory = _part(told, "memory_stats")
    used, limit = _number(memory, "usage"), _number(memory, "limit")
    if used is not None:
        cache = _part(memory, "stats")
        used -= _number(cache, "inactive_file") or _number(cache, "cache") or 0
    networks = [one for one in _part(told, "networks").values() if isinstance(one, dict)]
    return Usage(
        cpu_percent=_cpu(_part(told, "cpu_stats"), _part(told, "precpu_stats")),
        memory_bytes=used,
        memory_limit_bytes=limit,
        memory_percent=round(used / limit * 100, 2) if used is not None and limit else None,
        received_bytes=sum(_number(one, "rx_bytes") or 0 for one in networks) if networks else None,
        sent_bytes=sum(_number(one, "tx_bytes") or 0 for one in networks) if networks else None,
        processes=_number(_part(told, "pids_stats"), "current"),
    )


def _cpu(now: Mapping[str, Any], before: Mapping[str, Any]) -> float | None:
    usage = _number(_part(now, "cpu_usage"), "total_usage")
    usage_before = _number(_part(before, "cpu_usage"), "total_usage")
    system, system_before = _number(now, "system_cpu_usage"), _number(before, "system_cpu_usage")
    if usage is None or usage_before is None or system is None or not system_before or system <= system_before:
        return None  # it does not run, or was read for the first time
    processors = _number(now, "online_cpus") or len(_part(now, "cpu_usage").get("percpu_usage") or ()) or 1
    return round(max(0, usage - usage_before) / (system - system_before) * processors * 100, 2)


def _part(value: Any, key: str) -> Mapping[str, Any]:
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _number(value: Mapping[str, Any], key: str) -> int | None:
    found = value.get(key)
    return found if isinstance(found, int) and not isinstance(found, bool) else None
