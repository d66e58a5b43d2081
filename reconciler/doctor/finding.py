"""What one check of `waypost doctor` found: a value that a person, or a machine, reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Finding:
    """`level`: "ok" is fine, "warn" works but should be known, "fail" does not work. `remedy` says what to do."""

    check: str
    level: Literal["ok", "warn", "fail"]
    found: str
    remedy: str = ""


def ok(check: str, found: str) -> Finding:
    return Finding(check=check, level="ok", found=found)


def warn(check: str, found: str, remedy: str) -> Finding:
    return Finding(check=check, level="warn", found=found, remedy=remedy)


def fail(check: str, found: str, remedy: str) -> Finding:
    return Finding(check=check, level="fail", found=found, remedy=remedy)
