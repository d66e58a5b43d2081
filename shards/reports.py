"""What only the reconciler can tell a model: who serves a request, what happened, what drifted, what a pass did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from reconciler.query_client import Answer, Away
from shards import untrusted
from shards.kit import Refused
from shards.proposing import Plan, read_plan

Name = Annotated[str, AfterValidator(lambda text: untrusted.short(text, 60))]
"""What somebody is called in another system."""


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


class History(BaseModel):
    """What happened, oldest first."""

    events: list[Happened] = Field(default_factory=list)


class Request(BaseModel):
    """Who asked for it, and with which tool."""

    id: str = ""
    tool: str = ""
    client: str = ""
    proposal: str = ""
    title: str = ""
    at: str = ""


class Approval(BaseModel):
    """Who brought it to main. "unknown": nobody can say."""

    at: str = ""
    by: str = ""
    via: str = ""
    subject: str = ""
    proposal: str | None = None


class Chain(BaseModel):
    """What made a resource as it is. A link that nobody recorded is null."""

    resource: str
    live: bool = Field(description="whether it is applied now")
    request: Request | None = None
    commit: str | None = None
    approval: Approval | None = None
    plan: str | None = Field(default=None, description="digest of the plan that it was applied by")
    applied: Happened | None = None
    live_digest: str | None = None
    events: list[Happened] = Field(default_factory=list, description="the last of what happened to it, oldest first")


class Drifted(BaseModel):
    """A resource that is live otherwise than it was applied."""

    address: str
    kind: str = ""
    fields: list[str] = Field(default_factory=list, description="what differs; values are not told")
    since: str = ""
    by: Name = Field(default="", description="who did it, as the system itself says; '' where nobody knows")
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


def told(answer: Answer) -> dict[str, Any]:
    """The reconciler's answer. Raises Refused where there is none: only it can know."""
    if not isinstance(answer, Away):
        return answer
    if answer.cause == "unknown":
        raise Refused("unknown-resource", f"{answer.reason}.")
    if answer.cause == "senseless":
        raise Refused("bad-arguments", f"{answer.reason}.")
    raise Refused("reconciler-away", f"{answer.reason}. Only the reconciler can know this.", retry=True)


def explanation(answer: Answer) -> Explanation:
    """Raises Refused, as all of these, where the reconciler does not answer or not like one."""
    return _read(Explanation, told(answer))


def history(answer: Answer) -> History:
    return _read(History, told(answer))


def chain(answer: Answer) -> Chain:
    return _read(Chain, told(answer))


def drift(answer: Answer) -> DriftReport:
    return _read(DriftReport, told(answer))


def passed(answer: Answer) -> Passed:
    found = told(answer)
    plan = read_plan(found) if isinstance(found.get("plan"), dict) else None
    return _read(Passed, {**found, "plan": plan})


def _read(report: type[_Report], data: Mapping[str, Any]) -> _Report:
    try:
        return report.model_validate(data)
    except ValidationError as fault:
        raise Refused("unreadable", "The reconciler's answer cannot be read: it may be of another version.") from fault
