"""main goes on here while the repository elsewhere is out of reach, and is brought there once it is back.

A broken route may be the very way to that repository: whoever rolls it back must not need it for that. Only the
reconciler and its command line may use this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from reconciler.git import trees
from reconciler.git.errors import GitError, RefMoved, plain_words
from reconciler.git.main import beneath
from reconciler.git.remote import Remote
from reconciler.git.store import Identity, Store

AHEAD = "refs/waypost/ahead"
"""Where main was brought to here, as long as the repository elsewhere does not have that."""

_OURS = "waypost <waypost@localhost>"


class Parted(GitError):
    """What was approved here does not fit what came to main there meanwhile; that counts, and ours is given up."""

    def __init__(self, commit: str, paths: Sequence[str]) -> None:
        super().__init__(
            f"{commit[:12]} was approved here while the repository was out of reach, and main changed the same there "
            f"({', '.join(paths)}): it is not on main any more; propose it again, or merge {commit[:12]} by hand"
        )
        self.commit = commit


def pending(store: Store) -> str | None:
    """The commit that main is at here and not there, if there is one."""
    return store.references(AHEAD).get(AHEAD)


def go(store: Store, branch: str, commit: str) -> None:
    """Move main on, here only. Where it is to be brought is known first, so that no fetch can forget it.

    Raises RefMoved where somebody else came first, or was about to when their process died.
    """
    ahead, head = pending(store), beneath(store, branch, commit)
    if ahead is not None and not store.is_ancestor(ahead, commit):
        if head is None or store.is_ancestor(head, ahead):
            store.move(f"refs/heads/{branch}", ahead, was=head)
        raise RefMoved(f"what was approved last is {ahead[:12]}, and {commit[:12]} does not contain it; look again")
    store.move(AHEAD, commit, was=ahead)
    store.move(f"refs/heads/{branch}", commit, was=head)


def follow(remote: Remote, store: Store, branch: str, now: datetime) -> None:
    """Fetch main, and bring what was approved here meanwhile to where it comes from.

    Raises GitError where it is out of reach, and Parted, once, where the two do not fit together.
    """
    remote.fetch(store, branch)
    ahead, tip = pending(store), store.head(branch)
    if ahead is None or tip is None:
        return
    if not store.is_ancestor(ahead, tip):
        _brought(remote, store, branch, ahead, tip, now)
    store.remove(AHEAD)


def _brought(remote: Remote, store: Store, branch: str, ahead: str, tip: str, now: datetime) -> None:
    """Push what is ahead; where main moved on there, a merge of both, so that what was applied stays in its history."""
    onto = ahead if store.is_ancestor(tip, ahead) else _joined(store, ahead, tip, now)
    remote.push(store, branch, onto)
    store.move(f"refs/heads/{branch}", onto, was=tip)


def _joined(store: Store, ahead: str, tip: str, now: datetime) -> str:
    with plain_words(f"cannot merge {ahead} with {tip} in {store.path}"):
        base = str(store.repository.merge_base(tip, ahead))
        base_tree, ours, theirs = (store.commit(id).tree for id in (base, tip, ahead))
        tree = trees.merged(store.repository, base=base_tree, ours=ours, theirs=theirs)
    if not isinstance(tree, str):
        store.remove(AHEAD)
        raise Parted(ahead, tree)
    us = Identity.parse(_OURS).signed(now)
    text = f"Merge {ahead[:12]}, approved while this repository was out of reach\n"
    return store.write_commit(tree=tree, parents=(tip, ahead), author=us, committer=us, text=text)
