"""Files that freeze a whole directory: found before a write, after it, and when somebody else drops one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.target import Attempt
from reconciler.targets.shadow import Shadow
from reconciler.targets.traefik import TraefikTarget
from state.model import Address, digest_bytes

Make = Callable[..., TraefikTarget]

OURS = "mcp-managed/waypost.yml"
NEIGHBOUR = """
http:
  routers:
    theirs:
      rule: Host(`theirs.test`)
      service: noop@internal
"""


def route(name: str, **spec: Any) -> dict[Address, Any]:
    whole = {
        "rule": f"Host(`{name}.test`)",
        "entryPoints": ["web"],
        "service": "noop@internal",
        "priority": 100,
    }
    return {Address("traefik", "http.routers", name): {**whole, **spec}}


def an_attempt(target: TraefikTarget, live: dict[Address, Any], id: str) -> Attempt:
    before = target.observe().file
    draft = Attempt(id=id, instance="traefik", commit="c0ffee", live=live, before=before)
    return Attempt(**{**draft.__dict__, "after": digest_bytes(target.render(draft))})


def serve(target: TraefikTarget, live: dict[Address, Any], id: str) -> None:
    attempt = an_attempt(target, live, id)
    target.write(attempt)
    verdict = target.prove(attempt)
    assert verdict.outcome == "proven", verdict


@pytest.fixture(params=["with a shadow", "without a shadow"])
def watched(request: pytest.FixtureRequest, traefik: Any, a_target: Make) -> TraefikTarget:
    shadow = request.getfixturevalue("shadow") if request.param == "with a shadow" else None
    return a_target(traefik.directory, traefik.url, deadline=3.0, shadow=shadow)


def test_somebody_elses_poison_is_named_in_one_look_and_forgotten_when_mended(
    traefik: Any, watched: TraefikTarget
) -> None:
    serve(watched, route("one"), "a1")
    bad = traefik.drop("theirs.yml", "http:\n  routers:\n    x:\n      rule: a\n      bogus: 1\n")
    seen = watched.observe()
    assert list(seen.poison) == ["theirs.yml"]
    assert "bogus" in seen.poison["theirs.yml"] or "line 5:7" in seen.poison["theirs.yml"]
    assert seen.restart_losses == ("one@file",)
    assert seen.live == route("one")
    bad.unlink()
    assert not watched.observe().poison


def test_a_write_beside_somebody_elses_poison_is_unknown_and_proven_once_that_is_mended(
    traefik: Any, watched: TraefikTarget
) -> None:
    serve(watched, route("one"), "a1")
    bad = traefik.drop("theirs.yml", "http: {}")
    attempt = an_attempt(watched, route("two"), "a2")
    watched.write(attempt)
    verdict = watched.prove(attempt)
    assert verdict.outcome == "unknown" and "theirs.yml" in verdict.evidence and "Mend" in verdict.remedy
    assert watched.observe().file == attempt.after
    bad.unlink()
    assert watched.prove(attempt).outcome == "proven"
    assert traefik.get("two.test")[0] == 418


def test_our_own_poison_is_refuted_and_undone(traefik: Any, watched: TraefikTarget) -> None:
    serve(watched, route("one"), "a1")
    attempt = an_attempt(watched, {**route("one"), **route("two", bogus=1)}, "a2")
    watched.write(attempt)
    assert watched.prove(attempt).outcome == "refuted"
    assert watched.undo(attempt, {}).outcome == "proven"
    observed = watched.observe()
    assert observed.live == route("one") and not observed.poison
    assert traefik.get("one.test")[0] == 418


def test_poison_by_a_hand_edit_of_our_file_is_named_and_can_be_healed(traefik: Any, watched: TraefikTarget) -> None:
    serve(watched, route("one"), "a1")
    traefik.drop(OURS, "http: [broken")
    assert list(watched.observe().poison) == [OURS]
    assert watched.observe().live == {}
    serve(watched, route("one"), "a2")
    assert not watched.observe().poison


def test_a_link_that_leads_nowhere_is_poison(traefik: Any, watched: TraefikTarget, tmp_path: Path) -> None:
    serve(watched, route("one"), "a1")
    (traefik.directory / "gone.yml").symlink_to(tmp_path / "nowhere")
    assert "gone.yml" in watched.observe().poison


def test_a_candidate_that_is_poison_is_found_before_it_is_written(traefik: Any, shadow: Shadow, a_target: Make) -> None:
    target = a_target(traefik.directory, traefik.url, shadow=shadow)
    wanted = {**route("one"), **route("two", observability="certainly")}
    found = target.validate(wanted, target.observe())
    assert [one.address for one in found.problems if one.severity == "error"] == ["traefik/http.routers/two"]
    assert target.observe().file == ""


def test_what_traefik_would_disable_is_found_before_it_is_written(traefik: Any, shadow: Shadow, a_target: Make) -> None:
    target = a_target(traefik.directory, traefik.url, shadow=shadow)
    unused = Address("traefik", "http.middlewares", "unused")
    wanted = {
        **route("one", service="nowhere"),
        unused: {"errors": {"status": ["five hundred"], "service": "noop@internal", "query": "/"}},
    }
    found = target.validate(wanted, target.observe())
    named = {one.address: one.message for one in found.problems if one.severity == "error"}
    assert set(named) == {"traefik/http.routers/one", str(unused)}
    assert named[str(unused)]


def test_a_good_candidate_has_no_problems(traefik: Any, shadow: Shadow, a_target: Make) -> None:
    target = a_target(traefik.directory, traefik.url, shadow=shadow)
    traefik.drop("theirs.yml", NEIGHBOUR)
    found = target.validate({**route("one"), **route("two")}, target.observe())
    assert not found.problems and not found.notes


def test_what_cannot_be_tried_is_said(traefik: Any, target: TraefikTarget) -> None:
    found = target.validate(route("one"), target.observe())
    assert not found.problems
    assert "no Traefik binary" in found.notes[0]


def test_a_broken_resource_that_a_change_does_not_touch_only_warns(
    traefik: Any, shadow: Shadow, a_target: Make
) -> None:
    target = a_target(traefik.directory, traefik.url, shadow=shadow)
    theirs = traefik.drop("theirs.yml", "http: {middlewares: {m: {compress: {minResponseBodyBytes: 1}}}}")
    serve(target, route("one", middlewares=["m"]), "a1")
    theirs.unlink()
    wanted = {**route("one", middlewares=["m"]), **route("two")}
    found = target.validate(wanted, target.observe())
    assert {one.severity for one in found.problems} == {"warning"}
    serve(target, wanted, "a2")  # and it is no reason to refute what has nothing to do with it
    wanted = {**route("one", middlewares=["m"], priority=7), **route("two")}
    found = target.validate(wanted, target.observe())
    assert {one.severity for one in found.problems} == {"error"}


def test_nor_is_it_one_where_our_own_file_cannot_be_read_before_the_write(traefik: Any, a_target: Make) -> None:
    target = a_target(traefik.directory, traefik.url)
    theirs = traefik.drop("theirs.yml", "http: {middlewares: {m: {compress: {minResponseBodyBytes: 1}}}}")
    serve(target, route("one", middlewares=["m"]), "a1")
    theirs.unlink()
    (traefik.directory / OURS).write_text("http: {routers: {")
    wanted = {**route("one", middlewares=["m"]), **route("two")}
    attempt = replace(an_attempt(target, wanted, "a2"), about=frozenset(route("two")))
    target.write(attempt)
    assert target.prove(attempt).outcome == "proven"
    assert traefik.get("two.test")[0] == 418


def test_what_a_restart_would_lose_is_named_also_without_poison(
    start_traefik: Any, shadow: Shadow, a_target: Make, until: Callable[..., None]
) -> None:
    traefik = start_traefik()
    target = a_target(traefik.directory, traefik.url, shadow=shadow)
    theirs = traefik.drop("deep/theirs.yml", NEIGHBOUR)
    serve(target, route("one"), "a1")
    assert target.observe().restart_losses == ()
    theirs.unlink()  # Traefik does not watch sub-directories, and goes on serving it
    assert target.observe().restart_losses == ("theirs@file",)
    assert not target.observe().poison
    (traefik.directory / "touched.txt").touch()
    until(lambda: target.observe().restart_losses == (), "the end of the loss")


def test_a_name_that_another_file_takes_over_is_reported(traefik: Any, shadow: Shadow, a_target: Make) -> None:
    target = a_target(traefik.directory, traefik.url, shadow=shadow)
    serve(target, route("theirs"), "a1")
    traefik.drop("a.yml", NEIGHBOUR)
    observed = target.observe()
    assert observed.foreign[Address("traefik", "http.routers", "theirs")] == "a.yml"
    taken = [one for one in observed.problems if one.address == "traefik/http.routers/theirs"]
    assert any("read first and wins" in one.message and one.file == "a.yml" for one in taken)
    attempt = an_attempt(target, route("theirs", priority=101), "a2")
    target.write(attempt)
    verdict = target.prove(attempt)
    assert verdict.outcome == "proven" or "another router" in verdict.evidence


def test_a_templated_neighbour_is_not_called_poison_for_our_lack_of_its_environment(
    start_traefik: Any, shadow: Shadow, a_target: Make
) -> None:
    traefik = start_traefik()
    target = a_target(traefik.directory, traefik.url, shadow=shadow, deadline=1.5)
    traefik.drop("theirs.yml", '{{ if not (env "NOWHERE") }}http: {}{{ end }}')
    assert not target.observe().poison
    attempt = an_attempt(target, route("one"), "a1")
    target.write(attempt)
    verdict = target.prove(attempt)
    assert verdict.outcome == "unknown" and "theirs.yml" in verdict.evidence
