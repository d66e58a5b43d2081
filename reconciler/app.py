"""The composition root: the only place where adapters are made and introduced to each other."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler import alerts
from reconciler.alerting.receivers import Receivers
from reconciler.config import ConfigError, Place, System
from reconciler.core.target import Target, TargetError
from reconciler.git.errors import GitError
from reconciler.git.remote import Remote
from reconciler.git.store import Store
from reconciler.gitea.address import repository_in
from reconciler.gitea.api import Gitea, GiteaError
from reconciler.home import Held, Home
from reconciler.in_use import pieces
from reconciler.ports import Clock, Disk, SystemClock
from reconciler.setting import Secret, revealed, secrets_in
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
            targets=_targets(home, clock, stack),
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
            secrets=functools.partial(_secrets, home),
        )


def _secrets(home: Home) -> frozenset[str]:
    """What must stand in no proposal: all that the settings of a home refer to."""
    return pieces(revealed(secrets_in(home.settings)))


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


def sender(home: Home) -> Receivers:
    return alerts.receivers(home.settings, SystemClock())


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


def _as_it_is(secret: Secret | None, fault: Callable[[str], Exception]) -> Callable[[], str]:
    """A credential as it is whenever it is used, so that a rotated one counts; whoever cannot have it fails by that."""

    def asked() -> str:
        try:
            return secret.reveal() if secret else ""
        except ConfigError as reason:
            raise fault(str(reason)) from None

    return asked


def remote(home: Home) -> Remote | None:
    """The repository elsewhere that the settings of a home name; None where it is inside the home."""
    settings = home.settings
    if settings.desired_repo is None:
        return None
    return Remote(
        settings.desired_repo,
        token=_as_it_is(settings.git_token, GitError) if settings.git_token else "",
        ssh_key=settings.git_ssh_key,
        ca_file=settings.ca_file,
    )


@contextmanager
def in_my_name(home: Home) -> Iterator[Gitea | None]:
    """Gitea as the person at this terminal uses it; None where there is none, or no token of theirs is set."""
    with ExitStack() as stack:
        mine = home.settings.gitea_person_token
        yield _gitea(home, stack, mine) if mine else None


def _gitea(home: Home, stack: ExitStack, mine: Secret | None = None) -> Gitea | None:
    settings = home.settings
    if settings.gitea_url is None or settings.desired_repo is None:
        return None
    repository = repository_in(settings.desired_repo)
    if repository is None:
        raise GiteaError(
            f"'{settings.desired_repo}' names no repository of a Gitea: right would be https://HOST/OWNER/NAME.git; "
            "see WAYPOST_DESIRED_REPO",
            retry=False,
        )
    token = mine or settings.gitea_token or settings.git_token
    client = Gitea(
        settings.gitea_url,
        repository,
        token=_as_it_is(token, GiteaError),
        ca_file=settings.ca_file,
    )
    stack.callback(client.close)
    return client


def api(home: Home, place: Place) -> TraefikApi:
    return TraefikApi(
        place.api_url,
        auth=_as_it_is(place.api_auth, TargetError),
        ca_file=str(home.settings.ca_file or ""),
    )


def _targets(home: Home, clock: Clock, stack: ExitStack) -> dict[str, Target]:
    settings = home.settings
    traefiks = {place.name: _traefik(home, place, clock, stack) for place in settings.places}
    return {**traefiks, **{system.name: _made[system.kind](home, system, clock, stack) for system in settings.systems}}


def _komodo(home: Home, system: System, clock: Clock, stack: ExitStack) -> Target:
    # Only a home that has one needs them: a command would start later.
    from reconciler.komodo.api import KomodoApi
    from reconciler.targets.komodo import KomodoTarget

    api = KomodoApi(system.url, system.secrets["key"], system.secrets["secret"], ca_file=home.settings.ca_file)
    stack.callback(api.close)
    record = home.path / "targets" / f"{system.name}.json"
    return KomodoTarget(system.name, api, clock=clock, deadline=system.deadline, record=record)


def _authentik(home: Home, system: System, clock: Clock, stack: ExitStack) -> Target:
    from reconciler.authentik.api import AuthentikApi
    from reconciler.targets.authentik import AuthentikTarget

    api = AuthentikApi(system.url, system.secrets["token"], ca_file=home.settings.ca_file)
    stack.callback(api.close)
    context = {one.name: one for one in system.context}
    return AuthentikTarget(system.name, api, clock=clock, deadline=system.deadline, context=context)


_made: Mapping[str, Callable[[Home, System, Clock, ExitStack], Target]] = {"komodo": _komodo, "authentik": _authentik}


def _traefik(home: Home, place: Place, clock: Clock, stack: ExitStack) -> Target:
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
