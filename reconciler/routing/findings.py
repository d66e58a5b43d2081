"""Findings about routers: what is wrong or worth a look, for whom, with a request that shows it and what would help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from reconciler.routing.request import Request
from reconciler.routing.wording import shown_request, witness_of

Severity = Literal["error", "warning", "info"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "info")


KINDS: Final = ("tie", "unreachable", "never", "takeover", "falls-through", "tls", "certificate", "undecided")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding. `subject` and `others` are routers as answers name them; errors refuse a change, the rest is shown.

    `kind` is one of KINDS. `outcome` is what becomes of the witness, where the message leaves that open; `unshown` is
    why no request can show it.
    """

    severity: Severity
    kind: str
    subject: str
    message: str
    suggestion: str = ""
    witness: Request | None = None
    outcome: str = ""
    unshown: str = ""
    others: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "severity": self.severity,
            "kind": self.kind,
            "subject": self.subject,
            "message": self.message,
            "suggestion": self.suggestion,
            "witness": witness_of(self.witness) if self.witness else None,
            "outcome": self.outcome,
            "unshown": self.unshown,
            "others": list(self.others),
        }

    @property
    def shown(self) -> str:
        """The request that shows it and what becomes of it, or why none can, in a sentence."""
        if self.witness is not None:
            where = f" at `{self.witness.entry_point}`" if self.outcome and self.witness.entry_point else ""
            return f"{shown_request(self.witness)}{where} {self.outcome or 'shows it'}."
        return f"No request can show it: {self.unshown}." if self.unshown else ""

    def __str__(self) -> str:
        return " ".join(filter(None, (f"{self.message}.", self.shown, self.suggestion and f"{self.suggestion}.")))


@dataclass(frozen=True)
class Findings:
    """Findings, the gravest first. `more`: how many (at most) of each kind were counted and not looked at."""

    listed: tuple[Finding, ...] = ()
    more: Mapping[str, int] = field(default_factory=dict)

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.listed if one.severity == "error")

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.listed)

    def __len__(self) -> int:
        return len(self.listed)


def gathered(found: Iterable[Finding], more: Mapping[str, int], most: int = 1000) -> Findings:
    """The gravest first, no more than so many, each once; the rest is counted."""
    once = list(dict.fromkeys(found))
    dead = {one.subject for one in once if one.kind == "never" and one.message.startswith("`")}
    whole = [one for one in once if one.kind != "never" or one.subject not in dead or one.message.startswith("`")]
    ordered = sorted(whole, key=lambda one: (SEVERITIES.index(one.severity), one.kind, one.subject, one.others))
    counted = Counter(more)
    counted.update(one.kind for one in ordered[most:])
    return Findings(tuple(ordered[:most]), {kind: count for kind, count in sorted(counted.items()) if count})
