"""What is surprising in the choice of a router, made by hand: every case with what a real Traefik was heard to do.

All cases are served at once. Each keeps to a host or a path of its own, so that none meets another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.routing.reading import from_files
from reconciler.routing.request import Door, Request
from reconciler.routing.routers import EntryPoint, Router
from reconciler.routing.table import Answer, Table

Outcome = str
"""A router's name; "400", "404": an answer of Traefik's own; "moved": sent to another entry point; "own": its API."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request and what comes of it. `unknown`: nobody can tell beforehand, and we say so."""

    expect: Outcome
    host: str
    path: str = "/"
    door: str = "web"
    tls: bool = False
    unknown: bool = False

    @property
    def request(self) -> Request:
        return Request(target=self.path, host=self.host, entry_point=self.door, tls=self.tls)


@dataclass(frozen=True)
class Case:
    """Routers of a file, and what is asked of them."""

    routers: Mapping[str, Mapping[str, Any]]
    asks: Sequence[Ask] = ()


@dataclass(frozen=True, kw_only=True)
class Place:
    """A Traefik as it is started, and as we see it: entry points, and in which order providers stand."""

    doors: Mapping[str, Mapping[str, Any]]
    entry_points: tuple[EntryPoint, ...]
    cases: Mapping[str, Case]
    precedence: tuple[str, ...] = ()
    rest: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Routers of a second provider."""


def router(rule: str, **more: Any) -> dict[str, Any]:
    return {"rule": rule, "service": "noop@internal", "entryPoints": ["web"], **more}


def child(rule: str, *parents: str, **more: Any) -> dict[str, Any]:
    return {"rule": rule, "service": "noop@internal", "parentRefs": list(parents), **more}


def parent(rule: str, **more: Any) -> dict[str, Any]:
    return {"rule": rule, "entryPoints": ["web"], **more}


def _everywhere(host: str, served: Mapping[tuple[str, bool], Outcome]) -> list[Ask]:
    """One request at every entry point, plain and over TLS: 404 where nothing else is said."""
    places = [(door, tls) for door in ("web", "secure", "door") for tls in (False, True)]
    return [Ask(expect=served.get((door, tls), "404"), host=host, door=door, tls=tls) for door, tls in places]


def _falls(host: str, **narrow: Any) -> Case:
    """A narrow router that does not serve, above a broad one."""
    spec = {**router(f"Host(`{host}`) && PathPrefix(`/admin`)"), **narrow}
    routers = {f"narrow-{host}": spec, f"broad-{host}": router(f"Host(`{host}`)")}
    return Case(routers, [Ask(expect=f"broad-{host}", host=host, path="/admin")])


HIGHEST: Final = 2**63 - 1001

CASES: Mapping[str, Case] = {
    # ── priorities
    "without a priority the longer rule is asked first": Case(
        {
            "z-short": router("Host(`length.test`)"),
            "long": router("Host(`length.test`) && PathPrefix(`/admin`)"),
        },
        [
            Ask(expect="long", host="length.test", path="/admin"),
            Ask(expect="z-short", host="length.test"),
        ],
    ),
    "a long path comes before a short host": Case(
        {"by-path": router("PathPrefix(`/classic`)"), "by-host": router("Host(`c.test`)")},
        [Ask(expect="by-path", host="c.test", path="/classic"), Ask(expect="by-host", host="c.test")],
    ),
    "blanks and comments count": Case(
        {
            "padded": router("Host(`pad.test`) /* a comment that makes it long */"),
            "longer-words": router("Host(`pad.test`) && PathPrefix(`/`)"),
        },
        [Ask(expect="padded", host="pad.test")],
    ),
    "letters beyond ASCII count by their bytes": Case(
        {
            "eacute": router("Host(`bytes.test`) && !Path(`/éééé`)"),
            "ascii": router("Host(`bytes.test`) && !Path(`/abcdef`)"),
        },
        [Ask(expect="eacute", host="bytes.test")],
    ),
    "priority 0 is none": Case(
        {
            "zero": router("Host(`zero.test`)", priority=0),
            "one": router("Host(`zero.test`) && PathPrefix(`/`)", priority=1),
        },
        [Ask(expect="zero", host="zero.test")],
    ),
    "a negative priority is lower than any other": Case(
        {
            "minus": router("Host(`minus.test`) && PathPrefix(`/`)", priority=-1),
            "plus": router("Host(`minus.test`)", priority=1),
        },
        [Ask(expect="plus", host="minus.test")],
    ),
    "the highest priority that is allowed is told from the next": Case(
        {
            "highest": router("Host(`high.test`)", priority=HIGHEST),
            "nearly": router("Host(`high.test`) && PathPrefix(`/`)", priority=HIGHEST - 1),
        },
        [Ask(expect="highest", host="high.test")],
    ),
    "a reserved priority disables": Case(
        {
            "reserved": router("Host(`reserved.test`)", priority=HIGHEST + 1),
            "usual": router("Host(`reserved.test`) && PathPrefix(`/`)", priority=1),
        },
        [Ask(expect="usual", host="reserved.test")],
    ),
    "an entry point that sends everything elsewhere serves nobody": Case(
        {"stays": router("Host(`moved.test`)", entryPoints=["moved"], priority=HIGHEST)},
        [Ask(expect="moved", host="moved.test", door="moved"), Ask(expect="moved", host="else.test", door="moved")],
    ),
    "Traefik's own routers come before those of users": Case(
        {"mine": router("PathPrefix(`/api`)", entryPoints=["traefik"], priority=HIGHEST)},
        [Ask(expect="own", host="own.test", path="/api/version", door="traefik")],
    ),
    # ── who does not serve
    "a missing middleware lets the broader router serve": _falls("gateless.test", middlewares=["missing"]),
    "a middleware that cannot be made does so too": _falls("torn.test", middlewares=["torn"]),
    "so does a chain with a missing member": _falls("chained.test", middlewares=["links"]),
    "so does a missing service": _falls("unserved.test", service="missing"),
    "so does a rule that is none": _falls("ruleless.test", rule="Host(`ruleless.test`) and PathPrefix(`/admin`)"),
    "so does a matcher that there is not": _falls("matchless.test", rule="Domain(`matchless.test`)"),
    "so does an argument that is none": _falls("wrong.test", rule="Host(`wrong.test`) && PathPrefix(`admin`)"),
    "so does an entry point that there is not": _falls("nowhere.test", entryPoints=["nowhere"]),
    "one entry point among several that there is not leaves the others": Case(
        {"some": router("Host(`some.test`)", entryPoints=["nowhere", "web"])},
        [Ask(expect="some", host="some.test")],
    ),
    # ── names
    "a name with an @ makes what it names another provider's": Case(
        {
            "gate@lan": router("Host(`lan.test`) && PathPrefix(`/gate`)", middlewares=["loaded"]),
            "service@lan": router("Host(`lan.test`) && PathPrefix(`/service`)", service="two"),
            "whole@lan": router("Host(`lan.test`) && PathPrefix(`/whole`)", middlewares=["loaded@file"]),
            "own@internal": router("Host(`lan.test`) && PathPrefix(`/own`)", service="noop"),
            "through": router("Host(`lan.test`) && PathPrefix(`/through`)", middlewares=["links@lan@file"]),
            "lan": router("Host(`lan.test`)"),
        },
        [
            Ask(expect="lan", host="lan.test", path="/gate"),
            Ask(expect="lan", host="lan.test", path="/service"),
            Ask(expect="whole@lan", host="lan.test", path="/whole"),
            Ask(expect="own@internal", host="lan.test", path="/own"),
            Ask(expect="lan", host="lan.test", path="/through"),
        ],
    ),
    "parents of such a name are those of its own provider": Case(
        {
            "tree": parent("Host(`tree.test`)"),
            "leaf@lan": child("PathPrefix(`/`)", "tree"),
        },
        [Ask(expect="leaf@lan", host="tree.test")],
    ),
    # ── entry points and TLS
    "a router that names no entry point listens at all but Traefik's own": Case(
        {"open": {"rule": "Host(`open.test`)", "service": "noop@internal"}},
        [
            *_everywhere("open.test", {("web", False): "open", ("secure", False): "open", ("door", True): "open"}),
            Ask(expect="404", host="open.test", path="/x", door="traefik"),
        ],
    ),
    "routers with and without TLS never meet": Case(
        {
            "plain": router("Host(`two.test`)", entryPoints=["web", "secure"]),
            "over-tls": router("Host(`two.test`) && PathPrefix(`/`)", entryPoints=["web"], tls={}),
        },
        _everywhere("two.test", {("web", False): "plain", ("web", True): "over-tls", ("secure", False): "plain"}),
    ),
    "an entry point with TLS gives it to its routers": Case(
        {"given": router("Host(`given.test`)", entryPoints=["door"])},
        _everywhere("given.test", {("door", True): "given"}),
    ),
    "what a path must not hold is refused once a router has it": Case(
        {"escaped": router("Host(`escaped.test`)", entryPoints=["narrow"])},
        [
            Ask(expect="400", host="escaped.test", path="/a%2fb", door="narrow"),
            Ask(expect="404", host="nobody.test", path="/a%2fb", door="narrow"),
            Ask(expect="escaped", host="escaped.test", path="/a/b", door="narrow"),
        ],
    ),
    # ── parents and children
    "where no child matches nobody else is asked": Case(
        {
            "family": parent("Host(`family.test`) && PathPrefix(`/`)"),
            "son": child("Path(`/son`)", "family"),
            "neighbour": router("Host(`family.test`)"),
        },
        [
            Ask(expect="son", host="family.test", path="/son"),
            Ask(expect="404", host="family.test", path="/else"),
        ],
    ),
    "a child is asked when its parent is, whatever its own priority": Case(
        {
            "first": parent("Host(`ranks.test`) && PathPrefix(`/`)"),
            "low": child("PathPrefix(`/`)", "first", priority=1),
            "between": router("Host(`ranks.test`)", priority=10),
        },
        [Ask(expect="low", host="ranks.test")],
    ),
    "a child sees what middlewares of its parent made of the request": Case(
        {
            "stripping": parent("PathPrefix(`/stripped`)", middlewares=["strip"]),
            "bare": child("Path(`/bare`)", "stripping"),
            "whole": child("Path(`/stripped/bare`)", "stripping"),
        },
        [Ask(expect="bare", host="x.test", path="/stripped/bare", unknown=True)],
    ),
    "a child of nobody serves nothing": Case(
        {"orphan": child("Host(`orphan.test`)", "nobody"), "guardian": router("HostRegexp(`^orphan`)", priority=1)},
        [Ask(expect="guardian", host="orphan.test")],
    ),
    "parents that are each other's children serve nothing": Case(
        {
            "hen": child("Host(`circle.test`)", "egg"),
            "egg": child("Host(`circle.test`) && PathPrefix(`/`)", "hen"),
            "outside": router("HostRegexp(`^circle`)", priority=1),
        },
        [Ask(expect="outside", host="circle.test")],
    ),
    "a child with TLS of its own serves nothing": Case(
        {"house": parent("Host(`house.test`)"), "safe": child("Path(`/a`)", "house", tls={}),
         "door-mat": child("PathPrefix(`/`)", "house", priority=1)},
        [Ask(expect="door-mat", host="house.test", path="/a")],
    ),
    "a child with entry points of its own serves nothing": Case(
        {"flat": parent("Host(`flat.test`)"), "balcony": child("Path(`/a`)", "flat", entryPoints=["web"]),
         "hall": child("PathPrefix(`/`)", "flat", priority=1)},
        [Ask(expect="hall", host="flat.test", path="/a")],
    ),
    "a parent with a service is called disabled and serves its children": Case(
        {"working": router("Host(`working.test`)"), "helped": child("Path(`/a`)", "working")},
        [
            Ask(expect="helped", host="working.test", path="/a"),
            Ask(expect="404", host="working.test", path="/b"),
        ],
    ),
    # ── the syntax of version 2
    "a rule of version 2 is read by the rules of version 2": Case(
        {
            "old": router("Host(`old.test`) && Path(`/old/{id:[0-9]+}`)", ruleSyntax="v2"),
            "new": router("PathPrefix(`/old/`)", priority=1),
        },
        [Ask(expect="old", host="old.test", path="/old/7", unknown=True)],
    ),
}  # fmt: skip

PAIRS: Final = 24
"""So many ties that no order, of names or of places in the file, is what chance would choose every time."""


def _pairs(host: str) -> dict[str, dict[str, Any]]:
    return {
        f"{host}{number:02}{side}": router(f"Host(`{host}{number:02}.test`)")
        for number in range(PAIRS)
        for side in "xy"
    }


USUAL: Final = Place(
    doors={
        "web": {},
        "secure": {},
        "door": {"http": {"tls": {}}},
        "narrow": {"http": {"encodedCharacters": {"allowEncodedSlash": False}}},
        "moved": {"http": {"redirections": {"entryPoint": {"to": "secure"}}}},
    },
    entry_points=(
        EntryPoint(name="web", port=80),
        EntryPoint(name="all", port=81),
        EntryPoint(name="secure", port=443),
        EntryPoint(name="door", port=444, tls=True, special=True),
        EntryPoint(name="narrow", port=82, special=True, door=Door(barred=frozenset("/"))),
        EntryPoint(name="moved", port=83, redirects="secure"),
        EntryPoint(name="traefik", port=8080),
    ),
    cases={**CASES, "equal priorities": Case(_pairs("tie")), "equal priorities of two providers": Case(
        {f"mine{number:02}": router(f"Host(`both{number:02}.test`)") for number in range(PAIRS)}
    )},
    rest={f"theirs{number:02}": router(f"Host(`both{number:02}.test`)") for number in range(PAIRS)},
)  # fmt: skip

MARKED: Final = Place(
    doors={"web": {"asDefault": True}, "secure": {}, "door": {"http": {"tls": {}}, "asDefault": True}},
    entry_points=(
        EntryPoint(name="web", port=80, as_default=True),
        EntryPoint(name="all", port=81),
        EntryPoint(name="secure", port=443),
        EntryPoint(name="door", port=444, tls=True, special=True, as_default=True),
        EntryPoint(name="traefik", port=8080),
    ),
    cases={
        "a router that names no entry point listens at those that are marked": Case(
            {"open": {"rule": "Host(`open.test`)", "service": "noop@internal"}},
            _everywhere("open.test", {("web", False): "open", ("door", True): "open"}),
        ),
        "of equal priorities the provider that stands first is asked first": Case(
            {"mine": router("Host(`both.test`)")}, [Ask(expect="theirs@rest", host="both.test")]
        ),
        "a priority comes before the order of providers": Case(
            {"higher": router("Host(`above.test`) && PathPrefix(`/`)")}, [Ask(expect="higher", host="above.test")]
        ),
    },
    precedence=("rest", "file"),
    rest={"theirs": router("Host(`both.test`)"), "lower": router("Host(`above.test`)")},
)


def dynamic(place: Place) -> dict[str, Any]:
    """What its file provider serves: every router says its name, but for parents."""
    routers = {name: spec for case in place.cases.values() for name, spec in case.routers.items()}
    middlewares: dict[str, Any] = {
        "loaded": {"headers": {"customResponseHeaders": {"X-Loaded": "yes"}}},
        "torn": {"ipAllowList": {"sourceRange": ["nowhere"]}},
        "links@lan": {"chain": {"middlewares": ["loaded"]}},
        "links": {"chain": {"middlewares": ["loaded", "missing"]}},
        "strip": {"stripPrefix": {"prefixes": ["/stripped"]}},
    }
    named, saying = _saying(routers)
    services = {"two": {"weighted": {"services": [{"name": "noop@internal"}]}}}
    return {"http": {"routers": named, "middlewares": {**middlewares, **saying}, "services": services}}


def of_rest(place: Place) -> dict[str, Any]:
    """What the second provider serves."""
    named, saying = _saying(place.rest, "rest")
    return {"http": {"routers": named, "middlewares": saying}}


def _saying(routers: Mapping[str, Mapping[str, Any]], provider: str = "file") -> tuple[dict[str, Any], dict[str, Any]]:
    named, saying = dict[str, Any](), dict[str, Any]()
    parents = {name for spec in routers.values() for name in spec.get("parentRefs", ())}
    for name, spec in routers.items():
        if name not in parents:
            shown = name if provider == "file" else f"{name}@{provider}"
            says = name.replace("@", "-")
            saying[says] = {"headers": {"customResponseHeaders": {"X-Router": shown}}}
            spec = {**spec, "middlewares": [*spec.get("middlewares", ()), f"{says}@{provider}"]}
        named[name] = dict(spec)
    return named, saying


def table(place: Place, faults: Any) -> Table:
    """The same as we see it."""
    content = dynamic(place)["http"]
    specs = {f"http.{kind}": held for kind, held in content.items()}
    internal = [("http.services", "noop@internal"), ("http.services", "api@internal")]
    rest = {f"http.{kind}": held for kind, held in of_rest(place)["http"].items()}
    own = Router(
        name="api@internal", rule="PathPrefix(`/api`)", entry_points=("traefik",), priority=2**63 - 2,
        service="api@internal",
    )  # fmt: skip
    routers = [
        *from_files(specs, others=internal, faults=faults),
        *from_files(rest, provider="rest", others=internal, faults=faults),
        own,
    ]
    return Table(routers, place.entry_points, precedence=place.precedence)


def outcome(answer: Answer) -> Outcome:
    """An answer in the words of these cases."""
    if answer.router is None:
        return str(answer.status)
    if answer.router in ("api@internal", "moved-to-secure@internal"):
        return "own" if answer.router.startswith("api") else "moved"
    return answer.router.removesuffix("@file")


def wrong(place: Place, seen: Table) -> Iterable[str]:
    """Where a table says otherwise than the real Traefik was heard to do."""
    for sentence, case in place.cases.items():
        for ask in case.asks:
            answer = seen.answer(ask.request)
            if answer.tied or (not answer.unknown and outcome(answer) != ask.expect):
                yield f"{sentence}: {ask}: {answer.tied or outcome(answer)}"
            elif bool(answer.unknown) != ask.unknown:
                yield f"{sentence}: {ask}: {answer.unknown or 'it can be told'}"
    for first, second in ties(place):
        answer = seen.answer(Request(host=_host_of(place, first), entry_point="web"))
        if set(answer.tied) != {first, second}:
            yield f"{first} and {second} tie: {answer.tied or answer.router}"


def ties(place: Place) -> list[tuple[str, str]]:
    """The pairs among which chance decides."""
    pairs = [(f"tie{number:02}x", f"tie{number:02}y") for number in range(PAIRS)]
    both = [(f"mine{number:02}", f"theirs{number:02}@rest") for number in range(PAIRS)]
    return [*pairs, *both] if place is USUAL else []


def _host_of(place: Place, name: str) -> str:
    rules = {name: spec["rule"] for case in place.cases.values() for name, spec in case.routers.items()}
    return str(rules[name]).split("`")[1]
