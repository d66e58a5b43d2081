"""TraefikTarget against a real Traefik: what it writes is served, and it is Traefik that says so."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.target import Attempt, TargetError
from reconciler.ports import Disk
from reconciler.targets.traefik import TraefikTarget
from state.model import Address, digest_bytes

Make = Callable[..., TraefikTarget]
NOBODY = "http://127.0.0.1:9"  # no API is there


def router(name: str) -> Address:
    return Address("traefik", "http.routers", name)


def middleware(name: str) -> Address:
    return Address("traefik", "http.middlewares", name)


def route(name: str, host: str = "") -> dict[Address, Any]:
    """A router that answers 418 and says its name, and the middleware that makes it say so."""
    return {
        router(name): {
            "rule": f"Host(`{host or name + '.test'}`)",
            "entryPoints": ["web"],
            "middlewares": [f"{name}-says"],
            "service": "noop@internal",
        },
        middleware(f"{name}-says"): {"headers": {"customResponseHeaders": {"X-Router": name}}},
    }


def an_attempt(target: TraefikTarget, live: dict[Address, Any], id: str = "a1", **more: Any) -> Attempt:
    observed = target.observe()
    draft = Attempt(
        id=id,
        instance="traefik",
        commit="c0ffee",
        live=live,
        gone=frozenset(observed.live.keys() - live.keys()),
        before=observed.file,
        **more,
    )
    return Attempt(**{**draft.__dict__, "after": digest_bytes(target.render(draft))})


def serve(target: TraefikTarget, live: dict[Address, Any], id: str = "a1") -> Attempt:
    """Write and prove; it must come out proven."""
    attempt = an_attempt(target, live, id)
    target.write(attempt)
    verdict = target.prove(attempt)
    assert verdict.outcome == "proven", verdict
    return attempt


def test_what_is_proven_is_served_and_observed(traefik: Any, target: TraefikTarget) -> None:
    attempt = serve(target, route("one"))
    assert traefik.get("one.test") == (418, "one")
    observed = target.observe()
    assert observed.live == route("one")
    assert observed.file == attempt.after
    assert observed.witness == "" and observed.version and not observed.problems


def test_a_file_that_stands_in_its_place_is_proven_though_traefik_could_not_be_woken(
    traefik: Any, a_target: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = a_target(traefik.directory, traefik.url)
    attempt = an_attempt(target, route("one"))
    with monkeypatch.context() as sick:
        sick.setattr(Disk, "touch_directory", read_only)
        target.write(attempt)
    target.wake(target.observe())
    assert target.prove(attempt).outcome == "proven"


def read_only(disk: Disk, path: Path) -> None:
    raise OSError(30, "Read-only file system", str(path))


def test_an_update_and_a_delete_are_proven_by_what_traefik_lists(traefik: Any, target: TraefikTarget) -> None:
    serve(target, {**route("one"), **route("two")})
    attempt = serve(target, route("one", host="moved.test"), "a2")
    assert attempt.gone == frozenset(route("two"))
    assert traefik.get("moved.test") == (418, "one")
    assert traefik.get("two.test")[0] == 404
    assert "two@file" not in traefik.names("routers")


def test_an_empty_wanted_state_is_a_file_with_only_the_marker(traefik: Any, target: TraefikTarget) -> None:
    serve(target, route("one"))
    serve(target, {}, "a2")
    assert target.observe().live == {}
    assert traefik.get("one.test")[0] == 404
    assert "waypost-gen-a2@file" in traefik.names()


def test_a_probe_is_noticed_and_leaves_everything_as_it_was(traefik: Any, target: TraefikTarget) -> None:
    assert target.probe("p1").outcome == "proven"
    assert target.observe().file == ""
    attempt = serve(target, route("one"))
    assert target.probe("p2").outcome == "proven"
    assert target.observe().file == attempt.after
    assert traefik.get("one.test") == (418, "one")


def test_a_probe_leaves_a_broken_file_of_ours_as_it_is_and_says_where_it_breaks(
    traefik: Any, target: TraefikTarget
) -> None:
    serve(target, route("one"))
    live = traefik.directory / "mcp-managed" / "waypost.yml"
    broken = live.read_bytes()[:-40]  # its marker stands in it still
    live.write_bytes(broken)
    changed = live.stat().st_mtime_ns

    verdict = target.probe("p1")

    assert verdict.outcome == "unknown"
    assert "mcp-managed/waypost.yml: " in verdict.evidence and "Mend that file" in verdict.remedy
    assert live.read_bytes() == broken and live.stat().st_mtime_ns == changed


def test_a_misspelt_middleware_is_refuted_in_traefiks_words(traefik: Any, target: TraefikTarget) -> None:
    broken = route("one")
    broken[router("one")]["middlewares"] = ["nowhere"]
    attempt = an_attempt(target, broken)
    target.write(attempt)
    verdict = target.prove(attempt)
    assert verdict.outcome == "refuted"
    assert "does not exist" in verdict.faults[router("one")]
    assert "traefik/http.routers/one" in verdict.evidence


def test_a_middleware_edit_that_disables_an_untouched_router_is_refuted_and_undone(
    traefik: Any, target: TraefikTarget
) -> None:
    serve(target, {**route("one"), **route("two")})
    broken = {**route("one"), **route("two")}
    broken[middleware("one-says")] = {"ipAllowList": {"sourceRange": ["not-an-address"]}}
    attempt = an_attempt(target, broken, "a2")
    target.write(attempt)
    verdict = target.prove(attempt)
    assert verdict.outcome == "refuted"
    assert router("one") in verdict.faults and router("two") not in verdict.faults
    undone = target.undo(attempt, {})
    assert undone.outcome == "proven" and undone.file == target.observe().file
    assert traefik.get("one.test") == (418, "one")
    assert target.observe().live == {**route("one"), **route("two")}


def test_an_undo_of_the_first_write_leaves_only_a_marker(traefik: Any, target: TraefikTarget) -> None:
    attempt = an_attempt(target, {router("x"): {"rule": "Host(`x.test`)", "service": "none"}})
    target.write(attempt)
    assert target.prove(attempt).outcome == "refuted"
    assert target.undo(attempt, {}).outcome == "proven"
    assert target.observe().live == {}


def test_undoing_twice_is_undoing_once(traefik: Any, target: TraefikTarget, a_target: Make) -> None:
    serve(target, route("one"))
    attempt = an_attempt(target, {router("x"): {"rule": "Host(`x.test`)", "service": "none"}}, "a2")
    target.write(attempt)
    assert target.prove(attempt).outcome == "refuted"
    first = target.undo(attempt, {})
    again = a_target(traefik.directory, traefik.url).undo(attempt, {})  # after a crash, by a new process
    assert (again.outcome, again.file) == ("proven", first.file)


def test_a_write_over_something_else_than_was_planned_is_not_begun(traefik: Any, target: TraefikTarget) -> None:
    serve(target, route("one"))
    attempt = an_attempt(target, route("two"), "a2")
    edited = target.observe().live
    path = traefik.directory / "mcp-managed" / "waypost.yml"
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(TargetError, match="changed by somebody"):
        target.write(attempt)
    assert target.observe().live == edited


def test_our_file_is_readable_by_traefik_whatever_the_umask(traefik: Any, target: TraefikTarget) -> None:
    before = os.umask(0o077)
    try:
        serve(target, route("one"))
    finally:
        os.umask(before)
    folder = traefik.directory / "mcp-managed"
    assert stat.S_IMODE((folder / "waypost.yml").stat().st_mode) == 0o644
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    serve(target, route("two"), "a2")
    assert stat.S_IMODE((folder / "waypost.previous").stat().st_mode) == 0o644


def test_the_api_being_down_is_unknown_and_undoes_nothing(tmp_path: Path, a_target: Make) -> None:
    target = a_target(tmp_path, NOBODY, deadline=0.2)
    attempt = an_attempt(target, route("one"))
    target.write(attempt)
    verdict = target.prove(attempt)
    assert verdict.outcome == "unknown" and "does not answer" in verdict.evidence and verdict.remedy
    observed = target.observe()
    assert observed.file == attempt.after and "does not answer" in observed.witness


def test_a_proof_that_was_unknown_can_be_made_later(traefik: Any, a_target: Make) -> None:
    away = a_target(traefik.directory, NOBODY, deadline=0.2)
    attempt = an_attempt(away, route("one"))
    away.write(attempt)
    assert away.prove(attempt).outcome == "unknown"
    assert a_target(traefik.directory, traefik.url).prove(attempt).outcome == "proven"


def test_a_missing_directory_is_not_made(tmp_path: Path, a_target: Make) -> None:
    target = a_target(tmp_path / "not-mounted", NOBODY, deadline=0.2)
    with pytest.raises(TargetError) as caught:
        target.probe("p1")
    assert "WAYPOST_TRAEFIK_DYNAMIC_DIR" in caught.value.remedy
    assert not (tmp_path / "not-mounted").exists()


def test_a_directory_that_cannot_be_looked_into_is_a_fault_of_the_target(tmp_path: Path, a_target: Make) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(TargetError, match="cannot read .* symbolic links"):
        a_target(tmp_path / "loop", "http://127.0.0.1:9").observe()


def test_two_writers_of_one_directory_exclude_each_other(tmp_path: Path, a_target: Make) -> None:
    one, two = (a_target(tmp_path, NOBODY, deadline=0.1) for _ in range(2))
    attempt = an_attempt(one, route("one"))
    one.write(attempt)
    with pytest.raises(TargetError, match="another Waypost"):
        two.write(an_attempt(two, route("two")))
    one.prove(attempt)
    two.write(an_attempt(two, route("two")))
    two.prove(attempt)


def test_a_directory_that_traefik_does_not_watch_is_explained(traefik: Any, tmp_path: Path, a_target: Make) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    target = a_target(elsewhere, traefik.url, deadline=0.6)
    verdict = target.probe("p1")
    assert verdict.outcome == "unknown" and "file provider" in verdict.remedy
    assert not (elsewhere / "mcp-managed" / "waypost.yml").exists()
