"""What the services of a stack get of the host they run on, and of what others have there. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from reconciler.komodo import compose, powers, reach
from reconciler.komodo.contents import UNREADABLE
from reconciler.komodo.deeds import Specs
from reconciler.komodo.stacks import COMPOSE, STACK
from state.model import digest

_RUNS: Final = ("image", "command", "entrypoint", "working_dir", "user", "environment", "healthcheck", "configs")
"""What a service does: whatever does something else with the same rights is another danger."""
_INNER: Final = ("volume", "tmpfs", "image")
"""Kinds of mounts that give nothing but what a container has anyway, or what its stack's volumes hold."""
_LASTING: Final = ("env_file", "label_file", "logging")
"""What is read from the host, or told to it, and gives no rights over it: the same for every image."""
_STORED: Final = ("", "none", "bind", "tmpfs", "nfs", "nfs4", "cifs", "smb3")
"""Types of volumes that hold no more than what is stored at the place they name."""
_SOCKET: Final = ("docker.sock", "podman.sock", "containerd.sock")

Danger = tuple[str, str, str]
"""Who gets it, what it is in words, and a digest of exactly that."""
_Defined = tuple[str, Mapping[str, powers.Power], str, Mapping[str, Any]]
"""What kind of thing it is, the table of its fields, its name, and how it is made."""


class _Ground(NamedTuple):
    """One stack, and what it stands beside."""

    document: Mapping[str, Any]
    variables: str
    project: str
    others: reach.Neighbours

    @classmethod
    def of(cls, stack: str, specs: Specs, others: reach.Neighbours) -> _Ground:
        document = specs.get(COMPOSE) or {}
        readable = document if UNREADABLE not in document else {}
        variables = str((specs.get(STACK) or {}).get("environment", ""))
        return cls(readable, variables, reach.project(stack, specs), others)

    def filled(self, value: Any) -> str:
        """All variables, where any will stand in it."""
        return self.variables if compose.is_open(value) else ""


def dangers(stack: str, specs: Specs, others: reach.Neighbours) -> Iterator[Danger]:
    """What services get of the host that a container has not by itself, with what it is that gets it."""
    ground = _Ground.of(stack, specs, others)
    if ground.project == reach.HOUSE:
        told = f"all that Waypost itself has, and its containers' places: it is its compose project, '{reach.HOUSE}'"
        yield "the stack", told, digest([ground.document, ground.variables])
    if owner := ground.others.projects.get(ground.project):
        yield "the stack", f"all that stack '{owner}' has: both are one compose project, '{ground.project}'", owner
    for told, what in powers.given(powers.ROOT, ground.document):
        yield "the stack", told, digest(what)
    for name, service in compose.services(ground.document).items():
        who, runs = f"service '{name}'", _runs(ground.document, service)
        for told, what in _with_rights(ground.document, service):
            yield who, told, digest([what, runs, ground.filled([what, runs])])
        for told, what in _with_data(ground, service):  # the same for every image: whoever has data updates images
            yield who, told, digest([what, reach.filling(what, ground.variables)])


def _runs(document: Mapping[str, Any], service: Mapping[str, Any]) -> list[Any]:
    contents = [[name, said] for name, said in reach.granted(document, service, "configs")]
    return [{key: service[key] for key in _RUNS if key in service}, *contents]


def _with_rights(document: Mapping[str, Any], service: Mapping[str, Any]) -> Iterator[powers.Gift]:
    yield from powers.given(powers.SERVICE, {name: said for name, said in service.items() if name not in _LASTING})
    yield from _of_mounts(service)
    yield from _of_networks(document, service)
    yield from _of_definitions(document, service, rights=True)


def _with_data(ground: _Ground, service: Mapping[str, Any]) -> Iterator[powers.Gift]:
    yield from _of_lasting(service)
    yield from _of_paths(service)
    yield from _of_definitions(ground.document, service, rights=False)
    yield from _of_others(ground, service)
    yield from _of_labels(service)
    yield from reach.variables(ground.document, service, ground.variables)


def _of_lasting(service: Mapping[str, Any]) -> Iterator[powers.Gift]:
    for field in _LASTING:
        if field in service:  # judged as a whole: where a log leads stands beside its driver
            for told, _ in powers.given(powers.SERVICE, {field: service[field]}):
                yield told, service[field]


def _of_labels(service: Mapping[str, Any]) -> Iterator[powers.Gift]:
    """Labels of which nobody here can tell what Traefik makes of them: a route that no plan shows, and no guard sees.

    `$$` stands for the sign itself, as in the hash of a password.
    """
    for key, value in compose.table(service.get("labels")).items():
        said = [text.replace("$$", "") if isinstance(text, str) else text for text in (key, value)]
        is_open = compose.is_open(said[0]) or (key.casefold().startswith("traefik.") and compose.is_open(said[1]))
        if is_open:
            yield f"a route that is known only when it is deployed (label {key})", [key, value]


def _of_mounts(service: Mapping[str, Any]) -> Iterator[powers.Gift]:
    for mount in compose.mounts(service):
        if _is_socket(mount.source):
            yield f"the docker socket, and with it the whole host ({mount.source})", list(mount)
        elif _is_path(mount):
            if _is_of_the_system(mount.source):
                yield _path(mount)
        elif compose.is_open(list(mount[:3])):
            place = f"{mount.source} at {mount.target}" if mount.source else mount.target
            yield f"a mount that is known only when it is deployed ({place})", list(mount)
        elif mount.kind not in _INNER:
            yield f"a mount of a kind that leads elsewhere ({mount.kind} at {mount.target})", list(mount)


def _of_paths(service: Mapping[str, Any]) -> Iterator[powers.Gift]:
    for mount in compose.mounts(service):
        if _is_path(mount) and not _is_of_the_system(mount.source):
            yield _path(mount)


def _path(mount: compose.Mount) -> powers.Gift:
    return f"a path of the host ({mount.source} at {mount.target})", list(mount)


def _is_path(mount: compose.Mount) -> bool:
    return mount.kind in ("bind", "npipe") or (mount.kind == "volume" and compose.is_path(mount.source))


def _is_of_the_system(source: str) -> bool:
    """Whoever has such a path has the host: another image with it is another danger."""
    parts = [part for part in source.split("/") if part]
    return len(parts) < 2 or ".." in parts or parts[:3] == ["var", "lib", "docker"] or _is_socket(source)


def _is_socket(source: str) -> bool:
    return any(socket in source for socket in _SOCKET) or source.rstrip("/") in ("/var/run", "/run")


def _of_networks(document: Mapping[str, Any], service: Mapping[str, Any]) -> Iterator[powers.Gift]:
    """The host's network, had by the name of a network that is there already."""
    for name, network in _used_networks(document, service):
        if _is_the_hosts(name, network):
            yield f"the host's network (network '{name}' is {reach.real_name('', name, network)})", network


def _is_the_hosts(name: str, network: Any) -> bool:
    real = reach.real_name("", name, network)
    return reach.is_external(network) and (real == "host" or compose.is_open(real))


def _used_networks(document: Mapping[str, Any], service: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The networks of a service, as they are defined; all of them, where a name is filled in later."""
    networks, attached = compose.listed(document, "networks"), compose.attached(service) or ["default"]
    for name in networks if compose.is_open(attached) else attached:
        yield name, networks.get(name)


def _used_volumes(document: Mapping[str, Any], service: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    used = {mount.source for mount in compose.mounts(service)}
    for name, volume in compose.listed(document, "volumes").items():
        if name in used or compose.is_open([*used]):
            yield name, volume


def _of_definitions(document: Mapping[str, Any], service: Mapping[str, Any], rights: bool) -> Iterator[powers.Gift]:
    """What comes in by how a volume, a network, a config or a secret is made: rights over the host, or all else."""
    for thing, fields, name, said in _defined(document, service):
        for field, value in said.items():
            if _has_the_host(fields, field, value) is rights:
                for told, what in powers.given(fields, {field: value}):
                    yield f"{told}, as {thing} '{name}'", what


def _defined(document: Mapping[str, Any], service: Mapping[str, Any]) -> Iterator[_Defined]:
    used = (
        ("volume", powers.VOLUME, _used_volumes(document, service)),
        ("network", powers.NETWORK, _used_networks(document, service)),
        ("config", powers.CONFIG, reach.granted(document, service, "configs")),
        ("secret", powers.CONFIG, reach.granted(document, service, "secrets")),
    )
    for thing, fields, defined in used:
        for name, said in defined:
            if isinstance(said, Mapping):
                yield thing, fields, name, said


def _has_the_host(fields: Mapping[str, powers.Power], field: str, value: Any) -> bool:
    """Whether a field of a definition is a way to the host itself; one that nobody knows may be."""
    if fields is powers.CONFIG and field == "file":
        source = str(value)
        return _is_of_the_system(source if compose.is_path(source) else f"./{source}")
    if fields is powers.VOLUME and field == "driver_opts":
        return _is_made_of_the_host(value)
    return field not in fields


def _is_made_of_the_host(options: Any) -> bool:
    if not isinstance(options, Mapping) or str(options.get("type") or "") not in _STORED:
        return True
    places = [str(value) for name, value in options.items() if name == "device" or str(value).startswith("/")]
    return any(_is_of_the_system(place) for place in places if not _is_elsewhere(place))


def _is_elsewhere(place: str) -> bool:
    """Another machine's (`host:/path`, or `:/path` with its address beside it), or nowhere."""
    return place in ("none", "tmpfs") or place.partition("/")[0].endswith(":")


def _of_others(ground: _Ground, service: Mapping[str, Any]) -> Iterator[powers.Gift]:
    """Volumes and networks that are not the stack's own, with what is done with them and under which names."""
    for name, said in _used_volumes(ground.document, service):
        if told := reach.foreign("volumes", name, said, ground.project, ground.others):
            yield told, [told, [list(one) for one in compose.mounts(service) if one.source == name]]
    called = [service.get(key) for key in ("networks", "container_name", "hostname")]
    for name, said in _used_networks(ground.document, service):
        if not _is_the_hosts(name, said) and (
            told := reach.foreign("networks", name, said, ground.project, ground.others)
        ):
            yield told, [told, called]
