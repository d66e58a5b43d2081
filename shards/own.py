"""The gateway's own tools: how things are, which proposals there are, what happened and why."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field

from reconciler.git.store import Commit
from reconciler.query_client import Away
from shards import masking, reports
from shards.covering import covered
from shards.fields import Reason
from shards.kit import Call, Refused, Shard, Traits, tool
from shards.limits import Limits
from shards.proposing import REVIEW, Desk, Plan
from shards.registry import Standing
from shards.reports import Chain, History
from shards.untrusted import clean

ProposalId = Annotated[str, Field(min_length=1, max_length=80, description="Id of a proposal.")]
ResourceAddress = Annotated[
    str,
    Field(max_length=300, description="Address of a resource, such as traefik/http.routers/gitea."),
]

_MOST_DIFF_LINES = 400


class Quotas(BaseModel):
    """What the client that asks may still do today."""

    proposals_left: int = Field(description="how many proposals it may still make until midnight, UTC")
    proposals_a_day: int


class Status(BaseModel):
    """How the gateway, its shards and the reconciler are."""

    version: str
    read_only: bool = Field(description="true: the kill switch is on, nothing can be proposed or withdrawn")
    shards: dict[str, dict[str, Any]] = Field(
        description="shard -> state (up, down, starting), tools, where it runs, since when and why it is so"
    )
    main: str = Field(description="the commit of main that the gateway sees; '' where it sees none")
    main_trouble: str = Field(description="why main cannot be seen, or ''")
    proposals: int = Field(description="how many proposals stand in the gateway's clone")
    quotas: Quotas
    reconciler: str = Field(description="'up', or why it does not answer; proposals are kept for it meanwhile")
    targets: dict[str, Any] = Field(description="what the reconciler says about itself and its targets")


class ProposalLine(BaseModel):
    """One proposal in short."""

    proposal: str
    title: str
    status: str = Field(description="open, approved, superseded, rejected, withdrawn, closed; 'pending' = not yet seen")
    commit: str
    client: str
    made_at: str


class ProposalList(BaseModel):
    """Proposals, newest first."""

    proposals: list[ProposalLine]
    reconciler: str = Field(description="'' where it was asked for the standings; else why it could not be")


class ProposalDetail(BaseModel):
    """One proposal with what it changes and its plan."""

    proposal: str
    title: str
    message: str = Field(description="the commit's whole message, trailers included")
    commit: str
    parent: str
    diff: str
    plan: Plan
    standing: dict[str, Any] = Field(description="status and reasons as the reconciler knows them")
    review: str


class Withdrawn(BaseModel):
    """A proposal was taken back."""

    proposal: str
    withdrawn: bool


class Own(Shard):
    """What the gateway offers besides its shards; these tools carry no prefix."""

    name = "gateway"
    title = "Waypost"
    prefix = ""

    def __init__(
        self, desk: Desk, version: str, standings: Callable[[], Mapping[str, Standing]], limits: Limits
    ) -> None:
        self._desk = desk
        self._limits = limits
        self._version = version
        self._standings = standings

    @tool(Traits(title="Gateway status"))
    def gateway_status(self, call: Call) -> Status:
        """How the gateway, its shards and the reconciler are, and whether proposals are possible now. Use it when
        something fails."""
        answer = self._desk.query.status()
        told = {} if isinstance(answer, Away) else answer
        main, trouble = self._main()
        return Status(
            version=self._version,
            read_only=self._desk.settings.read_only or bool(told.get("read_only")),
            shards={name: standing.as_json() for name, standing in self._standings().items()},
            main=main,
            main_trouble=trouble,
            proposals=len(self._desk.standing()),
            quotas=Quotas(
                proposals_left=self._limits.left_today(call.caller),
                proposals_a_day=self._limits.bounds.proposals_a_day,
            ),
            reconciler=answer.reason if isinstance(answer, Away) else "up",
            targets=told,
        )

    @tool(Traits(title="List proposals"))
    def proposals_list(self, call: Call) -> ProposalList:
        """List the proposals, newest first, with their standing. Look here before proposing the same again."""
        answer = self._desk.query.proposals()
        known = {} if isinstance(answer, Away) else _by_id(answer)
        lines = {id: _line(id, commit, known.get(id, {})) for id, commit in self._desk.standing()}
        lines |= {id: _known_line(id, one) for id, one in known.items() if id not in lines}
        return ProposalList(
            proposals=sorted(lines.values(), key=lambda line: line.made_at, reverse=True),
            reconciler=answer.reason if isinstance(answer, Away) else "",
        )

    @tool(Traits(title="Get a proposal"))
    def proposals_get(self, call: Call, proposal: ProposalId) -> ProposalDetail:
        """Show one proposal: its diff, its plan as of now (changes, losses, conflicts, refusals), its standing and
        how a person reviews it."""
        commit = self._desk.commit_of(proposal)
        answer = self._desk.query.proposal(proposal)
        return ProposalDetail(
            proposal=proposal,
            title=masking.told_whole(commit.subject),
            message=masking.told_whole(commit.message),
            commit=commit.id,
            parent=commit.parents[0],
            diff=_diff(self._desk.touched(commit)),
            plan=self._desk.plan(proposal),
            standing={"pending": answer.reason} if isinstance(answer, Away) else answer,
            review=REVIEW.format(id=proposal),
        )

    @tool(Traits(title="Withdraw a proposal", writes=True, idempotent=True))
    def proposals_withdraw(self, call: Call, proposal: ProposalId, reason: Reason) -> Withdrawn:
        """Take a proposal back that should not be approved any more. What is live stays as it is."""
        self._desk.withdraw(call, proposal, reason)
        return Withdrawn(proposal=proposal, withdrawn=True)

    @tool(Traits(title="History"))
    def history(
        self,
        call: Call,
        resource: ResourceAddress = "",
        limit: Annotated[int, Field(ge=1, le=500, description="How many events, the newest ones.")] = 50,
    ) -> History:
        """What happened, from the one event log: of one resource, or of everything. Each event has its reason."""
        return reports.history(self._desk.query.history(resource, limit=limit))

    @tool(Traits(title="Why"))
    def why(self, call: Call, resource: ResourceAddress) -> Chain:
        """Why a resource is as it is: the chain request, commit, approval, plan, apply, live digest."""
        return reports.chain(self._desk.query.why(resource))

    def _main(self) -> tuple[str, str]:
        try:
            return self._desk.ground().commit, ""
        except Refused as refusal:
            return "", str(refusal)


def _by_id(answer: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    items = answer.get("proposals")
    found = [one for one in items if isinstance(one, dict)] if isinstance(items, list) else []
    return {str(one["id"]): one for one in found if one.get("id")}


def _line(id: str, commit: Commit, known: Mapping[str, Any]) -> ProposalLine:
    return ProposalLine(
        proposal=id,
        title=masking.told_whole(commit.subject),
        status=str(known.get("status", "pending")),
        commit=commit.id,
        client=commit.trailers.get("Waypost-Client", "unknown"),
        made_at=commit.at.isoformat(),
    )


def _known_line(id: str, known: Mapping[str, Any]) -> ProposalLine:
    """A proposal that the reconciler knows and this clone does not hold (any more)."""
    words = {name: str(known.get(name, "")) for name in ("title", "status", "commit", "client", "made_at")}
    return ProposalLine(proposal=id, **words | {"title": masking.told_whole(words["title"])})


def _diff(touched: Mapping[str, tuple[bytes | None, bytes | None]]) -> str:
    lines: list[str] = []
    for path, (before, after) in touched.items():
        old, new = (_lines(path, side) for side in (before, after))
        names = (f"a/{path}" if before is not None else "/dev/null", f"b/{path}" if after is not None else "/dev/null")
        lines += difflib.unified_diff(old, new, *names, lineterm="")
    cut = [f"… {len(lines) - _MOST_DIFF_LINES} more lines"] if len(lines) > _MOST_DIFF_LINES else []
    return "\n".join([*lines[:_MOST_DIFF_LINES], *cut])


def _lines(path: str, content: bytes | None) -> list[str]:
    """Of a file that is changed elsewhere, the lines around are shown too: a person may have written anything there."""
    # Cleaned first: what shows nothing would take a name apart from its secret.
    return [] if content is None else covered(path, clean(content.decode("utf-8", "replace"))).splitlines()
