"""The one file that Traefik reads from us: JSON (which is YAML), so that no byte of it can be a Go template."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from reconciler import document
from reconciler.traefik import kinds
from state.model import Address, Problem, Snapshot, Spec, canonical

RENDERER = "1"
"""Version of how wanted state becomes a file; part of a plan's digest. Changes with any change of bytes."""

MARKER_PREFIX = "waypost-gen-"
MARKER_KIND = "http.middlewares"
PROVENANCE = "x-waypost"
_NOTE = "Written by Waypost from the desired repo. An edit here is reported as drift."

# What JSON lets through unescaped and a YAML reader rejects or takes for a line break.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


class Unreadable(ValueError):
    """Our live file cannot be read any more; `problems` says where and why."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(map(str, problems)))


def marker_spec(marker: str) -> Spec:
    """An unused middleware whose presence in the API proves that exactly this file is loaded."""
    return {"headers": {"customResponseHeaders": {"X-Waypost-Generation": marker}}}


def render(snapshot: Snapshot, *, marker: str, provenance: Mapping[str, Any]) -> bytes:
    """The whole file. Same input, same bytes; '{{' never appears; no empty struct.

    `marker` is the full name of the generation marker (it starts with MARKER_PREFIX). Raises ValueError where
    the snapshot holds the marker's name or something JSON cannot carry.
    """
    named = {(address.kind, address.name): spec for address, spec in snapshot.items()}
    if not marker.startswith(MARKER_PREFIX) or (MARKER_KIND, marker) in named:
        raise ValueError(f"'{marker}' cannot be the marker: it needs the prefix {MARKER_PREFIX} and a name of its own")
    named[MARKER_KIND, marker] = marker_spec(marker)
    content = {PROVENANCE: {"note": _NOTE, **provenance}, **kinds.join(named)}
    return escape(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")


def escape(content: bytes) -> bytes:
    """JSON bytes made safe for a YAML reader and a template engine; the same value when read."""
    if not content.isascii() or b"\x7f" in content:  # hardly ever, and a look at every letter takes its time
        text = _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", content.decode())
        content = text.encode()
    return content.replace(b"{{", b"{\\u007b")


class Held(NamedTuple):
    """What a file of ours holds: its resources without the marker, its provenance, the marker's full name or ""."""

    resources: dict[Address, Spec]
    provenance: dict[str, Any]
    marker: str


def parse(content: bytes, instance: str = "traefik") -> tuple[dict[Address, Spec], dict[str, Any]]:
    """What a file of ours holds: its resources without the marker, and its provenance.

    Reads hand edits too (YAML, fields Traefik does not know). An empty file holds nothing. Raises Unreadable
    where it is no YAML any more.
    """
    held = read(content, instance)
    return held.resources, held.provenance


def read(content: bytes, instance: str = "traefik") -> Held:
    """The same, and the generation marker. Raises Unreadable."""
    value = _value(content)
    found = kinds.examine(value).resources
    markers = [name for kind, name in found if kind == MARKER_KIND and name.startswith(MARKER_PREFIX)]
    resources = {
        Address(instance, kind, name): spec
        for (kind, name), spec in found.items()
        if not (kind == MARKER_KIND and name in markers)
    }
    provenance = value.get(PROVENANCE) if isinstance(value, dict) else None
    return Held(resources, dict(provenance) if isinstance(provenance, dict) else {}, next(iter(markers), ""))


def marker_of(content: bytes) -> str:
    """The full name of the generation marker in a file of ours, "" where it has none. Raises Unreadable."""
    return read(content).marker


def _value(content: bytes) -> Any:
    try:
        value = orjson.loads(content)
        canonical(value)  # it reads deeper than it writes: what nobody could compare is a problem, and told below
        return value
    except (orjson.JSONDecodeError, TypeError):
        pass
    read = document.read("", content)
    if read.problems:
        raise Unreadable(read.problems)
    return read.value
