"""Where a running Traefik speaks TLS, for which hosts, and whose certificates it asks for, as data. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from reconciler.core.target import Observation
from reconciler.routing import reading
from reconciler.routing.naming import hosts_of
from reconciler.routing.routers import Router

Json = dict[str, Any]

_ANYWHERE: Final = frozenset({"", "0.0.0.0", "::"})
_HERE: Final = ("127.", "::1", "localhost")


def encryption(
    observed: Observation,
    host: str,
    *,
    elsewhere: Mapping[str, tuple[str, int]],
    static: Mapping[str, Any] | None,
    certificates: Sequence[Mapping[str, Any]],
) -> Json:
    """Entry points with the address at which they are reached, routers with hosts and resolver, certificates held.

    `host` is by what name Traefik's API is reached: its entry points are there too, save those that are `elsewhere`
    (name -> host and port). `static` is None where Traefik
    does not tell its own settings; then nobody knows which resolvers there are.
    """
    resolvers = None if static is None else sorted(static.get("certificatesResolvers") or ())
    return {
        "entry_points": list(_doors(observed.doors, host, elsewhere)),
        "routers": list(_routers(observed)),
        "resolvers": resolvers,
        "certificates": [_certificate(one) for one in certificates],
        "witness": observed.witness,
    }


def _doors(doors: Iterable[Mapping[str, Any]], host: str, elsewhere: Mapping[str, tuple[str, int]]) -> Iterator[Json]:
    for door in doors:
        address = str(door.get("address", ""))
        listens, _, port = address.removesuffix("/tcp").rpartition(":")
        if address.endswith("/udp") or not port.isdecimal() or len(port) > 5:
            continue
        tls = reading.value_at(reading.value_at(door, "http"), "tls")
        name = str(door.get("name", ""))
        there, behind = elsewhere.get(name, (reached(listens, host), int(port)))
        yield {
            "name": name,
            "host": there,
            "port": behind,
            "tls": tls is not None,
            "resolver": str(reading.value_at(tls, "certResolver") or ""),
        }


def reached(listens: str, host: str) -> str:
    """The host at which a listening address is reached from where `host` reaches the same machine."""
    bare = listens.removeprefix("[").removesuffix("]")
    return host if bare in _ANYWHERE or bare.startswith(_HERE) else bare


def _routers(observed: Observation) -> Iterator[Json]:
    items = {kind: {name: item.spec for name, item in held.items()} for kind, held in observed.served.items()}
    doors = [reading.entry_point(door) for door in observed.doors]
    for router in reading.from_api(items, doors):
        tls = _tls(router, items)
        if router.provider != "internal":
            yield {
                "name": router.name,
                "protocol": router.protocol,
                "hosts": hosts_of(router),
                "entry_points": list(router.entry_points),
                "tls": router.tls,
                "passthrough": router.passthrough,
                "resolver": str(reading.value_at(tls, "certResolver") or ""),
                "disabled": bool(router.disabled),
            }


def _tls(router: Router, items: Mapping[str, Mapping[str, Any]]) -> Any:
    """What Traefik lists as TLS of a router; of a copy for an entry point, where there is no original any more."""
    listed = items.get(f"{router.protocol}.routers", {})
    names = (router.name, *(f"{door}-{router.name}" for door in router.entry_points))
    return next((tls for name in names if (tls := reading.value_at(listed.get(name), "tls")) is not None), None)


def _certificate(listed: Mapping[str, Any]) -> Json:
    return {
        "names": [str(name) for name in listed.get("sans") or ()] or [str(listed.get("commonName", ""))],
        "issuer": str(listed.get("issuerCN", "")),
        "not_before": str(listed.get("notBefore", "")),
        "not_after": str(listed.get("notAfter", "")),
        "status": str(listed.get("status", "")),
    }
