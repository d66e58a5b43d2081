"""What a home has lost: a log whose history Git still remembers, or a desired repo that the log still knows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime

from reconciler.git.errors import GitError
from reconciler.git.store import Store
from reconciler.home import Home, HomeError
from state.errors import EmptyFile
from state.events import HistoryLost
from state.log import EventLog
from state.views import Revisions


def refuse_without_desired_state(home: Home, now: Callable[[], datetime]) -> None:
    """Raises HomeError where the embedded desired repo is gone and the log knows of more than a beginning.

    The starter in its place would look like a wish to take everything away.
    """
    branch, path = home.settings.desired_branch, home.desired_store_path
    store = _store(home)
    if not home.embedded or (store and store.head(branch)) or _log_is_empty(home, now):
        return
    with contextlib.closing(EventLog.open(home.log_path, now=now, readonly=True)) as log:
        latest = log.view(Revisions).latest
    if latest is None:
        return
    lost = f"{path} has no branch '{branch}', but the log knows revision {latest.number} (commit {latest.commit[:12]})"
    if store and store.has(latest.commit):
        remedy = f"its commit is still there: `git -C {path} update-ref refs/heads/{branch} {latest.commit}`"
    else:
        remedy = (
            f"put it back from a copy, or from any clone: move {path} away if it is there, then "
            f"`git clone --bare CLONE {path}` (the gateway's is {home.gateway_clone_path}; look at what it holds)"
        )
    raise HomeError(f"{lost}. Nothing was made in its place; {remedy}")


def of_history(home: Home, store: Store, now: Callable[[], datetime]) -> HistoryLost | None:
    """What Git remembers of a log that is gone; None where there is a log, or nothing is remembered."""
    if not _log_is_empty(home, now):
        return None
    anchors, revision = store.anchors(), max(store.revisions(), default=0)
    if not anchors and not revision:
        return None
    return HistoryLost(
        anchor_seq=anchors[-1].seq if anchors else 0,
        anchor_hash=anchors[-1].hash if anchors else "",
        revision=revision,
        reason="the log was gone, and a person chose to begin a new one",
    )


def told(home: Home, lost: HistoryLost) -> str:
    """What is lost with the log and what to do, for the one who must decide."""
    return (
        f"{home.log_path} is gone, and this home has a history: {home.desired_store_path} keeps revision "
        f"{lost.revision}, and the log held at least {lost.anchor_seq} events. Lost with it are who asked for what, "
        "approvals and consents, what is quarantined, which drift was accepted, and what was applied last (so what is "
        "live is compared as if it were seen for the first time). Put a copy of the log back there if you have one; "
        "else `waypost init --new-log` begins a new one, which says so in its second event"
    )


def settle(log: EventLog, store: Store, home: Home) -> None:
    """Set the anchors of the lost log aside, so that they are not held against the new one. Fine to repeat.

    Raises HomeError where the log did not begin with a loss: nothing was lost then.
    """
    beginning = [recorded.event for recorded in log.read(until=2)]
    lost = next((event for event in beginning if isinstance(event, HistoryLost)), None)
    if lost is None and log.head().seq > 1:
        raise HomeError(f"{home.log_path} is there, so there is nothing to begin anew: leave --new-log out")
    if lost and any(anchor.hash == lost.anchor_hash for anchor in store.anchors()):
        store.set_anchors_aside(f"before-{lost.anchor_hash[:12]}")


def _log_is_empty(home: Home, now: Callable[[], datetime]) -> bool:
    """Whether there is no log, or one whose making was cut short."""
    path = home.log_path
    if not path.exists() or not path.stat().st_size:
        return True
    try:
        with contextlib.closing(EventLog.open(path, now=now, readonly=True)) as log:
            return log.head().seq == 0
    except EmptyFile:
        return True


def _store(home: Home) -> Store | None:
    with contextlib.suppress(GitError):
        return Store.open(home.desired_store_path)
    return None
