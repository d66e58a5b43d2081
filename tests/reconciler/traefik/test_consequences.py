"""What a change of ours does to requests, among everything that a running Traefik serves."""

from dataclasses import replace

import pytest

from reconciler.core import guard
from reconciler.core.policy import Policy
from reconciler.core.target import Observation
from reconciler.traefik.api import item
from reconciler.traefik.consequences import Before, consequences
from state.model import Address

DOORS = ({"name": "web", "address": ":80"}, {"name": "websecure", "address": ":443"})
DOOR = {"door": {"basicAuth": {"users": ["a:b"]}}}


def router(rule, *, asks=False, door="web", **more):
    found = {"rule": rule, "service": "noop@internal", "entryPoints": [door], **more}
    return {**found, "middlewares": ["door"]} if asks else found


def ours(**routers):
    tcp = {name: spec for name, spec in routers.items() if "HostSNI" in spec["rule"]}
    resources = {Address("traefik", "http.middlewares", name): spec for name, spec in DOOR.items()}
    for name, spec in routers.items():
        resources[Address("traefik", "tcp.routers" if name in tcp else "http.routers", name)] = spec
    if tcp:
        resources[Address("traefik", "tcp.services", "s")] = {"loadBalancer": {"servers": [{"address": "127.0.0.1:9"}]}}
    return resources


def observed(live, others=None, **more):
    served = {"http.services": {"noop@internal": item({"status": "enabled"})}}
    for address, spec in live.items():
        served.setdefault(address.kind, {})[f"{address.name}@file"] = item({**spec, "status": "enabled"})
    for name, spec in (others or {}).items():
        listed = {**spec, "status": "enabled", "using": spec["entryPoints"]}
        served.setdefault("http.routers", {})[name] = item(listed)
    return Observation(live=live, served=served, doors=DOORS, version="3.7.15", **more)


def effects(before, after, others=None, earlier=None, **more):
    seen = observed(before, others, **more)
    return consequences("traefik", Before(before, earlier or {}), after, seen, ("*auth*",))


def losses(before, after, others=None, **more):
    found = guard.losses("traefik", effects(before, after, others, **more), (), Policy())
    return sorted({(loss.guard, loss.address.rpartition("/")[2]) for loss in found})


ASKED = router("Host(`x.lab`)", asks=True)


@pytest.mark.parametrize(
    "way",
    [
        router("Host(`x.lab`)", priority=1000),
        router("Host(`x.lab`)"),  # a tie: Traefik decides by chance
        router("Host(`x.lab.`)", priority=1000),  # a dot at the end changes nothing
        router("HostRegexp(`.*`)", priority=1000),
        router("HostRegexp(`^$`)", priority=1000),  # it is asked about the empty name, too
        router("Host(`y.lab`) || Host(`x.lab`)", priority=1000),
        router("PathPrefix(`/`)"),
        router("Host(`x.lab`) && PathPrefix(`/admin/logo`)"),
        router("Host(`x.lab`) && Method(`POST`)"),
        {"rule": "HostSNI(`*`)", "service": "s", "entryPoints": ["web"]},
    ],
    ids=lambda way: f"{way['rule']} {way.get('priority', '')}",
)
def test_a_new_open_way_that_may_come_first_is_a_loss_of_authentication(way):
    assert ("authentication", "a") in losses(ours(a=ASKED), ours(a=ASKED, new=way))


@pytest.mark.parametrize(
    "way",
    [
        router("Host(`y.lab`)", priority=1000),
        router("Host(`x.lab`)", priority=1),
        router("HostRegexp(`.*`)", priority=1),
        router("HostRegexp(`^blog\\.(lab|home)$`)", priority=1000),
        router("Host(`x.lab`)", priority=1000, door="websecure"),
        router("Host(`x.lab`)", priority=1000, tls={}),
        router("Host(`x.lab`)", asks=True, priority=1000),
        {"rule": "HostSNI(`*`)", "service": "s", "entryPoints": ["websecure"]},
    ],
    ids=lambda way: f"{way['rule']} {way.get('priority', '')} {way['entryPoints']}",
)
def test_a_new_way_that_cannot_get_those_requests_is_none(way):
    assert losses(ours(a=ASKED), ours(a=ASKED, new=way)) == []


def test_ways_below_different_paths_do_not_meet():
    asked = router("Host(`x.lab`) && PathPrefix(`/admin`)", asks=True)
    public = router("Host(`x.lab`) && PathPrefix(`/public`)", priority=99)
    assert losses(ours(a=asked), ours(a=asked, new=public)) == []


def test_an_open_way_that_had_precedence_already_takes_nothing_new():
    public = router("Host(`x.lab`) && PathPrefix(`/public`)", priority=99)
    assert losses(ours(a=ASKED, public=public), ours(b=ASKED, public=public)) == []


def test_a_router_that_loses_its_authentication_is_a_loss_however_it_comes_about():
    middleware = Address("traefik", "http.middlewares", "door")
    assert losses(ours(a=ASKED), ours(a=router("Host(`x.lab`)"))) == [("authentication", "a")]
    weakened = {**ours(a=ASKED), middleware: {"compress": {}}}
    assert losses(ours(a=ASKED), weakened) == [("authentication", "a")]


def test_a_deleted_router_falls_through_to_a_broader_one_without_authentication():
    broad = router("PathPrefix(`/`)", priority=1)
    effect = effects(ours(a=ASKED, all=broad), ours(all=broad)).all[0]
    assert effect.told == (
        "`GET http://x.lab/` went to `a` behind `door`; after this it goes to `all`, without `door`. "
        "Nobody is asked who they are any more."
    )
    assert losses(ours(a=ASKED, all=broad), ours(all=broad)) == [("authentication", "a")]


def test_a_router_that_traefik_would_disable_falls_through_like_a_deleted_one():
    broad = router("Host(`x.lab`) || Host(`y.lab`)", priority=1)
    misspelt = router("Host(`x.lab`)", middlewares=["dor"])
    assert losses(ours(a=ASKED, all=broad), ours(a=misspelt, all=broad)) == [("authentication", "a")]


def test_a_hole_cut_into_a_catch_all_with_authentication_opens_what_is_in_it():
    whole = router("PathPrefix(`/`)", asks=True)
    holed = router("PathPrefix(`/`) && !Host(`secret.lab`)", asks=True)
    before, after = ours(all=whole), ours(all=holed, open=router("PathPrefix(`/`)"))
    assert [one.host for one in effects(before, after).all] == ["secret.lab"]
    assert losses(before, after) == [("authentication", "all")]


def test_a_neighbours_route_is_taken_over_like_one_of_ours():
    theirs = {"git@docker": router("Host(`git.lab`)", middlewares=["my-auth@docker"])}
    thief = router("Host(`git.lab`)", priority=1000)
    assert losses(ours(), ours(new=thief), theirs) == [("authentication", "git@docker")]


def test_a_host_that_stays_in_a_rule_but_gets_no_answer_any_more_is_gone():
    before = ours(a=router("Host(`a.lab`)"))
    for after in (router("Host(`a.lab`) && Host(`www.a.lab`)"), router("Host(`a.lab`)", door="websecure")):
        (gone,) = effects(before, ours(a=after)).gone
        assert (gone.host, gone.route) == ("a.lab", "traefik/http.routers/a")


def test_a_host_that_another_router_asks_for_is_not_gone():
    other = router("Host(`x.lab`)", priority=3)
    assert not effects(ours(a=router("Host(`x.lab`)"), b=other), ours(b=other)).gone


def test_a_host_whose_own_route_went_is_gone_though_a_catch_all_answers_and_it_is_told_so():
    broad = router("PathPrefix(`/`)", priority=1)
    (gone,) = effects(ours(a=router("Host(`x.lab`)"), all=broad), ours(all=broad)).gone
    assert gone.told == "x.lab would have no route of its own any more; all would answer for it"


def test_a_tcp_catch_all_takes_the_hosts_of_its_entry_point_and_of_no_other():
    before = ours(a=router("Host(`a.lab`)"), b=router("Host(`b.lab`)", door="websecure"))
    tcp = {"rule": "HostSNI(`*`)", "service": "s", "entryPoints": ["web"]}
    found = effects(before, {**before, **ours(tcp=tcp)})
    assert [one.host for one in found.gone] == ["a.lab"]


def test_hosts_that_went_lately_are_those_that_did_not_come_back():
    earlier = ours(a=router("Host(`a.lab`)"), b=router("Host(`b.lab`)"), c=router("Host(`c.lab`)"))
    before, after = ours(c=router("Host(`c.lab`)"), d=router("Host(`d.lab`)")), ours(b=router("Host(`b.lab`)"))
    found = effects(before, after, earlier=earlier)
    assert found.lately == ("a.lab",)
    assert {one.host for one in found.gone} == {"c.lab", "d.lab"}
    assert (found.hosts, found.routes, found.left) == (2, 4, 1)


def test_a_rule_in_the_old_syntax_leaves_nobody_able_to_tell():
    old = router("Host(`x.lab`)", priority=99, ruleSyntax="v2")
    found = effects(ours(a=ASKED), ours(a=ASKED, old=old)).all
    assert found and all(one.unknown for one in found)
    assert losses(ours(a=ASKED), ours(a=ASKED, old=old)) == [("authentication", "a")]


def test_while_nobody_tells_what_others_serve_our_own_routes_are_compared_and_that_is_said():
    seen = Observation(live=ours(a=ASKED), witness="it is down")
    found = consequences("traefik", Before(ours(a=ASKED), {}), ours(a=router("Host(`x.lab`)")), seen, ("*auth*",))
    assert len(found.all) == 1
    assert "not known" in found.notes[0]


def test_what_a_neighbours_file_took_over_is_theirs_and_changes_nothing_when_we_change_it():
    live = ours(a=ASKED)
    taken = {Address("traefik", "http.routers", "a"): "theirs.yml"}
    theirs = {"a@file": router("Host(`theirs.lab`)")}
    assert effects(live, ours(a=router("Host(`x.lab`)")), theirs, taken_over=taken).all == ()


def problems(before, after, **more):
    return [
        (one.severity, one.address.rpartition("/")[2], one.message) for one in effects(before, after, **more).problems
    ]


def test_a_new_tie_between_two_routers_is_an_error_with_the_priority_that_ends_it():
    a, b = ASKED, router("Host(`x.lab`)")
    ((severity, name, message),) = problems(ours(a=a), ours(a=a, b=b))
    assert (severity, name) in {("error", "a"), ("error", "b")}
    assert "priority" in message and "`GET http://x.lab/`" in message


def test_a_router_that_no_request_can_reach_is_a_warning():
    a = router("Host(`x.lab`)", priority=1000)
    found = problems(ours(a=a), ours(a=a, b=router("Host(`x.lab`) && Path(`/b`)")))
    assert [(severity, name) for severity, name, _ in found] == [("warning", "b")]


def test_a_certificate_that_is_asked_for_other_names_is_a_warning():
    tls = {"certResolver": "le", "domains": [{"main": "y.lab", "sans": ["*.y.lab"]}]}
    found = problems(ours(), ours(a=router("Host(`x.lab`)", door="websecure", tls=tls)))
    assert [(severity, name) for severity, name, _ in found] == [("warning", "a")]
    assert "x.lab" in found[0][2]


def test_an_ordinary_new_route_is_nothing_to_worry_about():
    broad = router("PathPrefix(`/`)", priority=1)
    assert problems(ours(all=broad), ours(all=broad, a=router("Host(`x.lab`)"))) == []


def test_a_middleware_of_ours_that_anothers_route_names_does_not_go_unnoticed():
    theirs = {"git@docker": router("Host(`git.lab`)", middlewares=["door@file"])}
    broad = router("PathPrefix(`/`)", priority=1)
    without = {address: spec for address, spec in ours(all=broad).items() if address.name != "door"}
    assert losses(ours(all=broad), without, theirs) == [("authentication", "git@docker")]


def test_a_redirect_to_https_opens_nothing():
    https = {Address("traefik", "http.middlewares", "https"): {"redirectScheme": {"scheme": "https"}}}
    before = {**ours(a=ASKED), **https}
    secure = router("Host(`x.lab`)", asks=True, door="websecure", tls={})
    after = {**ours(a=secure, redirect=router("Host(`x.lab`)", middlewares=["https"])), **https}
    assert ("authentication", "a") not in losses(before, after)
    plain = {**ours(redirect=router("Host(`x.lab`)", middlewares=["https"], door="websecure", tls={})), **https}
    asked = {**ours(a=secure), **https}
    assert ("authentication", "a") in losses(asked, plain)  # over TLS it lets everything through


def test_a_rule_that_says_the_same_in_other_words_loses_no_host():
    assert not effects(ours(a=router("Host(`x.lab`)")), ours(a=router("HostRegexp(`^x\\.lab$`)"))).gone


def test_what_is_agreed_to_for_one_path_is_not_agreed_to_for_all():
    narrow = router("Host(`x.lab`) && Path(`/health`)", priority=1000)
    wide = router("Host(`x.lab`)", priority=1000)
    found = [
        {loss.key for loss in guard.losses("traefik", effects(ours(a=ASKED), ours(a=ASKED, h=way)), (), Policy())}
        for way in (narrow, wide)
    ]
    assert all(found) and found[0].isdisjoint(found[1])


def test_a_route_that_names_no_entry_point_is_not_served_at_traefiks_own():
    doors = (*DOORS, {"name": "traefik", "address": ":8080"})
    seen = observed(ours())
    everywhere = {"rule": "Host(`x.lab`)", "service": "noop@internal"}
    found = consequences("traefik", Before(ours(), {}), ours(a=everywhere), replace(seen, doors=doors), ("*auth*",))
    assert {one.entry_point for one in found.all} == {"web", "websecure"}


def test_redefining_what_many_routes_share_costs_no_more_than_the_routes():
    many = {f"r{number}": router(f"Host(`r{number:04d}.lab`)", asks=True) for number in range(60)}
    weakened = {**ours(**many), Address("traefik", "http.middlewares", "door"): {"compress": {}}}
    assert len(losses(ours(**many), weakened)) == 60


def test_an_opaque_router_that_loses_its_authentication_or_its_requests_is_a_loss():
    old = router("Host(`x.lab`)", asks=True, ruleSyntax="v2")
    assert ("authentication", "old") in losses(ours(old=old), ours(old=router("Host(`x.lab`)", ruleSyntax="v2")))
    assert ("authentication", "old") in losses(ours(old=old), ours(old=old, new=router("Host(`x.lab`)", priority=99)))
    assert losses(ours(old=old), ours(old=old, new=router("Host(`y.lab`)", priority=99))) == []


def test_a_child_behind_a_rewriting_parent_that_loses_its_authentication_is_a_loss():
    strip = {Address("traefik", "http.middlewares", "strip"): {"stripPrefix": {"prefixes": ["/a"]}}}
    parent = {"rule": "Host(`x.lab`) && PathPrefix(`/a`)", "entryPoints": ["web"], "middlewares": ["strip"]}
    child = {"rule": "PathPrefix(`/b`)", "service": "noop@internal", "parentRefs": ["parent"]}
    before = {**ours(parent=parent, child={**child, "middlewares": ["door"]}), **strip}
    after = {**ours(parent=parent, child=child), **strip}
    assert ("authentication", "child") in losses(before, after)
    assert losses(before, before) == []


def test_authentication_inside_a_service_counts_however_deep_it_is():
    def home(inner, outer=None):
        inner = {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}, **inner}
        services = {"inner": inner, "outer": outer or {"weighted": {"services": [{"name": "inner", "weight": 1}]}}}
        made = {Address("traefik", "http.services", name): spec for name, spec in services.items()}
        return {**ours(a=router("Host(`x.lab`)", service="outer")), **made}

    asking, silent = home({"middlewares": ["door"]}), home({})
    assert losses(asking, silent) == [("authentication", "a")]
    direct = {
        **ours(a=router("Host(`x.lab`)", service="inner")),
        **{a: s for a, s in asking.items() if a.name == "inner"},
    }
    assert losses(direct, asking) == []


def test_a_name_that_comes_to_a_public_entry_point_is_reached_though_a_catch_all_answered_there():
    broad = router("HostRegexp(`.+`)", priority=1, door="web")
    inside, outside = router("Host(`x.lab`)", door="websecure"), router("Host(`x.lab`)", door="web")
    before, after = ours(all=broad, a=inside), ours(all=broad, a=outside)
    found = consequences("traefik", Before(before, {}), after, observed(before), ("*auth*",), ("web",))
    assert [(one.host, one.entry_point) for one in found.reached] == [("x.lab", "web")]
    again = consequences(
        "traefik", Before(after, {}), ours(all=broad, b=outside), observed(after), ("*auth*",), ("web",)
    )
    assert not again.reached


def mutual(kind="RequireAndVerifyClientCert", name="mtls"):
    return {Address("traefik", "tls.options", name): {"clientAuth": {"caFiles": ["ca.pem"], "clientAuthType": kind}}}


def test_a_client_certificate_that_is_asked_for_no_more_is_a_loss_of_authentication():
    secure = ours(a=router("Host(`x.lab`)", door="websecure", tls={"options": "mtls"}))
    plain = ours(a=router("Host(`x.lab`)", door="websecure", tls={}))
    options = mutual()
    assert losses({**secure, **options}, {**secure, **mutual("VerifyClientCertIfGiven")}) == [("authentication", "a")]
    assert losses({**secure, **options}, {**plain, **options}) == [("authentication", "a")]
    assert losses({**plain, **mutual(name="default")}, plain) == [("authentication", "a")]
    assert losses({**secure, **options}, {**secure, **options}) == []
