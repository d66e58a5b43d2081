"""What is wrong with routers side by side: found with a request that shows it, and with what would help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from reconciler.routing.certificates import Asked, Certificates
from reconciler.routing.conflicts import MOST_WITH_ONE, Finding, Findings, check, check_change
from reconciler.routing.definitions import Definitions
from reconciler.routing.planes import planes
from reconciler.routing.reaching import unreached
from reconciler.routing.revising import revised
from reconciler.routing.routers import EntryPoint, Router
from reconciler.routing.table import Table
from reconciler.routing.ties import Ties
from reconciler.routing.treatments import Serving
from tests.reconciler.routing.random_changes import DOORS, ChangeMaker

WEB = (EntryPoint(name="web", port=80), EntryPoint(name="websecure", port=443))


def router(name: str, rule: str, *middlewares: str, **more: Any) -> Router:
    qualified = name if "@" in name else f"{name}@file"
    said = {"name": qualified, "service": qualified, "rule": rule, "entry_points": ("web",)}
    return Router(**(said | {"middlewares": tuple(f"{one}@file" for one in middlewares)} | more))


def table(*routers: Router, doors: Sequence[EntryPoint] = WEB) -> Table:
    return Table(routers, doors)


def of_kind(found: Findings, kind: str) -> list[Finding]:
    return [one for one in found if one.kind == kind]


def after(before: Table, *new: Router, removed: Sequence[str] = ()) -> Findings:
    """What a change that adds or replaces these brings about."""
    return check_change(before, revised(before, removed, new), [*removed, *(one.name for one in new)])


# ── ties ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_random_tie_is_an_error_with_the_priority_that_resolves_it() -> None:
    before = table(router("api", "PathPrefix(`/api`)"), router("other", "Host(`b.lab`)"))
    (error,) = after(before, router("git", "Host(`git.lab`)", priority=18)).errors
    assert error.kind == "tie"
    assert {error.subject, *error.others} == {"api", "git"}
    assert error.witness is not None
    assert (error.witness.host, error.witness.target) == ("git.lab", "/api")
    assert error.suggestion == "Set `priority: 19` on `git`, and it gets what both match"
    resolved = router("git", "Host(`git.lab`)", priority=19)
    assert not after(before, resolved).errors


def test_the_narrower_of_two_should_win_and_no_other_tie_comes_of_it() -> None:
    wide, narrow = (
        router("wide", "Host(`a.lab`)", priority=9),
        router("narrow", "Host(`a.lab`) && Path(`/x`)", priority=9),
    )
    third = router("third", "Path(`/x`) && Method(`POST`)", priority=10)
    (error,) = after(table(wide, third), narrow).errors
    assert error.suggestion == "Set `priority: 11` on `narrow` (the narrower of the two), and it gets what both match"


def test_a_tie_that_stood_before_is_a_warning() -> None:
    one, other = router("one", "Host(`a.lab`)"), router("two", "Host(`A.lab`)")
    found = of_kind(check(table(one, other)), "tie")
    assert [tie.severity for tie in found] == ["warning"]
    assert not after(table(one, other), replace(other, service="elsewhere@file")).errors


def test_a_tie_between_routers_that_do_the_same_refuses_nothing() -> None:
    one = router("one", "Host(`a.lab`)")
    twin = router("two", "Host(`A.lab`)", service="one@file")
    found = after(table(one), twin)
    assert not found.errors
    assert "both treat requests alike" in of_kind(found, "tie")[0].message
    specs = {"http.services": {"one": {"loadBalancer": 1}}}
    both = [Serving(table(*some), Definitions(specs)) for some in ([one], [one, twin])]
    assert not check_change(*both, ["two"]).errors


def test_a_tie_that_no_request_reaches_is_none() -> None:
    first = router("first", "PathPrefix(`/`)", priority=100)
    assert of_kind(check(table(first, router("a", "Host(`a.lab`)"), router("b", "Path(`/abcde`)"))), "tie") == []


def test_children_of_one_parent_tie_too() -> None:
    parent = router("parent", "Host(`a.lab`)", service="")
    children = [
        router(name, f"PathPrefix(`/{name}`)", parents=("parent@file",), entry_points=()) for name in ("a", "b")
    ]
    assert of_kind(check(table(parent, *children)), "tie") == []
    rival = replace(children[1], rule="Path(`/a/b`)", priority=16)
    found = of_kind(check(table(parent, replace(children[0], priority=16), rival)), "tie")
    assert [(one.subject, one.others) for one in found] == [("a", ("b",))]


def test_a_child_that_ties_with_a_sibling_is_an_error_only_where_the_change_brings_it_about() -> None:
    parent = router("parent", "Host(`a.lab`)", service="")
    one, two, three = (
        router(name, f"PathPrefix(`/{path}`)", parents=("parent@file",), entry_points=(), priority=5)
        for name, path in (("one", "a"), ("two", "a/b"), ("three", "a/c"))
    )
    standing = table(parent, one, two)
    (error,) = after(standing, three).errors
    assert (error.subject, error.others) == ("one", ("three",))
    assert not after(standing, replace(two, service="elsewhere@file")).errors
    assert [tie.severity for tie in of_kind(after(standing, replace(two, service="x@file")), "tie")] == ["warning"]


@pytest.mark.parametrize("seed", range(15))
def test_every_tie_that_a_random_request_meets_is_found(seed: int) -> None:
    maker = ChangeMaker(seed, families=seed % 2 == 0)
    routers = maker.routers(14)
    known = Table(routers, DOORS)
    found = {frozenset((one.subject, *one.others)) for one in check(known) if one.kind in ("tie", "undecided")}
    for request in maker.requests(routers, 400):
        tied = known.answer(request).tied
        if len(tied) == 2:
            assert frozenset(tied) in found, (request, tied)


@pytest.mark.parametrize("seed", range(15))
def test_the_priority_that_is_suggested_resolves_the_tie(seed: int) -> None:
    maker = ChangeMaker(seed)
    serving = Serving(Table(maker.routers(12), DOORS))
    for tie in of_kind(check(serving), "tie"):
        number, name = tie.suggestion.split("`")[1].split(": ")[1], tie.suggestion.split("`")[3]
        (old,) = [one for one in serving.table.routers if one.name == f"{name}@file"]
        mended = Table(
            [replace(one, priority=int(number)) if one is old else one for one in serving.table.routers], DOORS
        )
        left = of_kind(check(mended), "tie")
        assert {tie.subject, *tie.others} not in [{one.subject, *one.others} for one in left]


def test_one_rule_that_ties_with_many_is_counted() -> None:
    many = [router(f"r{n}", f"Host(`h{n:03}.lab`)") for n in range(40)]
    broad = router("broad", "PathPrefix(`/`)", priority=len("Host(`h000.lab`)"))
    found = check(table(*many, broad))
    assert (len(of_kind(found, "tie")), found.more["tie"]) == (MOST_WITH_ONE, 40 - MOST_WITH_ONE)
    change = after(table(*many), broad)
    assert len(change.errors) == MOST_WITH_ONE
    assert change.more["tie"] == 40 - MOST_WITH_ONE


# ── routers without requests ─────────────────────────────────────────────────────────────────────


def test_a_router_under_the_union_of_others_is_unreachable() -> None:
    below = router("below", "Host(`a.lab`)", priority=1)
    parts = router("get", "Host(`a.lab`) && Method(`GET`)"), router("rest", "Host(`a.lab`) && !Method(`GET`)")
    (found,) = of_kind(check(table(below, *parts)), "unreachable")
    assert found.subject == "below"
    assert set(found.others) == {"get", "rest"}
    assert of_kind(check(table(below, parts[0])), "unreachable") == []


def test_a_router_that_some_entry_point_reaches_is_reachable() -> None:
    doors = [EntryPoint(name="web", port=80, redirects="websecure"), EntryPoint(name="websecure", port=443)]
    everywhere = router("everywhere", "Host(`a.lab`)", entry_points=("web", "websecure"))
    only_web = router("webonly", "Host(`b.lab`)")
    found = of_kind(check(table(everywhere, only_web, doors=doors)), "unreachable")
    assert [one.subject for one in found] == ["webonly"]


@pytest.mark.parametrize("seed", range(12))
def test_no_router_that_serves_a_random_request_is_called_unreachable(seed: int) -> None:
    maker = ChangeMaker(seed, families=seed % 2 == 0, tcp=seed % 3 == 0)
    routers = maker.routers(14)
    known = Serving(Table(routers, DOORS))
    dead = {one.router.name for one in unreached(known) if not one.doubt}
    for request in maker.requests(routers, 400):
        answer = known.table.answer(request)
        assert answer.router is None or f"{answer.router}@file" not in dead, request


def test_a_rule_that_matches_nothing_is_named_with_the_reason() -> None:
    found = of_kind(check(table(router("port", "Host(`a.lab:80`)"))), "never")
    assert [one.subject for one in found] == ["port"]
    assert "port" in found[0].message
    contradiction = router("both", "Method(`GET`) && Method(`POST`)")
    assert "contradicts itself" in of_kind(check(table(contradiction)), "never")[0].message


def test_a_tcp_router_whose_names_https_routers_claim_is_said_to_be_beaten_not_to_contradict_itself() -> None:
    https = router("git", "Host(`git.lab`)", entry_points=("websecure",), tls=True)
    passed = router("vm", "HostSNI(`git.lab`)", protocol="tcp", entry_points=("websecure",), tls=True)
    never = replace(passed, name="no@file", rule="HostSNI(`a.lab`) && HostSNI(`b.lab`)")
    found = {one.subject: one for one in check(table(https, passed, never)) if one.kind in ("never", "unreachable")}
    assert found["vm"].kind == "unreachable" and "HTTP routers with TLS for the same names" in found["vm"].message
    assert found["no"].kind == "never" and "contradicts itself" in found["no"].message


def test_a_tcp_router_below_a_catch_all_that_yields_to_http_is_unreachable() -> None:
    everywhere = router("web", "PathPrefix(`/`)", entry_points=("websecure",), tls=True)
    tcp = {"protocol": "tcp", "entry_points": ("websecure",), "tls": True}
    wide, narrow = router("all", "HostSNI(`*`)", priority=1000, **tcp), router("vm", "HostSNI(`vm.lab`)", **tcp)
    found = [one.subject for one in check(table(everywhere, wide, narrow)) if one.kind == "unreachable"]
    assert found == ["all", "vm"]


def test_an_opaque_router_is_never_said_to_hide_another() -> None:
    old = router("old", "Path(`/x`) || HostHeader(`y`)", syntax="v2", priority=100)
    found = check(table(old, router("new", "Host(`a.lab`)")))
    assert of_kind(found, "unreachable") == []
    assert [one.severity for one in of_kind(found, "undecided")] == ["info"]


def test_what_a_disabled_router_should_get_falls_through_with_a_witness() -> None:
    admin = router("admin", "Host(`a.lab`) && PathPrefix(`/admin`)", "auth", disabled="there is no middleware 'auth'")
    serving = Serving(table(router("site", "Host(`a.lab`)"), admin), asks=lambda middlewares: "auth" in middlewares)
    (found,) = of_kind(check(serving), "falls-through")
    assert found.witness is not None
    assert found.witness.target == "/admin"
    assert found.message.endswith("what it should get goes to `site`, where nobody is asked who they are")
    assert of_kind(check(table(admin)), "falls-through") == []


# ── changes ──────────────────────────────────────────────────────────────────────────────────────


def test_a_plain_proposal_is_never_refused() -> None:
    before = table(router("git", "Host(`git.lab`)", "auth"), router("wiki", "Host(`wiki.lab`)"))
    everything = router("everything", "PathPrefix(`/`)", priority=1)
    assert not after(before, everything, router("api", "Host(`git.lab`) && PathPrefix(`/api`)")).errors
    assert len(after(before, router("new", "Host(`new.lab`)"))) == 0


def test_a_part_taken_over_is_told_and_the_whole_is_a_warning() -> None:
    before = table(router("git", "Host(`git.lab`)"))
    (part,) = of_kind(after(before, router("api", "Host(`git.lab`) && PathPrefix(`/api`)")), "takeover")
    assert (part.severity, part.subject, part.others) == ("info", "api", ("git",))
    (whole,) = of_kind(after(before, router("new", "Host(`git.lab`)", priority=99)), "takeover")
    assert whole.severity == "warning"
    assert "none is left for it" in whole.message


def test_requests_of_another_provider_are_not_taken_in_silence() -> None:
    before = table(router("app@docker", "Host(`app.lab`)"))
    (found,) = of_kind(after(before, router("mine", "Host(`app.lab`) && PathPrefix(`/x`)")), "takeover")
    assert found.severity == "warning"
    assert found.others == ("app@docker",)
    assert "of the provider docker" in found.message


def test_only_what_changes_is_judged() -> None:
    standing = table(router("one", "Host(`a.lab`)"), router("two", "Host(`A.lab`)"), router("dead", "Host(`b.lab:1`)"))
    assert len(after(standing, router("new", "Host(`new.lab`)"))) == 0


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_router_with_tls_where_clients_come_without_is_named() -> None:
    found = of_kind(check(table(router("a", "Host(`a.lab`)", tls=True))), "tls")
    assert found[0].shown == "`GET http://a.lab/` at `web` is answered 404."
    plain = router("b", "Host(`b.lab`)", entry_points=("websecure",))
    assert of_kind(check(table(plain)), "tls")[0].subject == "b"
    fits = router("c", "Host(`c.lab`)", entry_points=("web", "websecure"), tls=True)
    assert of_kind(check(table(fits)), "tls") == []


def test_a_certificate_that_cannot_cover_the_host_is_named() -> None:
    secure = {"entry_points": ("websecure",), "tls": True}
    routers = [
        router("named", "Host(`a.b.lab`)", **secure),
        router("nameless", "HostRegexp(`^.+\\.lab$`)", **secure),
        router("held", "Host(`x.lab`)", **secure),
        router("none", "Host(`y.org`)", **secure),
        router("fine", "Host(`c.lab`)", **secure),
    ]
    asked = {
        "named@file": Asked("le", ("*.lab",)), "nameless@file": Asked("le"), "fine@file": Asked("le", ("lab", "*.lab")),
    }  # fmt: skip
    found = of_kind(check(table(*routers), certificates=Certificates(asked=asked, held=["*.lab"])), "certificate")
    assert {one.subject: one.severity for one in found} == dict.fromkeys(("named", "nameless", "none"), "warning")
    by_door = Certificates(by_door={"websecure": Asked("le")}, held=())
    assert of_kind(check(table(routers[3]), certificates=by_door), "certificate") != []


def test_a_finding_is_told_in_plain_sentences_and_in_json() -> None:
    (found,) = of_kind(check(table(router("one", "Host(`a.lab`)"), router("two", "Host(`A.lab`)"))), "tie")
    assert str(found) == (
        "`one` and `two` match the same requests with the same priority 13, and Traefik picks one of them at random at "
        "every reload. `GET http://a.lab/` shows it. Set `priority: 14` on `one`, and it gets what both match."
    )
    assert found.as_json()["witness"]["host"] == "a.lab"


def test_the_ties_of_one_plane_can_be_asked_for() -> None:
    serving = Serving(table(router("one", "Host(`a.lab`)"), router("two", "Host(`A.lab`)")))
    plane = planes(serving.table)["web", False]
    assert [tie.names for tie in Ties(serving, plane, 3).all()] == [("one", "two")]
