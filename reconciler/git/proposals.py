"""Proposals: one commit on a branch of its own, built without a work tree. The gateway may use this module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from reconciler.git import message, trees
from reconciler.git.bounds import BRANCHES, POLICY, ROOTS, id_fault, path_fault, size_fault
from reconciler.git.draft import Draft
from reconciler.git.errors import GitError, plain_words
from reconciler.git.remote import Remote
from reconciler.git.store import REVISIONS, WAYPOST, Identity, Store
from reconciler.git.trees import Leaf


class ProposalRefused(GitError):
    """What was proposed may not be proposed, or would change nothing. `reasons` has one sentence each."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("the proposal was refused: " + "; ".join(reasons))
        self.reasons = tuple(reasons)


def propose(
    store: Store,
    *,
    parent: str,
    edits: Mapping[str, bytes | None],
    id: str,
    title: str,
    body: str,
    trailers: Mapping[str, str],
    author: str,
    at: datetime,
    roots: Sequence[str] = ROOTS,
) -> str:
    """Commit file contents (None deletes) on top of `parent` as the branch `proposals/<id>`; answer the commit.

    Durable when it returns. The same call again is the same commit. Raises ProposalRefused with all reasons
    at once where a path is not a tool's to write, nothing would change, or the id is taken.
    """
    faults = [fault for path, content in edits.items() if (fault := _edit_fault(path, content, roots))]
    tree = store.commit(parent).tree
    if faults := faults or _misplaced(store, tree, edits):
        raise ProposalRefused(faults)
    text = message.compose(title, body, trailers)
    with plain_words(f"cannot write proposal {id} to {store.path}"):
        draft = store.draft()
        changes = {path: _leaf(draft, content) for path, content in edits.items()}
        grown = trees.rooted(store.repository, tree, changes, draft.tree)
    return commit_proposal(store, id=id, parent=parent, tree=grown, text=text, author=author, at=at, draft=draft)


def revert_to(
    store: Store,
    revision: str,
    *,
    parent: str,
    id: str,
    title: str,
    body: str,
    trailers: Mapping[str, str],
    author: str,
    at: datetime,
    keep_paths: Sequence[str] = (POLICY,),
    roots: Sequence[str] | None = None,
) -> str:
    """Propose the tree of an earlier commit, `keep_paths` as `parent` has them; answer the commit.

    With `roots` (a tool must give them) only those directories go back. Raises as `propose` does.
    """
    then, now = store.commit(revision).tree, store.commit(parent).tree
    with plain_words(f"cannot put back the tree of {revision} in {store.path}"):
        if roots is None:
            restored = _with_paths_of(store, then, now, keep_paths)
        else:
            restored = _with_paths_of(store, now, then, roots)
            restored = _with_paths_of(store, restored, now, keep_paths)
    text = message.compose(title, body, trailers)
    return commit_proposal(store, id=id, parent=parent, tree=restored, text=text, author=author, at=at)


def take_back(
    store: Store,
    commits: Sequence[str],
    *,
    parent: str,
    id: str,
    title: str,
    body: str,
    trailers: Mapping[str, str],
    author: str,
    at: datetime,
) -> str:
    """Propose `parent` without what these commits of its history changed, newest first; answer the commit.

    The policy stays as it is. Raises as `propose` does, also where later commits build on what would go.
    """
    now = store.commit(parent).tree
    with plain_words(f"cannot take back {', '.join(commits)} in {store.path}"):
        without = now
        for commit in reversed(commits):
            without = _without(store, without, commit)
        without = _with_paths_of(store, without, now, (POLICY,))
    text = message.compose(title, body, trailers)
    return commit_proposal(store, id=id, parent=parent, tree=without, text=text, author=author, at=at)


def _without(store: Store, tree: str, commit: str) -> str:
    """A tree without what one commit changed, merged as `git revert` does."""
    done = store.commit(commit)
    if not done.parents:
        raise ProposalRefused([f"{commit[:12]} is the first commit"])
    merged = trees.merged(store.repository, base=done.tree, ours=tree, theirs=store.commit(done.parents[0]).tree)
    if not isinstance(merged, str):
        raise ProposalRefused([f"later commits build on what {commit[:12]} did to {', '.join(merged)}"])
    return merged


def commit_proposal(
    store: Store,
    *,
    id: str,
    parent: str,
    tree: str,
    text: str,
    author: str,
    at: datetime,
    draft: Draft | None = None,
) -> str:
    """Commit a finished tree as the proposal `id`. Raises ProposalRefused where it equals its parent's.

    `draft` holds what of the tree is not written yet.
    """
    if fault := id_fault(id):
        raise ProposalRefused([fault])
    if tree == store.commit(parent).tree:
        raise ProposalRefused(["it changes nothing: the desired state already is so"])
    with plain_words(f"cannot write proposal {id} to {store.path}"):
        draft = draft or store.draft()
        author_then, committer = Identity.parse(author).signed(at), WAYPOST.signed(at)
        commit = draft.commit(tree=tree, parents=(parent,), author=author_then, committer=committer, text=text)
        draft.write()
    point_to(store, id, commit)
    return commit


def point_to(store: Store, id: str, commit: str) -> None:
    """Make the branch of a proposal. One that is there with another commit stays: a proposal never changes."""
    standing = store.head(branch(id))
    if standing not in (None, commit):
        raise ProposalRefused([f"there already is a proposal {id} with other content, and a proposal never changes"])
    if standing is None:
        store.move(f"refs/heads/{branch(id)}", commit, was=None)


def withdraw(store: Store, id: str) -> bool:
    """Take the branch of a proposal away; False where there is none."""
    return store.remove(f"refs/heads/{branch(id)}")


def proposals(store: Store) -> dict[str, str]:
    """Id and commit of every proposal that stands in this repository."""
    return {name.removeprefix(BRANCHES): commit for name, commit in store.branches(BRANCHES).items()}


def branch(id: str) -> str:
    """The branch of a proposal."""
    return f"{BRANCHES}{id}"


def follow(clone: Store, source: Remote | Path | str, branch: str = "main", proposal: str = "") -> str:
    """Bring the desired branch, and the revisions that are kept there, into a clone; answer the branch's commit.

    Of the proposals that stand there only the one that is named comes along: a clone has its own.
    """
    remote = source if isinstance(source, Remote) else Remote(str(source))
    wanted = proposal if proposal and not id_fault(proposal) else None
    return remote.fetch(clone, branch, also=(f"+{REVISIONS}*:{REVISIONS}*",), proposals=wanted)


def _edit_fault(path: str, content: bytes | None, roots: Sequence[str]) -> str | None:
    return path_fault(path, roots) or size_fault(path, len(content or b""))


def _misplaced(store: Store, tree: str, edits: Mapping[str, bytes | None]) -> list[str]:
    """Edits that would replace a directory, a link or a submodule, or make a directory of a file."""
    faults = []
    with plain_words(f"cannot read tree {tree} in {store.path}"):
        for path in edits:
            *above, standing = trees.along(store.repository, tree, path)
            if standing and standing.mode != trees.BLOB:
                faults.append(f"'{path}' is no plain file (mode {standing.mode:o}), so only a person can change it")
            faults += [f"'{place}' is a file, so '{path}' cannot be" for place in _files(path, above)]
    return faults


def _files(path: str, above: Sequence[Leaf | None]) -> list[str]:
    """The places above a path where something else than a directory stands."""
    names = path.split("/")
    return ["/".join(names[: depth + 1]) for depth, leaf in enumerate(above) if leaf and leaf.mode != trees.TREE]


def _with_paths_of(store: Store, tree: str, other: str, paths: Sequence[str]) -> str:
    """The tree, with what `other` has (or has not) at these paths, whole directories included."""
    taken = {path.rstrip("/"): trees.at(store.repository, other, path.rstrip("/")) for path in paths}
    return trees.rooted(store.repository, tree, taken)


def _leaf(draft: Draft, content: bytes | None) -> Leaf | None:
    return None if content is None else Leaf(draft.blob(content), trees.BLOB)
