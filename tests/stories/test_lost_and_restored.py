"""The control plane is lost: what was live stays live, and a backup brings the rest back where it left off."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from freezegun import freeze_time

from reconciler import alerts, housekeeping
from reconciler import home as homes
from reconciler.planning import policy_in_force
from reconciler.serve import Reconciler
from state.events import ApplyStarted, BackupMade, HomeRestored, RevisionMade
from tests.stories.test_alerts import receiver

ROUTE = {
    "http": {
        "routers": {"hello": {"rule": "Host(`hello.lab`)", "service": "noop@internal"}},
    }
}


def waypost(*arguments, environment=None):
    command = [sys.executable, "-m", "reconciler", *map(str, arguments)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WAYPOST_")}
    return subprocess.run(
        command, capture_output=True, text=True, env={**clean, **(environment or {})}, timeout=120, check=False
    )


@pytest.fixture
def up(house, free_port):
    """Gateway and reconciler, as `waypost up` runs them; ended with the test."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("WAYPOST_")},
        "WAYPOST_LISTEN": f"127.0.0.1:{free_port()}",
        "WAYPOST_RECONCILER_LISTEN": f"127.0.0.1:{free_port()}",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "reconciler", "--home", str(house.home.path), "up"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for name in ("WAYPOST_LISTEN", "WAYPOST_RECONCILER_LISTEN"):
            address = f"http://{environment[name]}/health"
            house.until(lambda address=address: answers(address), f"{name} to answer", 60)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def answers(address):
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def children(process):
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in path.read_text("ascii").split()]


def test_losing_the_control_plane_never_stops_routing(house, up):
    house.push({"traefik/hello.yaml": ROUTE})
    house.until(lambda: house.status("hello.lab") == 418, "the route")
    for pid in (*children(up), up.pid):
        os.kill(pid, signal.SIGKILL)
    up.wait()
    shutil.rmtree(house.home.path)
    assert house.status("hello.lab") == 418
    house.traefik.stop()
    house.traefik.start()
    house.until(lambda: house.traefik.up() and house.status("hello.lab") == 418, "the route after a restart")


def test_a_home_that_is_backed_up_while_it_runs_and_lost_goes_on_where_it_was(house, up, tmp_path):
    house.push({"traefik/hello.yaml": ROUTE})
    house.until(lambda: house.status("hello.lab") == 418, "the route")
    file = tmp_path / "home.zip"

    def backed_up() -> bool:
        done = waypost("--home", house.home.path, "backup", file, "--overwrite")
        assert done.returncode == 0, done.stderr
        return "2 revisions kept" in done.stdout

    house.until(backed_up, "a backup with the second revision in it")
    for pid in (*children(up), up.pid):
        os.kill(pid, signal.SIGKILL)
    up.wait()
    written = house.live_file.stat()
    shutil.rmtree(house.home.path)

    started = time.monotonic()
    done = waypost("restore", file, house.home.path)
    assert done.returncode == 0, done.stderr
    assert f"restored to {house.home.path}" in done.stdout
    assert time.monotonic() - started < 60
    house = replace(house, home=homes.open(house.home.path, {}))
    outcome = house.run()
    assert (outcome.state, outcome.revision) == ("nothing", 2)
    assert house.live_file.stat().st_mtime_ns == written.st_mtime_ns, "nothing is applied twice"
    assert house.events(HomeRestored)
    house.push(
        {
            "traefik/other.yaml": {
                "http": {"routers": {"other": {"rule": "Host(`other.lab`)", "service": "noop@internal"}}}
            }
        }
    )
    outcome = house.run()
    assert (outcome.state, outcome.revision) == ("applied", 3)
    house.until(lambda: house.status("other.lab") == 418, "the other route")
    assert [one.number for one in house.events(RevisionMade)] == [1, 2, 3]
    assert waypost("--home", house.home.path, "log", "verify").returncode == 0


def test_a_running_reconciler_makes_backups_by_its_policy(house, free_port, tmp_path):
    house.push({"waypost.yaml": "version: 1\nbackups:\n  every: 1s\n  keep: 2\n"})
    place = tmp_path / "backups"
    environment = {"WAYPOST_RECONCILER_LISTEN": f"127.0.0.1:{free_port()}", "WAYPOST_BACKUP_DIR": str(place)}
    reconciler = subprocess.Popen(
        [sys.executable, "-m", "reconciler", "--home", str(house.home.path), "serve-reconciler"],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        house.until(lambda: list(place.glob("waypost-*.zip")) if place.exists() else [], "a backup", 60)
    finally:
        reconciler.terminate()
        reconciler.wait(60)
    (file,) = place.glob("waypost-*.zip")
    assert waypost("restore", "--check", file).returncode == 0


def test_a_backup_that_is_overdue_reaches_the_receivers_and_so_does_its_end(house, tmp_path):
    place = tmp_path / "backups"
    place.write_text("a file where the directory should be")
    home = homes.open(house.home.path, {"WAYPOST_BACKUP_DIR": str(place)})

    def a_day(number):
        """A pass, the housekeeping and the alerts of one day, as a running reconciler does them."""
        with freeze_time(datetime.now(UTC) + timedelta(days=number), tick=True):
            house.run()
            with house.world() as world:
                policy = policy_in_force(world, world.store.head())
                housekeeping.tend(home, world, policy)
                alerts.announce(world, alerts.Receivers([url]))

    with receiver() as (url, titles):
        a_day(2)
        assert titles == [], "a try that failed is no alert yet"
        a_day(4)
        a_day(4.5)
        assert titles == ["Waypost: there is no recent good backup"]
        place.unlink()
        a_day(4.6)
        assert titles[1:] == ["Waypost: resolved: there is no recent good backup"]
    assert len(list(place.glob("waypost-*.zip"))) == 1


def test_a_running_reconciler_tells_of_backups_that_fail_for_long(house, tmp_path, monkeypatch):
    """The same through the threads that really do it."""
    monkeypatch.setattr(housekeeping, "_LOOK_AGAIN", 0.3)
    house.push({"waypost.yaml": "version: 1\nschedules: {reconcile: 1s}\nbackups: {every: 1s, alert_after: 1s}\n"})
    place = tmp_path / "backups"
    place.write_text("a file where the directory should be")
    with receiver() as (url, titles):
        chosen = {"WAYPOST_BACKUP_DIR": str(place), "WAYPOST_ALERT_URLS": "env:ALERTS"}
        monkeypatch.setenv("ALERTS", url)
        home = homes.open(house.home.path, {**os.environ, **chosen})
        with house.world() as world, Reconciler(home, world).running():
            house.until(lambda: "Waypost: there is no recent good backup" in titles, "the alert", 60)


def test_an_older_backup_reverts_nothing_that_was_made_since(house, tmp_path):
    file = tmp_path / "home.zip"
    assert waypost("--home", house.home.path, "backup", file).returncode == 0
    house.push({"traefik/hello.yaml": ROUTE})
    assert house.run().state == "applied"
    before = len(house.events(ApplyStarted))
    shutil.rmtree(house.home.path)
    assert waypost("restore", file, house.home.path).returncode == 0
    house = replace(house, home=homes.open(house.home.path, {}))
    outcome = house.run()
    assert outcome.state == "nothing", "what neither the log nor main knows is somebody else's"
    assert house.status("hello.lab") == 418
    assert len(house.events(ApplyStarted)) == before - 1


def test_a_backup_is_known_to_the_log_and_a_damaged_one_is_refused(house, tmp_path):
    file = tmp_path / "home.zip"
    done = waypost("--home", house.home.path, "backup", file, "--json")
    assert done.returncode == 0, done.stderr
    house.run()
    (made,) = house.events(BackupMade)
    assert (made.file, made.reason) == (str(file), "a person asked for it")
    assert waypost("restore", file, "--check").returncode == 0
    again = waypost("--home", house.home.path, "backup", file)
    assert (again.returncode, again.stderr.count("is there already")) == (1, 1)
    file.write_bytes(file.read_bytes()[:-40])
    refused = waypost("restore", file, tmp_path / "again")
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
    assert "damaged, cut short, or no backup" in refused.stderr
