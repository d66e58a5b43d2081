"""The composition root: the only place where adapters are made and introduced to each other."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler import alerts
from reconciler.config import Place
from reconciler.core.target import Target
from reconciler.git.remote import Remote
from reconciler.git.store import Store
from reconciler.gitea.api import Gitea, repository_in
from reconciler.home import Held, Home
from reconciler.ports import Clock, Disk, SystemClock
from reconciler.targets.shadow import Shadow, find_binary
from reconciler.targets.traefik import TraefikTarget
from reconciler.traefik.api import TraefikApi
from reconciler.world import World
from state.log import EventLog

if TYPE_CHECKING:
    from reconciler.documentation.watching import Watcher


@contextmanager
def opened(home: Home, *, write: bool) -> Iterator[World]:
    """The world of a home. With `write` the caller holds the home's lock; without, nothing of it changes."""
    with ExitStack() as stack:
        clock = SystemClock()
        log = EventLog.open(home.log_path, now=clock.now, readonly=not write)
        stack.callback(log.close)
        path = home.desired_store_path
        # A repository elsewhere may have been chosen long after `init`: its mirror is made when it is needed.
        store = Store.create(path, home.settings.desired_branch) if write and not home.embedded else Store.open(path)
        if write:
            store.sweep_stale_locks()
            _sweep_scratch(home)
        yield World(
            log=log,
            store=store,
            targets={place.name: _target(home, place, clock, stack) for place in home.settings.places},
            clock=clock,
            chance=os.urandom,
            branch=home.settings.desired_branch,
            remote=remote(home),
            gitea=_gitea(home, stack),
            gateway_clone=home.gateway_clone_path,
            gateway_outbox=home.gateway_outbox_path,
            people_outbox=home.people_path,
            source=home.desired_source,
            read_only=home.settings.read_only,
        )


def watcher(home: Home, world: World) -> Watcher:
    """Who watches the documentation that main lists."""
    # Only who serves needs them: a command would start a third slower.
    from reconciler.documentation.fetching import Fetcher, Reach
    from reconciler.documentation.ledger import Ledger
    from reconciler.documentation.library import Library
    from reconciler.documentation.shelf import Shelf
    from reconciler.documentation.watching import Watcher

    place, clock = home.documentation_path, world.clock
    library = Library(Shelf(place / "copies"), Fetcher(Reach(), clock, home.settings.ca_file), clock)
    return Watcher(world, library, Ledger(place / "watched"))


def sender(home: Home) -> alerts.Receivers:
    return alerts.Receivers(url.reveal() for url in home.settings.alert_urls)


@contextmanager
def locked(home: Home) -> Iterator[World | Held]:
    """The world with the right to write, or who holds that right."""
    lock = home.lock_reconciler()
    if isinstance(lock, Held):
        yield lock
        return
    with lock, opened(home, write=True) as world:
        yield world


def _sweep_scratch(home: Home) -> None:
    """Remove what processes that were killed left in the scratch space."""
    for directory in home.work_path.glob("[0-9]*"):
        if not Path("/proc", directory.name).exists():
            shutil.rmtree(directory, ignore_errors=True)


def remote(home: Home) -> Remote | None:
    """The repository elsewhere that the settings of a home name; None where it is inside the home."""
    settings = home.settings
    if settings.desired_repo is None:
        return None
    return Remote(
        settings.desired_repo,
        token=settings.git_token.reveal() if settings.git_token else "",
        ssh_key=settings.git_ssh_key,
        ca_file=settings.ca_file,
    )


def _gitea(home: Home, stack: ExitStack) -> Gitea | None:
    settings = home.settings
    if settings.gitea_url is None or settings.desired_repo is None:
        return None
    token = settings.gitea_token or settings.git_token
    client = Gitea(
        settings.gitea_url,
        repository_in(settings.desired_repo),
        token=token.reveal if token else lambda: "",
        ca_file=str(settings.ca_file or ""),
    )
    stack.callback(client.close)
    return client


def api(home: Home, place: Place) -> TraefikApi:
    return TraefikApi(
        place.api_url,
        auth=place.api_auth.reveal() if place.api_auth else "",
        ca_file=str(home.settings.ca_file or ""),
    )


def _target(home: Home, place: Place, clock: Clock, stack: ExitStack) -> Target:
    witness = api(home, place)
    stack.callback(witness.close)
    binary = find_binary(str(place.binary or ""))
    shadow = None
    if binary:
        # By process: the command line and a running reconciler may both look at the same time.
        scratch = home.work_path / str(os.getpid()) / place.name
        shadow = Shadow(binary, files=Disk(), clock=clock, workdir=scratch)
        stack.callback(shutil.rmtree, scratch.parent, ignore_errors=True)
        stack.callback(shadow.close)
    return TraefikTarget(
        place.name,
        place.dynamic_dir,
        witness,
        files=Disk(),
        clock=clock,
        chance=os.urandom,
        shadow=shadow,
        deadline=place.deadline,
    )
