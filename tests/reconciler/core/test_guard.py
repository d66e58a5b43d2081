"""What people would lose, and who has to agree."""

import pytest

from reconciler.core import guard
from reconciler.core.guard import Route
from reconciler.core.plan import ABSENT, Change
from reconciler.core.policy import Policy, parse
from reconciler.core.route import ALL, NOTHING, Part, Stretch
from state.model import Address


def route(name, *hosts, auth=False, entry=(), **more):
    rule = " || ".join(f"Host(`{host}`)" for host in hosts)
    fields = {
        "address": f"traefik/http.routers/{name}",
        "hosts": frozenset(hosts),
        "rule": rule,
        "authenticated": auth,
        "entry_points": frozenset(entry),
        "priority": len(rule),
    }
    return Route(**{**fields, **more})


def catch_all(name="all", **more):
    """A route for every host, whatever its name."""
    return route(name, **{"rule": "HostRegexp(`.*`)", "broad": True, "reach": lambda _: ALL, **more})


def below(path, *hosts):
    part = Part(frozenset({Stretch(path)}))
    return {"rule": f"{hosts} {path}", "reach": lambda host: part if host in hosts else NOTHING}


def deleted(name):
    address = Address("traefik", "http.routers", name)
    return Change(address=address, base={}, want=ABSENT, live={}, action="delete")


def levels(before, after, changes=(), policy=None):
    return sorted({(loss.guard, loss.level) for loss in guard.losses(before, after, changes, policy or Policy())})


@pytest.mark.parametrize(
    ("total", "removed", "level"),
    [(1, 1, "allowed"), (2, 1, "allowed"), (2, 2, "shown"), (9, 8, "shown"), (100, 3, "allowed"), (100, 4, "shown")],
)
def test_removed_hostnames_are_counted_absolutely_and_relatively_small_homes_included(total, removed, level):
    before = [route(f"r{n}", f"{n}.lab") for n in range(total)]
    assert levels(before, before[removed:] + [route("own", "own.lab")]) == [("hostnames", level)]


def test_a_hostname_that_another_router_still_serves_is_not_lost():
    assert levels([route("a", "x.lab"), route("b", "x.lab")], [route("b", "x.lab")]) == []


def test_a_router_that_loses_its_authentication_is_a_loss():
    assert levels([route("a", "x.lab", auth=True)], [route("a", "x.lab")]) == [("authentication", "shown")]


def test_a_deleted_router_that_falls_through_to_an_open_one_loses_authentication():
    before = [route("admin", "x.lab", auth=True), route("other", "x.lab", rule="Host(`x.lab`) && Method(`GET`)")]
    assert levels(before, before[1:]) == [("authentication", "shown")]


def test_a_deleted_router_that_falls_through_to_a_catch_all_is_still_served_and_loses_authentication():
    before = [route("a", "x.lab", auth=True), catch_all()]
    (loss,) = guard.losses(before, before[1:], (), Policy())
    assert (loss.guard, loss.address) == ("authentication", "traefik/http.routers/a")
    assert "through traefik/http.routers/all" in loss.lost


def test_a_deleted_open_router_before_a_catch_all_lost_its_route_but_is_not_called_unserved():
    (loss,) = guard.losses([route("a", "x.lab"), catch_all()], [catch_all()], (), Policy())
    assert (loss.guard, loss.level) == ("hostnames", "allowed")
    assert loss.lost == "x.lab would have no route of its own any more; traefik/http.routers/all would answer for it"


@pytest.mark.parametrize(
    "way",
    [
        route("new", "x.lab", priority=1000),
        route("new", "x.lab"),  # a tie: Traefik decides by chance
        catch_all(priority=1000),
        route("new", "y.lab", "x.lab", priority=1000),
        route("tcp", rule="HostSNI(`*`)", broad=True, swallows=True, priority=2**63),
        route("new", "x.lab", tls=True, priority=1),  # another table: priorities do not compare
    ],
)
def test_a_new_open_way_that_may_come_first_is_a_loss_of_authentication(way):
    before = [route("a", "x.lab", auth=True)]
    assert ("authentication", "shown") in levels(before, [*before, way])


@pytest.mark.parametrize(
    "way",
    [
        route("new", "y.lab", priority=1000),
        route("new", "x.lab", priority=1),
        catch_all(priority=1),
        route("new", "x.lab", priority=1000, entry=["other"]),
        route("new", "x.lab", auth=True, priority=1000),
        route("tcp", rule="HostSNI(`*`)", entry=["other"], broad=True, swallows=True),
    ],
)
def test_a_new_way_that_cannot_get_those_requests_is_none(way):
    before = [route("a", "x.lab", auth=True, entry=["web"])]
    assert levels(before, [*before, way]) == []


def test_ways_below_different_paths_do_not_meet():
    before = [route("a", "x.lab", auth=True, **below("/admin", "x.lab"))]
    assert levels(before, [*before, route("new", "x.lab", priority=99, **below("/public", "x.lab"))]) == []
    deeper = route("new", "x.lab", priority=99, **below("/admin/logo", "x.lab"))
    assert levels(before, [*before, deeper]) == [("authentication", "shown")]


def test_an_open_way_raised_above_a_router_with_authentication_is_a_loss():
    asked, low = route("a", "x.lab", auth=True), catch_all(priority=1)
    assert levels([asked, low], [asked, catch_all(priority=100)]) == [("authentication", "shown")]
    assert levels([asked, low], [route("a", "x.lab", auth=True, priority=-5), low]) == [("authentication", "shown")]


def test_an_open_way_that_had_precedence_already_takes_nothing_new():
    public = route("public", "x.lab", priority=99, **below("/public", "x.lab"))
    before, renamed = route("a", "x.lab", auth=True), route("b", "x.lab", auth=True)
    assert levels([before, public], [renamed, public]) == []
    assert levels([before, public], [route("a", "x.lab", "y.lab", auth=True), public]) == []


def test_a_host_below_an_authenticated_wildcard_that_gets_an_open_route_loses_authentication():
    wildcard = route(
        "all", rule="Host(`*.lab`)", hosts=frozenset({"*.lab"}), auth=True, broad=True, reach=lambda _: ALL
    )
    (loss,) = guard.losses([wildcard], [wildcard, route("new", "x.lab", priority=99)], (), Policy())
    assert (loss.guard, loss.lost.split(" ")[0]) == ("authentication", "x.lab")


def test_a_catch_all_below_http_takes_the_hosts_of_its_entry_point():
    before = [route("a", "a.lab", entry=["web"]), route("b", "b.lab", entry=["safe"]), route("c", "c.lab", tls=True)]
    tcp = route("tcp", rule="HostSNI(`*`)", entry=["web"], broad=True, swallows=True)
    found = guard.losses(before, [*before, tcp], (), Policy())
    assert [loss.lost for loss in found] == ["a.lab would no longer be served"]
    assert guard.losses([*before, tcp], [*before, tcp], (), Policy()) == []


def test_a_deleted_router_with_authentication_and_nobody_behind_it_only_loses_its_host():
    assert levels([route("a", "x.lab", auth=True)], []) == [("hostnames", "allowed")]


def test_a_router_newly_on_a_public_entry_point_is_a_loss_where_the_policy_names_some():
    policy = parse({"guards": {"public_entry_points": ["websecure"]}})[0]
    inside, outside = route("a", "x.lab", entry=["web"]), route("a", "x.lab", entry=["web", "websecure"])
    assert levels([inside], [outside], policy=policy) == [("exposure", "shown")]
    assert levels([outside], [outside], policy=policy) == []
    assert levels([inside], [route("a", "x.lab")], policy=policy) == [("exposure", "shown")]


def test_a_host_newly_on_a_public_entry_point_is_a_loss_though_its_router_was_there_before():
    policy = parse({"guards": {"public_entry_points": ["websecure"]}})[0]
    blog, db = route("blog", "blog.lab", entry=["websecure"]), route("db", "db.lab", entry=["web"])
    (loss,) = guard.losses([blog, db], [route("blog", "blog.lab", "db.lab", entry=["websecure"]), db], (), policy)
    assert (loss.guard, loss.address) == ("exposure", "traefik/http.routers/blog")
    assert loss.lost == "db.lab would newly be reachable on the public entry point websecure"
    assert levels([blog], [route("renamed", "blog.lab", entry=["websecure"])], policy=policy) == []


def test_a_protected_route_needs_a_persons_word():
    assert ("protected", "consent") in levels([route("gitea", "git.lab")], [], [deleted("gitea")])


def test_protection_does_not_mind_capitals():
    assert ("protected", "consent") in levels([], [], [deleted("Gitea")])
    assert ("protected", "consent") in levels([], [], [deleted("gitea")], parse({"protected": ["*/*/Gitea"]})[0])


def test_where_nothing_is_protected_nothing_is():
    assert levels([], [], [deleted("gitea")], parse({"protected": []})[0]) == []


def test_a_new_way_to_the_host_of_a_protected_route_is_held_whatever_its_name():
    before = [route("gitea", "git.lab")]
    for thief in (route("z", "git.lab", priority=9999), route("gitea-2", "git.lab"), catch_all(priority=9999)):
        (loss,) = guard.losses(before, [*before, thief], (), Policy())
        assert (loss.guard, loss.level, loss.address) == ("protected", "consent", thief.address)
        assert "git.lab in place of traefik/http.routers/gitea" in loss.lost
    assert levels(before, [*before, catch_all(priority=1)]) == []
    assert levels(before, [*before, route("z", "z.lab", priority=9999)]) == []


def test_what_a_protected_route_needs_is_protected_with_it():
    auth = Address("traefik", "http.middlewares", "allow")
    changed = Change(address=auth, base={}, want={"x": 1}, live={}, action="update")
    (loss,) = guard.losses([], [], [changed], Policy(), needed={str(auth)})
    assert (loss.guard, loss.level, loss.address) == ("protected", "consent", str(auth))


def test_small_losses_that_nobody_saw_add_up_and_the_refusal_says_so():
    served = [route(f"r{n}", f"{n}.lab") for n in range(8)]
    before, after = served[3:], served[5:]
    assert levels(before, after) == [("hostnames", "allowed")]
    found = guard.losses(before, after, (), Policy(), earlier=served[:3])
    assert {loss.level for loss in found} == {"shown"}
    assert "4.lab would no longer be served, after 0.lab, 1.lab, 2.lab went" in str(refused(found[1])[0])
    assert {loss.key for loss in found} == {loss.key for loss in guard.losses(before, after, (), Policy())}


def test_a_host_that_came_back_does_not_add_up():
    served = [route(f"r{n}", f"{n}.lab") for n in range(8)]
    found = guard.losses(served, served[2:], (), Policy(), earlier=served[:3])
    assert {loss.level for loss in found} == {"allowed"}


def test_the_last_route_of_several_needs_a_persons_word_but_a_single_one_does_not():
    one, other = route("a", "a.lab"), route("b", "b.lab")
    assert ("empty", "consent") in levels([one, other], [])
    assert levels([one], []) == [("hostnames", "allowed")]
    found = guard.losses([one], [], (), Policy(), earlier=[other])
    assert ("empty", "consent") in {(loss.guard, loss.level) for loss in found}


def test_nothing_left_needs_a_persons_word_however_small_the_home():
    assert [loss.level for loss in guard.emptied("traefik", {"one": 1}, {})] == ["consent"]
    assert guard.emptied("traefik", {}, {}) == []
    assert guard.emptied("traefik", {"one": 1}, {"two": 2}) == []


def refused(loss, *, shown=(), consented=(), strict=False):
    return guard.refusals([loss], shown=shown, consented=consented, digest="d" * 64, commit="c" * 40, strict=strict)


def test_a_loss_within_limits_passes_but_not_unseen_in_a_commit_whose_plan_was_shown():
    loss = guard.losses([route("a", "x.lab")], [], (), Policy())[0]
    assert not refused(loss)
    assert refused(loss, strict=True)
    assert not refused(loss, strict=True, shown={loss.key})


def test_a_large_loss_passes_once_it_was_shown_or_consented_to():
    loss = guard.losses([route("a", "x.lab", auth=True)], [route("a", "x.lab")], (), Policy())[0]
    assert refused(loss)
    assert not refused(loss, shown={loss.key})
    assert not refused(loss, consented={loss.key})


def test_a_protected_loss_passes_only_by_consent_and_the_refusal_says_how():
    loss = guard.losses([], [], [deleted("gitea")], Policy())[0]
    (refusal,) = refused(loss, shown={loss.key})
    assert "waypost approve cccccccccccc --plan dddddddddddd" in str(refusal)
    assert "traefik/http.routers/gitea" in str(refusal)
    assert not refused(loss, consented={loss.key})
