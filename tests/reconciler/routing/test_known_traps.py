"""Every trap that is known, and the mistakes that stand for it: whether the list is whole can be read here.

The traps stand in the order of the facts about Traefik: the grammar of rules, what matchers mean, priorities, who
serves, then what differential tests had shown before. Each mistake is caught in test_differential_mutants, by answers
of the real Traefik.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.reconciler.routing.mistakes_in_choice import CHOICE
from tests.reconciler.routing.mistakes_in_connections import CONNECTIONS
from tests.reconciler.routing.mistakes_in_grammar import GRAMMAR
from tests.reconciler.routing.mistakes_in_matching import MATCHING
from tests.reconciler.routing.mistakes_in_tcp import TCP

MISTAKES = [*GRAMMAR, *MATCHING, *CHOICE, *CONNECTIONS, *TCP]

TRAPS: Mapping[str, tuple[str, ...]] = {
    # ── the grammar of rules
    "each matcher takes its number of values; v3 knows no Host with several": (
        "Host takes several names", "a missing argument is any",
    ),
    "names are canonical, lower, upper or Title(lower), and nothing else": (
        "names have no case", "names have one case",
    ),
    "Go's precedence of !, && and ||": (
        "&& and || are read from left to right", "|| binds more tightly than &&", "! denies all that follows",
        "!! is !",
    ),
    "!(A && B) is !A || !B": ("! denies each part of what it denies",),
    "brackets group, to almost any depth": ("brackets are passed over", "a deep rule is none"),
    "and, &, ==, -, true are errors": (
        "and, or, not are operators", "one & is two", "one | is two", "nothing between two matchers is &&",
    ),
    "what follows a whole rule is an error": ("a rule may end early", "a semicolon ends a rule"),
    "back-ticks are raw, without carriage returns": ("back-ticks know escapes", "back-ticks keep carriage returns"),
    "double quotes know Go's escapes, of bytes and of characters": (
        "double quotes hold none", "double quotes know no escapes", "escapes are characters, never bytes",
        "an unknown escape is what follows it", "a string may go over a line end",
    ),
    "single quotes and bare words are errors": ("single quotes hold strings", "words are strings"),
    "a comma or ... at the end passes, nowhere else": (
        "a comma at the end is one too many", "commas and dots may stand anywhere",
    ),
    "comments pass, in strings they are none": (
        "there are no comments", "a comment goes to the end of the rule", "comments are taken out of strings too",
        "an open comment ends with the rule",
    ),
    "a line end is a semicolon after a value or a bracket": (
        "a line end is a blank", "a line end in brackets is a blank", "a line end ends the rule",
        "a comment over a line end is a blank",
    ),
    "blanks are those of Go, a byte order mark may stand in front": (
        "any blank is one", "a byte order mark may stand nowhere",
    ),
    "empty arguments are errors": ("an empty argument is one",),
    "Host takes ASCII alone": ("names beyond ASCII are names",),
    "a path begins with /": ("a path may begin with any letter",),
    "arguments that Traefik does not take disable the router": ("no argument is invalid",),
    # ── hosts
    "the port of a host does not count": ("hosts keep their port", "a host may have many colons"),
    "hosts have no case": ("hosts keep their case",),
    "one dot at the end is forgiven, on either side": (
        "no dot at the end is forgiven", "every dot at the end is forgiven",
    ),
    "addresses lose their brackets": (
        "hosts keep their brackets", "a host without a port loses no brackets", "any brackets hold a host",
    ),
    "an absolute target beats the Host header": ("the Host header beats an absolute target",),
    "*.a.test is exactly one label; *a.test nothing; * everything": (
        "a wildcard spans labels", "a star in front of anything is a wildcard", "a lone star is one label",
    ),
    "HostRegexp that matches nothing matches everything": ("HostRegexp does not match the empty name",),
    # ── expressions
    "expressions are RE2, unanchored": (
        "Python's regular expressions", "expressions match from the beginning",
        "an expression is invalid where Python's is", "bytes that are no text are left out",
    ),
    # ── paths
    "the routing path is decoded, but for what is reserved, in capitals": (
        "reserved characters are decoded too", "escapes keep their case", "nothing is escaped afresh",
    ),
    "then it is cleaned": ("paths are not cleaned", "paths are decoded before they are cleaned"),
    "PathPrefix is a prefix of characters": ("PathPrefix ends with a segment",),
    # ── methods and what Go answers itself
    "a method in a rule is in capitals, one in a request has its case": (
        "methods have no case", "a method in a rule keeps its case",
    ),
    "OPTIONS * is 200, CONNECT 501, # in a path 400": ("a '#' in a path goes on", "a target may say anything"),
    "Go refuses targets, hosts and header names that are none": (
        "a rootless target goes on", "a Host header may hold anything", "a header name may be anything",
    ),
    # ── headers
    "header names are canonical": ("header names are compared as written", "underscores make another header"),
    "header values are whole lines, any of them": (
        "header values are split at commas", "only the first header line counts",
    ),
    "Connection and what it names are gone": ("hop headers stay", "Connection goes, what it names stays"),
    "X-Forwarded headers are Traefik's own": (
        "X-Forwarded headers of anybody count", "no X-Forwarded headers are set", "a WebSocket is plain HTTP",
    ),
    "Go makes Cache-Control of an old Pragma": ("Pragma is only Pragma",),
    # ── queries and clients
    "Query(`k`) asks for an empty value": ("Query(k) asks for k with any value", "blank parameters are dropped"),
    "; separates like &, what cannot be decoded is skipped": (
        "';' does not separate", "what cannot be decoded is kept", "'+' is no blank",
        "only the first value of a parameter counts",
    ),
    "ClientIP is the peer; host bits pass; ::/0 is not IPv4": (
        "ClientIP believes X-Forwarded-For", "host bits of a range count", "::/0 is everybody",
    ),
    # ── priorities
    "without one the priority is the length in bytes, of the rule as written": (
        "priorities count characters", "comments and blanks do not count", "characters of a rule count, not bytes",
        "blanks and comments of a rule do not count", "longer rules are asked first whatever their priority",
    ),
    "0 is none, negative ones are allowed": ("priority 0 is the lowest", "a negative priority is none"),
    "the highest are reserved, to the last one": (
        "any priority is allowed", "no priority may be that high", "priorities are floating point",
    ),
    "api@internal and redirections stand above all users' routers": (
        "Traefik's own routers may not have theirs", "an entry point sends elsewhere what nobody serves",
    ),
    "PathPrefix(`/`) outranks a short Host": ("a host comes before a path",),
    "TCP: HostSNI(`*`) alone gets -1, denied or not": (
        "a TCP catch-all has its length for a priority", "a catch-all has the priority of its length",
        "a denied catch-all has the priority of its length", "every rule with a catch-all comes last",
    ),
    "equal priorities are chance": (
        "of equal priorities the first by name serves", "of equal priorities the last by name serves",
    ),
    "between providers too, but where their order is set": (
        "providers stand in an order by themselves", "providers stand in no order",
        "the order of providers is the other way round", "the order of providers comes before priorities",
    ),
    # ── who serves
    "a disabled router does not block, it falls through": (
        "a disabled router keeps its requests", "what a router needs is always there",
    ),
    "one unknown entry point is passed over, all of them disable": (
        "an entry point that there is not disables", "an entry point that there is not is the usual one",
    ),
    "a router's name may hold an @, and then names another provider": (
        "a name without a provider is one of the same file",
    ),
    "rules of version 2 mean something else": ("rules of version 2 are rules of version 3",),
    "no entry points: those that are marked, else all but Traefik's own": (
        "every entry point is one by default", "no entry point is marked",
        "the first entry point is the one by default",
    ),
    "routers with TLS and without are two tables": (
        "plain and TLS are one table", "an entry point gives no TLS",
        "an entry point with TLS serves plain requests too",
    ),
    "escapes that are not allowed are refused after the choice": (
        "any escape may stand in a path", "a path with such an escape is refused at once",
    ),
    "sanitizePath, trusted forwarders and header strategies are options of an entry point": (
        "paths are always cleaned", "nobody is trusted", "only some are trusted, never all",
        "semicolons always separate", "odd headers always stay", "what Connection names always goes",
    ),
    "a parent none of whose children matches answers 404": (
        "where no child matches the next router is asked", "children stand among all routers",
    ),
    "a child sees what its parent's middlewares left": ("children see the request as it came",),
    "orphans, circles, and children with TLS or entry points serve nothing": (
        "a child without its parent is a router", "in a circle one of the parents is a root",
        "TLS of a child is passed over", "entry points of a child are passed over",
    ),
    "a parent with a service serves its children": ("a parent with a service serves nothing",),
    # ── TCP and HTTP
    "a plain TCP router takes all that is plain": (
        "HTTP is asked before TCP", "only HostSNI(`*`) takes plain connections",
        "a server name may be asked for without TLS",
    ),
    "HTTPS host, TCP server name, HTTPS without a host, TCP *": (
        "TCP is asked before HTTP", "the higher priority of TCP and HTTP decides",
        "a TCP catch-all comes before HTTP routers without a host",
        "HTTP routers without a host come before any TCP router",
    ),
    "what HTTP routers claim": (
        "a disabled HTTP router claims no names", "a wildcard is claimed for names of any depth",
        "a denied host is claimed", "children claim names",
    ),
    "TLS options that differ are 421, in conflict the default ones": (
        "TLS options of server name and host may differ", "a server name other than the host is misdirected",
        "TLS options in conflict are everybody's own", "TLS options of a router without a host are its own",
        "TLS options that do not exist are the default ones",
    ),
    "HostSNI": (
        "HostSNI(`*`) needs a server name", "a wildcard of HostSNI spans labels", "HostSNI knows no wildcards",
        "server names keep their case", "names in HostSNI keep their case", "HostSNI forgives no dot",
        "HostSNI forgives every dot", "HostSNI takes any text", "Host is a matcher of TCP",
    ),
    "HostSNIRegexp": (
        "HostSNIRegexp has no case", "HostSNIRegexp matches whole names",
        "HostSNIRegexp that finds nothing in nothing takes connections without a name",
    ),
    "ALPN": (
        "ALPN has no case", "ALPN asks for the first protocol alone", "ALPN(`*`) is any protocol",
        "acme-tls/1 is a protocol like others",
    ),
}  # fmt: skip


def test_a_mistake_stands_for_every_trap_and_every_mistake_for_one() -> None:
    named = [mistake for mistakes in TRAPS.values() for mistake in mistakes]
    assert sorted(named) == sorted(MISTAKES)
    assert len(set(MISTAKES)) == len(MISTAKES)
