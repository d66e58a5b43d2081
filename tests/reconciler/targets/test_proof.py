"""What a real Traefik lists, and what that proves: renamed routers, lost names, restarts, nonsense."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from reconciler.core.target import Attempt
from reconciler.targets.traefik import TraefikTarget
from state.model import Address, digest_bytes

Make = Callable[..., TraefikTarget]


def router(name: str) -> Address:
    return Address("traefik", "http.routers", name)


def route(name: str, **spec: Any) -> dict[Address, Any]:
    whole = {"rule": f"Host(`{name}.test`)", "service": "noop@internal", "priority": 100}
    return {router(name): {**whole, **spec}}


def an_attempt(target: TraefikTarget, live: dict[Address, Any], id: str = "a1") -> Attempt:
    observed = target.observe()
    draft = Attempt(
        id=id,
        instance="traefik",
        commit="c0ffee",
        live=live,
        gone=frozenset(observed.live.keys() - live.keys()),
        before=observed.file,
    )
    return Attempt(**{**draft.__dict__, "after": digest_bytes(target.render(draft))})


def outcome(target: TraefikTarget, live: dict[Address, Any], id: str = "a1") -> str:
    attempt = an_attempt(target, live, id)
    target.write(attempt)
    verdict = target.prove(attempt)
    if verdict.outcome == "refuted":
        assert target.undo(attempt, {}).outcome == "proven"
    return verdict.outcome


@pytest.fixture
def with_tls(start_traefik: Any) -> Any:
    """An entry point with TLS and one with a middleware of its own: Traefik renames routers that use them."""
    doors = {
        "websecure": {"http": {"tls": {}}},
        "inner": {"address": "127.0.0.1:0", "http": {"middlewares": ["plain@file"]}},
    }
    traefik = start_traefik(static={"entryPoints": doors})
    traefik.drop("plain.yml", "http: {middlewares: {plain: {compress: {minResponseBodyBytes: 1}}}}")
    return traefik


def test_routers_that_entry_points_rename_are_found(with_tls: Any, a_target: Make) -> None:
    target = a_target(with_tls.directory, with_tls.url)
    live = {
        **route("both", entryPoints=["web", "websecure"]),
        **route("only", entryPoints=["websecure"]),
        **route("inner", entryPoints=["inner"]),
        **route("all"),
    }
    assert outcome(target, live) == "proven"
    assert {"both@file", "websecure-both@file", "inner-all@file"} <= with_tls.names("routers")
    assert not target.observe().problems


def test_a_renamed_router_that_is_disabled_is_refuted(with_tls: Any, a_target: Make) -> None:
    target = a_target(with_tls.directory, with_tls.url)
    assert outcome(target, route("only", entryPoints=["websecure"], middlewares=["nowhere"])) == "refuted"


def test_a_deleted_router_is_gone_under_all_its_names(with_tls: Any, a_target: Make) -> None:
    target = a_target(with_tls.directory, with_tls.url)
    assert outcome(target, {**route("both"), **route("stays")}) == "proven"
    assert outcome(target, route("stays"), "a2") == "proven"
    assert not {name for name in with_tls.names("routers") if "both" in name}


def test_contradicting_tls_options_are_refuted(with_tls: Any, a_target: Make) -> None:
    target = a_target(with_tls.directory, with_tls.url)
    options = {
        Address("traefik", "tls.options", name): {"minVersion": version}
        for name, version in (("old", "VersionTLS12"), ("new", "VersionTLS13"))
    }
    one = route("one", rule="Host(`x.test`)", entryPoints=["websecure"], tls={"options": "old"})
    two = route("two", rule="Host(`x.test`) && Path(`/2`)", entryPoints=["websecure"], tls={"options": "new"})
    assert outcome(target, {**options, **one}) == "proven"
    assert outcome(target, {**options, **one, **two}, "a2") == "refuted"


def test_an_unknown_entry_point_beside_a_known_one_is_refuted(target: TraefikTarget) -> None:
    assert outcome(target, route("one", entryPoints=["web", "nowhere"])) == "refuted"


def test_tcp_and_udp_and_every_kind_that_the_api_lists_not_are_proven(start_traefik: Any, a_target: Make) -> None:
    traefik = start_traefik(static={"entryPoints": {"dns": {"address": "127.0.0.1:0/udp"}}})
    target = a_target(traefik.directory, traefik.url)
    servers = {"loadBalancer": {"servers": [{"address": "127.0.0.1:9"}]}}
    live = {
        Address("traefik", "tcp.routers", "t"): {
            "rule": "HostSNI(`t.test`)",
            "entryPoints": ["websecure"],
            "service": "t",
            "tls": {"passthrough": True},
        },
        Address("traefik", "tcp.services", "t"): servers,
        Address("traefik", "tcp.middlewares", "t"): {"ipAllowList": {"sourceRange": ["127.0.0.0/8"]}},
        Address("traefik", "udp.routers", "u"): {"entryPoints": ["dns"], "service": "u"},
        Address("traefik", "udp.services", "u"): servers,
        Address("traefik", "http.serversTransports", "s"): {"insecureSkipVerify": True},
        Address("traefik", "tls.options", "strict"): {"minVersion": "VersionTLS13"},
    }
    assert outcome(target, live) == "proven"
    assert target.observe().live == live
    assert outcome(target, {}, "a2") == "proven"


def test_a_hand_edit_during_the_proof_is_unknown_and_stays(traefik: Any, target: TraefikTarget) -> None:
    attempt = an_attempt(target, route("one"))
    target.write(attempt)
    path = traefik.directory / "mcp-managed" / "waypost.yml"
    edited = path.read_bytes().replace(b"one.test", b"two.test")
    traefik.drop("mcp-managed/waypost.yml", edited)  # the marker stands
    verdict = target.prove(attempt)
    assert verdict.outcome == "unknown" and "changed by somebody" in verdict.evidence
    assert path.read_bytes() == edited and verdict.file == digest_bytes(edited)


def test_an_undo_leaves_a_hand_edit_alone(traefik: Any, target: TraefikTarget) -> None:
    attempt = an_attempt(target, route("one", service="nowhere"))
    target.write(attempt)
    assert target.prove(attempt).outcome == "refuted"
    path = traefik.drop("mcp-managed/waypost.yml", "# mine now\n")
    verdict = target.undo(attempt, {})
    assert verdict.outcome == "unknown" and "left so" in verdict.evidence
    assert path.read_text() == "# mine now\n"


def test_a_restart_in_the_middle_of_a_proof_is_waited_for(traefik: Any, target: TraefikTarget) -> None:
    attempt = an_attempt(target, route("one"))
    traefik.stop()
    target.write(attempt)
    traefik.start()
    assert target.prove(attempt).outcome == "proven"
    assert traefik.get("one.test")[0] == 418


def misses(traefik: Any) -> int:
    """How often Traefik looked for its directory in vain."""
    return int((traefik.home / "traefik.log").read_text().count("no such file or directory"))


def test_a_watch_that_died_is_unknown_and_the_write_stays_for_the_restart(
    traefik: Any, a_target: Make, until: Callable[..., None]
) -> None:
    assert outcome(a_target(traefik.directory, traefik.url), route("one")) == "proven"
    target = a_target(traefik.directory, traefik.url, deadline=1.0)
    moved = traefik.directory.with_name("moved")
    missed = misses(traefik)
    traefik.directory.rename(moved)
    until(lambda: misses(traefik) > missed, "the last that the watch tells")
    moved.rename(traefik.directory)  # Traefik now watches nothing, in silence
    attempt = an_attempt(target, route("two"), "a2")
    target.write(attempt)
    verdict = target.prove(attempt)
    assert verdict.outcome == "unknown" and "restart" in verdict.remedy
    assert target.observe().file == attempt.after
    assert any("does not serve this file" in problem.message for problem in target.observe().problems)
    traefik.stop()
    traefik.start()
    until(traefik.up, "Traefik")
    assert a_target(traefik.directory, traefik.url).prove(attempt).outcome == "proven"


def test_a_file_that_traefik_cannot_read_is_refuted_by_the_return_of_the_last_good_one(
    traefik: Any, a_target: Make
) -> None:
    target = a_target(traefik.directory, traefik.url, deadline=3.0)
    assert outcome(target, route("one")) == "proven"
    # A decoder newer or older than ours is stood in for by a spec that only the renderer lets pass.
    attempt = an_attempt(target, route("two", priority="not-a-number"), "a2")
    target.write(attempt)
    verdict = target.prove(attempt)
    assert verdict.outcome == "refuted" and not verdict.faults
    assert target.undo(attempt, {}).outcome == "proven"
    assert target.observe().live == route("one")


def test_what_traefik_has_not_noticed_of_a_neighbours_edit_refutes_no_removal(
    traefik: Any, target: TraefikTarget, until: Callable[..., None]
) -> None:
    assert outcome(target, {**route("one"), **route("two")}) == "proven"
    neighbour = traefik.drop("lab/one.yml", "http: {routers: {one: {rule: Host(`one.test`), service: noop@internal}}}")
    attempt = an_attempt(target, route("two"), "a2")
    target.write(attempt)
    until(lambda: "waypost-gen-a2@file" in traefik.names(), "the write")
    assert "one@file" in traefik.names("routers")

    neighbour.write_text("http: {routers: {other: {rule: Host(`other.test`), service: noop@internal}}}")

    assert target.prove(attempt).outcome == "proven"
    assert {"two@file", "other@file"} <= traefik.names("routers")


def test_a_traefik_that_is_only_slow_refutes_nothing(start_traefik: Any, a_target: Make) -> None:
    traefik = start_traefik(throttle="2500ms")
    assert outcome(a_target(traefik.directory, traefik.url), route("one")) == "proven"
    # What follows within the throttle is held back for longer than the deadline.
    hasty = a_target(traefik.directory, traefik.url, deadline=1.5)
    assert outcome(hasty, route("two"), "a2") == "proven"


@pytest.mark.parametrize(
    ("provider", "words"),
    [
        ({"watch": False}, "does not watch"),
        ({"watch": True, "directory": None, "filename": "one.yml"}, "single file"),
    ],
)
def test_a_probe_that_is_not_seen_says_what_is_wrong_in_traefiks_settings(
    start_traefik: Any, a_target: Make, provider: dict[str, Any], words: str
) -> None:
    traefik = start_traefik(static={"providers": {"file": provider}})
    target = a_target(traefik.directory, traefik.url, deadline=0.3)
    target.observe()
    verdict = target.probe("p1")
    assert verdict.outcome == "unknown" and words in verdict.remedy


def test_leftovers_of_a_crash_between_stage_and_rename_do_no_harm(
    traefik: Any, target: TraefikTarget, a_target: Make
) -> None:
    assert outcome(target, route("one")) == "proven"
    folder = traefik.directory / "mcp-managed"
    (folder / ".waypost.next").write_text("http: {half a fi")
    assert a_target(traefik.directory, traefik.url).observe().live == route("one")
    assert outcome(target, route("two"), "a2") == "proven"
    assert sorted(path.name for path in folder.iterdir()) == [".waypost.lock", "waypost.previous", "waypost.yml"]


def test_an_undo_after_the_kept_copy_was_lost_uses_the_fallback(traefik: Any, target: TraefikTarget) -> None:
    assert outcome(target, route("one")) == "proven"
    attempt = an_attempt(target, route("two", service="nowhere"), "a2")
    target.write(attempt)
    assert target.prove(attempt).outcome == "refuted"
    (traefik.directory / "mcp-managed" / "waypost.previous").unlink()
    assert target.undo(attempt, route("one")).outcome == "proven"
    assert target.observe().live == route("one")


def test_thirty_applies_under_load_show_no_gap_and_no_half_plan(traefik: Any, target: TraefikTarget) -> None:
    def generation(number: int) -> dict[Address, Any]:
        says = {"headers": {"customResponseHeaders": {"X-Router": str(number)}}}
        live: dict[Address, Any] = {Address("traefik", "http.middlewares", f"says-{number}"): says}
        for name in ("left", "right"):
            live |= route(name, middlewares=[f"says-{number}"])
        return live | route(f"only-{number}")

    assert outcome(target, generation(0), "g0") == "proven"
    stop, wrong, count = threading.Event(), list[Any](), [0]

    def ask() -> None:
        while not stop.is_set():
            first, between, second = traefik.get("left.test"), traefik.get("right.test"), traefik.get("left.test")
            count[0] += 3
            if any(answer[0] != 418 for answer in (first, between, second)):
                wrong.append((first, between, second))
            if first == second != between:  # left did not move between, so right must not have either
                wrong.append((first, between, second))

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    try:
        for number in range(1, 31):
            assert outcome(target, generation(number), f"g{number}") == "proven"
    finally:
        stop.set()
        for asker in askers:
            asker.join()
    assert not wrong and count[0] > 100


class _Answers(BaseHTTPRequestHandler):
    body: ClassVar[bytes] = b""
    status: ClassVar[int] = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Location", "http://127.0.0.1:9/")
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def nonsense() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>please log in</html>"),
        (200, b"[]"),
        (200, b"7"),
        (200, b""),
        (200, b'{"Version": 3}'),
        (200, b"\xff\xfe" * 1000),
        (302, b""),
        (401, b""),
        (404, b"<html>not found</html>"),
        (500, b"{}"),
    ],
)
def test_an_api_that_answers_nonsense_makes_every_verdict_unknown(
    nonsense: str, tmp_path: Path, a_target: Make, status: int, body: bytes
) -> None:
    _Answers.status, _Answers.body = status, body
    target = a_target(tmp_path, nonsense, deadline=0.1)
    assert target.probe("p1").outcome == "unknown"
    attempt = an_attempt(target, route("one"))
    target.write(attempt)
    assert target.prove(attempt).outcome == "unknown"
    observed = target.observe()
    assert observed.witness and observed.live == route("one")


@pytest.mark.parametrize(
    "spec",
    [
        {"rule": "  Host(`odd.test`) &&\n PathPrefix(`/`) "},
        {"rule": "Host(`odd.test`) && Path(`/{{x}}`)"},
        {"rule": "Host(`odd.test`) && Path(`/ü\u2028é`)"},
        {"rule": "Host(`odd.test`, `b.test`)", "ruleSyntax": "v2"},
        {"service": "noop@internal", "priority": -5},
    ],
)
def test_a_router_is_recognised_however_its_rule_is_written(target: TraefikTarget, spec: dict[str, Any]) -> None:
    attempt = an_attempt(target, route("odd", **spec))
    target.write(attempt)
    verdict = target.prove(attempt)
    assert verdict.outcome == "proven", verdict


def test_a_router_of_another_file_that_is_named_like_a_copy_of_ours_is_not_taken_for_it(
    with_tls: Any, a_target: Make
) -> None:
    with_tls.drop("b.yml", "http: {routers: {websecure-one: {rule: Nonsense, service: noop@internal}}}")
    target = a_target(with_tls.directory, with_tls.url)
    assert outcome(target, route("one", entryPoints=["web"])) == "proven"
    assert outcome(target, {**route("one"), **route("web-one", service="nowhere")}, "a2") == "refuted"


def test_a_router_that_would_vanish_behind_traefiks_own_copy_of_another_is_found_before_it_is_written(
    with_tls: Any, a_target: Make, until: Callable[..., None]
) -> None:
    target = a_target(with_tls.directory, with_tls.url)
    wanted = {**route("both", entryPoints=["web", "websecure"]), **route("websecure-both", entryPoints=["websecure"])}
    found = target.validate(wanted, target.observe()).problems
    assert {one.address for one in found if one.severity == "error"} == {
        str(router("both")),
        str(router("websecure-both")),
    }
    # And so it is: three are asked for, of two names, and nobody is told.
    attempt = an_attempt(target, wanted)
    target.write(attempt)
    until(lambda: "waypost-gen-a1@file" in with_tls.names(), "the generation")
    listed = with_tls.names("routers")
    assert {name for name in listed if "both" in name} == {"both@file", "websecure-both@file"}
    assert target.prove(attempt).outcome in ("proven", "refuted")  # which of the two is lost is chance


def test_routers_that_are_not_copied_may_be_named_as_if_they_were(with_tls: Any, a_target: Make) -> None:
    target = a_target(with_tls.directory, with_tls.url)
    wanted = {**route("only", entryPoints=["websecure"]), **route("websecure-only", entryPoints=["web"])}
    assert not target.validate(wanted, target.observe()).problems
    assert outcome(target, wanted) == "proven"
