"""The embedded desired repo moves to a server of one's own, with all that it keeps; nothing is lost on the way.

Every step may be cut off and done again: the setting that makes the server count is written last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler import app, config
from reconciler.config import ENVIRON
from reconciler.git.errors import GitError
from reconciler.git.proposals import proposals
from reconciler.git.remote import Remote
from reconciler.git.store import NOTES, REVISIONS, Store
from reconciler.home import Held, Home, HomeError
from reconciler.ports import Disk

SETTING = "WAYPOST_DESIRED_REPO"


@dataclass(frozen=True)
class Moved:
    """Where main is now, and what came along."""

    address: str
    commit: str
    proposals: int
    revisions: int


def move(home: Home, address: str) -> Moved:
    """Bring the desired repo of a home to another repository, which is followed from then on.

    That one must be empty, or hold nothing on the branch that is not here. Raises HomeError, GitError, ConfigError.
    """
    if not home.embedded:
        raise HomeError(f"the desired repo of {home.path} is at {home.desired_source} already: nothing is to be moved")
    lock = home.lock_reconciler()
    if isinstance(lock, Held):
        raise HomeError(f"process {lock.pid} works in {home.path}: stop `waypost up` first, and start it afterwards")
    with lock:
        chosen = config.load(ENVIRON, home.path, {SETTING: address})
        there = replace(home, settings=chosen)
        remote = app.remote(there)
        if remote is None:
            raise HomeError(f"{SETTING} would be empty: name the repository")
        store = Store.open(home.desired_store_path)
        moved = _pushed(remote, store, chosen.desired_branch)
        _mirror(home, there)
        _choose(home.settings_path, address)
    return replace(moved, address=address)


def _pushed(remote: Remote, store: Store, branch: str) -> Moved:
    head, standing = store.head(branch), remote.heads(store).get(f"refs/heads/{branch}")
    if head is None:
        raise GitError(f"there is no branch '{branch}' in {store.path} to be moved")
    if standing is not None and not store.is_ancestor(standing, head):
        raise GitError(
            f"{remote.url} has a branch '{branch}' of its own ({standing[:12]}): name an empty repository, or merge "
            "the two by hand first"
        )
    remote.push(store, branch)
    waiting = proposals(store)
    for id in waiting:
        remote.push(store, f"proposals/{id}")
    if reason := remote.push_own(store):
        raise GitError(f"the revisions did not get there: {reason}", retry=True)
    return Moved("", head, len(waiting), len(store.revisions()))


def _mirror(home: Home, there: Home) -> None:
    """Our copy of what is elsewhere now, with everything that a log knows by its commits."""
    branch = there.settings.desired_branch
    mirror = Store.create(there.desired_store_path, branch)
    own = [f"+{REVISIONS}*:{REVISIONS}*", f"+{NOTES}:{NOTES}"]
    Remote(f"file://{home.desired_store_path}").fetch(mirror, branch, own)


_LINE = re.compile(rf"^#?[ \t]*{SETTING}=.*$", re.MULTILINE)


def _choose(path: Path, address: str) -> None:
    """Set it in waypost.env, in its place; every other line stays."""
    text, line = path.read_text("utf-8"), f"{SETTING}={address}"
    text, count = _LINE.subn(lambda found: line, text, count=1)
    staged = path.with_name(f".{path.name}.new")
    Disk().write(staged, (text if count else f"{text.rstrip()}\n{line}\n").encode(), 0o640)
    Disk().replace(staged, path)
    Disk().flush_directory(path.parent)
