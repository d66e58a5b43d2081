"""Disks that are full, read-only, or fail to flush: what was applied last is served on, and somebody is told."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler import app, founding, home, loop, telling
from reconciler.causes import causes
from reconciler.ports import Disk
from reconciler.serve import Reconciler
from reconciler.targets.traefik import TraefikTarget
from reconciler.world import World
from state import events
from tests.stories.test_hard_days import routes, wire

ROOM = 4 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A factory of directories that are a disk of their own, of four megabytes."""
    mounted: list[Path] = []

    def mount(name: str) -> Path:
        place = tmp_path / name
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "waypost-test", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"only the superuser may mount a small disk: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path, *, room: int = 0) -> Path:
    """Leave that many bytes free; the file that takes up all the rest."""
    filler = place / "filler"
    with filler.open("wb") as file:
        file.write(bytes(max(0, os.statvfs(place).f_bavail * os.statvfs(place).f_bsize - room)))
    return filler


def remounted(place: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(place)], check=True)


def told(world: World) -> list[str]:
    return [f"{cause.title}\n{cause.body}" for cause in causes(world)]


@pytest.fixture
def settle(house, tmp_path, small_disk):
    """Move the house to a home on a small disk, whose desired repo lies elsewhere; the disk."""

    def move() -> Path:
        disk, elsewhere = small_disk("disk"), tmp_path / "elsewhere.git"
        subprocess.run(["git", "clone", "--quiet", "--bare", str(house.clone), str(elsewhere)], check=True)
        chosen = {
            "WAYPOST_DESIRED_REPO": f"file://{elsewhere}",
            "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(house.traefik.directory),
            "WAYPOST_TRAEFIK_API_URL": house.traefik.url,
            "WAYPOST_TRAEFIK_DEADLINE": "5s",
        }
        made = founding.create(disk / "home", chosen=chosen, environ={}, now=lambda: datetime.now(UTC))
        house.git("remote", "set-url", "origin", str(elsewhere))
        house.home = home.open(made.path, {})
        return disk

    return move


def test_a_home_whose_disk_is_full_changes_nothing_says_so_and_goes_on_once_there_is_room(house, settle):
    disk = settle()
    house.push({"traefik/r.yaml": routes("r1")})
    assert house.run().state == "applied"
    before = house.live_file.read_bytes()
    with app.locked(house.home) as world:
        assert isinstance(world, World)
        reconciler = Reconciler(house.home, world)
        house.push({"traefik/r2.yaml": routes("r2"), "docs/large.md": "".join(map(str, range(200_000)))})
        filler = fill(disk, room=64 << 10)  # the log still has room, what is fetched has not
        outcome = reconciler.pass_now()
        assert outcome.state == "lost"
        assert re.search("no space|No space|disk is full", outcome.said), outcome.said
        assert any("the desired repo cannot be followed" in cause and "pace" in cause for cause in told(world))
        filler.unlink()
        filler = fill(disk)  # and now the log has none either
        outcome = reconciler.pass_now()
        assert outcome.state == "lost"
        assert "event log" in outcome.said and "the disk is full: make room, nothing was lost" in outcome.said
        assert house.live_file.read_bytes() == before
        assert wire(house, "r1") == [True]
        filler.unlink()
    house.until(lambda: house.run().state in ("applied", "nothing"), "a pass with room")
    assert wire(house, "r1", "r2") == [True, True]
    with house.world() as world:
        assert world.log.verify(telling.anchors(world)).ok
        assert told(world) == []


def a_pass(house, *before: str) -> subprocess.CompletedProcess[str]:
    """A pass as a person asks for it, in a process of its own."""
    command = [*before, sys.executable, "-m", "reconciler", "--home", str(house.home.path), "reconcile"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_home_that_is_read_only_changes_nothing_and_says_so(house, settle):
    disk = settle()
    house.push({"traefik/r.yaml": routes("r1")})
    assert house.run().state == "applied"
    house.push({"traefik/r2.yaml": routes("r2")})
    remounted(disk, "ro")
    done = a_pass(house)
    remounted(disk, "rw")
    assert done.returncode == 1
    assert "ead-only" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert wire(house, "r1", "r2") == [True, False]
    assert house.run().state == "applied"
    assert wire(house, "r1", "r2") == [True, True]


@pytest.fixture
def live_disk(start_traefik, tmp_path, small_disk, until):
    """A house whose Traefik reads from a small disk; the house and the disk."""
    from tests.stories.conftest import House

    disk = small_disk("live")
    traefik = start_traefik(directory=disk)
    chosen = {
        "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(disk),
        "WAYPOST_TRAEFIK_API_URL": traefik.url,
        "WAYPOST_TRAEFIK_DEADLINE": "5s",
    }
    made = founding.create(tmp_path / "home", chosen=chosen, environ={}, now=lambda: datetime.now(UTC))
    house = House(home.open(made.path, {}), traefik, tmp_path / "clone", until)
    subprocess.run(["git", "clone", "--quiet", str(made.desired_source), str(house.clone)], check=True)
    house.push({"traefik/r.yaml": routes("r1")})
    assert house.run().state == "applied"
    return house, disk


def test_a_live_directory_that_is_full_or_read_only_serves_on_and_is_told_once(live_disk):
    house, disk = live_disk
    for number, (hinder, free, words) in enumerate(
        (
            (lambda: fill(disk), lambda: (disk / "filler").unlink(), "No space left on device"),
            (lambda: remounted(disk, "ro"), lambda: remounted(disk, "rw"), "Read-only file system"),
        )
    ):
        before, name = house.live_file.read_bytes(), f"n{number}"
        hinder()
        house.push({f"traefik/{name}.yaml": routes(name)})
        try:
            assert [house.run().state for _ in range(3)] == ["waiting"] * 3
            with house.world() as world:
                (cause,) = told(world)
            assert "traefik cannot be written" in cause and words in cause and "every pass tries again" in cause
            assert house.live_file.read_bytes() == before
            assert wire(house, "r1", name) == [True, False]
        finally:
            free()
        assert house.run().state == "applied"
        assert wire(house, "r1", name) == [True, True]
        with house.world() as world:
            assert told(world) == []
    assert len(house.events(events.ApplyAbandoned)) == 2


# ── a disk that fails to flush ───────────────────────────────────────────────────────────────────


def survives(house, when: str, number: int) -> str:
    """A pass whose flush fails acknowledges nothing that is not there, and the next one makes good."""
    if shutil.which("strace") is None:
        pytest.skip("needs the `strace` command, to let a flush fail")
    name = f"n{number}"
    house.push({f"traefik/{name}.yaml": routes(name)})
    flushes = "fsync,fdatasync"
    inject = ("-e", f"trace={flushes}", "-e", f"inject={flushes}:error=EIO:when={when}")
    done = a_pass(house, "strace", "-f", "-qq", "-o", os.devnull, *inject)
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    assert wire(house, "r1") == [True]
    with house.world() as world:
        assert world.log.verify(telling.anchors(world)).ok
    outcome = house.run()
    assert outcome.state in ("applied", "nothing"), (when, outcome, done.stderr, done.stdout)
    assert wire(house, "r1", name) == [True, True]
    return done.stderr + done.stdout


def test_a_pass_whose_disk_cannot_flush_says_so_and_the_next_one_makes_good(house):
    house.push({"traefik/r.yaml": routes("r1")})
    house.run()
    said = survives(house, "1+", 0)
    assert re.search("the disk reports an error|Input/output error", said), said


@pytest.mark.soak
def test_whichever_flush_of_a_pass_fails_the_next_pass_makes_good(house):
    house.push({"traefik/r.yaml": routes("r1")})
    house.run()
    failed = untouched = 0
    while untouched < 3:  # the passes are over before it comes to so many flushes
        fine = "applied and proven" in survives(house, str(failed + untouched + 1), failed + untouched + 1)
        failed, untouched = (failed, untouched + 1) if fine else (failed + untouched + 1, 0)
    assert failed > 10


class Unflushed:
    """The files of a target on a disk that, so many times, does all but keep the names in the folder of our file."""

    def __init__(self, files, path):
        self._files, self._path, self.failures = files, path, 0

    def __getattr__(self, name):
        return getattr(self._files, name)

    def _flush(self):
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EIO, "Input/output error")

    def replace(self, source, destination):
        self._files.replace(source, destination)
        if destination == self._path:
            self._flush()

    def flush_directory(self, directory):
        if directory == self._path.parent:
            self._flush()
        self._files.flush_directory(directory)


def test_a_write_whose_name_the_disk_fails_to_keep_is_served_and_proven_only_once_it_is_kept(house):
    house.push({"traefik/r1.yaml": routes("r1")})
    house.run()
    files, (place,) = Unflushed(Disk(), house.live_file), house.home.settings.places
    with house.world() as world, closing(app.api(house.home, place)) as api:
        target = TraefikTarget(
            "traefik", place.dynamic_dir, api, files=files, clock=world.clock, chance=world.chance
        )  # fmt: skip
        world = replace(world, targets={"traefik": target})

        files.failures = 1  # the proof tries once more
        house.push({"traefik/r2.yaml": routes("r2")})
        assert loop.run_pass(world).state == "applied"

        before, files.failures = house.live_file.read_bytes(), 3
        house.push({"traefik/r3.yaml": routes("r3")})
        for _ in range(2):
            outcome = loop.run_pass(world)
            assert (outcome.state, "cannot flush" in outcome.said) == ("unknown", True), outcome
            assert wire(house, "r1", "r2", "r3") == [True] * 3
            (cause,) = told(world)
            assert "nobody knows whether traefik serves the last write" in cause and "Input/output error" in cause
        assert len(world.log.view(telling.views.Revisions).by_number) == 3

        house.live_file.write_bytes(before)  # what a loss of power may leave
        assert loop.run_pass(world).state == "applied"
        assert wire(house, "r1", "r2", "r3") == [True] * 3
        assert told(world) == []
        reasons = [recorded.event.reason for recorded in world.log.read() if recorded.type == "ApplyAbandoned"]
        assert reasons == ["the write was never carried out"]
