"""A home in one file and back: what is in it, what is refused, what runs on schedule."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import subprocess
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler import founding, housekeeping
from reconciler import home as homes
from reconciler.backups import archive, making, manifest, restoring
from reconciler.backups.manifest import BackupError
from reconciler.causes import causes
from reconciler.cli import waypost
from reconciler.core.policy import BackupPolicy, LogPolicy, Policy
from reconciler.git import packing
from reconciler.git.store import Store
from reconciler.home import Home, HomeError
from reconciler.ports import Disk
from reconciler.schedule import Steady
from reconciler.targets.komodo_record import Held, Record, RecordFile, UnderWay
from reconciler.world import World
from state import database, segments, tables, views
from state.events import (
    ApplyStarted,
    BackupFailed,
    BackupMade,
    BackupOverdue,
    BackupRemoved,
    ConsentGiven,
    HomeRestored,
    RevisionMade,
    TargetLost,
    ToolCalled,
)
from state.log import Entry, EventLog
from state.outbox import Outbox

START = datetime(2026, 11, 20, 12, tzinfo=UTC)


@dataclass
class Time:
    """A clock that stands until it is moved."""

    at: datetime = START

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - START).total_seconds()

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def quiet(line: str) -> None:
    pass


def unread(file: Path, scratch: Path) -> None:
    """For the making alone."""


def now() -> datetime:
    return datetime.now(UTC)


def lost(number: int = 0) -> Entry:
    return Entry(stream="target/traefik", event=TargetLost(instance="traefik", reason=f"away {number}"))


def logged(home: Home) -> contextlib.closing[EventLog]:
    return contextlib.closing(EventLog.open(home.log_path, now=now))


def revised(home: Home, log: EventLog, number: int) -> None:
    """A revision as a pass makes it: the reference, the event, the anchor."""
    store = Store.open(home.desired_store_path)
    head = store.head()
    assert head
    store.keep(number, head)
    event = RevisionMade(number=number, commit=head, tree=store.commit(head).tree, policy="p", reason="proven")
    log.append(Entry(stream="main", event=event, key=f"revision:{number}"))
    store.anchor(head, log.head().seq, log.head().hash, number)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a past: revisions, a sealed segment, a proposal, words of a person and of the gateway."""
    made = founding.create(tmp_path_factory.mktemp("past") / "home", environ={}, now=now)
    with logged(made) as log:
        log.append([lost(number) for number in range(30)])
        revised(made, log, 1)
        log.append([lost(number) for number in range(30)])
        log.seal(20, "to have a segment")
        revised(made, log, 2)
    store = Store.open(made.desired_store_path)
    head = store.head()
    assert head
    store.move("refs/heads/proposals/p1", head, was=None)
    people = Outbox.open(made.people_path, now, create=True)
    people.put(ConsentGiven(commit="c", digest="d"), stream="main", actor="ada")
    people.close()
    gateway = Outbox.open(made.gateway_outbox_path, now, create=True)
    called = ToolCalled(shard="s", tool="t", client="c", outcome="ok", arguments_digest="d")
    gateway.put(called, stream="gateway", actor="claude")
    gateway.close()
    (made.path / "targets.toml").write_text("")
    return made.path


@pytest.fixture
def home(past: Path, tmp_path: Path) -> Home:
    return homes.open(shutil.copytree(past, tmp_path / "home"), {})


@pytest.fixture
def file(home: Home, tmp_path: Path) -> Path:
    return making.make(home, tmp_path / "home.zip", now=now, tell=quiet, check=unread).path


def restored(file: Path, place: Path) -> Home:
    restoring.restore(file, place, person="ada", now=now, tell=quiet)
    return homes.open(place, {})


def everything(home: Home) -> dict[str, object]:
    """All that a home holds, but for what a restore adds to it."""
    with logged(home) as log:
        lines = [line for line in log.export() if b'"HomeRestored"' not in line]
        kept = [segment.file for segment in log.segments()]
    boxes = {}
    for path in (home.people_path, home.gateway_outbox_path):
        with contextlib.closing(Outbox.open(path, now)) as box:
            boxes[path.name] = list(box.read())
    return {
        "events": lines,
        "segments": kept,
        "references": Store.open(home.desired_store_path).references("refs/"),
        "anchors": Store.open(home.desired_store_path).anchors(),
        "outboxes": boxes,
        "settings": home.settings_path.read_text(),
    }


# ── there and back ───────────────────────────────────────────────────────────────────────────────


def test_a_restored_home_holds_what_was_backed_up(home, file, tmp_path):
    again = restored(file, tmp_path / "again")
    assert everything(again) == everything(home)


def test_a_restored_log_says_that_it_was_restored_and_from_what(home, file, tmp_path):
    with logged(home) as log:
        head = log.head()
    with logged(restored(file, tmp_path / "again")) as log:
        *_, last = log.read()
        assert log.verify().ok
    assert isinstance(last.event, HomeRestored)
    assert (last.event.seq, last.event.hash, last.actor) == (head.seq, head.hash, "person:ada")


def test_a_backup_says_in_numbers_what_was_read_and_found_good(home, file):
    found = restoring.check(file, now=now, tell=quiet)
    assert (found.events, found.segments, found.revisions, found.waiting) == (64, 1, 2, 2)
    assert (found.views, found.notes) == (len(views.ALL), ())
    assert found.repository
    assert found.repository.references == 5
    assert found.repository.files > 5  # all of the starter repo, and the anchors
    assert any("64 events" in line for line in found.lines())


def test_a_backup_is_its_owners_alone_and_nothing_is_left_beside_it(home, file):
    assert file.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in file.parent.iterdir()} == {"home", "home.zip"}
    assert list(home.work_path.glob("*/*")) == []


def test_the_rights_of_a_restored_home_are_those_of_a_new_one(home, file, tmp_path):
    again = restored(file, tmp_path / "again")
    for path in (home.log_path, home.settings_path, home.people_path, home.gateway_outbox_path, home.gateway_path):
        assert (again.path / path.relative_to(home.path)).stat().st_mode == path.stat().st_mode, path


def test_a_file_that_is_there_is_not_written_over_unless_it_is_said(home, file):
    before = file.read_bytes()
    with pytest.raises(BackupError, match="is there already"):
        making.make(home, file, now=now, tell=quiet, check=unread)
    assert file.read_bytes() == before
    making.make(home, file, now=now, tell=quiet, check=unread, overwrite=True)
    assert restoring.check(file, now=now, tell=quiet).events == 64


def test_a_restored_home_can_be_backed_up_again(home, file, tmp_path):
    again = restored(file, tmp_path / "again")
    second = making.make(again, tmp_path / "second.zip", now=now, tell=quiet, check=unread)
    assert restoring.check(second.path, now=now, tell=quiet).events == 65


def test_a_backup_fits_together_while_revisions_are_made(home, tmp_path):
    with logged(home) as log:
        numbers = iter(range(3, 100))

        def work(line: str) -> None:
            """A revision between any two steps of the backup."""
            revised(home, log, next(numbers))
            log.append(lost())

        for number in range(3):
            made = making.make(home, tmp_path / f"{number}.zip", now=now, tell=work, check=unread)
            assert restoring.check(made.path, now=now, tell=quiet).events == made.manifest.seq


def test_a_home_without_a_repository_of_its_own_is_backed_up_too(tmp_path):
    made = founding.create(
        tmp_path / "home", chosen={"WAYPOST_DESIRED_REPO": str(tmp_path / "elsewhere.git")}, environ={}, now=now
    )
    file = making.make(homes.open(made.path, {}), tmp_path / "home.zip", now=now, tell=quiet, check=unread).path
    again = restored(file, tmp_path / "again")
    assert again.desired_store_path.name == "mirror.git"
    assert Store.open(again.desired_store_path).references("refs/") == {}


def recorded(home: Home, *under_way: str) -> Path:
    """What a Komodo's target keeps beside the log: a stack, and maybe an attempt that is under way."""
    held = Held(mark="m", specs={"stack": {"after": ["db"]}}, asked="2026-11-21T15:04:05Z", commit="c")
    going_on = [UnderWay(attempt=one, commit="c", after="d", steps=()) for one in under_way]
    file = RecordFile(home.path / "targets" / "komodo.json", Disk())
    file.save(Record(held={"media": held}, under_way=going_on[0] if going_on else None))
    return home.path / "targets" / "komodo.json"


def test_what_is_known_of_deploys_beside_the_log_comes_along_and_back(home, tmp_path):
    started = ApplyStarted(
        instance="komodo", attempt="a1", commit="c", digest="d", before="b", after="d", changes={}, reason="r"
    )
    with logged(home) as log:
        log.append(Entry(stream="target/komodo", event=started))
    record = recorded(home, "a1")
    made = making.make(home, tmp_path / "home.zip", now=now, tell=quiet, check=unread)
    again = restored(made.path, tmp_path / "again").path / "targets" / "komodo.json"
    assert again.read_bytes() == record.read_bytes()
    assert [path.stat().st_mode for path in (again, again.parent)] == [
        path.stat().st_mode for path in (record, record.parent)
    ]


def test_a_deploy_that_the_log_does_not_know_to_be_under_way_is_not_brought_back(home, tmp_path):
    recorded(home, "concluded since")
    made = making.make(home, tmp_path / "home.zip", now=now, tell=quiet, check=unread)
    again = restored(made.path, tmp_path / "again").path / "targets" / "komodo.json"
    record = RecordFile(again, Disk()).load()
    assert (record.under_way, record.held["media"].specs) == (None, {"stack": {"after": ["db"]}})


def test_a_record_that_cannot_be_read_stops_nothing_and_is_told(home, tmp_path):
    recorded(home).write_text("{}")
    made = making.make(home, tmp_path / "home.zip", now=now, tell=quiet, check=unread)
    (said,) = made.manifest.left_out
    assert said.startswith("targets/komodo.json: it is no record")


def test_a_record_that_is_no_file_stops_nothing_and_is_told(home, tmp_path):
    (home.path / "targets" / "komodo.json").mkdir(parents=True)
    made = making.make(home, tmp_path / "home.zip", now=now, tell=quiet, check=unread)
    assert made.manifest.left_out == ("targets/komodo.json: Is a directory",)


def test_an_outbox_that_cannot_be_read_stops_nothing_and_is_told(home, tmp_path):
    home.gateway_outbox_path.write_bytes(b"something else")
    made = making.make(home, tmp_path / "home.zip", now=now, tell=quiet, check=unread)
    (said,) = made.manifest.left_out
    assert said.startswith("gateway/outbox.db: ")
    assert any(said in line for line in restoring.check(made.path, now=now, tell=quiet).lines())


def test_settings_that_name_what_this_machine_has_not_are_told_and_stop_nothing(home, tmp_path):
    with home.settings_path.open("a") as text:
        text.write("WAYPOST_TRAEFIK_BINARY=/nowhere/traefik\n")
    made = making.make(home, tmp_path / "home.zip", now=now, tell=quiet, check=unread)
    (note,) = restoring.check(made.path, now=now, tell=quiet).notes
    assert "/nowhere/traefik" in note


def test_a_branch_is_taken_along_whatever_people_call_it(home, tmp_path):
    store = Store.open(home.desired_store_path)
    name = "refs/heads/\N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER}"
    store.move(name, store.head() or "", was=None)
    again = restored(making.make(home, tmp_path / "home.zip", now=now, tell=quiet, check=unread).path, tmp_path / "a")
    assert Store.open(again.desired_store_path).references("refs/") == store.references("refs/")


def test_a_branch_whose_name_is_no_text_is_left_out_and_told(home, tmp_path):
    there = Store.open(home.desired_store_path).references("refs/")
    main = there["refs/heads/main"]
    update = ["git", "-C", str(home.desired_store_path), "update-ref", b"refs/heads/\xe9t\xe9", main]
    subprocess.run(update, check=True)
    made = making.make(home, tmp_path / "home.zip", now=now, tell=quiet, check=unread)
    assert any("its name is no UTF-8" in line for line in restoring.check(made.path, now=now, tell=quiet).lines())
    assert Store.open(restored(made.path, tmp_path / "a").desired_store_path).references("refs/") == there


def test_secrets_that_settings_refer_to_are_not_in_a_backup(home, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_SECRET", "canary-value-in-the-environment")
    key = tmp_path / "key"
    key.write_text("canary-value-in-a-file")
    with home.settings_path.open("a") as text:
        text.write(f"WAYPOST_GIT_TOKEN=env:GIT_SECRET\nWAYPOST_TRAEFIK_API_AUTH=file:{key}\n")
    made = making.make(homes.open(home.path), tmp_path / "home.zip", now=now, tell=quiet, check=unread)
    with zipfile.ZipFile(made.path) as archive:
        assert not any(b"canary-value" in archive.read(name) for name in archive.namelist())


# ── where a backup may be restored ───────────────────────────────────────────────────────────────


def test_only_an_empty_place_is_restored_into(home, file, tmp_path):
    before = everything(home)
    with pytest.raises(BackupError, match="is not empty"):
        restored(file, home.path)
    assert everything(home) == before
    (tmp_path / "gateway-only" / "gateway").mkdir(parents=True)
    restored(file, tmp_path / "gateway-only")


def test_a_restore_that_was_killed_is_begun_again(home, file, tmp_path, monkeypatch):
    place, moved = tmp_path / "again", []
    move = restoring._move

    def killed(source: Path, to: Path) -> None:
        if len(moved) == 2:
            raise KeyboardInterrupt
        moved.append(to)
        move(source, to)

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "_move", killed)
        with pytest.raises(KeyboardInterrupt):
            restored(file, place)
    with pytest.raises(HomeError, match="not a Waypost home"):
        homes.open(place, {})
    assert everything(restored(file, place)) == everything(home)


def test_a_home_that_lost_its_settings_is_never_taken_for_a_restore_that_was_killed(file, tmp_path):
    place = restored(file, tmp_path / "again").path
    (place / ".restoring").mkdir()  # killed once it was a home, before the last of the work was cleared away
    (place / "waypost.env").unlink()
    there = sorted(place.rglob("*"))
    with pytest.raises(BackupError, match="is not empty"):
        restored(file, place)
    assert sorted(place.rglob("*")) == [path for path in there if path.name != ".restoring"]


def test_what_is_refused_leaves_nothing_behind(file, tmp_path):
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 0x10
    (tmp_path / "bad.zip").write_bytes(content)
    with pytest.raises(BackupError):
        restored(tmp_path / "bad.zip", tmp_path / "again")
    assert list((tmp_path / "again").iterdir()) == []


# ── what is not believed ─────────────────────────────────────────────────────────────────────────


def refused(file: Path) -> str:
    """In which words a backup is refused; it must never be anything but words."""
    with pytest.raises(BackupError) as caught:
        restoring.check(file, now=now, tell=quiet)
    return str(caught.value)


def repacked(file: Path, change: Callable[[dict[str, bytes]], None], *, mode: int = stat.S_IFREG | 0o600) -> Path:
    """The same archive with other files in it, its own checksums right."""
    with zipfile.ZipFile(file) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return file


def test_an_archive_that_was_cut_short_is_refused_wherever_it_was_cut(file):
    whole = file.read_bytes()
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 100, len(whole) - 1):
        file.write_bytes(whole[:size])
        assert "damaged, cut short, or no backup" in refused(file)


@settings(max_examples=25)
@given(place=st.floats(0, 0.999999), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found_or_changes_nothing(place, bit, tmp_path_factory):
    directory = tmp_path_factory.mktemp("flip")
    whole = flippable(tmp_path_factory)
    content = bytearray(whole)
    content[int(place * len(content))] ^= 1 << bit
    (directory / "home.zip").write_bytes(content)
    with contextlib.suppress(BackupError):
        found = restoring.check(directory / "home.zip", now=now, tell=quiet)
        assert found.events == 4  # a moment or an attribute that nobody reads


_FLIPPABLE: list[bytes] = []


def flippable(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    if not _FLIPPABLE:
        place = tmp_path_factory.mktemp("flippable")
        made = founding.create(place / "home", environ={}, now=now)
        with logged(made) as log:
            log.append([lost(), lost(), lost()])
        path = making.make(homes.open(made.path, {}), place / "home.zip", now=now, tell=quiet, check=unread).path
        _FLIPPABLE.append(path.read_bytes())
    return _FLIPPABLE[0]


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "log.segments/../../evil.db", "hooks/post-receive"])
def test_a_name_that_leads_elsewhere_is_refused(file, name):
    def change(files: dict[str, bytes]) -> None:
        manifest = orjson.loads(files["manifest.json"])
        manifest["members"][name] = {"size": 4, "digest": "0" * 64}
        files["manifest.json"] = orjson.dumps(manifest)
        files[name] = b"evil"

    assert "names a file that no backup holds" in refused(repacked(file, change))
    assert not (file.parent / "evil").exists()


def test_a_link_in_an_archive_is_refused(file):
    assert "is not the file that was put there" in refused(
        repacked(file, lambda files: None, mode=stat.S_IFLNK | 0o777)
    )


def test_a_file_more_or_less_is_refused(file):
    assert "does not hold what it says" in refused(repacked(file, lambda files: files.update(more=b"")))
    assert "does not hold what it says" in refused(repacked(file, lambda files: files.pop("people.db")))


def test_two_files_of_one_name_are_refused(file):
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning):
        archive.writestr("log.db", b"")
    assert "two files of one name" in refused(file)


def test_another_content_under_the_same_name_is_refused(file):
    def change(files: dict[str, bytes]) -> None:
        files["waypost.env"] = files["waypost.env"].replace(b"s", b"z")

    assert "waypost.env is not the file that was put there" in refused(repacked(file, change))


@pytest.mark.parametrize("size", [2**40, 2**63, -1, "many", None])
def test_a_bomb_or_a_lie_about_size_is_refused(file, size):
    def change(files: dict[str, bytes]) -> None:
        manifest = orjson.loads(files["manifest.json"])
        manifest["members"]["log.db"]["size"] = size
        files["manifest.json"] = orjson.dumps(manifest)

    assert refused(repacked(file, change))


@pytest.mark.parametrize(
    "manifest",
    [b"", b"[]", b"{}", b"null", b'{"waypost backup":1}', b'{"waypost backup":1,"members":[]}', b"\xff", b"[" * 10**5],
)
def test_an_archive_of_something_else_is_refused(file, manifest):
    assert "not one that Waypost writes" in refused(repacked(file, lambda f: f.update({"manifest.json": manifest})))


def test_a_backup_of_a_newer_format_is_refused(file):
    def change(files: dict[str, bytes]) -> None:
        files["manifest.json"] = files["manifest.json"].replace(b'"waypost backup": 1', b'"waypost backup": 2')

    assert "use the one that made it" in refused(repacked(file, change))


def test_what_is_not_an_archive_is_refused(tmp_path):
    (tmp_path / "text").write_text("hello")
    assert "no backup at all" in refused(tmp_path / "text")
    assert "No such file" in refused(tmp_path / "missing")
    assert "Is a directory" in refused(tmp_path)


def resigned(home: Home, tmp_path: Path) -> str:
    """In which words a backup of this home is refused: one whose every checksum is right."""
    return refused(making.make(home, tmp_path / "resigned.zip", now=now, tell=quiet, check=unread).path)


def raw(path: Path, *statements: str) -> None:
    from sqlite_utils import Database

    database = Database(path)
    for statement in statements:
        database.execute(statement)
    database.conn.commit()
    database.close()


def past_the_triggers(path: Path, statement: str) -> None:
    """Change the log as somebody does who puts everything back that would show it."""
    from sqlite_utils import Database

    database = Database(path)
    triggers = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    database.close()
    raw(path, *(f"DROP TRIGGER {name}" for name, _ in triggers), statement, *(sql for _, sql in triggers))


def test_a_log_that_was_tampered_with_is_not_good(home, tmp_path):
    past_the_triggers(home.log_path, "UPDATE events SET actor = 'x' WHERE seq = 40")
    assert "event 40" in resigned(home, tmp_path)


def test_a_log_without_its_triggers_is_not_good(home, tmp_path):
    raw(home.log_path, "DROP TRIGGER events_are_never_changed")
    assert "trigger events_are_never_changed" in resigned(home, tmp_path)


def test_a_trigger_of_somebody_else_in_the_log_is_not_good(home, tmp_path):
    raw(home.log_path, "CREATE TRIGGER evil AFTER INSERT ON events BEGIN DELETE FROM cursors; END")
    assert "trigger evil" in resigned(home, tmp_path)


def test_a_log_that_names_a_segment_elsewhere_is_not_good(home, tmp_path):
    outside = tmp_path / "precious"
    outside.write_text("keep me")
    raw(home.log_path, f"INSERT INTO replaced VALUES ('../../{outside.name}')")
    with pytest.raises(Exception, match="names a segment that cannot be"):
        EventLog.open(home.log_path, now=now)
    assert "names a segment that cannot be" in resigned(home, tmp_path)
    assert outside.exists()


def test_a_log_that_lost_its_tail_is_not_good(home, tmp_path):
    past_the_triggers(home.log_path, "DELETE FROM events WHERE seq > 50")
    assert "at its end are lost" in resigned(home, tmp_path)


def test_a_view_that_is_not_what_its_events_say_is_not_good(home, tmp_path):
    raw(home.log_path, "UPDATE checkpoints SET state = replace(state, 'away', 'here')")
    with logged(home) as log:
        log.view(views.Health)
    raw(home.log_path, "UPDATE checkpoints SET state = CAST(replace(CAST(state AS TEXT), 'away', 'here') AS BLOB)")
    assert "is not what its events add up to" in resigned(home, tmp_path)


def test_a_revision_that_git_forgot_is_not_good(home, tmp_path):
    Store.open(home.desired_store_path).remove("refs/waypost/revisions/1")
    assert "revision 1" in resigned(home, tmp_path)


def test_an_object_that_is_missing_or_changed_stops_a_backup(home, tmp_path):
    objects = sorted((home.desired_store_path / "objects").glob("[0-9a-f][0-9a-f]/*"))
    objects[0].chmod(0o600)
    objects[0].unlink()
    with pytest.raises(BackupError, match="cannot be taken along"):
        making.make(home, tmp_path / "home.zip", now=now, tell=quiet, check=unread)
    assert not list(tmp_path.glob("*.zip*"))


def test_a_segment_that_is_missing_stops_a_backup(home, tmp_path):
    for path in segments.directory(home.log_path).iterdir():
        path.unlink()
    with pytest.raises(BackupError, match="is missing, so this home is not whole"):
        making.make(home, tmp_path / "home.zip", now=now, tell=quiet, check=unread)


# ── what tricks the reader ───────────────────────────────────────────────────────────────────────


def members(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("way", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_packing_whose_unpacking_has_no_bound_is_refused(file, way):
    files = members(file)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, way if name == "people.db" else zipfile.ZIP_STORED)
    assert "packed in a way that Waypost does not use" in refused(file)


def test_a_manifest_that_is_far_larger_than_it_says_is_refused(file, monkeypatch):
    """Deflated, a gigabyte of nothing is a megabyte; here a little less, so that the test costs little."""
    monkeypatch.setattr(manifest, "LARGEST", 1 << 20)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", b" " * (20 << 20))
        archive.infolist()[0].file_size = 1_000  # what the list of files says of it
    tracemalloc.start()
    assert refused(file)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_an_endless_list_of_files_is_refused_unread(file):
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(40_000):
            archive.filelist.append(info := zipfile.ZipInfo(f"{number:0100}"))
            info.header_offset = info.CRC = 0
        archive._didModify = True  # type: ignore[attr-defined]
    assert file.stat().st_size > 5 << 20
    assert "list of files is too long" in refused(file)


def test_signs_that_a_terminal_obeys_are_refused(file):
    def change(files: dict[str, bytes]) -> None:
        said = orjson.loads(files["manifest.json"])
        files["manifest.json"] = orjson.dumps({**said, "waypost": "\x1b[2J"})

    assert "not one that Waypost writes" in refused(repacked(file, change))


def with_log(file: Path, *statements: str) -> Path:
    """The same backup with another log in it, its digest right."""

    def change(files: dict[str, bytes]) -> None:
        place = file.with_name("changed.db")
        place.write_bytes(files["log.db"])
        raw(place, *statements)
        content = files["log.db"] = place.read_bytes()
        said = orjson.loads(files["manifest.json"])
        said["members"]["log.db"] = {"size": len(content), "digest": hashlib.sha256(content).hexdigest()}
        files["manifest.json"] = orjson.dumps(said)

    return repacked(file, change)


@pytest.mark.parametrize("table", ["events", "segments", "shapes", "replaced"])
def test_a_log_that_computes_its_events_for_ever_is_refused(file, table):
    endless = f"""CREATE VIEW {table} AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
        SELECT i AS seq, i AS first, i AS last, i AS type, i AS schema, i AS file FROM n"""
    assert "something that computes them" in refused(with_log(file, f"DROP TABLE {table}", endless))


def test_a_table_of_another_shape_in_the_log_is_refused(file):
    changed = "ALTER TABLE cursors ADD COLUMN more TEXT AS (hex(zeroblob(400000000)))"
    assert "table cursors" in refused(with_log(file, changed))


def test_a_log_that_litestream_replicates_is_backed_up_and_good(home, tmp_path):
    raw(
        home.log_path,
        "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)",
        "CREATE TABLE _litestream_lock (id INTEGER)",
    )
    made = making.make(home, tmp_path / "home.zip", now=now, tell=quiet, check=unread)
    assert restoring.check(made.path, now=now, tell=quiet).events == 64


def verified(home: Home) -> tuple[int, str]:
    done = CliRunner().invoke(waypost, ["--home", str(home.path), "log", "verify"])
    return done.exit_code, done.output


def test_a_log_that_litestream_brought_back_is_held_against_the_anchors_in_git(home, tmp_path):
    """There is no Litestream here: what it brings back is the database as it was a moment before, two tables added."""
    raw(
        home.log_path,
        "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)",
        "CREATE TABLE _litestream_lock (id INTEGER)",
    )
    database.copy(home.log_path, tables.LOG, tmp_path / "replica.db")
    with logged(home) as log:
        log.append(lost())
    shutil.copyfile(tmp_path / "replica.db", home.log_path)
    assert verified(home)[0] == 0, "nothing that Git knows of is lost"
    with logged(home) as log:
        log.append(lost())
        revised(home, log, 3)
    shutil.copyfile(tmp_path / "replica.db", home.log_path)
    code, said = verified(home)
    assert code != 0 and "at its end are lost" in said
    for segment in segments.directory(home.log_path).iterdir():
        segment.unlink()
    code, said = verified(home)
    assert code != 0 and "is missing; put it back from the newest good backup" in said


def test_a_file_in_git_that_nobody_could_read_whole_is_refused(home, tmp_path, monkeypatch):
    file = making.make(home, tmp_path / "home.zip", now=now, tell=quiet, check=unread).path
    monkeypatch.setattr(packing, "LARGEST", 500)
    assert "that Waypost reads at once" in refused(file)
    assert "cannot be taken along" in unmade(home, tmp_path)


def unmade(home: Home, tmp_path: Path) -> str:
    with pytest.raises(BackupError) as caught:
        making.make(home, tmp_path / "another.zip", now=now, tell=quiet, check=unread)
    return str(caught.value)


# ── several at once, and disks that end ──────────────────────────────────────────────────────────


def test_what_cannot_be_read_back_never_takes_the_place_of_what_was_good(home, file):
    before = file.read_bytes()

    def bad(path: Path, scratch: Path) -> None:
        raise BackupError(f"{path} is not sound")

    with pytest.raises(BackupError, match="home.zip is not sound"):
        making.make(home, file, now=now, tell=quiet, check=bad, overwrite=True)
    assert file.read_bytes() == before
    assert {path.name for path in file.parent.iterdir()} == {"home", "home.zip"}


def test_a_backup_that_would_take_the_logs_own_room_is_not_begun(home, tmp_path, monkeypatch):
    full = shutil.disk_usage(tmp_path)._replace(free=archive.SPARE)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: full)
    with pytest.raises(BackupError, match="no room for that"):
        making.make(home, tmp_path / "home.zip", now=now, tell=quiet, check=unread)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_second_restore_into_the_same_place_leaves_the_first_one_alone(home, file, tmp_path):
    place, said = tmp_path / "again", []

    def meanwhile(line: str) -> None:
        if line.startswith("checking every event"):
            with pytest.raises(BackupError) as caught:
                restoring.restore(file, place, person="bob", now=now, tell=quiet)
            said.append(str(caught.value))

    restoring.restore(file, place, person="ada", now=now, tell=meanwhile)
    assert ["by another process" in one for one in said] == [True]
    assert everything(homes.open(place, {})) == everything(home)


# ── on schedule ──────────────────────────────────────────────────────────────────────────────────

DAILY = Policy(backups=BackupPolicy(every="1d", keep=3, alert_after="2d"))


@dataclass
class Keeping:
    """A home that keeps itself, on a clock of the test's own."""

    home: Home
    world: World
    time: Time
    directory: Path

    def pass_days(self, days: float, policy: Policy = DAILY, *, read_back: bool = True) -> None:
        self.time.at += timedelta(days=days)
        housekeeping.tend(self.home, self.world, policy, housekeeping.check_here if read_back else unread)

    def events(self, *kinds: type) -> list[object]:
        return [one.event for one in self.world.log.read() if isinstance(one.event, kinds)]

    def files(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir()) if self.directory.exists() else []


@pytest.fixture
def keeping(tmp_path: Path) -> Iterator[Keeping]:
    time = Time()
    made = founding.create(
        tmp_path / "home", chosen={"WAYPOST_BACKUP_DIR": str(tmp_path / "backups")}, environ={}, now=time.now
    )
    home = homes.open(made.path, {})
    with contextlib.closing(EventLog.open(home.log_path, now=time.now)) as log:
        store = Store.open(home.desired_store_path)
        yield Keeping(
            home,
            World(log=log, store=store, targets={}, clock=time, chance=os.urandom),
            time,
            tmp_path / "backups",
        )


def test_a_backup_is_made_when_it_is_due_and_only_then(keeping):
    keeping.pass_days(0.5)
    assert keeping.files() == []
    keeping.pass_days(0.6)
    keeping.pass_days(0.1)
    (name,) = keeping.files()
    (made,) = keeping.events(BackupMade)
    assert (made.file, made.reason) == (name, "it was due")
    assert restoring.check(keeping.directory / name, now=now, tell=quiet).digest == made.digest


def test_a_cron_line_is_a_schedule_too(keeping):
    nightly = Policy(backups=BackupPolicy(every="0 3 * * *"))
    keeping.pass_days(14 / 24, nightly)  # 02:00 the next day
    assert keeping.files() == []
    keeping.pass_days(2 / 24, nightly)
    assert len(keeping.files()) == 1


def test_only_so_many_are_kept_and_others_files_are_left_alone(keeping):
    keeping.directory.mkdir()
    foreign = keeping.directory / "waypost-00000000-20200101T000000Z.zip"
    foreign.write_text("another home's")
    for _ in range(5):
        keeping.pass_days(1.01)
    assert len(keeping.files()) == 3 + 1
    assert foreign.exists()
    removed = keeping.events(BackupRemoved)
    assert [one.file for one in removed] == [one.file for one in keeping.events(BackupMade)][:2]


def test_a_backup_that_fails_is_told_tried_again_soon_and_alerted_when_the_last_good_one_is_old(keeping):
    keeping.pass_days(1.01)
    keeping.directory.rename(keeping.directory.with_name("gone"))
    keeping.directory.write_text("a file where the directory was")
    keeping.pass_days(1.01)
    (failed,) = keeping.events(BackupFailed)
    assert str(keeping.directory) in failed.reason
    assert causes(keeping.world) == []
    keeping.pass_days(0.01)
    keeping.pass_days(0.05)
    assert len(keeping.events(BackupFailed)) == 2
    keeping.pass_days(1)
    keeping.pass_days(0.1)
    (overdue,) = keeping.events(BackupOverdue)
    assert "2026-11-21" in overdue.reason
    (cause,) = causes(keeping.world)
    assert (cause.fingerprint, cause.title) == ("backup", "there is no recent good backup")
    keeping.directory.unlink()
    keeping.pass_days(0.1)
    assert len(keeping.files()) == 1
    assert causes(keeping.world) == []


def test_a_home_that_never_had_a_backup_is_alerted_too(keeping):
    keeping.directory.write_text("a file where the directory should be")
    keeping.pass_days(2.01)
    (overdue,) = keeping.events(BackupOverdue)
    assert "none" in overdue.reason


def test_a_persons_backup_counts(keeping):
    keeping.directory.write_text("a file where the directory should be")
    keeping.pass_days(2.01)
    assert causes(keeping.world)
    made = BackupMade(file="/media/stick/home.zip", seq=1, hash="h", size=1, digest="d", reason="a person asked")
    keeping.world.log.append(Entry(stream="backups", event=made))
    assert causes(keeping.world) == []


def test_a_backup_is_read_back_by_a_process_of_its_own(file, tmp_path):
    housekeeping.check_apart(file, tmp_path)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BackupError, match="damaged, cut short"):
        housekeeping.check_apart(file, tmp_path)


def test_without_a_directory_nothing_is_backed_up_and_nobody_is_alerted(home):
    time = Time()
    with logged(home) as log:
        world = World(log=log, store=Store.open(home.desired_store_path), targets={}, clock=time, chance=os.urandom)
        time.at += timedelta(days=100)
        housekeeping.tend(home, world, DAILY)
        assert log.view(views.Backups).tried is None
        assert causes(world) == []


def test_a_clock_that_ran_ahead_once_stops_no_backups(keeping):
    for days in (20_000, -20_000, 0.5, 0.6):
        keeping.pass_days(days, read_back=False)
    assert len(keeping.events(BackupMade)) == 3
    assert not keeping.events(BackupOverdue)


def test_backups_that_a_clock_ahead_made_outlive_none_that_came_later(keeping):
    few = Policy(backups=BackupPolicy(every="1d", keep=2))
    for days in (1.01, 20_000, 1.01, 1.01):
        keeping.pass_days(days, few, read_back=False)
    assert all("-2081" in name for name in keeping.files())
    keeping.time.at = START + timedelta(days=4)
    for _ in range(2):
        keeping.pass_days(1.01, few, read_back=False)
    assert [name.rpartition("-")[2][:6] for name in keeping.files()] == ["202611"] * 2


def test_a_last_good_backup_from_the_future_is_none_that_anybody_can_rely_on(keeping):
    keeping.pass_days(20_000)
    assert keeping.events(BackupMade)
    keeping.directory.rename(keeping.directory.with_name("gone"))
    keeping.directory.write_text("a file where the directory was")
    keeping.pass_days(-20_000)
    assert keeping.events(BackupFailed)
    (overdue,) = keeping.events(BackupOverdue)
    assert "2081" in overdue.reason


def test_a_second_with_the_same_name_leaves_the_good_one_there(keeping):
    keeping.pass_days(1.01)
    (name,) = keeping.files()
    keeping.time.at -= timedelta(seconds=1)
    keeping.pass_days(-1)  # the clock went back: a backup is due
    keeping.time.at = datetime.strptime(name.rpartition("-")[2], "%Y%m%dT%H%M%SZ.zip").replace(tzinfo=UTC)
    keeping.pass_days(0, Policy(backups=BackupPolicy(every="1s")))
    (failed,) = keeping.events(BackupFailed)
    assert "is there already" in failed.reason
    assert name in keeping.files()


def test_only_what_this_home_left_half_done_is_swept(keeping):
    keeping.pass_days(1.01)
    (name,) = keeping.files()
    ours, theirs = f".{name}.4711.new", ".waypost-00000000-20261120T000000Z.zip.4711.new"
    persons = ".check-abc"
    for left in (ours, theirs, persons):
        (keeping.directory / left).write_text("half")
    keeping.pass_days(1.01)
    assert {theirs, persons} < set(keeping.files())
    assert ours not in keeping.files()


def test_a_home_that_is_not_whole_is_told_as_a_backup_that_failed(keeping):
    keeping.world.log.append([lost(), lost(), lost()])
    keeping.world.log.seal(2, "to have a segment")
    keeping.world.log.view(views.Backups)
    for path in segments.directory(keeping.home.log_path).iterdir():
        path.unlink()
    keeping.pass_days(2.01)
    failed, overdue = [one.event for one in keeping.world.log.read(keeping.world.log.head().seq - 2)]
    assert isinstance(failed, BackupFailed) and "is missing" in failed.reason
    assert isinstance(overdue, BackupOverdue)


def test_a_backup_that_comes_to_no_end_does_not_keep_anybody_from_being_told(keeping):
    keeping.time.at += timedelta(days=2.01)

    def stuck(file: Path, scratch: Path) -> None:
        housekeeping.notice_overdue(keeping.home, keeping.world, DAILY)  # what the other thread does meanwhile
        assert causes(keeping.world)

    housekeeping.look_after_backups(keeping.home, keeping.world, DAILY, stuck)
    assert keeping.events(BackupOverdue, BackupMade)


# ── the log stays small ──────────────────────────────────────────────────────────────────────────

SELDOM = BackupPolicy(every="9999d", alert_after="9999d")


def test_old_events_are_sealed_half_of_the_age_at_once(keeping):
    policy = Policy(backups=SELDOM, log=LogPolicy(live="30d"))
    for _ in range(32):
        keeping.world.log.append([lost(number) for number in range(100)])
        keeping.pass_days(1, policy)
    (segment,) = keeping.world.log.segments()
    assert 1_500 < segment.last < 1_700
    assert keeping.world.log.verify().ok


def test_more_events_than_the_policy_keeps_live_are_sealed_by_half(keeping):
    policy = Policy(backups=SELDOM, log=LogPolicy(live_events=2_000))
    keeping.world.log.append([lost(number) for number in range(5_000)])
    keeping.pass_days(0, policy)
    head = keeping.world.log.head().seq
    assert 999 <= head - keeping.world.log.sealed() <= 1_002
    keeping.pass_days(0, policy)
    assert len(keeping.world.log.segments()) == 1


def test_a_clock_is_believed_once_it_went_on_like_the_one_that_counts():
    time, ticks = Time(), [0.0]
    time.monotonic = lambda: ticks[0]  # type: ignore[method-assign]
    steady = Steady(time, housekeeping._UNSTEADY)

    def after(seconds: float, ahead: float = 0) -> bool:
        ticks[0] += seconds
        time.at += timedelta(seconds=seconds + ahead)
        return steady()

    assert [after(0), after(3600), after(3600, 10), after(3600, 1e9), after(3600)] == [False, True, True, False, True]
    assert [after(3600, -1e9), after(60)] == [False, True]


def test_who_keeps_everything_for_ever_keeps_it(keeping):
    keeping.world.log.append([lost(number) for number in range(2_000)])
    housekeeping.tidy(keeping.world, LogPolicy(live="999999d", reads="999999d"))
    assert not keeping.world.log.segments()


def test_while_the_clock_is_not_believed_nothing_is_forgotten_or_sealed_for_its_age(keeping):
    called = ToolCalled(shard="s", tool="t", client="c", outcome="ok", arguments_digest="d")
    keeping.world.log.append(Entry(stream="gateway", event=called, request_id="r1"))
    keeping.world.log.append([lost(number) for number in range(2_000)])
    keeping.time.at += timedelta(days=20_000)
    housekeeping.tidy(keeping.world, LogPolicy(), by_age=False)
    assert keeping.events(ToolCalled)
    assert not keeping.world.log.segments()
    housekeeping.tidy(keeping.world, LogPolicy(live_events=2_000), by_age=False)
    assert keeping.world.log.segments()


def test_what_was_only_looked_at_is_forgotten_after_its_time(keeping):
    called = ToolCalled(shard="s", tool="t", client="c", outcome="ok", arguments_digest="d")
    keeping.world.log.append(Entry(stream="gateway", event=called, request_id="r1"))
    keeping.pass_days(29, Policy(backups=SELDOM))
    assert keeping.events(ToolCalled)
    keeping.pass_days(2, Policy(backups=SELDOM))
    assert not keeping.events(ToolCalled)
    assert keeping.world.log.verify().ok


def test_a_person_can_seal_old_events_and_everything_still_reads_over_them(home):
    def run(*arguments: str) -> str:
        done = CliRunner().invoke(waypost, ["--home", str(home.path), *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    before = run("history", "--limit", "1000").splitlines()
    told = orjson.loads(run("log", "archive", "--keep", "10", "--json"))
    assert told["sealed"]["first"] == 21
    assert run("history", "--limit", "1000").splitlines()[: len(before) - 1] == before[:-1]
    assert "chain and anchors hold" in run("log", "verify")
    assert len(run("log", "export").splitlines()) == len(run("history", "--limit", "1000").splitlines())
    run("log", "rebuild")
    assert orjson.loads(run("log", "archive", "--keep", "1000", "--json")) == {"sealed": None}
