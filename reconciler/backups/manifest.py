"""What a backup says of itself: which files are in it, and how far its log and its repository reach. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson

FORMAT = 1
NAME = "manifest.json"
LARGEST = 16 << 20
"""Bytes of a manifest: the references of a home with a hundred thousand revisions are most of it."""

LOG, SEGMENTS, PEOPLE, OUTBOX = "log.db", "log.segments/", "people.db", "gateway/outbox.db"
SETTINGS, TARGETS, TOKENS = "waypost.env", "targets.toml", "tokens.json"
RECORDS = "targets/"  # what is known of a target beside the log, a file each
PACK, INDEX = "repository.pack", "repository.idx"

_ALLOWED = re.compile(
    r"log\.db|log\.segments/[0-9a-f-]{1,80}\.db|people\.db|gateway/outbox\.db|waypost\.env|targets\.toml"
    r"|tokens\.json|targets/[a-z0-9][a-z0-9-]{0,62}\.json"
    r"|repository\.(pack|idx)"
)
_ALWAYS = (LOG, SETTINGS)


class BackupError(Exception):
    """A backup cannot be made, read or believed, in words for a person."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One file of a backup: its size in bytes, and its SHA-256, hexadecimal."""

    size: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class Repository:
    """The desired repo, or our mirror of it: what its directory is called, its branch, and its references."""

    name: str
    branch: str
    references: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """`seq` and `hash` are of the last event in the log; `left_out` says what could not be taken along, and why."""

    waypost: str
    made: str  # ISO 8601, UTC
    seq: int
    hash: str
    repository: Repository | None
    members: Mapping[str, Member]
    left_out: tuple[str, ...] = ()


def encode(manifest: Manifest) -> bytes:
    return orjson.dumps({"waypost backup": FORMAT, **asdict(manifest)}, option=orjson.OPT_INDENT_2)


def decode(data: bytes) -> Manifest:
    """Raises BackupError where this is no manifest, a newer one, or one that names what no backup of ours holds."""
    try:
        said: Any = orjson.loads(data)
        version = said["waypost backup"]
    except (ValueError, TypeError, KeyError):
        raise BackupError(f"its {NAME} is not one that Waypost writes") from None
    if version != FORMAT:
        raise BackupError(
            f"it is of format {version!r:.20}; this Waypost reads format {FORMAT}: use the one that made it"
        )
    try:
        manifest = _read(said)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise BackupError(f"its {NAME} is not one that Waypost writes") from None
    _refuse_strange(manifest)
    return manifest


def _read(said: Any) -> Manifest:
    repository = said["repository"]
    return Manifest(
        waypost=_text(said["waypost"]),
        made=_text(said["made"]),
        seq=_number(said["seq"]),
        hash=_text(said["hash"]),
        repository=None
        if repository is None
        else Repository(
            name=_text(repository["name"]),
            branch=_text(repository["branch"]),
            references={_name(name): _text(target) for name, target in repository["references"].items()},
        ),
        members={
            _text(name): Member(size=_number(one["size"]), digest=_text(one["digest"]))
            for name, one in said["members"].items()
        },
        left_out=tuple(map(_text, said["left_out"])),
    )


def _refuse_strange(manifest: Manifest) -> None:
    for name in manifest.members:
        if not _ALLOWED.fullmatch(name):
            raise BackupError(f"it names a file that no backup holds: {name!r:.80}")
    for name in _ALWAYS:
        if name not in manifest.members:
            raise BackupError(f"it holds no {name}, so it is no home")
    if manifest.repository and manifest.repository.name not in ("desired.git", "mirror.git"):
        raise BackupError(f"it names a repository that no home has: {manifest.repository.name!r:.80}")


def _text(value: Any) -> str:
    """A line of text: it is shown to people, on a terminal that would obey some signs."""
    if not isinstance(value, str) or not value.isprintable():
        raise TypeError
    return value


def _name(value: Any) -> str:
    """What people call a branch may hold signs that do not print; whether it can be one is asked before it is used."""
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError
    return value
