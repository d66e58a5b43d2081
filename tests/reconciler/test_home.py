"""A home: made once and safely again, opened, kept to one reconciler, never on a network disk."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from reconciler import config, desired, founding, home
from reconciler.backups import restoring
from reconciler.config import ConfigError
from reconciler.core import policy
from reconciler.git.store import Store
from reconciler.home import Held, HomeError
from state.events import HomeCreated, RevisionMade
from state.log import Entry, EventLog
from state.record import Anchor

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def now() -> datetime:
    return NOW


WAYPOST = Path(sys.executable).with_name("waypost")


def make(directory, **chosen):
    return founding.create(directory, chosen=chosen, environ={}, now=now)


def events_of(made):
    with contextlib.closing(EventLog.open(made.log_path, now=now, readonly=True)) as log:
        return [type(recorded.event).__name__ for recorded in log.read()]


def test_a_new_home_holds_settings_log_gateway_and_the_starter_desired_repo(tmp_path):
    made = make(tmp_path / "home")
    assert made.settings_path.read_text() == config.explained({})
    assert events_of(made) == ["HomeCreated"]
    assert made.gateway_path.is_dir()
    store = Store.open(made.desired_store_path)
    commit = store.head("main")
    planted = {entry.path: store.read(entry.id) for entry in store.entries(commit)}
    assert planted == founding.starter_files()
    assert {"README.md", "waypost.yaml", "traefik/presets/rate-limit.yaml"} <= set(planted)
    assert store.commit(commit).at == NOW


def test_making_it_again_changes_nothing(tmp_path):
    made = make(tmp_path / "home")
    settings, head = made.settings_path.read_bytes(), Store.open(made.desired_store_path).head()
    made.settings_path.write_bytes(settings + b"WAYPOST_READ_ONLY=yes\n")
    again = make(tmp_path / "home")
    assert again.settings.read_only
    assert Store.open(again.desired_store_path).head() == head
    assert events_of(again) == ["HomeCreated"]


def applied(made, number=1):
    """A revision as the reconciler makes one."""
    store = Store.open(made.desired_store_path)
    commit = store.head(made.settings.desired_branch)
    store.keep(number, commit)
    with contextlib.closing(EventLog.open(made.log_path, now=now)) as log:
        revision = RevisionMade(
            number=number, commit=commit, tree=store.commit(commit).tree, policy="p", reason="applied and proven"
        )
        log.append(Entry(stream="main", event=revision))
        head = log.head()
    store.anchor(commit, head.seq, head.hash, number)
    return head


def without_log(made):
    for path in made.path.glob("log.db*"):
        path.unlink()


def test_a_home_that_lost_its_log_is_not_given_a_new_one_in_silence(tmp_path):
    made = make(tmp_path / "home")
    applied(made, 7)
    without_log(made)
    with pytest.raises(HomeError, match=r"keeps revision 7.*at least 2 events.*`waypost init --new-log`"):
        make(tmp_path / "home")
    assert not made.log_path.exists()
    made.log_path.touch()
    with pytest.raises(HomeError, match="keeps revision 7"):
        make(tmp_path / "home")


def test_a_home_whose_log_was_begun_when_the_disk_filled_up_can_be_finished(tmp_path):
    made = make(tmp_path / "home")
    without_log(made)
    with contextlib.closing(sqlite3.connect(made.log_path)) as begun:
        begun.execute("PRAGMA journal_mode = WAL")
    assert made.log_path.stat().st_size
    make(tmp_path / "home")
    assert events_of(made) == ["HomeCreated"]


def test_a_new_log_begins_with_what_was_lost_and_holds(tmp_path):
    made = make(tmp_path / "home")
    head = applied(made, 7)
    without_log(made)
    for _ in range(2):  # again, in case it was cut short
        make_anew(tmp_path / "home")
    with contextlib.closing(EventLog.open(made.log_path, now=now)) as log:
        first, second = (recorded.event for recorded in log.read())
        store = Store.open(made.desired_store_path)
        assert log.verify([Anchor(one.seq, one.hash) for one in store.anchors()]).ok
    assert isinstance(first, HomeCreated)
    assert (second.anchor_seq, second.anchor_hash, second.revision) == (head.seq, head.hash, 7)
    assert second.reason
    assert set(store.references("refs/notes/")) == {f"refs/notes/waypost-before-{head.hash[:12]}"}
    assert store.revisions() == {7: store.head()}


def make_anew(directory):
    return founding.create(directory, environ={}, now=now, new_log=True)


def test_a_log_that_is_there_is_not_begun_anew(tmp_path):
    made = make(tmp_path / "home")
    applied(made)
    with pytest.raises(HomeError, match="is there, so there is nothing to begin anew"):
        make_anew(tmp_path / "home")
    assert events_of(made) == ["HomeCreated", "RevisionMade"]
    assert Store.open(made.desired_store_path).anchors()


def test_a_home_that_never_had_a_log_may_be_asked_for_a_new_one(tmp_path):
    assert events_of(make_anew(tmp_path / "home")) == ["HomeCreated"]


@pytest.mark.parametrize("gone", ["all", "branch", "HEAD"])
def test_a_desired_repo_that_was_lost_is_not_planted_anew(gone, tmp_path):
    made = make(tmp_path / "home")
    applied(made)
    place = {"all": "", "branch": "refs/heads/main", "HEAD": "HEAD"}[gone]
    subprocess.run(["rm", "-r", made.desired_store_path / place], check=True)
    remedy = "update-ref refs/heads/main" if gone == "branch" else "git clone --bare CLONE"
    with pytest.raises(HomeError, match=rf"has no branch 'main', but the log knows revision 1.*{remedy}"):
        make(tmp_path / "home")
    assert made.desired_store_path.exists() == (gone != "all")


def test_a_mirror_that_was_lost_is_only_a_mirror(tmp_path):
    made = make(tmp_path / "home", WAYPOST_DESIRED_REPO="https://git.example/me/desired.git")
    subprocess.run(["rm", "-r", made.desired_store_path], check=True)
    make(tmp_path / "home", WAYPOST_DESIRED_REPO="https://git.example/me/desired.git")
    assert made.desired_store_path.is_dir()


@pytest.mark.parametrize("missing", ["log.db", "desired.git", "gateway"])
def test_a_making_that_was_cut_short_is_finished_by_the_next(missing, tmp_path):
    made = make(tmp_path / "home")
    subprocess.run(["rm", "-r", made.path / missing], check=True)
    (made.path / "log.db-wal").unlink(missing_ok=True)
    (made.path / "log.db-shm").unlink(missing_ok=True)
    again = make(tmp_path / "home")
    assert events_of(again) == ["HomeCreated"]
    assert Store.open(again.desired_store_path).head() is not None
    assert again.gateway_path.is_dir()


def test_only_the_owner_reads_the_log_and_others_read_nothing_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        made = make(tmp_path / "home")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in made.path.iterdir()}
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o750
    assert (modes["log.db"], modes["waypost.env"], modes["gateway"]) == (0o600, 0o640, 0o750)


def test_a_directory_with_other_things_in_it_is_refused_untouched(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(HomeError, match=r"holds other things \(holiday.jpg\): choose a directory that is empty"):
        make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_file_is_refused(tmp_path):
    (tmp_path / "home").touch()
    with pytest.raises(HomeError, match="is a file"):
        make(tmp_path / "home")


def test_a_wrong_choice_leaves_nothing_behind_that_refuses_to_open(tmp_path):
    with pytest.raises(ConfigError, match="what you chose: WAYPOST_LISTEN is '9100'"):
        make(tmp_path / "home", WAYPOST_LISTEN="9100")
    assert not (tmp_path / "home").exists()
    make(tmp_path / "home", WAYPOST_LISTEN="127.0.0.1:9100")


def test_another_choice_for_a_home_that_is_there_is_not_passed_over_in_silence(tmp_path):
    make(tmp_path / "home", WAYPOST_DESIRED_BRANCH="trunk")
    make(tmp_path / "home", WAYPOST_DESIRED_BRANCH="trunk")
    with pytest.raises(HomeError, match="says otherwise about WAYPOST_DESIRED_BRANCH: change it there"):
        make(tmp_path / "home", WAYPOST_DESIRED_BRANCH="other")


def test_with_a_desired_repo_elsewhere_the_home_holds_an_empty_mirror(tmp_path):
    made = make(tmp_path / "home", WAYPOST_DESIRED_REPO="https://git.example/me/desired.git")
    assert made.desired_store_path.name == "mirror.git"
    assert made.desired_source == "https://git.example/me/desired.git"
    assert Store.open(made.desired_store_path).head() is None


def test_the_first_branch_is_the_one_that_is_desired(tmp_path):
    made = make(tmp_path / "home", WAYPOST_DESIRED_BRANCH="trunk")
    head = subprocess.run(
        ["git", "symbolic-ref", "HEAD"], cwd=made.desired_store_path, check=True, capture_output=True, text=True
    )
    assert head.stdout.strip() == "refs/heads/trunk"


def test_what_is_no_home_cannot_be_opened(tmp_path):
    with pytest.raises(HomeError, match=r"is not a Waypost home: .*`waypost init` makes one"):
        home.open(tmp_path, {})


def test_one_reconciler_at_a_time_and_the_other_is_named(tmp_path):
    made = make(tmp_path / "home")
    with made.lock_reconciler():
        assert made.lock_reconciler() == Held(os.getpid())
        with pytest.raises(HomeError, match=f"is in use by process {os.getpid()}"):
            make(tmp_path / "home")
    again = made.lock_reconciler()
    assert not isinstance(again, Held)
    again.close()


def test_the_lock_of_a_killed_reconciler_holds_nobody_up(tmp_path):
    made = make(tmp_path / "home")
    program = (
        "import sys, pathlib; from reconciler import home\n"
        "held = home.open(pathlib.Path(sys.argv[1])).lock_reconciler()\n"
        "print('locked', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, made.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout.readline() == "locked\n"
        assert made.lock_reconciler() == Held(other.pid)
        other.kill()
    with made.lock_reconciler() as lock:
        assert lock is not None


MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /mnt/nas rw - nfs4 nas:/export rw
31 22 0:41 / /mnt/with\040space rw shared:7 master:2 - cifs //nas/share rw
32 30 8:2 / /mnt/nas/local rw - xfs /dev/sdb1 rw
33 22 0:42 / /mnt/twice rw - nfs nas:/a rw
34 22 8:3 / /mnt/twice rw - btrfs /dev/sdc1 rw
half a line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/waypost", "ext4"),
        ("/mnt/nas/waypost", "nfs4"),
        ("/mnt/nas", "nfs4"),
        ("/mnt/nasty", "ext4"),
        ("/mnt/with space/x", "cifs"),
        ("/mnt/nas/local/x", "xfs"),
        ("/mnt/twice/x", "btrfs"),
    ],
)
def test_the_innermost_mount_says_what_file_system_a_path_is_on(path, kind):
    assert home.file_system(home.Path(path), MOUNTS) == kind


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "smb3"])
def test_a_home_on_a_network_file_system_is_refused_before_anything_is_made(kind, tmp_path):
    # No network disk can be mounted in a test, so the text that the kernel would show stands in for one.
    mounts = f"1 0 0:1 / / rw - {kind} nas:/export rw\n"
    with pytest.raises(HomeError, match=rf"on a network file system \({kind}\)"):
        home.refuse_network_file_system(tmp_path, mounts)


def test_whoever_makes_opens_or_restores_a_home_asks_where_it_lies(tmp_path, monkeypatch):
    make(tmp_path / "home")
    monkeypatch.setattr(home, "_mounts", lambda: "1 0 0:1 / / rw - nfs4 nas:/export rw\n")  # as above
    for ask in (
        lambda: make(tmp_path / "new"),
        lambda: home.open(tmp_path / "home", {}),
        lambda: restoring.restore(tmp_path / "x.zip", tmp_path / "new", person="ann", now=now, tell=lambda line: None),
    ):
        with pytest.raises(HomeError, match="on a network file system"):
            ask()
    assert not (tmp_path / "new").exists()


def test_an_unknown_file_system_is_no_reason_to_refuse(tmp_path):
    home.refuse_network_file_system(tmp_path, "")


def test_every_file_of_the_starter_is_text_without_templates():
    for path, content in founding.starter_files().items():
        assert "{{" not in content.decode(), path


def test_the_starter_policy_shows_every_key_with_its_default():
    document = yaml.safe_load(founding.starter_files()["waypost.yaml"])
    understood, problems = policy.parse(document)
    assert problems == ()
    assert understood == policy.Policy()
    assert set(document) == set(policy.Policy.model_fields)


def test_the_starter_desired_repo_loads_without_a_problem(tmp_path):
    made = make(tmp_path / "home")
    store = Store.open(made.desired_store_path)
    loaded = desired.load(store, store.head(), [desired.Instance("traefik", "traefik", "traefik")])
    assert loaded.problems == ()
    assert {address.name for address in loaded.resources} == {f"preset-{name}" for name in loaded.presets}


def test_what_init_tells_to_type_works_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.delenv("WAYPOST_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "a home of mine"
    done = subprocess.run(
        [WAYPOST, "init", place, "--traefik-dir", tmp_path], capture_output=True, text=True, check=True
    )
    clone, then = (line.strip().partition(": ")[2].strip() for line in done.stdout.splitlines()[2:])
    subprocess.run(f"{clone} cloned", shell=True, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "cloned" / "waypost.yaml").exists()
    assert then == f"waypost --home '{place}' doctor, then: waypost --home '{place}' up"


def test_a_reader_who_has_enough_ends_a_command_without_a_word(tmp_path):
    made = make(tmp_path / "home")
    reading, writing = os.pipe()
    os.close(reading)
    command = [WAYPOST, "--home", made.path, "history"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


FULL_DISK = """
import resource, sys
from pathlib import Path
from reconciler.locks import Held, lock
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
first = lock(Path(sys.argv[1]))
print(isinstance(first, Held), isinstance(lock(Path(sys.argv[1])), Held))
first.close()
print(isinstance(lock(Path(sys.argv[1])), Held))
"""


def test_where_nothing_can_be_written_a_lock_is_had_all_the_same_and_let_go_of(tmp_path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "lock")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["False", "True", "False"], "")
