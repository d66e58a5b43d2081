"""Whether the containers of a stack are up, as Komodo reads them back. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from reconciler.komodo.compose import services
from reconciler.komodo.reading import Service

_ENDED_WELL: Final = re.compile(r"exited \(0\)", re.IGNORECASE)


class Standing(NamedTuple):
    """How the services of a stack are: `faults` by service, and those of which nobody can say yet (`starting`)."""

    up: tuple[str, ...] = ()
    faults: Mapping[str, str] = {}
    starting: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        return not self.faults and not self.starting

    @property
    def told(self) -> str:
        faults = [f"{name}: {words}" for name, words in sorted(self.faults.items())]
        starting = [f"{name}: still starting" for name in self.starting]
        return "; ".join([*faults, *starting]) or f"{len(self.up)} services up"


def standing(found: Iterable[Service], compose: Any, ignored: Iterable[str] = ()) -> Standing:
    """Compare what is there with the services that the compose file names (where we have it).

    Services of profiles, of no replicas, and those that the stack ignores need not be up.
    """
    wanted = {name: spec for name, spec in services(compose).items() if _must_run(spec)}
    present = {one.service: one for one in found if one.service not in frozenset(ignored)}
    if not wanted and not present:
        return Standing(faults={"nothing": "Komodo shows no container of it"})
    up, faults, starting = list[str](), dict[str, str](), list[str]()
    for name in sorted((wanted or present).keys() - frozenset(ignored)):
        word, fault = _judged(present.get(name), wanted.get(name, {}))
        if word == "up":
            up.append(name)
        elif word == "starting":
            starting.append(name)
        else:
            faults[name] = fault
    return Standing(tuple(up), faults, tuple(starting))


def _must_run(spec: Mapping[str, Any]) -> bool:
    deploy = spec.get("deploy")
    replicas = deploy.get("replicas") if isinstance(deploy, dict) else spec.get("scale")
    return not spec.get("profiles") and replicas not in (0, "0")


def _judged(service: Service | None, spec: Mapping[str, Any]) -> tuple[str, str]:
    container = service.container if service else None
    if container is None:
        return "fault", "there is no container"
    state, status = container.state.lower(), container.status or ""
    if state == "running":
        if "(unhealthy)" in status:
            return "fault", "it is unhealthy"
        return ("starting" if "health: starting" in status else "up"), ""
    if state == "exited" and _ENDED_WELL.search(status) and not _stays(spec):
        return "up", ""  # it had one thing to do, and did it
    if state == "created":
        return "starting", ""
    return "fault", f"{state or 'its container is in no state'}{f' ({status})' if status else ''}"


def _stays(spec: Mapping[str, Any]) -> bool:
    return str(spec.get("restart", "no")) in ("always", "unless-stopped")
