"""The shards of the systems that this house has, as its settings tell. Of the others nothing is even imported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import TypeVar

from reconciler.ports import Chance, Clock
from shards.config import GatewaySettings
from shards.documentation import Reader as Documentation
from shards.documented import AskedOfTraefik, Documented, asked
from shards.kit import Shard
from shards.knowing import Knowing
from shards.proposing import Desk
from shards.traefik import Traefik

_Instance = TypeVar("_Instance")


def shards(
    settings: GatewaySettings, desk: Desk, clock: Clock, chance: Chance
) -> tuple[list[Shard], Callable[[], None]]:
    """Traefik's shard and those of all other systems, and what closes their connections."""
    stack, found, documentation = ExitStack(), list[Shard](), Documentation(desk)
    knowing: tuple[Knowing, ...] = ()
    if settings.logs:
        from shards import log_reading
        from shards.container_states import ContainerStates
        from shards.dozzle import Dozzle

        logs = log_reading.sources(settings.logs, clock, settings.ca_file)
        stack.callback(logs.close)
        dozzle = Dozzle(logs, clock, chance)
        found.append(Documented(dozzle, documentation, "Dozzle", partial(log_reading.dozzle_version, logs)))
        knowing = (ContainerStates(logs, clock, chance),)
    if settings.komodo:
        from shards.komodo import Komodo
        from shards.komodo_access import Komodos
        from shards.komodo_deploys import Deploys

        komodos, names = Komodos(settings.komodo, settings.ca_file), [at.instance for at in settings.komodo]
        stack.callback(komodos.close)
        running = partial(komodos.version, instance=names[0])
        found.append(Documented(Komodo(desk, komodos), documentation, "Komodo", running, asked(names)))
        knowing += tuple(Deploys(one, chance, name) for name, one in _told_apart(komodos.looking))
    if settings.authentik:
        from shards.authentik import Authentik
        from shards.authentik_live import Live, version
        from shards.identity_states import IdentityStates

        alive = {at.instance: Live(at, settings.ca_file) for at in settings.authentik if at.token}
        for live in alive.values():
            stack.callback(live.close)
        names = [at.instance for at in settings.authentik]
        running = partial(version, alive, instance=names[0])
        found.append(Documented(Authentik(desk, alive), documentation, "authentik", running, asked(names)))
        knowing += tuple(IdentityStates(live, name) for name, live in _told_apart(alive))
    if settings.gitea:
        from shards.gitea import Gitea
        from shards.gitea_reading import Reader

        reader = Reader(settings.gitea)
        stack.callback(reader.close)
        found.append(Documented(Gitea(reader, desk.query), documentation, "Gitea", reader.version))
    traefik = Traefik(desk, knowing)
    return [Documented(traefik, documentation, "Traefik", traefik.version, AskedOfTraefik), *found], stack.close


def _told_apart(instances: Mapping[str, _Instance]) -> Iterable[tuple[str, _Instance]]:
    """Each with its name, where there are several; one that is alone needs none."""
    several = len(instances) > 1
    return [(name if several else "", one) for name, one in instances.items()]
