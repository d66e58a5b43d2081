"""The parts that Traefik's rules are made of, as values: matchers and what joins them."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Matcher:
    """One condition on a request; `name` and the arguments as a rule writes them.

    `looks_at` is the part of a request about which it is: "host", "path", "method", "client", "headers" or "query".
    """

    arity: ClassVar[tuple[int, ...]] = (1,)
    looks_at: ClassVar[str] = "everything"

    @property
    def name(self) -> str:
        return type(self).__name__

    # No ABCMeta: with it every question whether something is a Host, of which a plan asks millions, costs several
    # times as much. The type checker sees without it that nobody makes a bare Matcher.
    @property
    @abstractmethod
    def arguments(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class _OneArgument(Matcher):
    value: str

    @property
    def arguments(self) -> tuple[str, ...]:
        return (self.value,)


@dataclass(frozen=True)
class _KeyAndValue(Matcher):
    arity: ClassVar[tuple[int, ...]] = (2,)
    key: str
    value: str

    @property
    def arguments(self) -> tuple[str, ...]:
        return self.key, self.value


@dataclass(frozen=True)
class _KeyAndMaybeValue(Matcher):
    arity: ClassVar[tuple[int, ...]] = (1, 2)
    key: str
    value: str | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        return (self.key,) if self.value is None else (self.key, self.value)


class Host(_OneArgument):
    """The host name of the request; `*.example.org` stands for exactly one label."""

    looks_at = "host"


class HostRegexp(_OneArgument):
    """The host name, by a regular expression (RE2, unanchored)."""

    looks_at = "host"


class Path(_OneArgument):
    """Exactly this path."""

    looks_at = "path"


class PathPrefix(_OneArgument):
    """A path that begins with these characters."""

    looks_at = "path"


class PathRegexp(_OneArgument):
    """The path, by a regular expression (RE2, unanchored)."""

    looks_at = "path"


class Method(_OneArgument):
    """The request method."""

    looks_at = "method"


class ClientIP(_OneArgument):
    """The address of the peer: one, or a range in CIDR form."""

    looks_at = "client"


class Header(_KeyAndValue):
    """A header line with exactly this value."""

    looks_at = "headers"


class HeaderRegexp(_KeyAndValue):
    """A header line whose value matches a regular expression."""

    looks_at = "headers"


class Query(_KeyAndMaybeValue):
    """A query parameter with exactly this value; without one, present and empty."""

    looks_at = "query"


class QueryRegexp(_KeyAndMaybeValue):
    """A query parameter whose value matches a regular expression."""

    looks_at = "query"


class HostSNI(_OneArgument):
    """TCP: the server name of the TLS handshake; `*` for any, TLS or not."""


class HostSNIRegexp(_OneArgument):
    """TCP: the server name, by a regular expression."""


class ALPN(_OneArgument):
    """TCP: an application protocol that the client offers."""


@dataclass(frozen=True)
class Loose(Matcher):
    """A matcher of which only name and arguments are known, however many: for rules that are not read closely."""

    spelled: str
    given: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.spelled

    @property
    def arguments(self) -> tuple[str, ...]:
        return self.given


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
    kind = type(node)
    if any(isinstance(part, kind) for part in node.parts):
        flat = [inner for part in node.parts for inner in (part.parts if isinstance(part, kind) else (part,))]
        object.__setattr__(node, "parts", tuple(flat))
    if len(node.parts) < 2:
        raise ValueError(f"{kind.__name__} needs at least two parts")


HTTP: tuple[type[Matcher], ...] = (
    Host, HostRegexp, Path, PathPrefix, PathRegexp, Method, Header, HeaderRegexp, Query, QueryRegexp, ClientIP,
)  # fmt: skip
TCP: tuple[type[Matcher], ...] = (HostSNI, HostSNIRegexp, ClientIP, ALPN)
