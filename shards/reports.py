"""What only the reconciler can tell a model: who serves a request, what happened, what drifted, what a pass did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from reconciler.query_client import Answer
from shards.kit import Refused
from shards.own import told
from shards.proposing import Plan, read_plan


class Explanation(BaseModel):
    """Who serves a request, and why. Names are as files write them; other providers' are qualified."""

    router: str | None = Field(default=None, description="null: nobody, several by chance, or nobody can tell")
    service: str | None = None
    middlewares: list[str] = Field(default_factory=list)
    candidates: list[str] = Field(default_factory=list, description="all that match, the first to be asked first")
    ambiguous: bool = Field(default=False, description="several share the highest priority: chance decides")
    tied: list[str] = Field(default_factory=list)
    status: int | None = Field(default=None, description="what Traefik itself answers; null: it passes the request on")
    entrypoint: str = ""
    tls: bool = False
    taken_by: str = Field(default="http", description="http; tcp: a TCP router has the connection; nobody: closed")
    unknown: str | None = Field(default=None, description="why nobody can tell")
    reason: str = ""
    words: list[str] = Field(default_factory=list, description="the same for people, with who else matches and why not")


class Happened(BaseModel):
    """One event of the log."""

    seq: int
    at: str = ""
    type: str = ""
    actor: str = ""
    request_id: str = ""
    stream: str = ""
    said: str = ""
    data: dict[str, Any] = Field(default_factory=dict)


class RouteHistory(BaseModel):
    """What happened to one route, oldest first."""

    events: list[Happened] = Field(default_factory=list)


class Drifted(BaseModel):
    """A resource that is live otherwise than it was applied."""

    address: str
    kind: str = ""
    fields: list[str] = Field(default_factory=list, description="what differs; values are not told")
    since: str = ""
    accepted_until: str = Field(default="", description="'' where nobody accepted it")


class DriftReport(BaseModel):
    """All open drift."""

    drift: list[Drifted] = Field(default_factory=list)


class Passed(BaseModel):
    """What a pass came to."""

    state: str = Field(description="nothing, applied, held, drift, waiting, refuted, unknown, lost")
    said: str = ""
    revision: int = 0
    plan: Plan | None = Field(default=None, description="what it was about; null where it planned nothing")


_Report = TypeVar("_Report", bound=BaseModel)


def explanation(answer: Answer) -> Explanation:
    """Raises Refused, as all of these, where the reconciler does not answer or not like one."""
    return _read(Explanation, told(answer).data)


def history(answer: Answer) -> RouteHistory:
    return _read(RouteHistory, told(answer).data)


def drift(answer: Answer) -> DriftReport:
    return _read(DriftReport, told(answer).data)


def passed(answer: Answer) -> Passed:
    found = told(answer).data
    plan = read_plan(found) if isinstance(found.get("plan"), dict) else None
    return _read(Passed, {**found, "plan": plan})


def _read(report: type[_Report], data: Mapping[str, Any]) -> _Report:
    try:
        return report.model_validate(data)
    except ValidationError as fault:
        raise Refused("unreadable", "The reconciler's answer cannot be read: it may be of another version.") from fault
