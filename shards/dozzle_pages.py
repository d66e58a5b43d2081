"""Containers as Dozzle's own pages get them: an interface that is nobody's promise, spoken for the versions known here.

A window of a log keeps its newest lines, 500 at most. Its texts are made for a page: escaped, with links and marks.
"""

from __future__ import annotations

import contextlib
import html
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import orjson

from reconciler.asking import AskError, Cut, Query, Stream
from reconciler.dozzle import PAGES_BEFORE, PAGES_SINCE, Door
from reconciler.ports import Clock
from shards.containers import Container, Excerpt, Line, SourceError, Usage, Wanted, level_of
from shards.log_sources import heard
from shards.reading import objects

WINDOW: Final = 500
"""Lines that Dozzle gives in one answer."""

_MOST_BYTES: Final = 64 << 20
"""Of one window: its lines may be long, and it is the newest that come last."""

LEVELS: Final = ("error", "warn", "info", "debug", "trace", "fatal", "unknown")
"""All of them must be named: without levels there are no lines."""

_LISTENS: Final = 6.0
"""Seconds within which Dozzle, which measures every second, has told of every container."""

_AT_FIRST: Final = timedelta(minutes=5)
"""How far back a window reaches at first; Dozzle widens it until it holds enough."""

_MARKUP: Final = re.compile(r"</?mark>|<a href=\"[^\"]*\"[^<>]*>|</a>")


class Pages:
    """Dozzle's internal interface."""

    def __init__(self, door: Door, clock: Clock) -> None:
        self._door = door
        self._clock = clock

    @property
    def title(self) -> str:
        return f"Dozzle {self._door.known_version}".rstrip()

    def close(self) -> None:
        self._door.close()

    def version(self) -> str:
        """Which Dozzle this is; "" where it does not say."""
        with contextlib.suppress(AskError):
            self._door.version()
        return self._door.known_version

    @heard()
    def containers(self) -> list[Container]:
        self._require_known()
        return [container(one) for one in self._told_first()]

    def _told_first(self) -> list[dict[str, Any]]:
        for name, data in self._events():
            if name == "containers-changed":
                return objects(data)
        raise SourceError("Dozzle did not list its containers in time", away=True)

    @heard()
    def read(self, container: Container, wanted: Wanted) -> Excerpt:
        """The newest lines: of the last minutes, widened by Dozzle itself; of all that is meant where those are few."""
        self._require_known()
        now, most = self._clock.now(), min(wanted.most, WINDOW)
        lately = now - _AT_FIRST
        found: list[Line] = []
        if not wanted.text and wanted.since < lately:
            found = self._window(container, wanted, now, [("from", _written(lately)), ("min", most)])
        if len(found) < most:  # not every version widens
            found = self._window(container, wanted, now, [("from", _written(wanted.since)), *_filter(wanted)])
        return Excerpt(tuple(found[-most:]), further=tuple(_further(len(found), wanted, most)))

    def _window(self, container: Container, wanted: Wanted, now: datetime, chosen: Query) -> list[Line]:
        path = f"/api/hosts/{quote(container.host, safe='')}/containers/{quote(container.id, safe='')}/logs"
        query: list[tuple[str, str | int]] = [
            *((name, 1) for name in ("stdout", "stderr") if wanted.output in ("all", name)),
            ("to", _written(now + timedelta(minutes=1))),  # its clock may be another
            *(("levels", level) for level in LEVELS),
            *chosen,
        ]
        text = self._door.get(path, query, _MOST_BYTES).body.decode("utf-8", "replace")
        return [line for line in entries(text, of_page=True) if wanted.takes(line)]

    @heard()
    def usage(self, container: Container) -> Usage:
        self._require_known()
        for name, data in self._events():
            if name == "container-stat" and isinstance(data, dict) and data.get("id") == container.id:
                return measured(data)
            if name == "containers-changed":
                mine = [one for one in objects(data) if one.get("id") == container.id]
                if mine and (history := objects(mine[0].get("stats"))):
                    return measured(history[-1])
        raise SourceError(f"Dozzle has measured nothing of {container.name}: does it run?", retry=False)

    def _require_known(self) -> None:
        if not PAGES_SINCE <= self._door.version() < PAGES_BEFORE:
            raise SourceError(
                f"the pages of Dozzle {self._door.known_version or 'of no known version'} are not known here, only "
                f"those of Dozzle {PAGES_SINCE[0]}: a newer one is read by its MCP server (DOZZLE_ENABLE_MCP=true), "
                "or over WAYPOST_DOCKER_URL",
                away=True,
                retry=False,
            )

    def _events(self) -> Iterator[tuple[str, Any]]:
        """What it tells whoever looks at its pages, until it said nothing for a while."""
        with self._door.stream("/api/events/stream", seconds=_LISTENS) as stream:
            try:
                yield from _events(stream)
            except Cut:
                return


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _filter(wanted: Wanted) -> Iterator[tuple[str, str]]:
    if wanted.text:
        yield "filter", ("" if wanted.case_sensitive else "(?i)") + re.escape(wanted.text)


def _further(found: int, wanted: Wanted, most: int) -> Iterator[str]:
    if found < most:
        return
    yield f"older lines: these are the newest {most:,}"
    if wanted.most > WINDOW:
        yield f"{wanted.most:,} lines were asked for, and Dozzle gives {WINDOW} at a time"


# ── shapes ───────────────────────────────────────────────────────────────────────────────────────


def _events(stream: Stream) -> Iterator[tuple[str, Any]]:
    """Server-sent events with their data as JSON; what is none is passed over."""
    name, data = "message", ""
    for line in _whole_lines(stream.pieces):
        if line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data += line[5:].strip()
        elif not line and data:
            if (told := _json(data)) is not None:
                yield name, told
            name, data = "message", ""


def _whole_lines(pieces: Iterator[bytes]) -> Iterator[str]:
    """Every line as soon as it has come to its end. Of a long one in many pieces each is looked at once."""
    held: list[bytes] = []
    for piece in pieces:
        *ended, rest = piece.split(b"\n")
        for line in ended:
            yield b"".join([*held, line]).rstrip(b"\r").decode("utf-8", "replace")
            held.clear()
        held.append(rest)


def _json(data: str) -> Any:
    try:
        return orjson.loads(data)
    except ValueError:
        return None


def container(one: Mapping[str, Any]) -> Container:
    """A container as Dozzle tells of it, to its pages as to models."""
    labels = one.get("labels")
    return Container(
        id=str(one.get("id", "")),
        name=str(one.get("name", "")),
        image=str(one.get("image", "")),
        state=str(one.get("state", "")),
        health=str(one.get("health") or ""),
        host=str(one.get("host", "")),
        labels={str(key): str(value) for key, value in labels.items()} if isinstance(labels, dict) else {},
    )


def entries(text: str, *, of_page: bool = False) -> Iterator[Line]:
    """Lines of a log, one JSON object a line; what is none is passed over."""
    for one in text.split("\n"):  # and nothing else: a message may hold other ends of lines
        try:
            entry = orjson.loads(one)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield _of_page(entry) if of_page else _of_tool(entry)


def _of_page(entry: Mapping[str, Any]) -> Line:
    moment, raw = entry.get("ts"), entry.get("rm")
    text = raw if isinstance(raw, str) and raw else _text(entry.get("m"), of_page=True)
    at = datetime.fromtimestamp(moment / 1000, UTC) if isinstance(moment, int) and 0 < moment < 1 << 43 else None
    return Line(text=text, at=at, output=str(entry.get("s", "")), level=_level(entry.get("l"), text))


def _of_tool(entry: Mapping[str, Any]) -> Line:
    try:
        at = datetime.fromisoformat(str(entry.get("timestamp")))
    except ValueError:
        at = None
    if at is not None and at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    text = _text(entry.get("message"))
    return Line(text=text, at=at, output=str(entry.get("stream", "")), level=_level(entry.get("level"), text))


def _level(told: Any, text: str) -> str:
    return level_of(text) if told in (None, "", "unknown") else str(told)


def _text(message: Any, *, of_page: bool = False) -> str:
    try:
        return _plain(_unescaped(message) if of_page else message)
    except RecursionError:  # nested deeper than anybody writes who wants to be read
        return "…"


def _plain(message: Any) -> str:
    """A text, a structure, or several lines that belong together."""
    if isinstance(message, str):
        return message.rstrip("\n")
    if isinstance(message, list):
        return "\n".join(_plain(one.get("m", one) if isinstance(one, dict) else one) for one in message)
    try:
        return orjson.dumps(message).decode()
    except (TypeError, ValueError):  # nested deeper than anybody writes
        return "…"


def _unescaped(message: Any) -> Any:
    if isinstance(message, str):
        return html.unescape(_MARKUP.sub("", message))
    if isinstance(message, list):
        return [_unescaped(one) for one in message]
    if isinstance(message, dict):
        return {key: _unescaped(value) for key, value in message.items()}
    return message


def measured(one: Mapping[str, Any]) -> Usage:
    """One measurement, as pages get it."""
    return Usage(
        cpu_percent=_number(one.get("cpu")),
        memory_percent=_number(one.get("memory")),
        memory_bytes=_whole(one.get("memoryUsage")),
        received_bytes=_whole(one.get("networkRxTotal")),
        sent_bytes=_whole(one.get("networkTxTotal")),
    )


def _number(value: Any) -> float | None:
    return round(float(value), 2) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
