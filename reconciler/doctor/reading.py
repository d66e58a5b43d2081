"""The doctor's look at what the gateway looks with: whether it shows anything, and whether it is an account of its own.

The gateway tells nobody, so it is tried from here, with what the reconciler may know of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from reconciler.authentik import models
from reconciler.authentik.api import AuthentikApi
from reconciler.config import TARGETS_FILE, Settings
from reconciler.core.target import TargetError
from reconciler.doctor.finding import Finding, fail, ok, warn
from reconciler.gitea.address import Repository, repository_in
from reconciler.gitea.api import Gitea, GiteaError
from reconciler.komodo.api import KomodoApi
from reconciler.setting import ConfigError, Secret

_NOTHING: Final = "the gateway has nothing to look with, as far as is known here, so models see nothing of it"
_ACCOUNT: Final = "an account of the gateway's own there, which may only read"


class _Read(NamedTuple):
    """One system that the gateway reads, with what it is opened: by the system's names, for reading after `read_`."""

    name: str
    kind: str
    url: str
    held: Mapping[str, Secret | None]

    @property
    def opened_by(self) -> str:
        return "key" if self.kind == "komodo" else "token"

    @property
    def setting(self) -> str:
        """What the gateway looks with, as a person finds it."""
        name = f"read_{self.opened_by}"
        is_default = self.name == self.kind
        return f"WAYPOST_{self.kind}_{name}".upper() if is_default else f"{name} of [{self.name}] in {TARGETS_FILE}"


def examine(settings: Settings) -> Iterator[Finding]:
    """One finding for each system that the gateway can read. Changes nothing there."""
    for system in _systems(settings):
        yield _examined(system, settings)
    repository = repository_in(settings.desired_repo or "")
    if settings.gitea_url and repository:
        yield _gitea(settings, settings.gitea_url, repository)


def _systems(settings: Settings) -> Iterator[_Read]:
    """Those of the settings, also where nothing is written to them, and further ones."""
    if settings.komodo_url:
        keys = {"key": settings.komodo_key, "read_key": settings.komodo_read_key}
        held = {**keys, "read_secret": settings.komodo_read_secret}
        yield _Read("komodo", "komodo", settings.komodo_url, held)
    if settings.authentik_url:
        tokens = {"token": settings.authentik_token, "read_token": settings.authentik_read_token}
        yield _Read("authentik", "authentik", settings.authentik_url, tokens)
    for one in settings.systems:
        if one.name != one.kind:
            yield _Read(one.name, one.kind, one.url, one.secrets)


def _examined(system: _Read, settings: Settings) -> Finding:
    check, reading = f"{system.name}: reading", system.held.get(f"read_{system.opened_by}")
    if reading is None:
        return warn(check, _NOTHING, f"Set {system.setting} to {_ACCOUNT}")
    try:
        seen = _SEEN[system.kind](system, settings, reading)
    except TargetError as error:
        remedy = f"See that it answers, and {system.setting}: it must be known there, and may read"
        return fail(check, f"what the gateway looks with shows nothing ({error})", remedy)
    if _is_one(reading, system.held.get(system.opened_by)):
        return warn(
            check, "the gateway looks with what the reconciler writes with", f"Set {system.setting} to {_ACCOUNT}"
        )
    return ok(check, f"{seen} are seen with what the gateway looks with")


def _komodo(system: _Read, settings: Settings, key: Secret) -> str:
    secret = system.held.get("read_secret") or key
    with contextlib.closing(KomodoApi(system.url, key, secret, ca_file=settings.ca_file)) as api:
        return f"{len(api.stacks())} stacks"


def _authentik(system: _Read, settings: Settings, token: Secret) -> str:
    with contextlib.closing(AuthentikApi(system.url, token, ca_file=settings.ca_file)) as api:
        return f"{len(api.objects(models.APPLICATION))} applications"


_SEEN: Final[Mapping[str, Callable[[_Read, Settings, Secret], str]]] = {"komodo": _komodo, "authentik": _authentik}


def _is_one(reading: Secret, writing: Secret | None) -> bool:
    with contextlib.suppress(ConfigError):  # another check says so
        return writing is not None and reading.reveal() == writing.reveal()
    return False


def _gitea(settings: Settings, url: str, repository: Repository) -> Finding:
    check, token = "gitea: reading", settings.gitea_read_token
    if token is None:
        return warn(check, _NOTHING, f"Set WAYPOST_GITEA_READ_TOKEN to {_ACCOUNT} (read:repository)")
    try:
        with contextlib.closing(Gitea(url, repository, token=token.reveal, ca_file=settings.ca_file)) as gitea:
            main = gitea.branch(settings.desired_branch)
    except (GiteaError, ConfigError) as error:
        remedy = "See that it answers, and WAYPOST_GITEA_READ_TOKEN: it needs read:repository"
        return fail(check, f"what the gateway looks with shows nothing ({error})", remedy)
    if main.user_can_push:
        found = f"the account that the gateway looks with may push {main.name}"
        return fail(check, found, f"Take that from it, and protect {main.name}: right is {_ACCOUNT}")
    return ok(check, f"{repository} is seen with what the gateway looks with, and {main.name} cannot be pushed")
