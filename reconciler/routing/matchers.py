"""The parts that Traefik's rules are made of, as values: matchers and what joins them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Matcher:
    """One condition on a request; `name` and the arguments as a rule writes them."""

    arity: ClassVar[tuple[int, ...]] = (1,)

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def arguments(self) -> tuple[str, ...]:
        return tuple(value for value in vars(self).values() if value is not None)


@dataclass(frozen=True)
class _OneArgument(Matcher):
    value: str


@dataclass(frozen=True)
class _KeyAndValue(Matcher):
    arity: ClassVar[tuple[int, ...]] = (2,)
    key: str
    value: str


@dataclass(frozen=True)
class _KeyAndMaybeValue(Matcher):
    arity: ClassVar[tuple[int, ...]] = (1, 2)
    key: str
    value: str | None = None


class Host(_OneArgument):
    """The host name of the request; `*.example.org` stands for exactly one label."""


class HostRegexp(_OneArgument):
    """The host name, by a regular expression (RE2, unanchored)."""


class Path(_OneArgument):
    """Exactly this path."""


class PathPrefix(_OneArgument):
    """A path that begins with these characters."""


class PathRegexp(_OneArgument):
    """The path, by a regular expression (RE2, unanchored)."""


class Method(_OneArgument):
    """The request method."""


class ClientIP(_OneArgument):
    """The address of the peer: one, or a range in CIDR form."""


class Header(_KeyAndValue):
    """A header line with exactly this value."""


class HeaderRegexp(_KeyAndValue):
    """A header line whose value matches a regular expression."""


class Query(_KeyAndMaybeValue):
    """A query parameter with exactly this value; without one, present and empty."""


class QueryRegexp(_KeyAndMaybeValue):
    """A query parameter whose value matches a regular expression."""


class HostSNI(_OneArgument):
    """TCP: the server name of the TLS handshake; `*` for any, TLS or not."""


class HostSNIRegexp(_OneArgument):
    """TCP: the server name, by a regular expression."""


class ALPN(_OneArgument):
    """TCP: an application protocol that the client offers."""


@dataclass(frozen=True)
class Not:
    """Everything that the part does not match."""

    part: Node


@dataclass(frozen=True)
class And:
    """What every part matches. Parts of the same sort are flattened; at least two."""

    parts: tuple[Node, ...]

    def __post_init__(self) -> None:
        _flatten(self)


@dataclass(frozen=True)
class Or:
    """What any part matches. Parts of the same sort are flattened; at least two."""

    parts: tuple[Node, ...]

    def __post_init__(self) -> None:
        _flatten(self)


Node = Matcher | Not | And | Or


def _flatten(node: And | Or) -> None:
    flat = [inner for part in node.parts for inner in (part.parts if isinstance(part, type(node)) else (part,))]
    if len(flat) < 2:
        raise ValueError(f"{type(node).__name__} needs at least two parts")
    object.__setattr__(node, "parts", tuple(flat))


HTTP: tuple[type[Matcher], ...] = (
    Host, HostRegexp, Path, PathPrefix, PathRegexp, Method, Header, HeaderRegexp, Query, QueryRegexp, ClientIP,
)  # fmt: skip
TCP: tuple[type[Matcher], ...] = (HostSNI, HostSNIRegexp, ClientIP, ALPN)
