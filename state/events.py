"""Every kind of fact the log can hold, in the past tense, ordered as life goes.

An event carries no clock and no identity: `seq`, `at`, `actor` and the chain belong to the row
(`state.log`). Fields are JSON-plain. The first paragraph of a docstring is the event's documentation;
README's table is made from it. Facts are for ever: never change a meaning, add a type or an upcast
(`state.codec`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

from state.sparing import dataclass

Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Event:
    """A fact. `schema` is the version of its field shape; old shapes are read through upcasts."""

    schema: ClassVar[int] = 1


# ── the home and its history ─────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class HomeCreated(Event):
    """A home was made, and with it this log."""

    waypost: str  # version that made it


@dataclass(frozen=True, kw_only=True)
class HistoryLost(Event):
    """The log before this one is gone; a person let a new one begin."""

    anchor_seq: int  # how far the lost log reached at least, as Git remembers it; 0 where it does not
    anchor_hash: str
    revision: int  # the last one that is kept in the desired repo, 0 where none is
    reason: str


@dataclass(frozen=True, kw_only=True)
class LogDegraded(Event):
    """The log runs in a safer, slower mode because this machine's SQLite has a known fault."""

    sqlite: str
    mode: str
    reason: str


# ── the gateway: what a model asked for ──────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class ToolCalled(Event):
    """A model called a tool through the gateway."""

    shard: str
    tool: str
    client: str
    outcome: str  # "ok" or an error code
    arguments_digest: str
    reason: str = ""
    arguments: str = ""  # JSON without secrets, cut where it is long; "" before Waypost kept them
    milliseconds: float = 0.0
    proposal: str = ""  # id of the one that was made


@dataclass(frozen=True, kw_only=True)
class ShardsDeclared(Event):
    """A gateway started, or its list of shards that run elsewhere changed: these are on it now."""

    shards: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ShardLost(Event):
    """A shard that runs elsewhere does not answer; its tools stay listed and say so."""

    shard: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ShardFound(Event):
    """A shard that runs elsewhere answers: for the first time since the gateway started, or again."""

    shard: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ProposalMade(Event):
    """A write tool committed a proposal."""

    proposal: str
    branch: str
    commit: str
    parent: str
    tool: str
    client: str
    title: str
    resources: tuple[str, ...]  # addresses it touches


@dataclass(frozen=True, kw_only=True)
class IntakeRefused(Event):
    """Something that the gateway or a person left for us was not taken in."""

    source: str  # "gateway" or "person"
    what: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ProposalWithdrawn(Event):
    """The one who proposed took it back."""

    proposal: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class PlanShown(Event):
    """A plan of a proposal was made for the log or a model's answer, or shown to a person: only that is a review."""

    proposal: str
    commit: str
    digest: str
    changes: tuple[str, ...]  # "create traefik/http.routers/x"
    losses: tuple[Json, ...]  # what people would lose, as the guards counted it
    refusals: tuple[str, ...] = ()
    to_person: bool = False  # shown to a person; events of older versions do not say, so they are no review


@dataclass(frozen=True, kw_only=True)
class ProposalSuperseded(Event):
    """A newer proposal for the same resource took this one's place."""

    proposal: str
    by: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ProposalReminded(Event):
    """A proposal waited long; its reviewers were reminded, once."""

    proposal: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ProposalClosed(Event):
    """A proposal was closed without being approved."""

    proposal: str
    reason: str


# ── people: approval, consent, answers ───────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class ConsentGiven(Event):
    """A person consented to one exact plan by its digest, losses included."""

    commit: str
    digest: str
    proposal: str = ""
    reason: str = ""
    losses: tuple[Json, ...] = ()  # what the person was told would be lost


@dataclass(frozen=True, kw_only=True)
class ProposalRejected(Event):
    """A person rejected a proposal."""

    proposal: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class DriftHealRequested(Event):
    """A person asked to put a drifted resource back to what was last applied."""

    address: str
    live_hash: str  # of the live state the person saw; "" where it is gone
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class DriftAccepted(Event):
    """A person accepted a drifted resource as it is, until a date."""

    address: str
    live_hash: str
    until: str  # ISO 8601, UTC
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class ChangesDeferred(Event):
    """What a commit brings to one target waits for what it brings to another, which has its turn first."""

    commit: str
    resources: Mapping[str, str]  # address -> the instance that it waits for
    reason: str


@dataclass(frozen=True, kw_only=True)
class QuarantineLifted(Event):
    """A person let quarantined resources be tried again."""

    addresses: tuple[str, ...]
    reason: str


# ── main moved ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class CommitApproved(Event):
    """A commit was found on main: that is its approval, however it came there."""

    commit: str
    via: str  # "fast-forward", "rebase", "merge", "squash", "push", "first", "unknown"
    proposal: str = ""  # "" where the commit came from no known proposal
    by: str = "unknown"
    subject: str = ""
    reviewers: tuple[str, ...] = ()  # others who approved it where it was reviewed, as that system knows them


@dataclass(frozen=True, kw_only=True)
class ApproverAwaited(Event):
    """The system that a commit was reviewed in could not say yet who brought it to main; it is asked again."""

    commit: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ApproverTold(Event):
    """That system said later who brought a commit to main and who approved it, or is not asked any longer."""

    commit: str
    by: str  # "" where it knows nobody
    reviewers: tuple[str, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class HistoryRewritten(Event):
    """main no longer contains the commit that was applied last: somebody force-pushed."""

    was: str
    now: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class DesiredRefused(Event):
    """A commit's desired state could not be read; the last good revision stays live."""

    commit: str
    problems: tuple[Json, ...]  # {file, line, column, message}


@dataclass(frozen=True, kw_only=True)
class SourceLost(Event):
    """The desired repo could not be followed: gone, unreachable, corrupt, or its branch missing."""

    source: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class SourceFound(Event):
    """The desired repo can be followed again."""

    source: str
    commit: str


# ── the review elsewhere: Gitea ──────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class PullRequestOpened(Event):
    """A proposal can be reviewed in Gitea."""

    proposal: str
    number: int
    address: str  # where a person looks at it


@dataclass(frozen=True, kw_only=True)
class PullRequestShown(Event):
    """The plan that a pull request shows is the one of now."""

    proposal: str
    number: int
    digest: str  # of the text that stands there
    main: str  # the head of main that it was planned against


@dataclass(frozen=True, kw_only=True)
class PullRequestClosed(Event):
    """The review of a proposal in Gitea has ended."""

    proposal: str
    number: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class StatusSet(Event):
    """Gitea shows beside a commit what became of it."""

    commit: str
    context: str  # "waypost/plan" or "waypost/apply"
    state: str
    description: str


@dataclass(frozen=True, kw_only=True)
class GiteaLost(Event):
    """Gitea could not be spoken to; proposals wait, and go there once it is back."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class GiteaFound(Event):
    """Gitea can be spoken to again."""

    reason: str


# ── a pass: plan, guard, apply, prove ────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class PlanMade(Event):
    """A plan with something to do was made for a commit on main."""

    commit: str
    digest: str
    changes: tuple[str, ...]
    losses: tuple[Json, ...] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class PlanHeld(Event):
    """A plan was not applied: refused by a guard, in conflict, invalid, or quarantined."""

    commit: str
    digest: str
    refusals: tuple[Json, ...] = ()  # {guard, address, lost, consent}
    conflicts: tuple[str, ...] = ()
    problems: tuple[Json, ...] = ()  # {where, message}
    quarantined: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class ResourcesAdopted(Event):
    """Live already was as desired; it is only recorded."""

    instance: str
    commit: str
    resources: Json  # address -> spec, or None where both are gone
    reason: str


@dataclass(frozen=True, kw_only=True)
class ProbeSucceeded(Event):
    """A marker-only write showed that the target sees this directory."""

    instance: str
    attempt: str
    seconds: float
    directory: str = ""


@dataclass(frozen=True, kw_only=True)
class ProbeFailed(Event):
    """The target did not notice a marker-only write: it does not see this directory."""

    instance: str
    reason: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class ApplyStarted(Event):
    """The intention to write, recorded before the write."""

    instance: str
    attempt: str
    commit: str
    digest: str  # of the plan
    before: str  # digest of the live file, "" where there is none
    after: str  # digest of the file about to be written
    changes: Json  # address -> wanted spec, or None for a delete
    reason: str
    undoes: tuple[str, ...] = ()  # refuted attempts; what went with them is put back as it was at the last revision


@dataclass(frozen=True, kw_only=True)
class ApplyProven(Event):
    """The target itself said that it serves what was written."""

    instance: str
    attempt: str
    commit: str
    changes: Json  # address -> spec that is live now, or None where it is gone
    file: str  # digest of the file that was proven
    seconds: float
    evidence: str
    undoes: tuple[str, ...] = ()  # as in the `ApplyStarted` of this attempt


@dataclass(frozen=True, kw_only=True)
class StackDeployed(Event):
    """A stack was deployed, restarted or taken down, or was to be: why, and what came of it."""

    instance: str
    attempt: str
    commit: str
    stack: str
    resources: tuple[str, ...]  # the addresses that this stack has
    deed: str  # "deploy", "restart", "remove"
    reason: str
    good: bool
    said: str  # what came of it, as far as the target tells
    update: str  # the target's own name for it, "" where it has none
    seconds: float


@dataclass(frozen=True, kw_only=True)
class StacksSkipped(Event):
    """A commit changed stacks, and these were left as they are: why."""

    instance: str
    commit: str
    resources: Mapping[str, str]  # address -> why
    reason: str


@dataclass(frozen=True, kw_only=True)
class ApplyRefuted(Event):
    """The target said that it does not serve what was written."""

    instance: str
    attempt: str
    commit: str
    reason: str
    faults: Json = field(default_factory=dict)  # address -> what the target says


@dataclass(frozen=True, kw_only=True)
class ApplyUnknown(Event):
    """Nobody could say whether the write is served: the witness is out."""

    instance: str
    attempt: str
    commit: str
    reason: str
    remedy: str = ""  # what a person can do about it


@dataclass(frozen=True, kw_only=True)
class ApplyAbandoned(Event):
    """An intention was never carried out, or something else stands in its place."""

    instance: str
    attempt: str
    reason: str
    failed: bool = True  # the target could not be written; else it was a crash, or somebody wrote over it


@dataclass(frozen=True, kw_only=True)
class WriteGivenUp(Event):
    """A write that had failed is no longer wanted: nothing is left to write."""

    instance: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ApplyUndone(Event):
    """The last good state was put back after a refuted apply."""

    instance: str
    attempt: str  # of the apply that was undone
    proven: bool
    file: str
    reason: str
    changes: Json = field(default_factory=dict)  # of a proven apply that was taken back: address -> spec that is live


@dataclass(frozen=True, kw_only=True)
class UndoHeld(Event):
    """What went with a refuted change stays on another target for now, and why it could not be taken back."""

    instance: str
    resources: tuple[str, ...]
    digest: str  # of what the target was to hold, where it refused that; "" where nothing was written
    reason: str


@dataclass(frozen=True, kw_only=True)
class ResourcesQuarantined(Event):
    """Resources of a refuted apply stay out until what is wanted of them changes."""

    instance: str
    commit: str
    attempt: str
    resources: Json  # address -> hash of the want that is kept out ("" for a delete)
    reason: str
    culprits: tuple[str, ...] = ()  # those the target complained of; empty where it named none
    commits: tuple[str, ...] = ()  # those of main that brought them, oldest first; empty where nobody can say


@dataclass(frozen=True, kw_only=True)
class RevisionMade(Event):
    """A commit on main was applied and proven; its number counts revisions of this home."""

    number: int
    commit: str
    tree: str
    policy: str  # digest of waypost.yaml as of this revision
    reason: str


# ── drift and the neighbours ─────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class DriftFound(Event):
    """Live differs from what was last applied, and nobody asked for it."""

    address: str
    kind: str  # "changed", "missing", "taken over"
    base_hash: str
    live_hash: str
    fields: tuple[str, ...]  # paths that differ; values stay out of the log
    reason: str
    by: str = ""  # who did it, as the target itself says; "" where nobody knows


@dataclass(frozen=True, kw_only=True)
class DriftCleared(Event):
    """A drift that was reported is no more."""

    address: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class PoisonFound(Event):
    """A file in the target's directory keeps the whole directory from being loaded."""

    instance: str
    file: str
    reason: str
    ours: bool = False  # it is the file that we write


@dataclass(frozen=True, kw_only=True)
class PoisonCleared(Event):
    """A poison file is gone or mended."""

    instance: str
    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class RestartLossFound(Event):
    """The target runs fine, but would lose these routes at its next restart."""

    instance: str
    routes: tuple[str, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class RestartLossCleared(Event):
    """A restart of the target would lose nothing any more."""

    instance: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ServingLost(Event):
    """The target does not serve what stands in our file, or disabled a part of it."""

    instance: str
    resources: Json  # address -> what the target says of it
    unserved: str  # why it does not serve our file as it stands, "" where only single resources are disabled
    reason: str


@dataclass(frozen=True, kw_only=True)
class ServingRestored(Event):
    """The target serves all of our file again."""

    instance: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class TargetLost(Event):
    """A target could not be observed."""

    instance: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class TargetFound(Event):
    """A target can be observed again."""

    instance: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class PassFailed(Event):
    """A pass ended in a fault of our own or of the machine; the next pass tries again."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class PassRecovered(Event):
    """Passes work again after a failed one."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class ProposedRevert(Event):
    """A revert of a refuted commit was proposed, so that main can say again what is true."""

    commit: str
    proposal: str
    reason: str


# ── alerts ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class AlertRaised(Event):
    """An alert was raised: one cause, one message."""

    fingerprint: str
    title: str
    body: str
    delivered: bool  # in the same breath, as older versions did; since then `AlertDelivered` tells
    reason: str
    subjects: tuple[str, ...] = ()  # what it is about; something new among them is news again
    severity: str = "warning"  # or "critical", "info"
    instance: str = ""  # the target it is about, "" where it is about no single one
    channels: tuple[str, ...] = ("*",)  # by name, as the policy said then; "*" is every one
    ends: bool = True  # whether its end is worth a message


@dataclass(frozen=True, kw_only=True)
class AlertDelivered(Event):
    """Receivers took the message about an alert, or about its end."""

    fingerprint: str
    title: str  # of the alert
    receivers: tuple[str, ...]  # marks that tell addresses apart; the addresses are secrets
    raised: int  # seq of the `AlertRaised` whose message it was; 0 for one about the end
    recovery: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class AlertDoubted(Event):
    """Waypost ended while it sent the message about an alert, or its end: nobody knows whether that arrived."""

    fingerprint: str
    title: str  # of the alert
    receivers: tuple[str, ...]
    raised: int  # as in `AlertDelivered`
    recovery: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class AlertResolved(Event):
    """The cause of an alert is gone; whoever was told of it is told of its end."""

    fingerprint: str
    title: str
    delivered: bool  # in the same breath, as older versions did; since then `AlertDelivered` tells
    reason: str
    missed: tuple[str, ...] = ()  # receivers it was for and that had not taken it: they hear of it in a summary


# ── a handed-over directory ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class OriginalMovedAside(Event):
    """A hand-written file, now served from ours with the same content, was moved aside."""

    instance: str
    file: str
    to: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class OriginalPutBack(Event):
    """A file that was moved aside was put back."""

    instance: str
    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class TargetEjected(Event):
    """Native files were given back and Waypost stepped out of this target."""

    instance: str
    files: tuple[str, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class TargetAdopted(Event):
    """A person took an ejected target into Waypost's care again, from the approval of this proposal on."""

    instance: str
    reason: str
    proposal: str = ""  # "" from now on: main already says what is there


@dataclass(frozen=True, kw_only=True)
class TokenMade(Event):
    """A person made a token for an MCP client. Its secret was shown once and is kept nowhere."""

    token: str  # its id, which is no secret
    name: str
    role: str
    grants: tuple[str, ...] = ()
    expires: str = ""  # ISO 8601, UTC; "" never
    replaces: tuple[str, ...] = ()  # ids of those that it takes over from, and that end


@dataclass(frozen=True, kw_only=True)
class ToolsGranted(Event):
    """A person let a token call more tools."""

    token: str
    name: str
    tools: tuple[str, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class TokenRevoked(Event):
    """A person closed a token."""

    token: str
    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class TokenEndsSoon(Event):
    """A token comes to its end, and nobody has made another in its place."""

    token: str
    name: str
    expires: str  # ISO 8601, UTC
    reason: str


@dataclass(frozen=True, kw_only=True)
class PayloadRedacted(Event):
    """The payload of an earlier event was blanked; the chain still holds."""

    seq: int
    reason: str


# ── the log and its copies ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class ReadsForgotten(Event):
    """What models had only looked at, long ago, was blanked: of those calls their moment and caller are left."""

    through: int  # seq of the last event that was looked at for this
    count: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class SegmentSealed(Event):
    """Old events left the live log for a sealed file; the chain goes through it."""

    first: int  # seqs
    last: int
    file: str
    hash: str  # of the last of them
    reason: str


@dataclass(frozen=True, kw_only=True)
class BackupMade(Event):
    """A backup was written, read back and found good."""

    file: str
    seq: int  # how far its log reaches
    hash: str
    size: int  # bytes
    digest: str  # of the whole file
    reason: str


@dataclass(frozen=True, kw_only=True)
class BackupFailed(Event):
    """A scheduled backup could not be made, or was not good when it was read back."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class BackupRemoved(Event):
    """An old scheduled backup was removed, newer good ones being there."""

    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class BackupOverdue(Event):
    """The last good backup is older than the policy allows; the next good one ends this."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class HomeRestored(Event):
    """This home was made from a backup. What happened between that and now is not in this log."""

    made: str  # when the backup was made, ISO 8601, UTC
    seq: int  # how far its log reached
    hash: str
    digest: str  # of the backup's file
    waypost: str  # the version that made it
    reason: str


# ── what others write about their systems ────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class DocumentationListed(Event):
    """The pages of documentation to watch are others than before; what is wrong with the list stands beside."""

    commit: str  # of the desired repo, "" where main has none
    pages: tuple[str, ...]
    problems: tuple[str, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class DocumentationSeen(Event):
    """A watched page was read for the first time, or holds nothing that is news: this is how it stands."""

    page: str  # its address, as the list has it
    at: str  # where it was found in the end
    title: str
    sections: Json  # anchor -> hash
    reader: int  # which way of reading made them: another one makes others of the same page
    reason: str


@dataclass(frozen=True, kw_only=True)
class DocumentationChanged(Event):
    """Sections of a watched page say something else than before."""

    page: str
    at: str
    title: str
    sections: Json
    reader: int
    changed: tuple[Json, ...]  # {kind, anchor, heading, before, after} with hashes
    difference: str  # the lines that went and came, bounded
    resources: tuple[str, ...]  # addresses of desired resources that it may be about
    concerns: tuple[str, ...]  # the same with files and settings, in words
    releases: str  # where the release notes are
    reason: str


@dataclass(frozen=True, kw_only=True)
class DocumentationGone(Event):
    """A watched page is gone, or stands elsewhere now."""

    page: str
    moved_to: str  # "" where it is gone
    reason: str


@dataclass(frozen=True, kw_only=True)
class DocumentationUnreachable(Event):
    """Watched pages could not be read; nobody knows whether they changed."""

    pages: Json  # address -> why
    reason: str


@dataclass(frozen=True, kw_only=True)
class DocumentationReached(Event):
    """Pages that could not be read can be read again."""

    pages: tuple[str, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class DocumentationRead(Event):
    """A person read what changed in these pages."""

    pages: tuple[str, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class DocumentationLookRequested(Event):
    """A person wants all watched pages looked at now."""

    reason: str


# ── reports and what comes to its end ────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class DriftReported(Event):
    """A report of all drift was due and made."""

    title: str
    body: str  # Markdown
    resources: tuple[str, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class DriftIssueShown(Event):
    """The one issue about drift, where people review, says what is so now."""

    number: int
    address: str
    digest: str  # of what stands there
    is_open: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class CertificateEnding(Event):
    """A certificate that is served for a host ends soon, or has ended."""

    instance: str
    host: str
    entry_point: str
    ends: str  # ISO 8601, UTC
    reason: str


@dataclass(frozen=True, kw_only=True)
class CertificateRenewed(Event):
    """For a host that was served with an ending certificate a fresh one is served, or none any more."""

    instance: str
    host: str
    entry_point: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class CredentialFailing(Event):
    """What opens a system to us ends soon, or is not accepted any more."""

    credential: str  # by the name of its setting
    ends: str  # ISO 8601, UTC; "" where it is not accepted now
    reason: str


@dataclass(frozen=True, kw_only=True)
class CredentialSound(Event):
    """A credential that was about to end, or refused, is good again or not asked for any more."""

    credential: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class CredentialUndated(Event):
    """When a credential ends nobody could say, and why: nobody will warn of it."""

    credential: str
    reason: str


EVENTS: Mapping[str, type[Event]] = {event.__name__: event for event in Event.__subclasses__()}
"""Name in the log -> class. The name is the stored one, for ever."""
