"""Who may come in after a change: gates gone or wider, ways round them, and what nobody can tell any more."""

import pytest

from reconciler.core import guard
from reconciler.core.policy import Policy
from reconciler.core.target import Observation
from reconciler.traefik.api import item
from reconciler.traefik.consequences import Before, consequences
from state.model import Address

DOORS = ({"name": "web", "address": ":80"}, {"name": "websecure", "address": ":443"})
DOOR = {"basicAuth": {"users": ["a:b"]}}
SSO = {"forwardAuth": {"address": "http://sso.lab/"}}
LAN = {"ipAllowList": {"sourceRange": ["10.0.0.0/8"]}}
STRIP = {"stripPrefix": {"prefixes": ["/z"]}}
NOT_FOUND = {"errors": {"status": ["404", "500-599"], "service": "page", "query": "/{status}"}}


def refused_by(service, status="401", **more):
    """A middleware that has a service answer in place of refusals."""
    return {"errors": {"status": [status], "service": service, "query": "/", **more}}


def http(rule, *middlewares, service="app", **more):
    return {"rule": rule, "service": service, "entryPoints": ["web"], "middlewares": list(middlewares), **more}


def tcp(*middlewares, rule="HostSNI(`db.lab`)", **more):
    router = {"rule": rule, "service": "db", "entryPoints": ["websecure"], "tls": {}}
    return {**router, "middlewares": list(middlewares), **more}


def state(kind="http", *, routers, **middlewares):
    """Our part: these routers and middlewares, and the services that they name."""
    servers = {"app": "http://127.0.0.1:1", "page": "http://127.0.0.1:2"}
    specs = {("http.services", name): {"loadBalancer": {"servers": [{"url": url}]}} for name, url in servers.items()}
    specs["tcp.services", "db"] = {"loadBalancer": {"servers": [{"address": "127.0.0.1:3"}]}}
    specs |= {(f"{kind}.middlewares", name): spec for name, spec in middlewares.items()}
    specs |= {("tcp.routers" if "SNI" in one["rule"] else "http.routers", name): one for name, one in routers.items()}
    return {Address("traefik", *named): spec for named, spec in specs.items()}


def losses(before, after):
    served = {}
    for address, spec in before.items():
        served.setdefault(address.kind, {})[f"{address.name}@file"] = item({**spec, "status": "enabled"})
    seen = Observation(live=before, served=served, doors=DOORS, version="3.7.15")
    return guard.losses("traefik", consequences("traefik", Before(before, {}), after, seen, ("*auth*",)), (), Policy())


def of_authentication(before, after):
    return [(loss.address.rpartition("/")[2], loss.lost) for loss in losses(before, after) if "auth" in loss.guard]


# ── another service answers whoever is turned away ───────────────────────────────────────────────


def route(*middlewares, **specs):
    return state(routers={"a": http("Host(`x.lab`)", *middlewares)}, **{"door": DOOR, "sso": SSO, "lan": LAN, **specs})


@pytest.mark.parametrize(
    ("gate", "way"),
    [
        ("door", refused_by("app")),
        ("door", refused_by("page", "400-499")),
        ("sso", refused_by("app", "302", statusRewrites={"302": 200})),
        ("lan", refused_by("app", "403")),
    ],
    ids=["the app itself", "a page", "for a redirect", "for an address"],
)
def test_a_service_that_answers_whoever_a_gate_turns_away_is_a_loss(gate, way):
    ((name, told),) = of_authentication(route(gate), route("e", gate, e=way))
    assert name == "e"
    assert told == (
        f"who may come in changes for x.lab: `e` has `{way['errors']['service']}` answer whoever is turned away"
    )


def test_it_is_seen_in_a_chain_too():
    before, after = route("door"), route("c", e=refused_by("app"), c={"chain": {"middlewares": ["e", "door"]}})
    assert [name for name, _ in of_authentication(before, after)] == ["e"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (route("door"), route("door", "e", e=refused_by("app"))),
        (route("door"), route("e", "door", e=NOT_FOUND)),
        (route("e", "door", e=refused_by("page")), route("e", "door", e=refused_by("page"), lan=DOOR)),
        (route("e", e=refused_by("page")), route("e", "door", e=refused_by("page"))),
    ],
    ids=["behind the gate", "where nobody is refused", "as it was", "nobody was kept out"],
)
def test_a_service_that_answers_for_other_errors_or_did_before_is_none(before, after):
    assert of_authentication(before, after) == []


def test_what_answers_for_refusals_is_another_thing_when_it_is_another_service():
    before = route("e", "door", e=refused_by("page"))
    after = {
        **before,
        Address("traefik", "http.services", "page"): {"loadBalancer": {"servers": [{"url": "http://app"}]}},
    }
    assert [name for name, _ in of_authentication(before, after)] == ["e"]


# ── TCP ──────────────────────────────────────────────────────────────────────────────────────────


def connections(*middlewares, **specs):
    return state("tcp", routers={"t": tcp(*middlewares)}, **{"lan": LAN, **specs})


@pytest.mark.parametrize(
    "after",
    [
        connections(),
        connections("lan", lan={"ipAllowList": {"sourceRange": ["0.0.0.0/0"]}}),
        connections("lan", lan={"inFlightConn": {"amount": 9}}),
        state("tcp", routers={"t": tcp("lan"), "n": tcp(rule="HostSNI(`db.lab`) && !HostSNI(`y.lab`)")}, lan=LAN),
        state("tcp", routers={"t": http("Host(`db.lab`)", entryPoints=["websecure"], tls={})}),
    ],
    ids=["removed", "wider", "of another type", "another router before it", "a router of HTTP in its place"],
)
def test_a_tcp_router_that_lets_in_other_addresses_is_a_loss(after):
    ((name, told),) = of_authentication(connections("lan"), after)
    assert name == "lan"
    assert told.startswith("who may come in changes for db.lab: `lan` is")


@pytest.mark.parametrize(
    "after",
    [
        connections("lan", lan={"ipAllowList": {"sourceRange": ["10.0.0.0/8"]}}),
        connections("other", "lan", other={"inFlightConn": {"amount": 9}}),
    ],
    ids=["the same", "one more"],
)
def test_a_tcp_router_that_lets_in_nobody_new_loses_nothing(after):
    assert of_authentication(connections("lan"), after) == []


# ── what nobody can tell any more ────────────────────────────────────────────────────────────────


def family(*, above=(), below=()):
    parent = {name: value for name, value in http("Host(`x.lab`)", *above).items() if name != "service"}
    child = {"rule": "PathPrefix(`/a`)", "service": "app", "parentRefs": ["p"], "middlewares": list(below)}
    return state(routers={"p": parent, "k": child}, door=DOOR, lan=LAN, strip=STRIP)


OLD = http("Host(`x.lab`)", "lan", ruleSyntax="v2")
PLUGIN = {"plugin": {"unheard": {"of": 1}}}


@pytest.mark.parametrize(
    ("before", "after", "who"),
    [
        (route("lan"), state(routers={"a": OLD}, lan=LAN), "a"),
        (route("lan"), route("new", "lan", new=PLUGIN), "a"),
        (route("door"), route("new", "door", new=PLUGIN), "a"),
        (family(above=["lan"]), family(above=["lan", "strip"]), "k"),
        (family(below=["door"]), family(above=["strip"], below=["door"]), "k"),
    ],
    ids=["an old rule", "a plugin", "a plugin before a gate", "a child", "a child with a gate of its own"],
)
def test_a_route_that_kept_people_out_and_of_which_nobody_can_tell_any_more_is_a_loss(before, after, who):
    ((name, told),) = of_authentication(before, after)
    assert name == who
    assert told.startswith("nobody can tell any more who may come in for x.lab")


def test_of_what_nobody_could_tell_before_nothing_is_lost():
    before = state(routers={"a": OLD}, lan=LAN)
    assert losses(before, state(routers={"a": {**OLD, "priority": 7}}, lan=LAN)) == []
    assert of_authentication(route(), route("new", new=PLUGIN)) == []


def test_a_host_of_which_nobody_can_tell_whether_it_is_still_served_is_told_so():
    found = losses(route(), state(routers={"a": {**OLD, "middlewares": []}}))
    assert [loss.lost for loss in found] == ["x.lab may no longer be served; nobody can tell"]


def test_a_middleware_of_two_types_is_disabled_and_what_it_kept_falls_through():
    wide = {"all": http("PathPrefix(`/`)", priority=1)}
    before, after = (
        state(routers={"a": http("Host(`x.lab`)", "door"), **wide}, door=door)
        for door in (DOOR, {**DOOR, "headers": {"customResponseHeaders": {"X-A": "b"}}})
    )
    assert of_authentication(before, after) == [
        ("a", "x.lab would answer without authentication, through traefik/http.routers/all")
    ]


# ── a yes to a host that goes ────────────────────────────────────────────────────────────────────


def keys(before, after):
    return {loss.key for loss in losses(before, after) if loss.guard == "hostnames"}


ONE, TWO = http("Host(`x.lab`) && PathPrefix(`/1`)"), http("Host(`x.lab`) && PathPrefix(`/2`)")
OTHER = http("Host(`y.lab`)")
BOTH = state(routers={"a": ONE, "b": TWO, "o": OTHER})


def test_who_agrees_that_a_host_goes_agrees_to_what_becomes_of_every_route_that_it_had():
    both_deleted = keys(BOTH, state(routers={"o": OTHER}))
    one_moved = keys(BOTH, state(routers={"b": {**TWO, "rule": "Host(`z.lab`)"}, "o": OTHER}))
    assert both_deleted
    assert one_moved
    assert both_deleted.isdisjoint(one_moved)
    assert both_deleted == keys(BOTH, state(routers={"o": {**OTHER, "priority": 7}}))


def test_who_agrees_that_somebody_else_answers_for_a_host_agrees_to_that_one_as_it_is():
    def with_all(service, **routers):
        return state(routers={**routers, "all": http("PathPrefix(`/`)", priority=1, service=service)})

    before = with_all("page", a=ONE)
    assert keys(before, with_all("page"))
    assert keys(before, with_all("page")).isdisjoint(keys(before, with_all("app")))


def test_a_host_that_goes_is_told_though_odd_requests_for_it_are_answered():
    def home(**more):
        return state(routers={"o": OTHER, **more}, door=DOOR)

    before, after = home(a=http("Host(`x.lab`)", "door")), home(n=http("!PathPrefix(`/`)"))
    assert keys(before, after)


# ── another way to what was kept ─────────────────────────────────────────────────────────────────

KEPT = {"a": http("Host(`x.lab`)", "door")}
NEW = http("Host(`y.lab`)")


def way(*, services=(), **routers):
    more = {Address("traefik", "http.services", name): spec for name, spec in dict(services).items()}
    return {**state(routers=routers, door=DOOR, lan=LAN, e=refused_by("app", "404")), **more}


SAME = {"same": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1/"}]}}}
AMONG = {"among": {"weighted": {"services": [{"name": "page"}, {"name": "app"}]}}}


@pytest.mark.parametrize(
    "after",
    [
        way(**KEPT, n=NEW),
        way(n=NEW),
        way(**KEPT, services=SAME, n={**NEW, "service": "same"}),
        way(**KEPT, services=AMONG, n={**NEW, "service": "among"}),
        way(**KEPT, n={**NEW, "service": "page", "middlewares": ["e"]}),
        way(**KEPT, n={**NEW, "middlewares": ["lan"]}),
    ],
    ids=["a new host", "in place of the old one", "by another name", "among others", "for errors", "for addresses"],
)
def test_a_way_round_authentication_to_the_same_servers_is_a_loss(after):
    ((name, told),) = of_authentication(way(**KEPT), after)
    assert name == "n"
    assert "were served only to those who were asked who they are; this route would serve them for y.lab" in told


def test_a_way_for_anybody_to_what_only_certain_addresses_reached_is_one_too():
    ((_, told),) = of_authentication(way(a=http("Host(`x.lab`)", "lan")), way(a=http("Host(`x.lab`)", "lan"), n=NEW))
    assert "only to certain addresses" in told


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (KEPT, {**KEPT, "n": http("Host(`y.lab`)", "door")}),
        (KEPT, {**KEPT, "n": {**NEW, "service": "page"}}),
        ({**KEPT, "o": http("Host(`o.lab`)")}, {**KEPT, "o": http("Host(`o.lab`)"), "n": NEW}),
        ({}, {"n": NEW}),
    ],
    ids=["that asks as well", "to others", "where there was one", "to what nobody reached"],
)
def test_another_way_that_lets_in_nobody_new_is_none(before, after):
    assert of_authentication(way(**before), way(**after)) == []


# ── below a neighbour's file ─────────────────────────────────────────────────────────────────────


def covered(before, after, *taken, file="aa-rival.yml"):
    """What is told where a neighbour's file, read before ours, has these names."""
    theirs = http("Host(`x.lab`)", service="page")
    served = {}
    for address, spec in before.items():
        served.setdefault(address.kind, {})[f"{address.name}@file"] = item({**spec, "status": "enabled"})
    names = {Address("traefik", "http.routers", name): file for name in taken}
    for address in names:
        served["http.routers"][f"{address.name}@file"] = item({**theirs, "status": "enabled"})
    beside = {("http.routers", name): (theirs,) for name in taken}
    seen = Observation(live=before, served=served, doors=DOORS, version="3.7.15", taken_over=names, beside=beside)
    found = guard.losses("traefik", consequences("traefik", Before(before, {}), after, seen, ("*auth*",)), (), Policy())
    return [(loss.address.rpartition("/")[2], loss.lost) for loss in found if "auth" in loss.guard]


def test_authentication_that_goes_below_a_neighbours_file_is_lost_the_day_that_file_goes():
    ((name, told),) = covered(route("door"), route(), "a")
    assert (name, told) == ("a", "nobody is asked any more who they are for x.lab, once aa-rival.yml is gone")


def test_a_wider_gate_below_a_neighbours_file_is_told_too():
    wider = {"ipAllowList": {"sourceRange": ["0.0.0.0/0"]}}
    ((name, told),) = covered(route("lan"), route("lan", lan=wider), "a")
    assert "who may come in changes for x.lab" in told


@pytest.mark.parametrize("after", [route("door", "strip", strip=STRIP), route("door")], ids=["another part", "nothing"])
def test_what_lets_in_nobody_below_a_neighbours_file_is_no_loss(after):
    assert covered(route("door"), after, "a") == []


def test_a_route_that_goes_altogether_lets_in_nobody_later():
    before, after = route("door"), route("door")
    gone = {address: spec for address, spec in after.items() if address.kind != "http.routers"}
    assert covered(before, gone, "a") == []
