"""What stands on disk and is not served: said in structure, after Traefik had its time, and only when it is so."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.target import Attempt, TargetError
from reconciler.ports import Disk, SystemClock
from reconciler.targets.shadow import Shadow
from reconciler.targets.traefik import TraefikTarget
from reconciler.traefik.api import TraefikApi
from state.model import Address, digest_bytes

Make = Callable[..., TraefikTarget]
OURS = "mcp-managed/waypost.yml"


def router(name: str) -> Address:
    return Address("traefik", "http.routers", name)


def middleware(name: str) -> Address:
    return Address("traefik", "http.middlewares", name)


def route(name: str, **spec: Any) -> dict[Address, Any]:
    whole = {"rule": f"Host(`{name}.test`)", "entryPoints": ["web"], "service": "noop@internal", "priority": 100}
    return {router(name): {**whole, **spec}}


def serve(target: TraefikTarget, live: dict[Address, Any], id: str = "a1") -> None:
    draft = Attempt(id=id, instance="traefik", commit="c0ffee", live=live, before=target.observe().file)
    attempt = Attempt(**{**draft.__dict__, "after": digest_bytes(target.render(draft))})
    target.write(attempt)
    verdict = target.prove(attempt)
    assert verdict.outcome == "proven", verdict


def edit(traefik: Any, old: bytes, new: bytes) -> None:
    """A hand edit that Traefik does not notice: it watches only the directory above."""
    path = traefik.directory / OURS
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


class Patient(SystemClock):
    """The machine's clock, with a count of the seconds that were slept away."""

    slept = 0.0

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        super().sleep(seconds)


@pytest.fixture
def clock() -> Patient:
    return Patient()


@pytest.fixture
def patient(traefik: Any, clock: Patient) -> Any:
    api = TraefikApi(traefik.url)
    yield TraefikTarget("traefik", traefik.directory, api, files=Disk(), clock=clock, chance=os.urandom, deadline=8.0)
    api.close()


def test_what_a_neighbour_breaks_is_named_with_traefiks_words_until_it_is_mended(
    traefik: Any, target: TraefikTarget, until: Callable[..., None]
) -> None:
    theirs = "http: {middlewares: {theirs: {compress: {minResponseBodyBytes: 1}}}}"
    path = traefik.drop("theirs.yml", theirs)
    serve(target, {**route("one", middlewares=["theirs"]), **route("two")})
    assert target.observe().disabled == {}
    path.unlink()
    until(lambda: "theirs@file" not in traefik.names(), "its end")
    seen = target.observe()
    assert seen.disabled.keys() == {router("one")} and "does not exist" in seen.disabled[router("one")]
    assert seen.unserved == "" and any("does not exist" in problem.message for problem in seen.problems)
    traefik.drop("theirs.yml", theirs)
    until(lambda: target.observe().disabled == {}, "the end of it")


def test_a_disabled_copy_of_a_router_is_named_by_the_router_that_it_copies(
    start_traefik: Any, a_target: Make, until: Callable[..., None]
) -> None:
    traefik = start_traefik(static={"entryPoints": {"websecure": {"http": {"tls": {}}}}})
    path = traefik.drop("theirs.yml", "http: {middlewares: {theirs: {compress: {minResponseBodyBytes: 1}}}}")
    target = a_target(traefik.directory, traefik.url)
    serve(target, route("both", entryPoints=["web", "websecure"], middlewares=["theirs"]))
    path.unlink()
    until(lambda: "theirs@file" not in traefik.names(), "its end")
    assert target.observe().disabled.keys() == {router("both")}


def test_a_trouble_is_waited_for_once_and_a_pass_without_news_waits_for_nothing(
    traefik: Any, patient: TraefikTarget, clock: Patient, until: Callable[..., None]
) -> None:
    path = traefik.drop("theirs.yml", "http: {middlewares: {theirs: {compress: {minResponseBodyBytes: 1}}}}")
    serve(patient, route("one", middlewares=["theirs"]))
    clock.slept = 0.0
    patient.observe()
    assert clock.slept == 0.0
    path.unlink()
    until(lambda: "theirs@file" not in traefik.names(), "its end")
    assert patient.observe().disabled
    assert 3.0 < clock.slept < 6.0
    clock.slept = 0.0
    assert patient.observe().disabled
    assert clock.slept == 0.0


def test_a_write_that_traefik_holds_back_for_its_throttle_is_no_trouble(start_traefik: Any, a_target: Make) -> None:
    traefik = start_traefik(throttle="2s")
    target = a_target(traefik.directory, traefik.url)
    serve(target, route("one"))
    edit(traefik, b"waypost-gen-a1", b"waypost-gen-by-hand")
    os.utime(traefik.directory / "mcp-managed")
    seen = target.observe()
    assert seen.unserved == "" and seen.disabled == {} and not seen.problems
    assert "waypost-gen-by-hand@file" in seen.served["http.middlewares"]


def test_a_dead_watch_is_unserved_until_a_restart(
    start_traefik: Any, a_target: Make, until: Callable[..., None]
) -> None:
    traefik = start_traefik(anew=True)
    serve(a_target(traefik.directory, traefik.url), route("one"))
    target = a_target(traefik.directory, traefik.url, deadline=0.5)
    content = (traefik.directory / OURS).read_bytes()
    shutil.rmtree(traefik.directory / "mcp-managed")
    until(lambda: "waypost-gen-a1@file" not in traefik.names(), "the end of our file")
    traefik.directory.rmdir()  # the last that its watch tells; Traefik must have looked before there is another
    until(lambda: "no such file or directory" in (traefik.home / "traefik.log").read_text(), "the end of the watch")
    (traefik.directory / "mcp-managed").mkdir(parents=True)
    (traefik.directory / OURS).write_bytes(content.replace(b"waypost-gen-a1", b"waypost-gen-a2"))
    seen = target.observe()
    assert "waypost-gen-a2 is not listed" in seen.unserved and "watch" in seen.unserved
    assert seen.disabled == {} and not seen.poison and not seen.witness
    assert [problem.message for problem in seen.problems] == [seen.unserved]
    traefik.stop()
    traefik.start()
    until(traefik.up, "Traefik")
    assert target.observe().unserved == ""


def test_our_folder_turned_into_a_link_is_unserved_and_is_not_written_through(
    traefik: Any, target: TraefikTarget, tmp_path: Path, until: Callable[..., None]
) -> None:
    serve(target, route("one"))
    (traefik.directory / "mcp-managed").rename(tmp_path / "moved")
    (traefik.directory / "mcp-managed").symlink_to(tmp_path / "moved")
    until(lambda: "waypost-gen-a1@file" not in traefik.names(), "the end of our file")
    seen = target.observe()
    assert "mcp-managed is a link" in seen.unserved
    assert any(problem.file == "mcp-managed" for problem in seen.problems)
    before = sorted((path.name, path.read_bytes()) for path in (tmp_path / "moved").iterdir())
    with pytest.raises(TargetError, match="is a link") as caught:
        target.probe("p1")
    assert "Put a folder" in caught.value.remedy
    assert sorted((path.name, path.read_bytes()) for path in (tmp_path / "moved").iterdir()) == before


def test_a_neighbours_poison_is_the_reason_why_a_new_generation_is_unserved(
    traefik: Any, patient: TraefikTarget, clock: Patient
) -> None:
    serve(patient, route("one"))
    traefik.drop("theirs.yml", "http: {}")
    edit(traefik, b"waypost-gen-a1", b"waypost-gen-a2")
    clock.slept = 0.0
    assert "because of theirs.yml" in patient.observe().unserved
    assert clock.slept == 0.0  # patience would not help
    (traefik.directory / OURS).write_text("http: [broken")
    assert OURS in patient.observe().poison and patient.observe().unserved


def test_no_file_and_no_api_leave_nothing_unserved(traefik: Any, target: TraefikTarget, a_target: Make) -> None:
    seen = target.observe()
    assert (seen.unserved, seen.disabled) == ("", {})
    serve(target, route("one"))
    edit(traefik, b"waypost-gen-a1", b"waypost-gen-a2")
    away = a_target(traefik.directory, "http://127.0.0.1:9").observe()
    assert away.witness and (away.unserved, away.disabled) == ("", {})


def test_a_hand_edit_that_is_not_loaded_is_not_laid_at_another_files_door(traefik: Any, target: TraefikTarget) -> None:
    serve(target, {**route("one"), **route("two")})
    edit(traefik, b"one.test", b"won.test")
    seen = target.observe()
    assert (seen.unserved, seen.disabled, seen.taken_over) == ("", {}, {})
    (problem,) = seen.problems
    assert problem.address == str(router("one")) and "has not loaded our file as it stands" in problem.message
    assert "another router" not in problem.message


def test_a_name_that_a_neighbour_serves_is_laid_at_its_door_by_name(
    traefik: Any, target: TraefikTarget, until: Callable[..., None]
) -> None:
    serve(target, route("one"))
    traefik.drop("a.yml", "http: {routers: {one: {rule: Host(`theirs.test`), service: noop@internal}}}")
    until(lambda: traefik.get("theirs.test")[0] == 418, "the neighbour")
    seen = target.observe()
    assert seen.taken_over == {router("one"): "a.yml"} and seen.disabled == {}
    assert any("another router under this name" in p.message and "see a.yml" in p.message for p in seen.problems)


def test_a_neighbour_that_says_the_same_as_we_do_takes_nothing_over(traefik: Any, target: TraefikTarget) -> None:
    serve(target, route("one"))
    same = {"http": {"routers": {"one": route("one")[router("one")]}}}
    traefik.drop("a.yml", json.dumps(same))
    seen = target.observe()
    assert seen.taken_over == {} and seen.disabled == {}
    assert any("in a.yml too: it is read first" in problem.message for problem in seen.problems)


# ── strange things in the place of a file ──


@pytest.fixture(params=["with a shadow", "without a shadow"])
def watched(request: pytest.FixtureRequest, traefik: Any, a_target: Make) -> TraefikTarget:
    shadow: Shadow | None = request.getfixturevalue("shadow") if request.param == "with a shadow" else None
    return a_target(traefik.directory, traefik.url, shadow=shadow)


def test_a_pipe_in_the_place_of_our_file_is_named_and_written_over(
    traefik: Any, watched: TraefikTarget, until: Callable[..., None]
) -> None:
    serve(watched, route("one"))
    (traefik.directory / OURS).unlink()
    os.mkfifo(traefik.directory / OURS)
    seen = watched.observe()
    assert "a pipe" in seen.poison[OURS] and "a pipe" in seen.unserved
    assert (seen.live, seen.file) == ({}, "")
    serve(watched, route("one"), "a2")
    assert (traefik.directory / OURS).is_file() and not watched.observe().poison


def test_a_folder_in_the_place_of_our_file_is_named_and_stops_only_the_write(
    traefik: Any, watched: TraefikTarget
) -> None:
    serve(watched, route("one"))
    (traefik.directory / OURS).unlink()
    (traefik.directory / OURS).mkdir()
    seen = watched.observe()
    assert list(seen.poison) == [OURS] and "a folder" in seen.poison[OURS]
    with pytest.raises(TargetError) as caught:
        serve(watched, route("one"), "a2")
    assert "move it away" in caught.value.remedy


def test_a_file_without_measure_in_the_place_of_ours_is_not_read(traefik: Any, target: TraefikTarget) -> None:
    serve(target, route("one"))
    os.truncate(traefik.directory / OURS, 200 * 1024 * 1024)
    seen = target.observe()
    assert "larger than 64 MiB" in seen.poison[OURS] and seen.live == {}


def test_a_link_in_the_place_of_our_file_is_read_reported_and_replaced_by_a_file(
    traefik: Any, target: TraefikTarget, tmp_path: Path
) -> None:
    serve(target, route("one"))
    (traefik.directory / OURS).rename(tmp_path / "elsewhere.yml")
    (traefik.directory / OURS).symlink_to(tmp_path / "elsewhere.yml")
    seen = target.observe()
    assert seen.live == route("one") and not seen.poison
    assert any(problem.file == OURS and "is a link" in problem.message for problem in seen.problems)
    serve(target, route("two"), "a2")
    assert not (traefik.directory / OURS).is_symlink()
    assert b"one.test" in (tmp_path / "elsewhere.yml").read_bytes()


def test_a_neighbours_pipe_or_link_to_a_folder_is_poison_for_traefik_as_it_says_itself(
    traefik: Any, watched: TraefikTarget, tmp_path: Path
) -> None:
    serve(watched, route("one"))
    (traefik.directory / "folder.yml").symlink_to(tmp_path)
    assert list(watched.observe().poison) == ["folder.yml"]
    (traefik.directory / "folder.yml").unlink()
    os.mkfifo(traefik.directory / "pipe.toml")
    assert list(watched.observe().poison) == ["pipe.toml"]


def test_a_target_that_missed_the_end_of_a_neighbours_poison_is_woken_for_it_once(
    traefik: Any, patient: TraefikTarget, until: Callable[..., None]
) -> None:
    serve(patient, route("one"))
    traefik.stop()
    (traefik.directory / "lab").mkdir()
    (traefik.directory / "lab" / "bad.yml").write_text("http: [broken")
    traefik.start()
    until(traefik.up, "Traefik")
    patient.wake(poisoned := patient.observe())
    assert poisoned.poison and poisoned.unserved
    (traefik.directory / "lab" / "bad.yml").unlink()  # Traefik watches only the folder above
    touched = (traefik.directory / "mcp-managed").stat().st_mtime_ns
    unnoticed, file = patient.observe(), traefik.directory / "mcp-managed" / "waypost.yml"
    ours = file.read_bytes()
    file.write_bytes(ours.replace(b"one", b"two"))  # a hand edit just then is not what is to be loaded
    patient.wake(unnoticed)
    assert (traefik.directory / "mcp-managed").stat().st_mtime_ns == touched
    file.write_bytes(ours)

    patient.wake(unnoticed)

    assert unnoticed.unserved and not unnoticed.poison
    until(lambda: "waypost-gen-a1@file" in traefik.names(), "our file")
    woken = (traefik.directory / "mcp-managed").stat().st_mtime_ns
    patient.wake(unnoticed)
    assert touched < woken == (traefik.directory / "mcp-managed").stat().st_mtime_ns
