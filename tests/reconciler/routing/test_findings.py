"""Every finding has a severity, a suggestion, and a request that shows it, or the reason why there is none."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.routing.certificates import Asked, Certificates
from reconciler.routing.conflicts import Finding, Findings, check, check_change
from reconciler.routing.evaluate import compile_rule
from reconciler.routing.findings import KINDS, SEVERITIES
from reconciler.routing.request import Refused, look
from reconciler.routing.revising import revised
from reconciler.routing.routers import EntryPoint, Router
from reconciler.routing.table import Table
from reconciler.routing.treatments import Serving
from reconciler.routing.wording import outcome
from tests.reconciler.routing.random_changes import DOORS, ChangeMaker

WEB = (EntryPoint(name="web", port=80), EntryPoint(name="websecure", port=443))
SECURE: dict[str, Any] = {"entry_points": ("websecure",), "tls": True}


def router(name: str, rule: str, **more: Any) -> Router:
    return Router(
        **({"name": f"{name}@file", "service": f"{name}@file", "rule": rule, "entry_points": ("web",)} | more)
    )


def table(*routers: Router) -> Table:
    return Table(routers, WEB)


def one_of(kind: str, *routers: Router, subject: str = "") -> Finding:
    (found,) = [one for one in check(table(*routers)) if one.kind == kind and subject in ("", one.subject)]
    return found


def of_every_kind() -> Findings:
    before = table(
        router("taken", "Host(`a.lab`)"),
        router("one", "Host(`tie.lab`)"),
    )
    new = (
        router("thief", "Host(`a.lab`) && PathPrefix(`/x`)"),
        router("two", "Host(`TIE.lab`)"),
        router("below", "Host(`a.lab`) && PathPrefix(`/x/y`)", priority=1),
        router("port", "Host(`b.lab:80`)"),
        router("admin", "Host(`a.lab`) && PathPrefix(`/admin`)", disabled="it lacks something"),
        router("misplaced", "Host(`c.lab`)", tls=True),
        router("bare", "Host(`d.lab`)", **SECURE),
        router("hidden", "HostHeader(`e.lab`)", syntax="v2", priority=100),
        router("shadow", "Host(`e.lab`)"),
        router("equal", "Path(`/equal`)", priority=19),
    )
    after = revised(before, [], new)
    return check_change(before, after, [one.name for one in new], certificates=Certificates(held=()))


def is_whole(one: Finding) -> bool:
    return (
        one.severity in SEVERITIES and bool(one.message and one.suggestion) and bool(one.witness) != bool(one.unshown)
    )


def test_findings_of_every_kind_are_whole() -> None:
    found = of_every_kind()
    assert {one.kind for one in found} == set(KINDS)
    assert [one for one in found if not is_whole(one)] == []


def says(serving: Serving, one: Finding) -> bool:
    """Whether the evaluator says of a witness what the finding does."""
    return one.witness is not None and outcome(serving.treatment(one.witness)) == one.outcome.partition(", with a c")[0]


@pytest.mark.parametrize("seed", range(8))
def test_what_findings_say_of_random_routers_is_whole_and_true(seed: int) -> None:
    maker = ChangeMaker(seed, families=seed % 2 == 0, tcp=seed % 3 == 0)
    serving = Serving(Table([*maker.routers(12), *DEAD], DOORS))
    found = check(serving, certificates=Certificates(held=("*.test",)))
    assert len(found) > 5
    for one in found:
        assert is_whole(one), one
        if one.outcome:
            assert says(serving, one), one
        if one.kind in ("unreachable", "never") and one.witness:
            assert one.subject not in [each.router for each in serving.treatment(one.witness).chances], one


DEAD = [
    router(f"dead{number}", rule)
    for number, rule in enumerate((
        "Host(`a.test:80`)", "Host(`http://a.test/x`)", "Host(`[::1]`)", "Host(`*a.test`)", "HostRegexp(`^A`)",
        "HostRegexp(`{sub:[a-z]+}.test`)", "HostRegexp(`^a\\.test:80$`)", "Path(`/a?x=1`)", "Path(`/a%20b`)",
        "PathPrefix(`//a`)", "Path(`/a/../b`)", "Path(`/a#b`)", "Method(`G T`)", "Method(`CONNECT`)",
        "Header(`Host`, `a.test`)", "Header(`Transfer-Encoding`, `chunked`)", "Header(`X-Forwarded-Proto`, `ftp`)",
        "Header(`Connection`, `close`)", "Header(`X-Forwarded-For`, `1.2.3.4`)", "Method(`GET`) && Method(`POST`)",
        "Host(`a.test:80`) && PathPrefix(`/x`) && Method(`POST`)", "Host(`a.test:80`) || Host(`q.lab`)",
    ))
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("Host(`b.lab:80`)", "`GET http://b.lab:80/` at `web` is answered 404."),
        ("Host(`http://b.lab/x`)", "`GET http://b.lab/` at `web` is answered 404."),
        ("Host(`*b.lab`)", "`GET http://anyb.lab/` at `web` is answered 404."),
        ("HostRegexp(`{sub:[x]+}.b.lab`)", "`GET http://x.b.lab/` at `web` is answered 404."),
        ("HostRegexp(`^B\\.lab$`)", "`GET http://b.lab/` at `web` is answered 404."),
        ("Path(`/a?x=1`)", "`GET http://example.org/a?x=1` at `web` is answered 404."),
        ("Host(`a.lab`) && Path(`/a%20b`)", "`GET http://a.lab/a%20b` at `web` goes to `site`."),
        ("Host(`a.lab`) && PathPrefix(`//x`)", "`GET http://a.lab//x` at `web` goes to `site`."),
        ("Header(`Host`, `a.lab`)", "`GET http://a.lab/` at `web` goes to `site`."),
        (
            "Method(`CONNECT`)",
            "`CONNECT http://example.org/` at `web` is answered 501: Traefik does not tunnel (CONNECT).",
        ),
        (
            "Method(`GET`) && Method(`PUT`)",
            "No request can show it: there is nothing that meets all of its conditions.",
        ),
        (
            "Method(`G T`)",
            "No request can show it: no request can be written that was meant and goes elsewhere.",
        ),
    ],
)
def test_a_rule_that_never_matches_is_shown_by_the_request_that_was_meant(rule: str, words: str) -> None:
    assert one_of("never", router("dead", rule), router("site", "Host(`a.lab`)")).shown == words


def test_a_request_that_was_meant_keeps_to_the_rest_of_the_rule() -> None:
    found = one_of("never", router("dead", "Host(`b.lab:80`) && PathPrefix(`/x`) && Method(`POST`)"))
    assert found.shown == "`POST http://b.lab:80/x` at `web` is answered 404."


def test_what_a_rule_excepts_in_vain_goes_to_it() -> None:
    found = one_of("never", router("all", "PathPrefix(`/`) && !Host(`b.lab:80`)"))
    assert found.shown == "`GET http://b.lab:80/` at `web` goes to `all`."


def test_an_unreachable_router_is_shown_by_a_request_that_another_takes() -> None:
    found = one_of("unreachable", router("top", "Host(`a.lab`)"), router("below", "Host(`a.lab`)", priority=1))
    assert found.shown == "`GET http://a.lab/` at `web` goes to `top`."
    assert found.witness is not None
    seen = look(found.witness)
    assert not isinstance(seen, Refused) and compile_rule("Host(`a.lab`)").matches(seen)


def test_a_tcp_router_that_is_beaten_is_shown_by_a_connection_for_its_name() -> None:
    vm = router("vm", "HostSNI(`git.lab`)", protocol="tcp", **SECURE)
    assert one_of("unreachable", router("git", "Host(`git.lab`)", **SECURE), vm).shown == (
        "`GET https://git.lab/` at `websecure` goes to `git`."
    )


def test_a_misplaced_router_is_shown_by_what_becomes_of_requests_for_its_host() -> None:
    assert (
        one_of("tls", router("a", "Host(`a.lab`)", tls=True)).shown == "`GET http://a.lab/` at `web` is answered 404."
    )
    caught = one_of("tls", router("a", "Host(`a.lab`)", tls=True), router("site", "PathPrefix(`/`)"))
    assert caught.shown == "`GET http://a.lab/` at `web` goes to `site`."


def test_a_certificate_that_is_missing_is_shown_by_a_request_for_the_name() -> None:
    found = check(table(router("a", "Host(`a.lab`) && Path(`/x`)", **SECURE)), certificates=Certificates(held=()))
    assert [one.shown for one in found] == [
        "`GET https://a.lab/x` at `websecure` goes to `a`, with a certificate that does not name the host."
    ]
    nameless = Certificates(asked={"a@file": Asked("le")})
    (one,) = check(table(router("a", "PathPrefix(`/x`)", **SECURE)), certificates=nameless)
    assert one.witness is not None and one.witness.tls


def test_findings_for_programs_say_what_becomes_of_their_witness() -> None:
    found = one_of("tls", router("a", "Host(`a.lab`)", tls=True)).as_json()
    assert (found["witness"]["entrypoint"], found["outcome"], found["unshown"]) == ("web", "is answered 404", "")


def test_against_a_tcp_router_no_priority_of_an_http_router_is_suggested() -> None:
    plain = router("plain", "Host(`git.lab`)", entry_points=("websecure",))
    caught = router("all", "HostSNI(`*`)", protocol="tcp", entry_points=("websecure",))
    found = one_of("unreachable", plain, caught, subject="plain")
    assert found.suggestion == (
        "Narrow `all`, or put `plain` on another entry point: TCP routers come before those of HTTP"
    )
