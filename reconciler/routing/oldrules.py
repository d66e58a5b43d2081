"""Rules in the syntax of version 2: opaque, but for the hosts that the plainest of them keep to."""

from __future__ import annotations

import re
from typing import Final

_TERM: Final = re.compile(r"\s*([A-Za-z]+)\(\s*((?:`[^`]*`\s*,?\s*)+)\)\s*\Z")
_VALUE: Final = re.compile(r"`([^`]*)`")


def hosts_of(rule: str) -> frozenset[str] | None:
    """The literal hosts to which a rule keeps, lower case and without dots at the end; None where it may not.

    Only rules that are nothing but matchers with values in back-ticks joined by && are looked into.
    """
    found: frozenset[str] | None = None
    for part in rule.split("&&"):
        term = _TERM.match(part)
        if term is None:
            return None
        if term[1] == "Host":
            found = frozenset(value.lower().rstrip(".") for value in _VALUE.findall(term[2]))
    return found if found and "" not in found and not any("*" in host for host in found) else None
