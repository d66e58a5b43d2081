"""What moves `main`, and how commits came there. Only the reconciler and its command line may use this module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import Literal

import pygit2
from pygit2.enums import SortMode

from reconciler.git import message, trees
from reconciler.git.errors import GitError, RefMoved, plain_words
from reconciler.git.store import Commit, Identity, Store


@dataclass(frozen=True, slots=True)
class Merged:
    """A proposal is on the branch as `commit`; "already" where it was there before, or changes nothing more."""

    commit: str
    how: Literal["fast-forward", "rebase", "already"]


@dataclass(frozen=True, slots=True)
class MergeConflict:
    """The branch changed the same places meanwhile: these paths."""

    paths: tuple[str, ...]


def rebased(store: Store, proposal_commit: str, *, onto: str, person: str, at: datetime) -> Merged | MergeConflict:
    """The commit that would put a proposal on top of `onto`, written but not yet pointed to by anything.

    Author, message and trailers stay; `person` becomes the committer of a rebased commit. Never a merge commit, so
    that plain `git revert` undoes it.
    """
    proposal = store.commit(proposal_commit)
    if len(proposal.parents) != 1:
        raise GitError(
            f"{proposal_commit} is not a proposal: it has {len(proposal.parents)} parents, a proposal has one"
        )
    if store.is_ancestor(proposal.id, onto):
        return Merged(onto, "already")
    if proposal.parents[0] == onto:
        return Merged(proposal.id, "fast-forward")
    base, ours, theirs = (store.commit(side).tree for side in (proposal.parents[0], onto, proposal.id))
    with plain_words(f"cannot merge {proposal.id} with {onto} in {store.path}"):
        tree = trees.merged(store.repository, base=base, ours=ours, theirs=theirs)
    if not isinstance(tree, str):
        return MergeConflict(tree)
    if tree == store.commit(onto).tree:
        return Merged(onto, "already")
    return Merged(_replayed(store, proposal, tree, onto, Identity.parse(person).signed(at)), "rebase")


def _replayed(store: Store, proposal: Commit, tree: str, onto: str, committer: pygit2.Signature) -> str:
    author = store.repository[proposal.id].author
    return store.write_commit(tree=tree, parents=(onto,), author=author, committer=committer, text=proposal.message)


def beneath(store: Store, branch: str, commit: str) -> str | None:
    """Where the branch stands now, under a commit that is to come there.

    Raises RefMoved where it holds commits that this one was not made on top of: they must not fall off it.
    """
    head = store.head(branch)
    if head is not None and not store.is_ancestor(head, commit):
        raise RefMoved(f"{branch} in {store.path} has newer commits; look again")
    return head


# ── how commits came to main ─────────────────────────────────────────────────────────────────────

Via = Literal["fast-forward", "rebase", "merge", "squash", "push", "first", "unknown"]

_FORGES = frozenset({"github", "gitea", "forgejo", "gitlab", "waypost"})
"""Names under which programs commit for somebody: they say nothing about who it was."""

_LINE_LIMIT = 1000
"""Commits that are looked at along the line, and beside it for one merge."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A commit on the branch's first-parent line, which is its approval, and how it came there.

    `proposal` is "" where no known proposal is behind it. `by` is who the commit says put it there, as
    Git records it unchecked, or "unknown".
    """

    commit: str
    via: Via
    proposal: str
    by: str
    subject: str


def approvals(store: Store, since: str | None, head: str, proposals: Mapping[str, str]) -> list[Approval]:
    """How every commit that is new on the line since `since` came there, oldest first.

    `proposals` maps the ids that are worth recognising to their commits. A merge or squash of several gives
    one approval for each. Without `since` only the head counts, as "first"; where `since` is not here any
    more, as "unknown".
    """
    if since is None or not store.has(since):
        return [_alone(store.commit(head), "first" if since is None else "unknown")]
    known = _Known(store, proposals)
    line = store.first_parents(head, since, limit=_LINE_LIMIT)
    return [approval for commit in line for approval in _approvals(store, commit, since, known)]


class _Known:
    """The proposals worth recognising, by everything that may give one away."""

    def __init__(self, store: Store, proposals: Mapping[str, str]) -> None:
        self._store = store
        self._commits = {id: store.commit(commit) for id, commit in proposals.items() if store.has(commit)}
        self._by_commit = {commit.id: id for id, commit in self._commits.items()}
        self._by_request = {commit.trailers.get(message.REQUEST, ""): id for id, commit in self._commits.items()}

    def identical(self, commit: Commit) -> str | None:
        """The proposal that this very commit is."""
        return self._by_commit.get(commit.id)

    def claimed(self, commit: Commit) -> list[str]:
        """The proposals whose requests its message names."""
        named = dict.fromkeys(message.requests(commit.message))
        return [self._by_request[request] for request in named if request in self._by_request]

    def same_change(self, commit: Commit) -> str | None:
        """The proposal that changes the same lines, whatever the message says."""
        candidates = self._by_paths.get(self._paths(commit), [])
        patch = self._patch(commit) if candidates else ""
        return next((id for id in candidates if self._patch(self._commits[id]) == patch), None)

    def same_message(self, commit: Commit, id: str) -> bool:
        return commit.message.strip() == self._commits[id].message.strip()

    @cached_property
    def _by_paths(self) -> dict[frozenset[str], list[str]]:
        grouped: dict[frozenset[str], list[str]] = {}
        for id, commit in self._commits.items():
            grouped.setdefault(self._paths(commit), []).append(id)
        return grouped

    def _paths(self, commit: Commit) -> frozenset[str]:
        return frozenset(self._store.changed(commit.parents[0], commit.id)) if commit.parents else frozenset()

    def _patch(self, commit: Commit) -> str:
        repository = self._store.repository
        with plain_words(f"cannot compare {commit.id} with its parent in {self._store.path}"):
            old, new = (repository[id].peel(pygit2.Tree) for id in (commit.parents[0], commit.id))
            return str(old.diff_to_tree(new).patchid)


def _approvals(store: Store, commit: Commit, since: str, known: _Known) -> list[Approval]:
    via, ids = _origin(store, commit, since, known)
    by = _by(commit, via)
    return [Approval(commit.id, via, id, by, commit.subject) for id in ids or [""]]


def _origin(store: Store, commit: Commit, since: str, known: _Known) -> tuple[Via, list[str]]:
    """How a commit came to the line, and the proposals behind it."""
    if itself := known.identical(commit):
        return "fast-forward", [itself]
    if len(commit.parents) > 1:
        brought = [id for side in _beside(store, commit, since) for id in _behind(side, known)]
        return "merge", list(dict.fromkeys(brought))
    ids = _behind(commit, known)
    if len(ids) == 1 and known.same_message(commit, ids[0]):
        return "rebase", ids
    return ("squash", ids) if ids else ("push", [])


def _behind(commit: Commit, known: _Known) -> list[str]:
    """The proposals that a commit is, or is made of."""
    if itself := known.identical(commit):
        return [itself]
    if claimed := known.claimed(commit):
        return claimed
    same = known.same_change(commit)
    return [same] if same else []


def _beside(store: Store, merge: Commit, since: str) -> Iterator[Commit]:
    """The commits that a merge brought in, its own line left out, oldest first."""
    with plain_words(f"cannot walk what {merge.id} merged in {store.path}"):
        walker = store.repository.walk(merge.parents[1], SortMode.TOPOLOGICAL | SortMode.REVERSE)
        for parent in merge.parents[2:]:
            walker.push(parent)
        for seen in (merge.parents[0], since):
            walker.hide(seen)
        for raw in islice(walker, _LINE_LIMIT):
            yield store.commit(str(raw.id))


def _by(commit: Commit, via: Via) -> str:
    """Who put it on the line: a merge's author; else the committer, whom a fast-forward does not change."""
    name, email = (commit.author, commit.author_email) if via == "merge" else (commit.committer, commit.committer_email)
    if via == "fast-forward" or name.casefold() in _FORGES or not name:
        return "unknown"
    return f"{name} <{email}>"


def _alone(commit: Commit, via: Via) -> Approval:
    return Approval(commit.id, via, "", _by(commit, via), commit.subject)
