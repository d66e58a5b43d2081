"""What was fetched, kept on disk: a file for each address. Losing all of it costs nothing but fetching it again."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

from reconciler.documentation.fetching import Validators
from reconciler.ports import Disk
from state.model import digest_bytes

_MOST: Final = 400
"""Files; the oldest go first."""


@dataclass(frozen=True)
class Copy:
    """What stood at an address when it was fetched; `content` is None where nothing did."""

    address: str
    kind: str
    content: bytes | None
    fetched: datetime
    validators: Validators = Validators()


@dataclass(frozen=True)
class Shelf:
    """Copies by the address that was asked for."""

    directory: Path

    def get(self, address: str) -> Copy | None:
        """What was put there last; None where nothing was, or where it cannot be read."""
        try:
            content = Disk().read(self._path(address))
            return _copy(orjson.loads(content), address) if content else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def put(self, address: str, copy: Copy) -> None:
        """Keep it instead of what was there; where the disk does not take it, nothing is kept."""
        path = self._path(address)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            Disk().make_directory(self.directory, 0o700)
            Disk().write(beside, orjson.dumps(_plain(address, copy)), 0o600)
            Disk().replace(beside, path)
            self._thin()

    def _path(self, address: str) -> Path:
        return self.directory / f"{digest_bytes(address.encode())[:40]}.json"

    def _thin(self) -> None:
        files = sorted(self.directory.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in files[:-_MOST]:
            path.unlink(missing_ok=True)


def _plain(asked: str, copy: Copy) -> dict[str, Any]:
    return {
        "asked": asked,
        "address": copy.address,
        "kind": copy.kind,
        "content": None if copy.content is None else copy.content.decode("utf-8", "replace"),
        "fetched": copy.fetched.isoformat(),
        "etag": copy.validators.etag,
        "last_modified": copy.validators.last_modified,
    }


def _copy(plain: dict[str, Any], asked: str) -> Copy | None:
    if plain["asked"] != asked:
        return None
    content = plain["content"]
    return Copy(
        address=str(plain["address"]),
        kind=str(plain["kind"]),
        content=None if content is None else content.encode("utf-8", "replace"),
        fetched=datetime.fromisoformat(plain["fetched"]),
        validators=Validators(str(plain["etag"]), str(plain["last_modified"])),
    )
