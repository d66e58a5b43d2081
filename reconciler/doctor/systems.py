"""The doctor's look at the systems that Waypost writes to beside Traefik, and at Gitea: each answers, and knows us."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from reconciler.authentik.answers import AuthentikError
from reconciler.authentik.api import AuthentikApi
from reconciler.config import Settings, System
from reconciler.doctor.finding import Finding, fail, ok, warn
from reconciler.gitea.address import repository_in
from reconciler.gitea.api import Gitea, GiteaError
from reconciler.komodo.api import KomodoApi
from reconciler.komodo.wire import KomodoError
from reconciler.setting import ConfigError

_TRY_AGAIN = "See that it runs, and that its address and credentials in waypost.env are right"


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything about those that are configured. Changes nothing there."""
    for system in settings.systems:
        yield from _LOOKS[system.kind](system, settings)
    if settings.gitea_url and settings.desired_repo:
        yield from _gitea(settings)


def _komodo(system: System, settings: Settings) -> Iterator[Finding]:
    check = f"{system.name}: answers"
    try:
        api = KomodoApi(system.url, system.secrets["key"], system.secrets["secret"], ca_file=settings.ca_file)
        with contextlib.closing(api):
            version, stacks, servers = api.version(), api.stacks(), api.servers()
    except KomodoError as error:
        yield fail(check, str(error), error.remedy or _TRY_AGAIN)
        return
    yield ok(check, f"Komodo {version} at {system.url}; {len(stacks)} stacks are seen with our key")
    if not servers:
        remedy = "Give the user of WAYPOST_KOMODO_KEY the right to see the server that stacks are deployed on"
        yield warn(f"{system.name}: servers", "our key sees none, so no stack can be given one", remedy)


def _authentik(system: System, settings: Settings) -> Iterator[Finding]:
    check = f"{system.name}: answers"
    try:
        api = AuthentikApi(system.url, system.secrets["token"], ca_file=settings.ca_file)
        with contextlib.closing(api):
            version, blueprints = api.version(), api.instances()
    except AuthentikError as error:
        yield fail(check, str(error), error.remedy or _TRY_AGAIN)
        return
    yield ok(check, f"authentik {version} at {system.url}; {len(blueprints)} blueprints are seen with our token")


_LOOKS: Mapping[str, Callable[[System, Settings], Iterator[Finding]]] = {"komodo": _komodo, "authentik": _authentik}


def _gitea(settings: Settings) -> Iterator[Finding]:
    check, repository = "gitea: answers", repository_in(settings.desired_repo or "")
    if repository is None or settings.gitea_url is None:
        remedy = "Right would be https://HOST/OWNER/NAME.git in WAYPOST_DESIRED_REPO"
        yield fail(check, f"'{settings.desired_repo}' names no repository of a Gitea", remedy)
        return
    token = settings.gitea_token or settings.git_token
    try:
        gitea = Gitea(
            settings.gitea_url, repository, token=token.reveal if token else lambda: "", ca_file=settings.ca_file
        )
        with contextlib.closing(gitea):
            me, main = gitea.me(), gitea.branch(settings.desired_branch)
    except (GiteaError, ConfigError) as error:
        yield fail(check, str(error), _TRY_AGAIN)
        return
    yield ok(check, f"it knows us as {me.login}, and {repository} has {settings.desired_branch}")
    check = "gitea: main"
    if main.user_can_push:
        remedy = f"Protect {settings.desired_branch} there, so that {me.login} may push proposals/* only"
        yield warn(check, f"our account may push {settings.desired_branch} past every review", remedy)
    else:
        yield ok(check, f"our account cannot push {settings.desired_branch}: people decide")
