"""The witness diff: everything that changes is listed, everything listed changes, and it reads like a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from reconciler.routing.changes import Change, Changes, diff
from reconciler.routing.definitions import Definitions
from reconciler.routing.request import Door, Request
from reconciler.routing.revising import RevisedTable, revised
from reconciler.routing.routers import EntryPoint, Router
from reconciler.routing.table import Table
from reconciler.routing.treatments import Serving
from reconciler.routing.wording import as_json, listed, told
from tests.reconciler.routing.random_changes import DOORS, TRUSTING, ChangeMaker

WEB = (EntryPoint(name="web", port=80),)
BOTH = (*WEB, EntryPoint(name="websecure", port=443))
LAN = {"http.middlewares": {"lan": {"ipAllowList": {"sourceRange": ["10.0.0.0/8"]}}}}


def router(name: str, rule: str, *middlewares: str, **more: object) -> Router:
    plain = {"name": f"{name}@file", "service": f"{name}@file", "rule": rule}
    return Router(**(plain | {"middlewares": tuple(f"{one}@file" for one in middlewares)} | more))


def serving(*routers: Router, doors: Sequence[EntryPoint] = WEB, specs: dict | None = None) -> Serving:
    return Serving(Table(routers, doors), Definitions(specs), asks, public=frozenset({"web"}))


def asks(middlewares: Sequence[str]) -> bool:
    return not {"auth", "sso"}.isdisjoint(middlewares)


def sentences(before: Serving, after: Serving) -> list[str]:
    return [told(one) for one in diff(before, after).classes]


def only(changes: Changes) -> Change:
    assert changes.total == 1, listed(changes)
    return changes.classes[0]


# ── completeness ─────────────────────────────────────────────────────────────────────────────────

SORTS = {
    "plain": {}, "families": {"families": True}, "TCP and TLS options": {"tcp": True},
    "rules that nobody reads": {"families": True, "old": True},
}  # fmt: skip


def open_book(routers: Sequence[Router]) -> list[Router]:
    """The same with every rule for all to read: what is really served."""
    return [replace(one, syntax="", changes=()) for one in routers]


def missed(seed: int, sort: str, doors: Sequence[EntryPoint], count: int) -> tuple[int, list[str]]:
    """How many of some random requests are treated differently, and those that the diff does not list."""
    maker = ChangeMaker(seed, **SORTS[sort])
    old = maker.routers(maker.chance.randrange(2, 12))
    new = maker.changed(old, maker.chance.randrange(1, 4))
    defined = Definitions(maker.definitions())
    redefined = Definitions(maker.definitions()) if seed % 3 == 0 else defined
    changes = diff(Serving(Table(old, doors), defined), Serving(Table(new, doors), redefined))
    before, after = Serving(Table(open_book(old), doors), defined), Serving(Table(open_book(new), doors), redefined)
    found, left = 0, []
    for request in maker.requests([*old, *new], count):
        was, now = before.treatment(request), after.treatment(request)
        if was != now:
            found += 1
            door = before.table.entry_points[request.entry_point].door
            if not any(change.covers(request, was, now, door) for change in changes.classes):
                left.append(f"{seed}: {request}\n  {was}\n  {now}")
    for change in changes.known if sort != "rules that nobody reads" else ():
        assert change.witness is not None
        assert (before.treatment(change.witness), after.treatment(change.witness)) == (change.before, change.after)
        assert change.before != change.after
    return found, left


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("block", range(4))
def test_no_random_request_changes_unlisted(sort: str, block: int) -> None:
    seeds = range(block * 15, block * 15 + 15)
    found = [missed(seed, sort, DOORS if seed % 5 else TRUSTING, 250) for seed in seeds]
    assert sum(count for count, _ in found) > 200
    assert [one for _, left in found for one in left] == []


@pytest.mark.soak
@pytest.mark.parametrize("sort", SORTS)
def test_no_random_request_changes_unlisted_for_long(sort: str) -> None:
    left = [one for seed in range(1000, 2000) for one in missed(seed, sort, DOORS if seed % 4 else TRUSTING, 400)[1]]
    assert left == []


@pytest.mark.parametrize("seed", range(25))
def test_a_revised_table_is_the_table_made_anew(seed: int) -> None:
    maker = ChangeMaker(seed, families=seed % 3 == 0, old=seed % 2 == 0)
    old = maker.routers(10)
    new = maker.changed(old, 2)
    before, names = Table(old, DOORS), {one.name for one in old}
    removed = names - {one.name for one in new}
    added = [one for one in new if one not in old]
    table, made = revised(before, removed, added), Table(new, DOORS)
    for request in maker.requests(new, 150):
        one, other = table.answer(request), made.answer(request)
        assert (one.router, one.status, set(one.tied), one.unknown) == (
            other.router, other.status, set(other.tied), other.unknown,
        )  # fmt: skip
    changes, again = diff(Serving(before), Serving(table)), diff(Serving(before), Serving(made))
    assert {(one.before, one.after) for one in changes.known} == {(one.before, one.after) for one in again.known}
    assert {(one.name, table.disabled.get(one.name)) for one in new} == {
        (one.name, made.disabled.get(one.name)) for one in new
    }
    assert sorted(one.name for one in table.routers) == sorted(one.name for one in new)


def test_a_table_is_revised_without_a_look_at_the_others() -> None:
    before = Table([router(f"r{n}", f"Host(`h{n}.lab`)") for n in range(50)], WEB)
    assert isinstance(revised(before, added=[router("new", "Host(`new.lab`)")]), RevisedTable)
    child = router("child", "Path(`/a`)", parents=("r1@file",))
    assert not isinstance(revised(before, added=[child]), RevisedTable)


def test_two_runs_say_the_same() -> None:
    maker = ChangeMaker(7, families=True, old=True, tcp=True)
    old = maker.routers(12)
    new = maker.changed(old, 4)
    lines = [listed(diff(serving(*old, doors=DOORS), serving(*new, doors=DOORS)), 1000) for _ in range(2)]
    assert lines[0] == lines[1]
    assert len(lines[0]) > 3


# ── what is said ─────────────────────────────────────────────────────────────────────────────────


def test_a_path_that_slips_past_authentication_is_told_in_one_sentence() -> None:
    git = router("gitea", "Host(`git.lab`)", "auth")
    wiki = router("wiki", "Host(`git.lab`) && PathPrefix(`/admin`)")
    change = only(diff(serving(git), serving(git, wiki)))
    assert told(change) == (
        "`GET http://git.lab/admin` went to `gitea` behind `auth`; after this it goes to `wiki`, without `auth`. "
        "Nobody is asked who they are any more."
    )
    assert change.authentication_lost
    assert change.target_changed
    assert not change.newly_public


def test_a_new_host_is_newly_public_unless_somebody_asks() -> None:
    new = router("new", "Host(`new.lab`)")
    assert only(diff(serving(), serving(new))).newly_public
    assert not only(diff(serving(), serving(replace(new, middlewares=("auth@file",))))).newly_public
    assert not only(diff(serving(), serving(replace(new, middlewares=("lan@file",)), specs=LAN))).newly_public
    assert not only(diff(serving(), serving(replace(new, rule="ClientIP(`10.0.0.0/8`)")))).newly_public
    assert not only(diff(serving(), replace(serving(new), public=frozenset({"websecure"})))).newly_public


def test_a_host_is_gone_only_where_nothing_is_left_of_it() -> None:
    root, admin = (
        router("root", "Host(`git.lab`)"),
        router("admin", "Host(`git.lab`) && PathPrefix(`/a`)", entry_points=("web",)),
    )
    gone = only(diff(serving(root), serving()))
    assert gone.host_gone
    assert (
        told(gone)
        == "`GET http://git.lab/` went to `root`; after this it is answered 404. No router serves this host any more."
    )
    assert not only(diff(serving(root, admin), serving(admin))).host_gone


def test_a_middleware_that_is_defined_differently_is_a_change_of_treatment() -> None:
    one = router("one", "Host(`one.lab`)", "chain")
    specs = {
        "http.middlewares": {"chain": {"chain": {"middlewares": ["limit"]}}, "limit": {"rateLimit": {"average": 1}}}
    }
    other = {"http.middlewares": {**specs["http.middlewares"], "limit": {"rateLimit": {"average": 2}}}}
    change = only(diff(serving(one, specs=specs), serving(one, specs=other)))
    assert (
        told(change) == "`GET http://one.lab/` went to `one` behind `chain`; "
        "after this it still goes to `one`, with `chain` changed."
    )
    assert as_json(change)["altered"] == ["chain"]
    assert diff(serving(one, specs=specs), serving(one, specs=specs)).total == 0


def test_a_service_that_points_elsewhere_is_another_target() -> None:
    one = router("one", "Host(`one.lab`)")
    specs = [
        {"http.services": {"one": {"loadBalancer": {"servers": [{"url": url}]}}}} for url in ("http://a", "http://b")
    ]
    assert only(diff(serving(one, specs=specs[0]), serving(one, specs=specs[1]))).target_changed


def test_a_random_tie_is_told_as_one() -> None:
    one, other = router("one", "Host(`a.lab`)"), router("two", "Host(`A.lab`)")
    assert sentences(serving(one), serving(one, other)) == [
        "`GET http://a.lab/` went to `one`; after this it goes to `one` or `two`, as chance has it at every reload."
    ]


def test_a_rule_that_only_grows_changes_only_what_it_grew_by() -> None:
    old, new = router("one", "Host(`a.lab`)"), router("one", "Host(`a.lab`) || Host(`b.lab`)")
    assert sentences(serving(old), serving(new)) == [
        "`GET http://b.lab/` was answered 404; after this it goes to `one`. Anybody can reach it."
    ]


def test_a_plain_catch_all_of_tcp_takes_everything_from_http() -> None:
    web = router("web", "Host(`a.lab`)")
    tcp = Router(name="vm@file", protocol="tcp", rule="HostSNI(`*`)", service="vm@file", entry_points=("web",))
    lines = sentences(serving(web), serving(web, tcp))
    was = "`GET http://a.lab/` went to `web`"
    assert f"{was}; after this its connection goes to the TCP router `vm`." in lines


def connection(rule: str = "HostSNI(`db.lab`)", *middlewares: str, **more: object) -> Router:
    given = {"entry_points": ("websecure",), "tls": True} | more
    return router("db", rule, *middlewares, protocol="tcp", **given)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({}, {"service": "new@file"}, "still go to `db`, and on to `new` instead of `db`"),
        ({"passthrough": True}, {}, "still go to `db`, where Traefik ends TLS"),
        ({}, {"passthrough": True}, "still go to `db`, which passes TLS on to the service"),
        ({}, {"tls_options": "new@file"}, "still go to `db`, with the TLS options `new` instead of `default`"),
        ({}, {"middlewares": ("lan@file",)}, "still go to `db`, now behind `lan`"),
        (
            {"middlewares": ("lan@file",)},
            {"middlewares": ("few@file",)},
            "still go to `db`, behind `few` instead of `lan`",
        ),
    ],
)
def test_what_is_different_about_a_tcp_router_is_told(before: dict, after: dict, words: str) -> None:
    (line,) = sentences(serving(connection(**before), doors=BOTH), serving(connection(**after), doors=BOTH))
    assert line.startswith("TLS connections for db.lab went to the TCP router `db`")
    assert line.endswith(f"; after this they {words}.")


def test_a_client_certificate_that_a_tcp_router_asks_for_counts_only_where_traefik_ends_tls() -> None:
    options = {"tls.options": {"mutual": {"clientAuth": {"clientAuthType": "RequireAndVerifyClientCert"}}}}
    secure, open_, through = (
        serving(connection(**more), doors=BOTH, specs=options)
        for more in ({"tls_options": "mutual@file"}, {}, {"tls_options": "mutual@file", "passthrough": True})
    )
    assert only(diff(secure, open_)).authentication_lost
    assert only(diff(secure, through)).authentication_lost
    assert not only(diff(through, open_)).authentication_lost


def test_what_asks_in_place_of_another_is_told_so_and_is_no_loss() -> None:
    one = router("one", "Host(`a.lab`)", "auth")
    for new, words in (
        (router("one", "Host(`a.lab`)", "sso"), "still goes to `one`, behind `sso` instead of `auth`"),
        (router("two", "Host(`a.lab`)", "sso", priority=99), "goes to `two` behind `sso` instead of `auth`"),
    ):
        change = only(diff(serving(one), serving(one, new) if new.priority else serving(new)))
        assert told(change) == f"`GET http://a.lab/` went to `one` behind `auth`; after this it {words}."
        assert not change.authentication_lost


def test_what_comes_in_its_place_and_does_not_ask_is_a_loss() -> None:
    one = router("one", "Host(`a.lab`)", "auth")
    (line,) = sentences(serving(one), serving(router("one", "Host(`a.lab`)", "gzip")))
    assert line.endswith(
        "still goes to `one`, now behind `gzip`, without `auth`. Nobody is asked who they are any more."
    )


def test_a_tie_with_a_router_that_does_not_ask_leaves_it_to_chance() -> None:
    one, other = router("one", "Host(`a.lab`)", "auth"), router("two", "Host(`A.lab`)")
    (line,) = sentences(serving(one), serving(one, other))
    assert line.endswith("as chance has it at every reload. Chance decides whether anybody asks who is there.")


def test_middlewares_in_another_order_are_told_in_that_order() -> None:
    one, other = (router("one", "Host(`a.lab`)", *names) for names in (("auth", "gzip"), ("gzip", "auth")))
    (line,) = sentences(serving(one), serving(other))
    assert line.endswith("through its middlewares in another order: `gzip`, then `auth`.")


@pytest.mark.parametrize(
    ("rule", "subject"),
    [
        ("Host(`a.lab`) && PathPrefix(`/x`)", "`GET http://a.lab/x`"),
        ("Host(`a.lab`) || Host(`b.lab`)", "`GET http://a.lab/` (also b.lab)"),
        (
            " || ".join(f"Host(`{name}.lab`)" for name in "abcdef"),
            "`GET http://a.lab/` (also b.lab, c.lab, d.lab and 2 more)",
        ),
        ("(Host(`a.lab`) && Path(`/x`)) || (Host(`b.lab`) && Path(`/y`))", "`GET http://a.lab/x` (also b.lab/y)"),
        ("Host(`*.a.lab`)", "`GET http://*.a.lab/`"),
        ("HostRegexp(`^a\\.lab$`)", "`GET http://a.lab/`"),
        ("HostRegexp(`^[a-z]\\.lab$`)", "`GET /` for hosts like a.lab"),
        ("PathPrefix(`/x`)", "`GET /x` for every host"),
        ("HostRegexp(`.*`)", "`GET /` for every host"),
    ],
)
def test_requests_are_called_by_hosts_that_rules_name_and_never_by_one_that_was_made_up(
    rule: str, subject: str
) -> None:
    (line,) = sentences(serving(), serving(router("one", rule)))
    assert line == f"{subject} was answered 404; after this it goes to `one`. Anybody can reach it."


def test_a_wildcard_that_takes_a_host_from_another_is_told_by_that_host() -> None:
    one, wide = router("one", "Host(`a.lab`)", "auth"), router("wide", "Host(`*.lab`)", priority=99)
    lines = sentences(serving(one), serving(one, wide))
    assert [line.split(" went")[0].split(" was")[0] for line in lines] == ["`GET http://a.lab/`", "`GET http://*.lab/`"]


def test_a_host_with_a_dot_at_its_end_is_told_with_it() -> None:
    one, rest = router("one", "Host(`a.lab`)", "auth"), router("rest", "HostRegexp(`^.+\\.lab$`)", priority=1)
    lines = sentences(serving(one, rest), serving(rest))
    assert lines == [
        "`GET http://a.lab/` went to `one` behind `auth`; after this it goes to `rest`, without `auth`. "
        "Nobody is asked who they are any more.",
        "`GET http://a.lab./` went to `one` behind `auth`; after this it is answered 404.",
    ]


def test_where_others_name_hosts_a_catch_all_is_about_every_other() -> None:
    one, rest = router("one", "Host(`a.lab`)"), router("rest", "PathPrefix(`/`)", priority=1)
    (line,) = sentences(serving(one), serving(one, rest))
    assert line.startswith("`GET /` for every other host was answered 404")


def test_what_no_router_takes_is_unknown_where_nobody_sees_all_routers() -> None:
    blind = (
        replace(serving(), unseen="it is down"),
        replace(serving(router("one", "Host(`a.lab`)", "auth")), unseen="it is down"),
    )
    assert [told(one) for one in diff(*blind).classes] == [
        "`GET http://a.lab/` may go to `one` after this; nobody can tell who gets it now: it is down."
    ]
    assert [told(one) for one in diff(*reversed(blind)).classes] == [
        "`GET http://a.lab/` went to `one` behind `auth`; after this nobody can tell who gets it: it is down."
    ]
    rest = router("rest", "HostRegexp(`^.+\\.lab$`)", priority=1)
    below = [
        replace(serving(*routers), unseen="it is down") for routers in ([router("one", "Host(`a.lab`)"), rest], [rest])
    ]
    assert [told(one) for one in diff(*below).classes] == [
        "`GET http://a.lab./` went to `one`; after this nobody can tell who gets it: it is down.",
        "`GET http://a.lab/` went to `one`; after this it goes to `rest`.",
    ]


def test_an_old_rule_leaves_a_doubt_and_never_a_guess() -> None:
    old = router("old", "HostHeader(`a.lab`) || Path(`/x`)", syntax="v2", priority=100)
    new = router("new", "Host(`a.lab`)")
    changes = diff(serving(old), serving(old, new))
    assert changes.known == ()
    assert told(changes.unknown[0]).startswith(
        "Some requests for a.lab at `web` may go to `new` after this; nobody can tell who gets it now: old may take"
    )
    low = replace(old, priority=1)
    assert not diff(serving(), serving(new)).unknown
    assert diff(serving(low), serving(low, new)).unknown  # what it had until now


def test_an_entry_point_that_reads_requests_differently_is_a_doubt() -> None:
    one = router("one", "Host(`a.lab`)")
    doors = [EntryPoint(name="web", port=80, door=Door(sanitize_path=False))]
    changes = diff(serving(one), serving(one, doors=doors))
    assert "how requests are read" in changes.unknown[0].unknown


def test_another_version_is_compared_by_trying() -> None:
    one = router("one", "Host(`*.a.lab`)")
    old, new = Table([one], WEB, release=(3, 6, 0)), Table([one], WEB)
    changes = diff(Serving(old), Serving(new))
    assert changes.known[0].after is not None
    assert changes.known[0].after.router == "one"
    assert changes.unknown


def test_thousands_of_changes_are_counted_and_the_gravest_come_first() -> None:
    many = [router(f"r{n}", f"Host(`h{n}.lab`)", *(["auth"] if n == 70 else [])) for n in range(120)]
    thief = router("thief", "PathPrefix(`/api`)", priority=1000)
    changes = diff(serving(*many), serving(*many, thief))
    assert changes.total == 121
    assert changes.classes[0].before is not None
    assert changes.classes[0].before.router == "r70"
    assert listed(changes, 10)[-1] == "… and 111 more."


def test_json_says_what_the_sentence_says() -> None:
    git, wiki = router("gitea", "Host(`git.lab`)", "auth"), router("wiki", "Host(`git.lab`) && Query(`x`, `1`)")
    data = as_json(only(diff(serving(git), serving(git, wiki))))
    assert data["witness"] == {
        "method": "GET", "target": "/?x=1", "host": "git.lab", "tls": False, "headers": [], "client_ip": "127.0.0.1",
        "entrypoint": "web",
    }  # fmt: skip
    assert data["before"]["router"] == "gitea"
    assert data["before"]["middlewares"] == ["auth"]
    assert data["after"]["service"] == "wiki"
    assert data["authentication_lost"] is True


def test_only_what_may_differ_is_looked_at() -> None:
    one, other = router("one", "Host(`a.lab`)"), router("two", "Host(`b.lab`)")
    before, after = serving(one, other), serving(one)
    assert diff(before, after, ["one"]).total == 0
    assert diff(before, after, ["two"]).total == diff(before, after).total == 1


def test_a_request_for_anything_but_a_path_comes_last() -> None:
    every, new = router("every", "PathPrefix(`/`)", priority=1000), router("new", "Host(`a.lab`)")
    (change,) = diff(serving(every), serving(every, new)).classes
    assert change.witness is not None
    assert change.witness.target == "*"
    assert not change.newly_public
    assert change.covers(Request(host="a.lab", target="*", entry_point="web"), change.before, change.after)


def test_a_route_that_ends_where_connections_are_cut_off_from_then_on_is_told_to_end_so() -> None:
    # Nothing else is served there, and the new router asks for TLS options that do not exist.
    tls = {"tls": True, "entry_points": ("websecure",)}
    broken = router("new", "Host(`a.lab`)", tls_options="gone@file", broken_tls=True, disabled="no options", **tls)
    before, after = serving(router("old", "PathPrefix(`/`)", **tls), doors=BOTH), serving(broken, doors=BOTH)
    found = {(one.before.kind, one.after.kind, one.witness.host) for one in diff(before, after).classes}
    assert {("served", "not found", "example.org"), ("served", "closed", "a.lab")} <= found
