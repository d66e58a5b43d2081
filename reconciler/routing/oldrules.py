"""Rules in the syntax of version 2: opaque, but for the hosts or server names to which they keep."""

from __future__ import annotations

from typing import Final

from reconciler.routing.choosing import insisted
from reconciler.routing.grammar import OLD_HTTP, OLD_TCP, parse_loosely
from reconciler.routing.matchers import And, Host, Loose, Node, Not, Or

SYNTAX: Final = "v2"
OPAQUE: Final = "its rule is in the syntax of version 2, which is not read here"
_NAMING: Final = ("Host", "HostHeader", "HostSNI")


def parse(rule: str, protocol: str = "http") -> Node:
    """The parts of a rule, of matchers that are known by name alone. Raises ParseError where Traefik does not take it.

    What it does not take of arguments is not found.
    """
    return parse_loosely(rule, OLD_TCP if protocol == "tcp" else OLD_HTTP)


def hosts_of(node: Node) -> frozenset[str] | None:
    """The literal names to which a rule keeps, lower case and without dots at the end; None where it may not."""
    return insisted(_of_hosts(node))


def _of_hosts(node: Node) -> Node:
    match node:
        case And(parts) | Or(parts):
            return type(node)(tuple(map(_of_hosts, parts)))
        case Not():
            return node
        case Loose(name, given) if name in _NAMING and given:
            names = tuple(map(Host, given))
            return Or(names) if len(names) > 1 else names[0]
    return node
