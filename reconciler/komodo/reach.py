"""What a stack reaches beyond itself on its server: volumes, networks and variables that are not its own. Pure.

Docker knows volumes and networks by one name for the whole server, whoever made them; compose puts the name of the
project before those that have no whole name of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler.komodo import compose, environment
from reconciler.komodo.contents import UNREADABLE
from reconciler.komodo.deeds import Specs
from reconciler.komodo.powers import Gift
from reconciler.komodo.stacks import COMPOSE, STACK

_SECTIONS: Final = ("volumes", "networks")
_HOSTS_OWN: Final = re.compile(r"(?:PERIPHERY|KOMODO)_")
"""What the agent on the server is set up with. Compose prefers the agent's own variables to those of a stack's file."""
HOUSE: Final = "waypost"
"""The project that compose.yaml of this house names: no stack of Komodo's, and on the same server for all we know."""

_REFERRED: Final = re.compile(r"(?<!\$)(?:\$\$)*\$\{?([A-Za-z_]\w*)")
_ANY: Final = "*"
"""In place of a name that nobody here can tell."""


def project(stack: str, specs: Specs) -> str:
    """The compose project of a stack, as Komodo and compose spell it."""
    name = str((specs.get(STACK) or {}).get("project_name") or stack)
    return re.sub(r"[^a-z0-9_-]", "", re.sub(r"[ .,]", "_", name.lower())).lstrip("_-")


def server(specs: Specs) -> str:
    return str((specs.get(STACK) or {}).get("server", ""))


@dataclass(frozen=True)
class Neighbours:
    """The other stacks of one server: whose project it is, and who made which volume and network."""

    projects: Mapping[str, str]
    unread: Mapping[str, str]
    """Those of the projects whose compose file nobody here can read: what they made is not known."""
    made: Mapping[tuple[str, str], str]

    def owner(self, section: str, name: str, own: str, chosen: bool) -> str:
        """The stack whose volume or network has that name; "" for nobody's that is known. `own` is who asks.

        A name that was chosen may mean what another project made earlier; one that compose put together does not,
        unless that project is declared to make it.
        """
        if owner := self.made.get((section, name)):
            return owner
        likely = self.projects if chosen else self.unread
        projects = [one for one in (own, *likely) if name.startswith(f"{one}_")]
        nearest = max(projects, key=len, default=own)
        return "" if nearest == own else likely[nearest]


def neighbours(stack: str, stacks: Mapping[str, Specs]) -> Neighbours:
    """All but one of them that run where it runs."""
    here = server(stacks.get(stack, {}))
    others = {name: specs for name, specs in stacks.items() if name != stack and server(specs) == here}
    made = {
        (section, name): other
        for other, specs in others.items()
        for section in _SECTIONS
        for name in _made(project(other, specs), specs.get(COMPOSE), section)
    }
    projects = {project(name, specs): name for name, specs in others.items()}
    unread = {one: name for one, name in projects.items() if not _is_read(others[name].get(COMPOSE))}
    return Neighbours(projects, unread, made)


def _is_read(document: Any) -> bool:
    return isinstance(document, Mapping) and UNREADABLE not in document


def _made(own: str, document: Any, section: str) -> Iterator[str]:
    if not _is_read(document):
        return
    for key, said in compose.listed(document, section).items():
        if not is_external(said):
            yield real_name(own, key, said)
    if section == "networks":
        yield f"{own}_default"


def is_external(said: Any) -> bool:
    """Whether it is there already, made by somebody else."""
    return isinstance(said, Mapping) and said.get("external") not in (None, False, "false")


def real_name(own: str, key: str, said: Any) -> str:
    """What docker calls it."""
    said = said if isinstance(said, Mapping) else {}
    external = said.get("external")
    inner = external.get("name") if isinstance(external, Mapping) else None
    return str(said.get("name") or inner or (key if is_external(said) else f"{own}_{key}"))


def foreign(section: str, key: str, said: Any, own: str, others: Neighbours) -> str:
    """What it is, in words, where it is not the stack's own, or may not be; "" where it is."""
    name, thing = real_name(own, key, said), section.removesuffix("s")
    chosen = is_external(said) or (isinstance(said, Mapping) and bool(said.get("name")))
    if owner := others.owner(section, name, own, chosen):
        return f"{thing} '{name}' of stack '{owner}'"
    if is_external(said):
        return f"{thing} '{name}', which is there already and not this stack's"
    if compose.is_open(name):
        return f"{thing} '{name}', known only when it is deployed"
    if section == "volumes" and not name.startswith(f"{own}_"):
        return f"{thing} '{name}', whoever filled it (it has that name for the whole server)"
    return ""


def variables(document: Mapping[str, Any], service: Mapping[str, Any], given: str) -> Iterator[Gift]:
    """What the host's own variables say, where the stack sets none of that name. `given` are those that it sets."""
    own = {name for _, name, _ in environment.variables(given) if not _HOSTS_OWN.match(name)}
    provided = [(section, *one) for section in ("configs", "secrets") for one in granted(document, service, section)]
    for name in sorted({*_used(service, [said for _, _, said in provided], given)} - own):
        if environment.tells(name) or _HOSTS_OWN.match(name):
            yield f"what the host calls {name}", name
    for section, key, said in provided:
        name = str(said.get("environment", "")) if isinstance(said, Mapping) else ""
        if name and name not in own:
            yield f"what the host calls {name} (as {section[:-1]} '{key}')", name


def granted(document: Mapping[str, Any], service: Mapping[str, Any], section: str) -> Iterator[tuple[str, Any]]:
    """The configs or secrets that a service is given, as they are defined; all, where a name is filled in later."""
    names = compose.granted(service, section)
    for key, said in compose.listed(document, section).items():
        if key in names or compose.is_open(names):
            yield key, said


def _used(service: Mapping[str, Any], provided: list[Any], given: str) -> Iterator[str]:
    """The variables that a service and what it is provided with refer to, and those that stand in what they get."""
    names = {*_passed(service), *_referred([service, *provided])}
    yield from names
    names |= {str(said["environment"]) for said in provided if isinstance(said, Mapping) and "environment" in said}
    if "env_file" in service or "label_file" in service:  # it may be the file that the stack's own are written to
        names.add(_ANY)
    yield from _referred(standing_in(names, given))


def _passed(service: Mapping[str, Any]) -> Iterator[str]:
    """Variables that are named without a value: they are taken over as they are."""
    for name, value in compose.table(service.get("environment")).items():
        if value is None:
            yield str(name)


def filling(value: Any, given: str) -> list[str]:
    """The lines of `given` that what is filled in there depends on."""
    return standing_in(_referred(value), given) if compose.is_open(value) else []


def standing_in(names: Iterable[str], given: str) -> list[str]:
    """The lines of these variables, and of those that stand in them; a line that cannot be read may be of any."""
    lines, known = [*environment.lines(given)], {*names}
    while True:
        taken = [line for name, line in lines if not name or name in known or _ANY in known]
        if known.issuperset(_referred(taken)):
            return taken
        known.update(_referred(taken))


def _referred(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _referred(item)
    elif isinstance(value, list):
        for item in value:
            yield from _referred(item)
    elif isinstance(value, str):
        yield from _REFERRED.findall(value)
        if "$" in value and "[[" in value:  # what Komodo fills in may be a part of the name
            yield _ANY
