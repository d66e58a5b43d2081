"""The first commit of an embedded desired repo: whole files in, one commit out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from reconciler.git import trees
from reconciler.git.errors import plain_words
from reconciler.git.store import WAYPOST, Store


def plant(store: Store, files: Mapping[str, bytes], *, branch: str, subject: str, at: datetime) -> str:
    """Commit `files` (path -> content) as the first commit of `branch`, and return its id. Durable then.

    Raises GitError, RefMoved among them where the branch is there already.
    """
    repository = store.repository
    with plain_words(f"cannot write the first commit to {store.path}"):
        leaves = {path: trees.Leaf(str(repository.create_blob(content)), trees.BLOB) for path, content in files.items()}
        tree = trees.rooted(repository, "", leaves)
    signature = WAYPOST.signed(at)
    commit = store.write_commit(tree=tree, parents=(), author=signature, committer=signature, text=f"{subject}\n")
    store.move(f"refs/heads/{branch}", commit, was=None)
    return commit
