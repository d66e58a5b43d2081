"""The arguments of the Traefik shard's tools: each explained once, in words that a model reads."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

_Kind = Literal[
    "http.routers", "http.services", "http.middlewares", "http.serversTransports",
    "tcp.routers", "tcp.services", "tcp.middlewares", "tcp.serversTransports",
    "udp.routers", "udp.services", "tls.options", "tls.stores", "tls.certificates",
]  # fmt: skip

Kind = Annotated[_Kind, Field(description="Which section of Traefik's configuration it belongs to.")]
Name = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        description="Name of the route, also of its file: letters, digits, '.', '_' and '-'.",
    ),
]
AnyName = Annotated[str, Field(min_length=1, max_length=200, description="Name as the desired repo writes it.")]
_Several = Annotated[list[str], Field(max_length=100)]
Hosts = Annotated[
    str | _Several,
    Field(description="Host name, or several: gitea.example.org, without scheme, port or path."),
]
RawRule = Annotated[
    str,
    Field(
        max_length=8000,
        description="Instead of host and path_prefix: a rule in Traefik's own words, Host(`a.lab`) && Method(`GET`).",
    ),
]
Priority = Annotated[
    int,
    Field(
        ge=0,
        le=1_000_000_000,
        description="Which of several matching routes wins, the highest. 0: Traefik's own, the length of the rule.",
    ),
]
Backends = Annotated[
    str | _Several,
    Field(description="Backend address, or several to balance over: http://127.0.0.1:3000."),
]
PathPrefix = Annotated[
    str, Field(max_length=500, description="Only requests whose path begins so, e.g. /api. Empty: all.")
]
Middlewares = Annotated[
    tuple[str, ...],
    Field(
        max_length=50,
        description="Names from list_middlewares, in the order they apply; 'name@provider' for one that the "
        "desired repo does not hold.",
    ),
]
EntryPoints = Annotated[
    tuple[str, ...],
    Field(max_length=20, description="Traefik entry points, e.g. websecure. Empty: Traefik's default ones."),
]
Tls = Annotated[bool, Field(description="Serve over TLS. Combine it with an entry point for TLS (websecure).")]
Resolver = Annotated[str, Field(max_length=100, description="Certificate resolver; implies tls.")]
Reason = Annotated[
    str,
    Field(min_length=3, max_length=2000, description="Why, for the person who reviews: goes into the commit."),
]
InstanceName = Annotated[str, Field(description="Which Traefik, where the desired repo declares several.")]
