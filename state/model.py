"""The nouns that every other module speaks in: addresses, specs, hashes, snapshots. Plain values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote

import orjson

Spec = Any
"""One resource as its own system writes it: JSON-plain (dict, list, str, int, float, bool, None)."""

PROPOSAL_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What a proposal may be called: its branch bears the name, and commands are given it."""


class Address(NamedTuple):
    """Where a resource lives: `<instance>/<kind>/<name>`, for example `traefik/http.routers/gitea`.

    The name may be anything its system allows; in text its awkward characters are percent-escaped.
    """

    instance: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.instance}/{self.kind}/{quote(self.name, safe='-_.~@ ')}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address that `str()` wrote. Raises ValueError, in words for a person, on anything else."""
        parts = text.split("/")
        if len(parts) != 3 or not all(parts):
            raise ValueError(
                f"'{text}' is not a resource address; one looks like traefik/http.routers/gitea "
                "(instance, kind and name, a slash in a name written %2F)"
            )
        return cls(parts[0], parts[1], unquote(parts[2]))


Snapshot = Mapping[Address, Spec]
"""What some side (base, want, live) holds at one moment."""


_CANONICAL: Final = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS


def canonical(value: Any) -> bytes:
    """The one byte form of a JSON-plain value: sorted keys, no spaces. Equal values have equal bytes."""
    return orjson.dumps(value, option=_CANONICAL)


def digest(value: Any) -> str:
    """SHA-256 over the canonical form, hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def digest_bytes(content: bytes) -> str:
    """SHA-256 of raw bytes, hexadecimal: the digest of a file."""
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Something wrong that a person can mend, and where: `file:line:column: message`.

    `file` is a path inside the desired repo (or of a live file); "" where there is none. Lines and columns
    count from 1, 0 means unknown. `severity` is "error" (holds the plan) or "warning" (shown only).
    """

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    address: str = ""
    severity: str = "error"

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        return ": ".join(part for part in (place, self.address, self.message) if part)
