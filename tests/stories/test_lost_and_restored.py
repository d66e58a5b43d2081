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
from reconciler.alerting.channels import over_apprise
from reconciler.alerting.receivers import Receivers
from reconciler.commits import policy_in_force
from reconciler.git.store import Store
from reconciler.serve import Reconciler
from state.events import ApplyStarted, BackupMade, HomeRestored, RevisionMade
from tests.stories.test_alerts import receiver

ROUTE = {
    "http": {
        "routers": {"hello": {"rule": "Host(`hello.lab`)", "service": "noop@internal"}},
    }
}


def in_a_process(*arguments, environment=None):
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


def children(pid):
    started = (one.read_text("ascii").split() for one in Path(f"/proc/{pid}/task").glob("*/children"))
    return [int(child) for some in started for child in some]


def kill(house, up):
    """`up` and its two parts, at once; over when nobody whom they started can write any more either.

    The Traefik that the reconciler tries things on lives for an instant longer, and makes its log anew.
    """
    parts = children(up.pid)
    further = [pid for part in parts for shell in children(part) for pid in (shell, *children(shell))]
    for pid in (*parts, up.pid):
        os.kill(pid, signal.SIGKILL)
    up.wait()
    house.until(lambda: all(map(is_over, (*parts, *further))), "the end of all processes")


def is_over(pid):
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return True
    state, threads = status[0], int(status[17])
    return state in "ZX" and threads <= 1  # its first thread may be over before the others


def test_losing_the_control_plane_never_stops_routing(house, up):
    house.push({"traefik/hello.yaml": ROUTE})
    house.until(lambda: house.status("hello.lab") == 418, "the route")
    kill(house, up)
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
        done = in_a_process("--home", house.home.path, "backup", file, "--overwrite")
        assert done.returncode == 0, done.stderr
        return "2 revisions kept" in done.stdout

    repository = Store.open(house.home.desired_store_path)
    house.until(lambda: 2 in repository.revisions(), "the second revision", 60)
    house.until(backed_up, "a backup with it", 60)
    kill(house, up)
    written = house.live_file.stat()
    shutil.rmtree(house.home.path)

    started = time.monotonic()
    done = in_a_process("restore", file, house.home.path)
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
    assert in_a_process("--home", house.home.path, "log", "verify").returncode == 0


def test_a_running_reconciler_makes_backups_by_its_policy_as_soon_as_that_says_so(house, waypost, free_port, tmp_path):
    place, listen = tmp_path / "backups", f"127.0.0.1:{free_port()}"
    environment = {"WAYPOST_RECONCILER_LISTEN": listen, "WAYPOST_BACKUP_DIR": str(place)}
    reconciler = subprocess.Popen(
        [sys.executable, "-m", "reconciler", "--home", str(house.home.path), "serve-reconciler"],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        house.until(lambda: answers(f"http://{listen}/health"), "the reconciler to answer")
        begun = house.home.settings_path.stat().st_mtime
        # From the home's own beginning on a second has to pass; what is not due yet is looked at a minute later.
        house.until(lambda: time.time() > begun + 2, "a backup to be due by the policy that comes")
        house.push({"waypost.yaml": "version: 1\nbackups:\n  every: 1s\n  keep: 2\n"})
        house.until(lambda: list(place.glob("waypost-*.zip")) if place.exists() else [], "a backup")
    finally:
        reconciler.terminate()
        reconciler.wait(60)
    (file,) = place.glob("waypost-*.zip")
    assert waypost("restore", "--check", str(file))[0] == 0


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
                alerts.announce(world, Receivers(over_apprise(url)))

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


def test_an_older_backup_reverts_nothing_that_was_made_since(house, waypost, tmp_path):
    file = tmp_path / "home.zip"
    assert waypost("backup", str(file))[0] == 0
    house.push({"traefik/hello.yaml": ROUTE})
    assert house.run().state == "applied"
    before = len(house.events(ApplyStarted))
    shutil.rmtree(house.home.path)
    assert waypost("restore", str(file), str(house.home.path))[0] == 0
    house = replace(house, home=homes.open(house.home.path, {}))
    outcome = house.run()
    assert outcome.state == "nothing", "what neither the log nor main knows is somebody else's"
    assert house.status("hello.lab") == 418
    assert len(house.events(ApplyStarted)) == before - 1


def test_a_backup_is_known_to_the_log_and_a_damaged_one_is_refused(house, waypost, tmp_path):
    file = tmp_path / "home.zip"
    assert waypost("backup", str(file), "--json")[0] == 0
    house.run()
    (made,) = house.events(BackupMade)
    assert (made.file, made.reason) == (str(file), "a person asked for it")
    assert waypost("restore", str(file), "--check")[0] == 0
    code, said = waypost("backup", str(file))
    assert (code, said.count("is there already")) == (1, 1)
    file.write_bytes(file.read_bytes()[:-40])
    code, said = waypost("restore", str(file), str(tmp_path / "again"))
    assert code == 1
    assert "damaged, cut short, or no backup" in said
