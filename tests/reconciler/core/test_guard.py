"""What people would lose, and who has to agree."""

import pytest

from reconciler.core import guard
from reconciler.core.guard import Route
from reconciler.core.plan import ABSENT, Change
from reconciler.core.policy import Policy, parse
from state.model import Address


def route(name, *hosts, auth=False, entry=()):
    rule = " || ".join(f"Host(`{host}`)" for host in hosts)
    return Route(
        address=f"traefik/http.routers/{name}",
        hosts=frozenset(hosts),
        rule=rule,
        authenticated=auth,
        entry_points=frozenset(entry),
    )


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
    assert levels(before, before[removed:]) == [("hostnames", level)]


def test_a_hostname_that_another_router_still_serves_is_not_lost():
    assert levels([route("a", "x.lab"), route("b", "x.lab")], [route("b", "x.lab")]) == []


def test_a_router_that_loses_its_authentication_is_a_loss():
    assert levels([route("a", "x.lab", auth=True)], [route("a", "x.lab")]) == [("authentication", "shown")]


def test_a_deleted_router_that_falls_through_to_an_open_one_loses_authentication():
    before = [route("admin", "x.lab", auth=True), Route(**{**vars(route("all", "x.lab")), "rule": "HostRegexp(`.`)"})]
    assert levels(before, before[1:]) == [("authentication", "shown")]


def test_a_deleted_router_with_authentication_and_nobody_behind_it_only_loses_its_host():
    assert levels([route("a", "x.lab", auth=True)], []) == [("hostnames", "allowed")]


def test_a_router_newly_on_a_public_entry_point_is_a_loss_where_the_policy_names_some():
    policy = parse({"guards": {"public_entry_points": ["websecure"]}})[0]
    inside, outside = route("a", "x.lab", entry=["web"]), route("a", "x.lab", entry=["web", "websecure"])
    assert levels([inside], [outside], policy=policy) == [("exposure", "shown")]
    assert levels([outside], [outside], policy=policy) == []
    assert levels([inside], [route("a", "x.lab")], policy=policy) == [("exposure", "shown")]


def test_a_protected_route_needs_a_persons_word():
    assert ("protected", "consent") in levels([route("gitea", "git.lab")], [], [deleted("gitea")])


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
