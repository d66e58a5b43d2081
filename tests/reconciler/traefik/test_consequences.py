"""What a change of ours does to requests, among everything that a running Traefik serves."""

from dataclasses import replace

import pytest

from reconciler.core import guard
from reconciler.core.policy import Guards, Policy
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
    assert gone.told == "x.lab would no longer have a route of its own; `all` would answer"


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


def exposed(before, after):
    seen = observed(before)
    found = consequences("traefik", Before(before, {}), after, seen, ("*auth*",), ("web",))
    policy = Policy(guards=Guards(public_entry_points=("web",)))
    return sorted(loss.lost.split(" would")[0] for loss in guard.losses("traefik", found, (), policy))


def below(path, **more):
    return router(f"Host(`x.lab`) && PathPrefix(`{path}`)", **more)


def test_a_new_path_of_a_host_that_anybody_reaches_already_exposes_nothing():
    assert exposed(ours(a=below("/a")), ours(a=below("/a"), b=below("/b"))) == []
    assert exposed(ours(a=below("/a", asks=True)), ours(a=below("/a", asks=True), b=below("/b", asks=True))) == []


def test_a_new_path_is_exposed_where_other_paths_of_its_host_are_better_kept_or_the_host_is_new():
    lan = {Address("traefik", "http.middlewares", "lan"): {"ipAllowList": {"sourceRange": ["10.0.0.0/8"]}}}
    kept = below("/a", middlewares=["lan"])
    assert exposed(ours(a=below("/a", asks=True)), ours(a=below("/a", asks=True), b=below("/b"))) == ["x.lab/b"]
    assert exposed({**ours(a=kept), **lan}, {**ours(a=kept, b=below("/b")), **lan}) == ["x.lab/b"]
    assert exposed(ours(), ours(b=below("/b", asks=True))) == ["x.lab/b"]
    assert exposed(ours(a=router("PathPrefix(`/a`)")), ours(a=router("PathPrefix(`/a`)"), b=below("/b"))) == ["x.lab/b"]
    inside = router("Host(`x.lab`)", door="websecure")
    assert exposed(ours(a=inside), ours(a=inside, b=below("/b"))) == ["x.lab/b"]


def test_a_loss_names_some_hosts_of_its_sort_and_its_key_all_of_them():
    def hosts(names):
        return " || ".join(f"Host(`{name}.lab`)" for name in names)

    found = []
    for names in ("abcde", "abcdf"):
        before, after = ours(a=router(hosts(names), asks=True)), ours(a=router(hosts(names)))
        (loss,) = guard.losses("traefik", effects(before, after), (), Policy())
        found.append(loss)
    words = "a.lab, b.lab, c.lab and 2 more would answer without authentication, through traefik/http.routers/a"
    assert [loss.told for loss in found] == [words, words]
    assert found[0].key != found[1].key


def family(**children):
    parent = {"rule": "Host(`x.lab`) && PathPrefix(`/a`)", "entryPoints": ["web"]}
    made = {name: {"rule": rule, "service": "noop@internal", "parentRefs": ["p"]} for name, rule in children.items()}
    return ours(p=parent, **made)


def test_a_child_is_known_by_the_host_of_its_parents():
    one, two = family(k="PathPrefix(`/a/b`)"), family(k="PathPrefix(`/a/b`)", l="PathPrefix(`/a/c`)")
    assert [gone.told for gone in effects(two, ours()).gone] == ["x.lab would no longer be served"]
    assert effects(two, one).gone == ()  # x.lab is still answered
    assert effects(two, one).hosts == 1


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("PathPrefix(`/api`)", "/api for every host would no longer be served"),
        ("HostRegexp(`.*`)", "hosts that no other route names would no longer be served"),
        ("HostRegexp(`^[a-z]+\\.lab$`)", "hosts that match `^[a-z]+\\.lab$` would no longer be served"),
        ("HostSNI(`*`)", "hosts that no other route names would no longer be served"),
    ],
)
def test_a_route_without_a_host_is_told_in_words(rule, told):
    tcp = {"service": "s"} if "SNI" in rule else {}
    assert [gone.told for gone in effects(ours(a=router(rule, **tcp)), ours()).gone] == [told]


def test_a_problem_of_a_tcp_router_has_its_address_and_a_priority_that_can_be_set():
    database = {"rule": "HostSNI(`db.lab`)", "service": "s", "entryPoints": ["websecure"], "tls": {}}
    wide = {**database, "rule": "HostSNI(`db.lab`) || HostSNI(`x.lab`)", "priority": 17}
    after = ours(a=database, b=wide, c=router("Host(`y.lab`)"))
    (problem,) = effects(ours(a=database), after).problems
    assert problem.address in ("traefik/tcp.routers/a", "traefik/tcp.routers/b")
    assert "same priority 17" in problem.message and "`priority: 18`" in problem.message


def down(before, after):
    seen = Observation(live=before, witness="connection refused")
    return consequences("traefik", Before(before, {}), after, seen, ("*auth*",), ("web",))


def test_while_traefik_does_not_answer_who_serves_what_we_do_not_is_unknown():
    new = down(ours(), ours(a=router("Host(`x.lab`)")))
    assert [(one.unknown != "", one.before.known) for one in new.all] == [(True, False)]
    assert "404" not in new.all[0].told and "Anybody" not in new.all[0].told
    gone = guard.losses("traefik", down(ours(a=ASKED), ours()), (), Policy())
    assert [(loss.guard, loss.address) for loss in gone] == [("authentication", "traefik/http.routers/a")]
    assert "x.lab may answer without authentication; nobody can tell" in gone[0].told


# ── what a yes is about ──────────────────────────────────────────────────────────────────────────


def keys(after):
    return {loss.key for loss in guard.losses("traefik", effects(ours(a=ASKED), after), (), Policy())}


PART = router("Host(`x.lab`) && Path(`/public`)", priority=999)


@pytest.mark.parametrize(
    "more",
    [
        {"n": router("Host(`x.lab`) && (Path(`/public`) || PathPrefix(`/zzzzzzzz`))", priority=999)},
        {"n": {**PART, "service": "other@docker"}},
        {"n": {**PART, "middlewares": ["door2"]}},
        {"n": PART, "m": router("Host(`x.lab`) && Query(`q`)", asks=True, priority=1000)},
    ],
    ids=["a wider rule", "another service", "another middleware", "one that shields a part"],
)
def test_the_key_of_a_loss_covers_what_causes_it(more):
    before = keys(ours(a=ASKED, n=PART))
    assert before
    assert before.isdisjoint(keys(ours(a=ASKED, **more)))


def test_what_has_no_part_in_a_loss_does_not_change_its_key():
    beside = {"other": router("Host(`y.lab`)"), "door2": router("Host(`x.lab`)", door="websecure")}
    assert keys(ours(a=ASKED, n=PART)) == keys(ours(a=ASKED, n=PART, **beside))


# ── client certificates ──────────────────────────────────────────────────────────────────────────

MTLS = {"clientAuth": {"clientAuthType": "RequireAndVerifyClientCert", "caFiles": ["ca.pem"]}}
BY_DOOR = {"name": "websecure", "address": ":443", "http": {"tls": {"options": "mtls@file"}}}
BEHIND = router("Host(`x.lab`)", door="websecure")


def opened(before, after, **seen):
    """The guards that speak, between two whole states."""
    look = replace(observed(before), **seen)
    done = consequences("traefik", Before(before, {}), after, look, ("*auth*",))
    return sorted({loss.guard for loss in guard.losses("traefik", done, (), Policy())})


def with_options(options, **routers):
    return {**ours(**routers), Address("traefik", "tls.options", "mtls"): options}


@pytest.mark.parametrize(
    "after",
    [
        with_options(MTLS, a={**BEHIND, "tls": {}}),
        with_options(MTLS, a={**BEHIND, "tls": {"certResolver": "le"}}),
        with_options({"minVersion": "VersionTLS12"}, a=BEHIND),
    ],
    ids=["the router gets TLS of its own", "a certificate resolver", "the options are other ones"],
)
def test_the_certificate_for_which_an_entry_point_asks_is_missed_where_nobody_asks_for_it_any_more(after):
    assert "authentication" in opened(with_options(MTLS, a=BEHIND), after, doors=(DOORS[0], BY_DOOR))


@pytest.mark.parametrize("beside", [{("tls.options", "mtls"): (MTLS,)}, {}], ids=["a neighbour's file", "nobody knows"])
def test_tls_options_of_others_may_ask_for_a_certificate(beside):
    seen = {"doors": (DOORS[0], BY_DOOR), "beside": beside}
    assert "authentication" in opened(ours(a=BEHIND), ours(a={**BEHIND, "tls": {}}), **seen)


def test_tls_options_of_a_neighbour_that_ask_for_nothing_are_no_loss():
    seen = {"doors": (DOORS[0], BY_DOOR), "beside": {("tls.options", "mtls"): ({"minVersion": "VersionTLS12"},)}}
    assert opened(ours(a=BEHIND), ours(a={**BEHIND, "tls": {}}), **seen) == []


def test_a_router_that_cannot_be_read_may_take_the_certificates_of_its_whole_host():
    a = router("Host(`x.lab`)", door="websecure", tls={"options": "mtls"})
    old = router("Host(`x.lab`) && Path(`/b`)", door="websecure", tls={}, ruleSyntax="v2")
    assert "authentication" in opened(with_options(MTLS, a=a), with_options(MTLS, a=a, old=old))


# ── what comes up where ours goes ────────────────────────────────────────────────────────────────


def test_a_neighbours_route_of_the_same_name_answers_where_ours_is_deleted():
    behind = {("http.routers", "a"): (router("Host(`x.lab`)"),)}
    assert "authentication" in opened(ours(a=ASKED), ours(), beside=behind)
    assert "authentication" not in opened(ours(a=ASKED), ours())


def test_a_neighbours_middleware_of_the_same_name_takes_the_place_of_ours():
    others = {"q@file": router("Host(`x.lab`)", asks=True)}
    before = ours(b=router("Host(`y.lab`)"))
    after = {address: spec for address, spec in before.items() if address.kind != "http.middlewares"}
    seen = replace(observed(before, others), beside={("http.middlewares", "door"): ({"compress": {}},)})
    done = consequences("traefik", Before(before, {}), after, seen, ())
    assert [loss.guard for loss in guard.losses("traefik", done, (), Policy())] == ["authentication"]


# ── others are let in ────────────────────────────────────────────────────────────────────────────

SSO = {"forwardAuth": {"address": "http://sso.lab/"}}
LAN = {"ipAllowList": {"sourceRange": ["10.0.0.0/8"]}}


def gated(*names, service="noop@internal", **specs):
    """A route behind these middlewares, and what they are."""
    made = {Address("traefik", "http.middlewares", name): spec for name, spec in specs.items()}
    route = router("Host(`x.lab`)", service=service, middlewares=list(names))
    return {**ours(a=route), **made}


@pytest.mark.parametrize(
    ("before", "after", "who"),
    [
        (gated("sso", sso=SSO), gated("sso", sso={"forwardAuth": {"address": "http://yes.lab/"}}), "sso"),
        (
            gated("sso", sso=SSO),
            gated("sso", sso={"forwardAuth": {"address": "http://sso.lab/", "trustForwardHeader": True}}),
            "sso",
        ),
        (gated("sso", sso=SSO), gated("door", sso=SSO), "sso"),
        (gated("sso", "door", sso=SSO), gated("door", sso=SSO), "sso"),
        (gated("door"), gated("door", door={"basicAuth": {"users": ["a:b", "mallory:c"]}}), "door"),
        (
            gated("door"),
            gated("in", "door", **{"in": {"headers": {"customRequestHeaders": {"Authorization": "Basic YTpi"}}}}),
            "in",
        ),
        (
            gated("both", both={"chain": {"middlewares": ["sso"]}}, sso=SSO),
            gated("both", both={"chain": {"middlewares": ["door"]}}, sso=SSO),
            "sso",
        ),
        (gated("lan", lan=LAN), gated(lan=LAN), "lan"),
        (gated("lan", lan=LAN), gated("lan", lan={"ipAllowList": {"sourceRange": ["0.0.0.0/0"]}}), "lan"),
    ],
    ids=[
        "another server", "a header believed", "another gate", "one of two gates", "one user more",
        "credentials for everybody", "inside a chain", "no address is asked for", "more addresses",
    ],
)  # fmt: skip
def test_who_lets_in_others_than_before_is_a_loss_though_somebody_still_asks(before, after, who):
    found = guard.losses(
        "traefik", consequences("traefik", Before(before, {}), after, observed(before), ()), (), Policy()
    )
    assert [(loss.guard, loss.level, loss.address.rpartition("/")[2]) for loss in found] == [
        ("authentication", "shown", who)
    ]
    assert "who may come in changes for x.lab" in found[0].lost


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (gated("door", door={"basicAuth": {"users": ["a:b", "c:d"]}}), gated("door")),
        (gated("lan", lan={"ipAllowList": {"sourceRange": ["10.0.0.0/8", "::1"]}}), gated("lan", lan=LAN)),
        (gated("door"), gated("sso", "door", sso=SSO)),
        (gated("door"), gated("both", both={"chain": {"middlewares": ["door"]}})),
        (gated("door"), gated("again", again={"basicAuth": {"users": ["a:b"]}})),
        (gated("door"), gated("door", "in", **{"in": {"headers": {"customRequestHeaders": {"Authorization": "x"}}}})),
        (gated("door"), gated("small", "door", small={"compress": {}})),
    ],
    ids=[
        "one user less",
        "fewer addresses",
        "one gate more",
        "in a chain",
        "by another name",
        "behind it",
        "beside it",
    ],
)
def test_who_lets_in_nobody_new_loses_nothing(before, after):
    assert opened(before, after) == []


def test_a_gate_of_many_routes_is_one_loss_that_names_a_few_hosts():
    many = {f"r{n}": router(f"Host(`h{n}.lab`)", asks=True) for n in range(9)}
    before, other = ours(**many), {Address("traefik", "http.middlewares", "door"): SSO}
    (loss,) = guard.losses(
        "traefik", consequences("traefik", Before(before, {}), before | other, observed(before), ()), (), Policy()
    )
    assert "and 6 more" in loss.lost
    assert len(loss.hosts) == 9


# ── sent to https ────────────────────────────────────────────────────────────────────────────────

TO_TLS = {"to": {"redirectScheme": {"scheme": "https"}}}
BY_PATTERN = {"to": {"redirectRegex": {"regex": "^http://(.*)", "replacement": "https://${1}"}}}
CHAINED = {"to": {"chain": {"middlewares": ["one"]}}, "one": TO_TLS["to"]}


@pytest.mark.parametrize("forwarded", [{"insecure": True}, {"trustedIPs": ["10.0.0.0/8"]}], ids=str)
def test_a_way_to_https_protects_nothing_where_clients_may_say_that_they_came_by_it(forwarded):
    before, after = gated("door", **TO_TLS), gated("to", **TO_TLS)
    believing = {"name": "web", "address": ":80", "forwardedHeaders": forwarded}
    assert opened(before, after, doors=(believing, DOORS[1])) == ["authentication"]
    assert opened(before, after) == []


@pytest.mark.parametrize("way", [TO_TLS, BY_PATTERN, CHAINED], ids=["itself", "by a pattern", "in a chain"])
def test_without_the_way_to_https_only_what_asked_there_is_lost(way):
    for asks in (False, True):
        behind = {
            Address("traefik", "http.routers", "tls"): router("Host(`x.lab`)", asks=asks, door="websecure", tls={})
        }
        before, after = {**gated("to", **way), **behind}, {**gated(**way), **behind}
        assert opened(before, after) == (["authentication"] if asks else [])


def test_a_way_to_https_may_be_written_otherwise():
    for way in (BY_PATTERN, CHAINED):
        behind = {
            Address("traefik", "http.routers", "tls"): router("Host(`x.lab`)", asks=True, door="websecure", tls={})
        }
        assert opened({**gated("to", **TO_TLS), **behind}, {**gated("to", **way), **behind}) == []


# ── harmless beside what nobody can tell ─────────────────────────────────────────────────────────


def test_what_a_standing_unreadable_router_hides_before_and_after_alike_is_no_loss():
    others = {"old@docker": {**router("PathPrefix(`/`)"), "ruleSyntax": "v2", "priority": 9000}}
    services = [
        {Address("traefik", "http.services", "s"): {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{n}"}]}}}
        for n in (1, 2)
    ]
    before, after = ({**gated("door", service="s"), **one} for one in services)
    seen = observed(before, others)
    done = consequences("traefik", Before(before, {}), after, seen, ())
    assert any(effect.unknown for effect in done.all)
    assert guard.losses("traefik", done, (), Policy()) == []
    without = {**gated(service="s"), **services[0]}
    done = consequences("traefik", Before(before, {}), without, seen, ())
    assert "authentication" in {loss.guard for loss in guard.losses("traefik", done, (), Policy())}


# ── words ────────────────────────────────────────────────────────────────────────────────────────


def test_a_way_to_https_is_not_what_makes_the_other_entry_point_reachable():
    policy = Policy(guards=Guards(public_entry_points=("websecure",)))
    new = {
        **ours(plain=router("Host(`n.lab`)"), real=router("Host(`n.lab`)", door="websecure", tls={})),
    }
    done = consequences("traefik", Before(ours(), {}), new, observed(ours()), (), ("websecure",))
    found = guard.losses("traefik", done, (), policy)
    assert {loss.address.rpartition("/")[2] for loss in found if loss.guard == "exposure"} == {"real"}


def test_a_route_that_moves_to_tls_is_still_served_on_that_entry_point():
    both = router("Host(`x.lab`)", entryPoints=["web", "websecure"])
    done = effects(ours(a=both), ours(a=router("Host(`x.lab`)", door="websecure", tls={})))
    assert [one.told for one in done.gone] == ["x.lab would no longer be served on web"]


# ── routes of others ─────────────────────────────────────────────────────────────────────────────

THEIRS = {"theirs@docker": router("Host(`t.lab`)")}


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (ours(), ours(a=router("Host(`t.lab`)", priority=1000)), [("takeover", "a")]),
        (ours(), ours(a=router("Host(`t.lab`) && Path(`/part`)", priority=1000)), []),
        (
            ours(a=router("Host(`t.lab`)", priority=1000)),
            ours(a=router("Host(`t.lab`)", priority=1)),
            [("takeover", "a")],
        ),
        (ours(a=router("Host(`t.lab`)", priority=1000)), ours(), []),
    ],
    ids=["ours takes all", "ours takes a part", "theirs takes all", "ours is deleted"],
)
def test_a_route_of_others_that_gets_nothing_any_more_or_takes_all_of_ours_is_a_takeover(before, after, found):
    assert losses(before, after, THEIRS) == found


def test_a_route_of_others_that_dies_with_tls_options_of_ours_counts_however_few_there_are():
    theirs = {"theirs@file": router("Host(`t.lab`)", door="websecure", tls={"options": "mtls"})}
    before, after = with_options({"minVersion": "VersionTLS13"}, a=ASKED), ours(a=ASKED)
    done = consequences("traefik", Before(before, {}), after, observed(before, theirs), ())
    (loss,) = guard.losses("traefik", done, (), Policy())
    assert (loss.guard, loss.level, loss.address) == ("hostnames", "shown", "traefik/http.routers/theirs")


def test_routes_that_die_with_what_an_entry_point_takes_from_us_are_gone():
    given = {"name": "web", "address": ":80", "http": {"middlewares": ["door@file"]}}
    before = ours(**{f"r{n}": router(f"Host(`h{n}.lab`)") for n in range(3)})
    after = {address: spec for address, spec in before.items() if address.name != "door"}
    assert opened(before, after, doors=(given, DOORS[1])) == ["hostnames"]
