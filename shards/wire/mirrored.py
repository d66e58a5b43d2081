"""Which tools want arguments in headers as well: hardly any, and to look through a schema for it takes its time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from mcp.shared.inbound import find_invalid_x_mcp_header, x_mcp_header_map

from state.sparing import dataclass


@dataclass(frozen=True)
class Mirrored:
    """Looks through each schema once, as long as it is the same one that a tool is listed with."""

    _seen: dict[str, tuple[Mapping[str, Any], bool]] = field(default_factory=dict)

    def of(self, name: str, schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The schema of the tool of that name; None where no header has to be what it says."""
        known = self._seen.get(name)
        if known is None or known[0] is not schema:
            known = schema, not find_invalid_x_mcp_header(schema) and bool(x_mcp_header_map(schema))
            self._seen[name] = known
        return schema if known[1] else None
