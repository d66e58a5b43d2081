"""The arguments of the Traefik shard's tools: each explained once, in words that a model reads."""

from __future__ import annotations

from typing import Annotated, Any, Literal

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
ChangedBackends = Annotated[
    str | _Several,
    Field(description="Backend address, or several: http://127.0.0.1:3000; of TCP and UDP as host:port, db:5432."),
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
Passthrough = Annotated[
    bool, Field(description="Of a TCP route: hand TLS on to the backend as it is, instead of ending it at Traefik.")
]
Resolver = Annotated[str, Field(max_length=100, description="Certificate resolver; implies tls.")]
Reason = Annotated[
    str,
    Field(min_length=3, max_length=2000, description="Why, for the person who reviews: goes into the commit."),
]
InstanceName = Annotated[str, Field(description="Which Traefik, where the desired repo declares several.")]
Url = Annotated[str, Field(max_length=8000, description="As a client writes it: https://git.example.org/x?y=1.")]
Method = Annotated[str, Field(max_length=40, description="GET, POST, …")]
Headers = Annotated[
    dict[str, Annotated[str, Field(max_length=8000)]] | None,
    Field(max_length=100, description="Request headers that a rule may look at."),
]
ClientIp = Annotated[str, Field(max_length=64, description="Whom it comes from.")]
EntryPoint = Annotated[str, Field(max_length=200, description="Where it arrives. Empty: by scheme and port.")]
RouteOrService = Annotated[str, Field(max_length=200, description="A route or a service. Empty: all of them.")]
HostOrRoute = Annotated[
    str, Field(max_length=300, description="A host that a router names, or a route. Empty: all that have TLS.")
]
Suspect = Annotated[
    str,
    Field(
        min_length=1,
        max_length=8000,
        description="What fails: an address (https://git.example.org/x), a host (git.example.org) or a route (gitea).",
    ),
]
SeenStatus = Annotated[
    int | None, Field(ge=100, le=599, description="The HTTP status that somebody was answered, where it is known.")
]
ForeignRoute = Annotated[
    str,
    Field(
        pattern=r"^.{1,180}@[a-z0-9]{1,40}$",
        description="The foreign router as list_routes names it: gitea@docker.",
    ),
]
RouteProtocol = Annotated[
    Literal["", "http", "tcp", "udp"],
    Field(
        description="Where routers of several protocols are called that: which is meant. Empty: HTTP before TCP, and "
        "TCP before UDP."
    ),
]
NewName = Annotated[
    str,
    Field(
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,62})?$",
        description="Name of the route in the desired repo. Empty: the one it has.",
    ),
]
OwnBackends = Annotated[
    str | _Several,
    Field(
        description="Backend address, or several, instead of those that it has; of TCP and UDP as host:port. "
        "Empty: those."
    ),
]
Instead = Annotated[
    dict[str, str] | None,
    Field(
        max_length=50,
        description="Middlewares to use instead of those that it has: {'auth@docker': 'auth'} names one of the desired "
        "repo, {'auth@docker': 'auth@docker'} goes on using it where it is.",
    ),
]
Spec = Annotated[
    dict[str, Any], Field(max_length=100, description="The resource as Traefik's documentation writes it.")
]
Content = Annotated[str, Field(max_length=200_000, description="A native dynamic file, as YAML or TOML.")]
File = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,180}\.(yaml|yml|toml)$",
        description="Its place below the target's directory; one that is there already is replaced by it.",
    ),
]
Revision = Annotated[
    str,
    Field(
        pattern=r"^([0-9]{1,9}|[0-9a-f]{7,40})$",
        description="Number of a revision (see history), or the id of a commit of main.",
    ),
]
ProposalId = Annotated[str, Field(description="Id of a proposal. Empty: the plan of main itself.")]
