"""The doctor: every part tried for real where it can be, every failure with what to do, nothing changed."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler import config, founding, setting
from reconciler.config import Listen
from reconciler.core.target import TargetError, Verdict
from reconciler.doctor import check_up
from reconciler.doctor import home as doctor_home
from reconciler.doctor import machine as doctor_machine
from reconciler.doctor import target as doctor_target
from reconciler.doctor.check_up import Binary, Deployment
from reconciler.documentation.fetching import Fetcher, Reach
from reconciler.ports import Disk, SystemClock
from reconciler.targets.traefik import TraefikTarget
from reconciler.traefik.api import TraefikApi
from tests.ports import free_port

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Clock(SystemClock):
    """A clock that stands."""

    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


@dataclass
class Traefik:
    """What a Traefik's API says, without one."""

    version_text: str = "3.7.15"
    dump: Any = None
    out: str = ""

    @property
    def version(self):
        if self.out:
            return self._raise
        return lambda: type("Answer", (), {"version": self.version_text})()

    def support_dump(self):
        return self.dump

    def _raise(self):
        raise TargetError(self.out, remedy="Start it")


def watching(directory, **more):
    return Traefik(dump={"providers": {"file": {"directory": str(directory), "watch": True, **more}}})


@pytest.fixture
def dynamic(tmp_path):
    directory = tmp_path / "dynamic"
    directory.mkdir()
    return directory


@pytest.fixture
def made(tmp_path, dynamic):
    chosen = {
        "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(dynamic),
        "WAYPOST_LISTEN": "127.0.0.1:0",
        "WAYPOST_RECONCILER_LISTEN": "127.0.0.1:0",
    }
    return founding.create(tmp_path / "home", chosen=chosen, environ={}, now=lambda: NOW)


def findings(home, witness, **more):
    deployment = Deployment(home=home, clock=Clock(), witnesses={"traefik": witness}, environ={}, **more)
    return {finding.check: finding for finding in check_up.examine(deployment)}


def snapshot(directory: Path):
    return {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in [directory, *directory.rglob("*")]}


def test_a_sound_deployment_has_no_failure(made, dynamic):
    found = findings(made, watching(dynamic), binary=Binary(Path("/opt/traefik"), "3.7.15"))
    assert [finding for finding in found.values() if finding.level == "fail"] == []
    assert found["traefik: file provider"].found == f"Traefik watches {dynamic}"
    assert found["traefik: shadow"].level == "ok"
    assert found["event log"].found == "1 events"


def test_every_finding_that_is_not_fine_says_what_to_do(tmp_path):
    home = founding.create(
        tmp_path / "home",
        chosen={"WAYPOST_TRAEFIK_DYNAMIC_DIR": "/no/such/directory", "WAYPOST_GIT_TOKEN": "env:NOWHERE"},
        environ={},
        now=lambda: NOW,
    )
    found = findings(home, Traefik(out="connection refused"))
    assert {"traefik: directory", "traefik: API", "secrets"} <= {
        finding.check for finding in found.values() if finding.level == "fail"
    }
    assert all(finding.remedy for finding in found.values() if finding.level != "ok")


SAID_OF = {
    "WAYPOST_TRAEFIK_API_URL": {"traefik: API"},
    "WAYPOST_KOMODO_URL": {"komodo: answers", "komodo: reading"},
    "WAYPOST_AUTHENTIK_URL": {"authentik: answers", "authentik: reading"},
    "WAYPOST_GITEA_URL": {"gitea: answers", "gitea: reading"},
    "WAYPOST_DOZZLE_URL": {"dozzle: answers"},
    "WAYPOST_DOCKER_URL": {"docker: answers"},
    "WAYPOST_VAULT_URL": {"vault: answers"},
    "WAYPOST_ALERTMANAGER_URL": {"alerts: alertmanager"},
    "WAYPOST_HEARTBEAT_URL": {"heartbeat"},
}
"""What fails where nobody is at home at an address."""

LEAD_IN = (
    "KOMODO_KEY", "KOMODO_SECRET", "KOMODO_READ_KEY", "KOMODO_READ_SECRET", "AUTHENTIK_TOKEN", "AUTHENTIK_READ_TOKEN",
    "GITEA_TOKEN", "GITEA_READ_TOKEN", "VAULT_TOKEN", "WEBHOOK_SECRETS",
)  # fmt: skip


@pytest.fixture
def deserted(made, tmp_path):
    """A home that has an address for everything there is, and nobody is at home at any of them."""
    nobody = f"http://127.0.0.1:{free_port()}"
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "heartbeat").write_text(nobody)
    addresses = {one.name for one in config.SETTINGS if one.kind is setting.OPTIONAL_WEB_ADDRESS}
    assert addresses | {"WAYPOST_TRAEFIK_API_URL", "WAYPOST_HEARTBEAT_URL"} == {*SAID_OF, "WAYPOST_RECONCILER_URL"}
    chosen = dict.fromkeys(addresses, nobody)
    chosen |= {f"WAYPOST_{name}": f"file:{tmp_path / 'secret'}" for name in LEAD_IN}
    chosen |= {"WAYPOST_DESIRED_REPO": f"{nobody}/house/desired.git", "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(tmp_path)}
    chosen |= {"WAYPOST_HEARTBEAT_URL": f"file:{tmp_path / 'heartbeat'}"}
    return replace(made, settings=config.load(chosen, made.path))


def test_everything_that_has_an_address_is_asked_whether_it_is_there(deserted):
    unheard = Fetcher(Reach(resolve=lambda host, port: []), SystemClock())
    found = findings(deserted, Traefik(out="connection refused"), fetcher=unheard, tell=True)
    away = set().union({"desired repo"}, *SAID_OF.values())
    assert {check: found[check].level for check in away} == dict.fromkeys(away, "fail")
    assert found["documentation: sources"].level == "warn"
    assert "only a reconciler that runs" in found["webhooks"].found
    assert found["refused intake"].level == "ok"


def test_nothing_that_traefik_watches_is_touched_without_consent(made, dynamic):
    (dynamic / "mcp-managed").mkdir()
    before = (snapshot(dynamic)[dynamic], sorted(dynamic.rglob("*")))
    findings(made, watching(dynamic))
    assert (snapshot(dynamic)[dynamic], sorted(dynamic.rglob("*"))) == before


def test_the_marker_is_written_only_with_consent_and_its_verdict_is_told(made, dynamic):
    seen = Verdict(outcome="proven", evidence="seen", seconds=0.4)
    assert findings(made, watching(dynamic), probe=lambda place: seen)["traefik: probe"].level == "ok"
    unseen = Verdict(outcome="unknown", evidence="no marker within 15 s", remedy="Send Traefik a SIGHUP")
    finding = findings(made, watching(dynamic), probe=lambda place: unseen)["traefik: probe"]
    assert (finding.level, finding.found, finding.remedy) == ("fail", unseen.evidence, unseen.remedy)
    assert "traefik: probe" not in findings(made, watching(dynamic))


def test_a_folder_that_cannot_be_made_is_a_failure(dynamic):
    dynamic.chmod(0o555)
    expected = "ok" if os.geteuid() == 0 else "fail"  # root may make it all the same
    assert doctor_target.may_write("traefik", dynamic).level == expected


@pytest.mark.parametrize("name, said", [("none", "does not exist"), ("file", "is not a directory"), ("n" * 300, "too")])
def test_a_directory_that_cannot_be_looked_into_is_one_finding_and_the_others_are_made(tmp_path, name, said):
    (tmp_path / "file").touch()
    chosen = {"WAYPOST_TRAEFIK_DYNAMIC_DIR": str(tmp_path / name)}
    home = founding.create(tmp_path / "home", chosen=chosen, environ={}, now=lambda: NOW)
    found = findings(home, Traefik())
    assert (found["traefik: directory"].level, found["traefik: API"].level) == ("fail", "ok")
    assert said in found["traefik: directory"].found


def test_a_directory_of_somebody_else_is_told_with_what_to_do(dynamic):
    (dynamic / "mcp-managed").mkdir()
    dynamic.chmod(0)
    found = doctor_target.directory_is_there("traefik", dynamic)
    dynamic.chmod(0o755)
    assert found.level == ("ok" if os.geteuid() == 0 else "fail")  # root may look everywhere
    assert os.geteuid() == 0 or "may not look into" in found.found


def test_writing_is_tried_for_real_and_leaves_nothing(dynamic):
    folder = dynamic / "mcp-managed"
    folder.mkdir()
    assert doctor_target.may_write("traefik", dynamic).level == "ok"
    assert list(folder.iterdir()) == []
    (folder / ".waypost-doctor").mkdir()
    assert "cannot write, rename and touch" in doctor_target.may_write("traefik", dynamic).found


def test_a_linked_folder_of_ours_is_a_failure_because_traefik_does_not_follow_it(dynamic, tmp_path):
    (dynamic / "mcp-managed").symlink_to(tmp_path)
    assert "is a link" in doctor_target.one_file_system("traefik", dynamic).found


def test_a_link_to_nowhere_among_the_neighbours_is_pointed_out(dynamic):
    (dynamic / "notes.txt").symlink_to("/nowhere")
    assert doctor_target.everything_readable("traefik", dynamic).level == "ok"
    (dynamic / "gone.yml").symlink_to("/nowhere.yml")
    assert "gone.yml" in doctor_target.everything_readable("traefik", dynamic).found


@pytest.mark.parametrize(
    ("dump", "level", "said"),
    [
        ({"providers": {}}, "fail", "no file provider"),
        ({"providers": {"file": {"filename": "/etc/t.yml"}}}, "fail", "single file /etc/t.yml"),
        ({"providers": {"file": {"directory": "/elsewhere"}}}, "warn", "as its container sees it"),
        (None, "warn", "does not tell"),
        ({"providers": "odd"}, "fail", "no file provider"),
    ],
)
def test_what_traefik_says_it_watches_is_judged(dump, level, said, dynamic):
    finding = doctor_target.watches("traefik", dynamic, Traefik(dump=dump))
    assert finding.level == level
    assert said in finding.found


def test_a_directory_that_is_read_but_not_watched_is_a_failure(dynamic):
    finding = doctor_target.watches("traefik", dynamic, watching(dynamic, watch=False))
    assert (finding.level, finding.remedy) == ("fail", "Set providers.file.watch: true")


@pytest.mark.parametrize(
    ("version", "level"), [("3.7.15", "ok"), ("v3.3.0", "ok"), ("2.11.0", "fail"), ("30.1", "fail"), ("dev", "ok")]
)
def test_only_version_three_is_spoken(version, level):
    finding, said = doctor_target.api_answers("traefik", Traefik(version_text=version))
    assert (finding.level, said) == (level, version)


@pytest.mark.parametrize(
    ("binary", "level"),
    [
        (None, "warn"),
        (Binary(Path("/t"), ""), "fail"),
        (Binary(Path("/t"), "v3.7.15"), "ok"),
        (Binary(Path("/t"), "3.6.0"), "warn"),
    ],
)
def test_the_shadow_should_be_of_the_live_version(binary, level):
    assert doctor_target.shadow("traefik", binary, "3.7.15").level == level


def test_a_port_in_use_is_a_failure_unless_waypost_itself_runs():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = Listen("127.0.0.1", taken.getsockname()[1])
        other = doctor_machine.port("the gateway", "WAYPOST_LISTEN", listen, running=False)
        ours = doctor_machine.port("the gateway", "WAYPOST_LISTEN", listen, running=True)
    assert (other.level, other.remedy) == ("fail", "Choose another one in WAYPOST_LISTEN")
    assert ours.level == "ok"


def test_a_port_open_to_the_network_is_worth_a_word():
    assert doctor_machine.port("x", "WAYPOST_LISTEN", Listen("0.0.0.0", 0), running=False).level == "warn"


def test_an_address_of_another_machine_is_a_failure():
    finding = doctor_machine.port("x", "WAYPOST_LISTEN", Listen("192.0.2.1", 9100), running=False)
    assert "is not an address of this machine" in finding.found


def test_a_clock_before_its_time_and_one_behind_the_log_are_failures(made):
    assert doctor_machine.clock_is_set(Clock(datetime(1970, 1, 1, tzinfo=UTC))).level == "fail"
    assert doctor_home.log(made, Clock(NOW - timedelta(hours=1))).level == "fail"
    assert doctor_home.log(made, Clock(NOW + timedelta(hours=1))).level == "ok"


def test_a_disk_that_cannot_be_asked_is_a_failure(tmp_path):
    assert doctor_machine.space("home", tmp_path / "absent").level == "fail"
    assert doctor_machine.space("home", tmp_path).level in ("ok", "warn", "fail")


def test_a_damaged_log_and_a_missing_desired_repo_are_failures_not_crashes(made):
    made.log_path.write_bytes(b"this is no database, and long enough to be looked at" * 100)
    (made.desired_store_path / "HEAD").unlink()
    found = findings(made, Traefik())
    assert (found["event log"].level, found["desired repo"].level) == ("fail", "fail")


def test_a_mirror_that_has_received_nothing_yet_says_how_to_find_out_why(tmp_path):
    home = founding.create(tmp_path / "home", chosen={"WAYPOST_DESIRED_REPO": "/no/repo"}, environ={}, now=lambda: NOW)
    assert "waypost reconcile --once" in doctor_home.desired_repo(home).remedy


def test_one_account_for_both_is_a_warning(made):
    assert "one account" in doctor_home.gateway_cannot_push(made).found


def test_another_account_must_not_reach_main_the_log_or_a_secret(made):
    stranger, group = made.path.stat().st_uid + 1, made.path.stat().st_gid
    assert doctor_home.reachable(made, stranger, {group}) == []
    ref = made.desired_store_path / "refs" / "heads" / "main"
    ref.chmod(0o666)
    made.log_path.chmod(0o660)
    assert set(doctor_home.reachable(made, stranger, {group})) == {ref, made.log_path}


def test_a_secret_that_the_gateways_account_can_read_is_seen(tmp_path):
    token = tmp_path / "token"
    token.write_text("x")
    token.chmod(0o644)
    chosen = {"WAYPOST_GIT_TOKEN": f"file:{token}"}
    home = founding.create(tmp_path / "home", chosen=chosen, environ={}, now=lambda: NOW)
    assert doctor_home.reachable(home, token.stat().st_uid + 1, set()) == [token]


def test_what_the_gateway_looks_with_it_may_read_and_what_the_reconciler_writes_with_it_may_not(tmp_path):
    held = {}
    for name in ("KOMODO_KEY", "KOMODO_SECRET", "KOMODO_READ_KEY", "KOMODO_READ_SECRET", "DOZZLE_AUTH"):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(0o644)
        held[f"WAYPOST_{name}"] = f"file:{tmp_path / name}"
    chosen = {"WAYPOST_KOMODO_URL": "http://komodo:9120", **held}
    home = founding.create(tmp_path / "home", chosen=chosen, environ={}, now=lambda: NOW)
    reached = doctor_home.reachable(home, tmp_path.stat().st_uid + 1, set())
    assert {path.name for path in reached} == {"KOMODO_KEY", "KOMODO_SECRET"}


@pytest.mark.parametrize(
    ("mode", "account", "groups", "expected"),
    [
        (0o600, "owner", set(), True),
        (0o400, "owner", set(), False),
        (0o060, "owner", set(), False),
        (0o620, "other", {"group"}, True),
        (0o602, "other", {"group"}, False),
        (0o602, "other", set(), True),
        (0o000, "root", set(), True),
    ],
)
def test_permissions_are_read_as_the_kernel_reads_them(mode, account, groups, expected, tmp_path):
    file = tmp_path / "file"
    file.touch()
    file.chmod(mode)
    owner, group = file.stat().st_uid, file.stat().st_gid
    if owner == 0 and account == "owner":
        os.chown(file, 4711, group)
        owner = 4711
    asked = {"owner": owner, "other": owner + 1, "root": 0}[account]
    assert doctor_home.may_write(file, asked, {group} if groups else {group + 1}) is expected


def test_the_worst_finding_is_the_level_of_the_whole(made, dynamic):
    found = list(findings(made, watching(dynamic)).values())
    assert check_up.worst(found) in ("ok", "warn")
    assert check_up.worst([]) == "ok"
    assert check_up.worst([*found, doctor_machine.space("x", Path("/absent"))]) == "fail"


def test_a_real_traefik_says_that_it_watches_the_directory_and_sees_the_marker(traefik, tmp_path):
    chosen = {"WAYPOST_TRAEFIK_DYNAMIC_DIR": str(traefik.directory), "WAYPOST_TRAEFIK_API_URL": traefik.url}
    home = founding.create(tmp_path / "waypost", chosen=chosen, environ={}, now=lambda: NOW)
    (place,) = home.settings.places
    with contextlib.closing(TraefikApi(traefik.url)) as api:
        target = TraefikTarget(
            place.name, place.dynamic_dir, api, files=Disk(), clock=SystemClock(), chance=os.urandom, deadline=15.0
        )
        found = findings(home, api, probe=lambda place: target.probe("0123456789abcdef"))
    told = {check: finding.level for check, finding in found.items() if check.startswith("traefik: ")}
    assert told.pop("traefik: shadow") == "warn"
    assert set(told.values()) == {"ok"}
    assert found["traefik: file provider"].found == f"Traefik watches {traefik.directory}"
    assert found["traefik: API"].found.startswith("Traefik 3.")
