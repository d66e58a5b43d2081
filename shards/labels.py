"""Where the providers of Traefik keep a resource: the label, the key or the path that makes it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

LABELLED: Final = frozenset({"docker", "swarm", "ecs", "nomad", "consulcatalog"})
"""Configured by labels (or tags) of a container or service."""

STORED: Final = frozenset({"consul", "etcd", "redis", "zookeeper"})
"""Configured by keys of a store."""

_SWITCHES: Final = frozenset({"tls", "sticky", "cookie"})
"""What a label may switch on (`tls=true`), whether others say more of it or not."""

_GENERATED: Final = frozenset({"kubernetes", "kubernetescrd", "kubernetesingress", "kubernetesgateway", "knative"})


def of(provider: str, kind: str, name: str, spec: Mapping[str, Any]) -> Iterator[str]:
    """What makes this resource at its provider, each once: labels exactly, of keys and documents the place.

    A label that says what Traefik fills in by itself may be there or not, nobody can tell; what is not there needs no
    removing.
    """
    if provider in LABELLED:
        servers = _SERVERS.get(kind, lambda servers: ())
        yield from dict.fromkeys(f"traefik.{kind.lower()}.{name}{rest}" for rest in _labels(spec, servers))
    elif provider in STORED:
        yield f"traefik/{kind.replace('.', '/')}/{name}/"
    elif provider not in _GENERATED:
        yield f"{kind}.{name}"


def _labels(spec: Any, of_servers: Callable[[Any], Iterable[str]]) -> Iterator[str]:
    """What follows the name in the labels for a spec, as Traefik's documentation writes them: lower case."""
    if isinstance(spec, Mapping) and spec:
        for key, value in spec.items():
            if key == "servers":
                yield from of_servers(value)
            else:
                if key in _SWITCHES and value:
                    yield f".{key}"
                yield from (f".{str(key).lower()}{rest}" for rest in _labels(value, of_servers))
    elif isinstance(spec, list) and any(isinstance(one, Mapping) for one in spec):
        for number, one in enumerate(spec):
            yield from (f"[{number}]{rest}" for rest in _labels(one, of_servers))
    else:
        yield ""


def _of_web_servers(servers: Any) -> Iterator[str]:
    """A container is one server, of which labels say the port and how to speak to it."""
    yield ".server.port"
    urls = [str(one.get("url", "")) for one in servers or () if isinstance(one, Mapping)]
    if any(not url.startswith("http:") for url in urls):
        yield ".server.scheme"
    yield ".server.url"
    yield from _more_of_servers(servers)


def _of_streams(servers: Any) -> Iterator[str]:
    yield ".server.port"
    yield from _more_of_servers(servers)


def _more_of_servers(servers: Any) -> Iterator[str]:
    said = [key for one in servers or () if isinstance(one, Mapping) for key in one if key not in ("url", "address")]
    yield from (f".server.{key.lower()}" for key in said)


_SERVERS: Final[Mapping[str, Callable[[Any], Iterable[str]]]] = {
    "http.services": _of_web_servers,
    "tcp.services": _of_streams,
    "udp.services": _of_streams,
}


def how_to_remove(provider: str) -> str:
    """The step for whoever keeps the foreign route."""
    if provider in LABELLED:
        return (
            "Remove the labels listed in `remove` from the container, as far as it has them, and make it anew. Where "
            "no other router of it is left, set traefik.enable=false as well: an enabled container without a router "
            "gets one by Traefik's default rule."
        )
    if provider in STORED:
        return f"Remove the keys below the ones listed in `remove` from {provider} (`traefik` is the root by default)."
    if provider in _GENERATED:
        return "Remove the object that makes the route (Ingress, IngressRoute, HTTPRoute) from the cluster."
    return f"Remove what is listed in `remove` from what {provider} gives to Traefik."
