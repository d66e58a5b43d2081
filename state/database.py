"""How a Waypost database file is opened: durable, one format number, no surprises. The log and the outboxes use it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlite_utils import Database as Database

from state.errors import DamagedFile, DiskFault, EmptyFile, LogError, NewerLogError

if TYPE_CHECKING:
    import sqlite3
else:
    from sqlite_utils.utils import sqlite3  # pysqlite3 where it is installed, else the interpreter's own

WAIT = 10.0
"""Seconds to wait for another process's transaction to end."""

WAL_PAGES = 4_000
"""Pages in the write-ahead log before they are moved to the file: seldom, since that is what an append waits for."""

DatabaseFault = sqlite3.Error
"""Whatever SQLite raises; `explained` turns it into a LogError."""

Conflict = sqlite3.IntegrityError
"""Something of that key is there already."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """A kind of database file: what it is called, its mark in the file, and the steps that build it.

    The file's format number is the count of steps it has gone through; steps are only ever added.
    """

    name: str
    application_id: int
    steps: Sequence[Callable[[Database], None]]
    mending: str = ""  # what a person does where the file is damaged


@dataclass(frozen=True)
class Opened:
    """An open database. `degraded` is "" or the reason why it runs in a safer, slower journal mode."""

    database: Database
    degraded: str


def wal_is_safe(version: tuple[int, int, int]) -> bool:
    """Whether this SQLite is free of the bug that can corrupt a write-ahead log when it starts over."""
    if version < (3, 7, 0):
        return False  # no write-ahead log yet
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51, 0) or (3, 44, 6) <= version < (3, 45, 0)


def sqlite_version() -> tuple[int, int, int]:
    """The SQLite that is really linked in."""
    major, minor, patch, *_ = sqlite3.sqlite_version_info
    return major, minor, patch


def degradation(version: tuple[int, int, int]) -> str:
    """Why this SQLite may not keep a write-ahead log; "" where it may."""
    if wal_is_safe(version):
        return ""
    text = ".".join(map(str, version))
    return (
        f"SQLite {text} has the WAL-reset bug (fixed in 3.51.3, 3.50.7 and 3.44.6), so a rollback journal is used: "
        "as safe, several times slower to write. Installing pysqlite3 brings a fixed SQLite"
    )


def open_database(path: Path, kind: Format, *, create: bool, readonly: bool, mode: int = 0o600) -> Opened:
    """Open the file, bringing an older format up to date (of a read-only file: a copy in memory).

    Raises LogError where there is no such file (and `create` is not set), it is something else, or it cannot be
    used; NewerLogError where a newer Waypost wrote it.
    """
    _require_place(path, kind, create=create and not readonly, mode=mode)
    degraded = degradation(sqlite_version())
    with explained(kind, path):
        database = _reader(path, kind) if readonly else _connect(path, "mode=rw")
        try:
            _require_format(database, kind, path, fresh=create and not readonly)
            if readonly:
                database = _readable(database, kind)
            else:
                _make_durable(database, kind, path, wal=not degraded)
                _bring_up_to_date(database, kind)
        except BaseException:
            database.close()
            raise
    return Opened(database, degraded)


@contextlib.contextmanager
def written_once(path: Path, kind: Format) -> Iterator[Database]:
    """A new database file that is filled in one go, flushed to the disk, and never changed again.

    It is complete only once this ends: write it beside, then rename it. Raises LogError where it cannot be written.
    """
    with explained(kind, path):
        path.unlink(missing_ok=True)
        _create(path, kind, 0o600)
        database = _connect(path, "mode=rw")
        try:
            for setting in ("journal_mode = OFF", "synchronous = OFF", f"application_id = {kind.application_id}"):
                database.conn.execute(f"PRAGMA {setting}")
            _bring_up_to_date(database, kind)
            with immediately(database):
                yield database
        finally:
            database.close()
        flush(path)


def copy(path: Path, kind: Format, to: Path, tell: Callable[[float], None] = lambda share: None) -> None:
    """A copy of the file as it is at one moment, whoever writes it meanwhile; durable, and in a single file.

    `tell` hears from time to time how much of it is done, 0 to 1. Raises LogError where it cannot be read or written.
    """
    source = open_database(path, kind, create=False, readonly=True).database
    with explained(kind, path):
        try:
            # While a transaction reads, writers go on beside it, and each step copies from the same moment.
            source.conn.execute("BEGIN")
            source.conn.execute("SELECT count(*) FROM sqlite_master").fetchone()
            _copy_pages(source, kind, to, tell)
        finally:
            source.close()


def _copy_pages(source: Database, kind: Format, to: Path, tell: Callable[[float], None]) -> None:
    with explained(kind, to):
        _create(to, kind, 0o600)
        copied = sqlite3.connect(to, isolation_level=None)
        try:
            source.conn.backup(
                copied, pages=_STEP, progress=lambda _, left, pages: tell(1 - left / pages if pages else 1.0)
            )
            copied.execute("PRAGMA journal_mode = DELETE")  # nothing beside it is part of it
        finally:
            copied.close()
        flush(to)


_STEP = 8_000
"""Pages copied between two times that progress is told."""


def flush(path: Path) -> None:
    """Have the disk keep a file, or what a directory lists."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reserve(database: Database, path: Path, pages: int) -> None:
    """Have the write-ahead log begin with the length of so many pages, and start over before it gets longer.

    For who writes often: a flush that makes a file longer takes half as long again. What follows the last transaction
    SQLite passes over, so it may be anything. Only time is lost where it fails.
    """
    if pragma(database, "journal_mode") != "wal":
        return
    database.conn.execute(f"PRAGMA wal_autocheckpoint = {pages}")
    log = path.with_name(f"{path.name}-wal")
    # In a transaction: another process could be making it longer itself.
    with contextlib.suppress(OSError), immediately(database), log.open("r+b", buffering=0) as file:
        file.write(bytes(max(0, pages * _FRAME - file.seek(0, os.SEEK_END))))
        os.fsync(file.fileno())


_FRAME = 24 + 4096
"""Bytes of a page in the write-ahead log."""


def _require_place(path: Path, kind: Format, *, create: bool, mode: int) -> None:
    try:
        # A pipe would block us and a link could lead to a file of somebody else's choosing.
        if not stat.S_ISREG(path.lstat().st_mode):
            raise LogError(f"{path} is not a regular file, so it is not used as {kind.name}")
    except FileNotFoundError:
        if not create:
            raise LogError(f"there is no {kind.name} at {path}; `waypost init` makes what is missing") from None
        _create(path, kind, mode)
    except OSError as problem:
        may_pass = not isinstance(problem, PermissionError)
        raise LogError(f"{kind.name} {path} cannot be reached: {problem.strerror}", retry=may_pass) from problem


def _create(path: Path, kind: Format, mode: int) -> None:
    try:
        file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, mode)
        os.fchmod(file, mode)  # the umask had its say in open(); SQLite gives its side files the same mode
        os.close(file)
        flush(path.parent)
    except OSError as problem:
        raise LogError(f"{kind.name} {path} cannot be created: {problem.strerror}") from problem


def _reader(path: Path, kind: Format) -> Database:
    database = _connect(path, "mode=ro")
    try:
        pragma(database, "schema_version")  # only now the file is looked into
    except DatabaseFault as fault:
        database.close()
        if not _code(fault).startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")) or _at_rest(path) is None:
            raise
        return _copy_at_rest(path, kind)
    return database


def _copy_at_rest(path: Path, kind: Format) -> Database:
    """A copy in memory of a file that nobody has open.

    Reading a write-ahead log takes files beside it, and an account that may only read here cannot make them.
    """
    before = _at_rest(path)
    copy = _in_memory(_connect(path, "mode=ro&immutable=1"))
    if before is None or _at_rest(path) != before:
        copy.close()
        raise LogError(f"{kind.name} {path} is just being opened by its writer; try again", retry=True)
    return copy


def _at_rest(path: Path) -> tuple[int, int, int] | None:
    """What shows whether a file was written meanwhile; None while a writer has it open."""
    if path.with_name(f"{path.name}-wal").exists():
        return None
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _in_memory(database: Database) -> Database:
    """A copy of the database in memory, in place of it."""
    memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        database.conn.backup(memory)
    finally:
        database.close()
    return Database(memory, execute_plugins=False)


def _connect(path: Path, options: str) -> Database:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?{options}",
        uri=True,
        timeout=WAIT,
        isolation_level=None,  # transactions are ours to begin: always IMMEDIATE
        check_same_thread=False,  # the owner holds a lock around every use
    )
    database = Database(connection, execute_plugins=False)
    for setting in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {setting}")
    return database


def pragma(database: Database, name: str) -> Any:
    """The present value of a PRAGMA."""
    return database.conn.execute(f"PRAGMA {name}").fetchone()[0]


def _require_format(database: Database, kind: Format, path: Path, *, fresh: bool) -> None:
    mark = pragma(database, "application_id")
    found = pragma(database, "user_version")
    empty = pragma(database, "schema_version") == 0
    if empty and not fresh:
        raise EmptyFile(f"{path} is empty, it holds no {kind.name}; `waypost init` makes what is missing")
    if not empty and mark != kind.application_id:
        raise LogError(f"{path} is a database of something else, not {kind.name} of Waypost")
    if database.conn.execute(_COMPUTED).fetchone():
        raise DamagedFile(f"{path} does not have the tables of the {kind.name}, but something that computes them")
    if found > len(kind.steps):
        raise NewerLogError(
            f"this {kind.name} was written by a newer Waypost (format {found}; this program reads up to "
            f"{len(kind.steps)}): {path}. Install that version of Waypost, or a later one; nothing was changed"
        )


_COMPUTED = "SELECT 1 FROM sqlite_master WHERE type = 'view' OR sql LIKE 'CREATE VIRTUAL%' LIMIT 1"
"""Finds what no file of ours has: to read from it would run what its maker likes, for as long as they like."""


def _make_durable(database: Database, kind: Format, path: Path, *, wal: bool) -> None:
    wanted = "wal" if wal else "delete"
    found = pragma(database, f"journal_mode = {wanted}")
    # synchronous=NORMAL loses acknowledged events when the power goes. FULL does not, beside a write-ahead log;
    # without one EXTRA also makes sure that a journal which was removed does not come back and undo a commit.
    database.conn.execute("PRAGMA synchronous = EXTRA")
    database.conn.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
    database.conn.execute("PRAGMA secure_delete = ON")  # a redacted payload is overwritten, not only unlinked
    if found != wanted or pragma(database, "synchronous") != 3:
        raise LogError(
            f"{kind.name} {path} cannot be written durably here (journal mode is '{found}', '{wanted}' is needed); "
            "is the home on a network file system, or is another program holding the file?"
        )


def _bring_up_to_date(database: Database, kind: Format) -> None:
    if pragma(database, "user_version") == len(kind.steps):
        return
    with immediately(database):
        # Read again: another process may have done it while we waited for the lock.
        for step in kind.steps[pragma(database, "user_version") :]:
            step(database)
        database.conn.execute(f"PRAGMA application_id = {kind.application_id}")
        database.conn.execute(f"PRAGMA user_version = {len(kind.steps)}")


def _readable(database: Database, kind: Format) -> Database:
    """The database itself where its format is ours, else a copy in memory that was brought up to date.

    A reader may not touch the file, and must not make people wait for the next start of the writer.
    """
    if pragma(database, "user_version") == len(kind.steps):
        return database
    copy = _in_memory(database)
    _bring_up_to_date(copy, kind)
    return copy


def run_script(database: Database, script: str) -> None:
    """Run several statements within the transaction that is open; `executescript` would commit it first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            database.conn.execute(statement)
            statement = ""


class immediately:
    """One transaction that takes the write lock at once, so that it never fails half way for want of it."""

    def __init__(self, database: Database) -> None:
        self._connection = database.conn

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            if kind is None:
                self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


class explained:
    """Turns what SQLite or the system raises into a LogError in words for a person."""

    def __init__(self, kind: Format, path: Path) -> None:
        self._kind = kind
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, DatabaseFault):
            family, advice, retry = _explanation(_code(error))
            mending = f"; {self._kind.mending}" if family is DamagedFile and self._kind.mending else ""
            raise family(f"{self._kind.name} {self._path}: {error}{advice}{mending}", retry=retry) from error
        if isinstance(error, OSError):
            raise LogError(f"{self._kind.name} {self._path}: {error.strerror or error}", retry=True) from error
        if isinstance(error, UnicodeDecodeError):  # text that SQLite itself never looks into
            raise DamagedFile(f"{self._kind.name} {self._path}: {error}; the file is damaged") from error


def _code(fault: DatabaseFault) -> str:
    return getattr(fault, "sqlite_errorname", None) or ""


def _explanation(code: str) -> tuple[type[LogError], str, bool]:
    for codes, explanation in _EXPLANATIONS.items():
        if code.startswith(codes):
            return explanation
    return LogError, "", False


_EXPLANATIONS: Mapping[tuple[str, ...], tuple[type[LogError], str, bool]] = {
    ("SQLITE_BUSY", "SQLITE_LOCKED"): (LogError, "; another program is writing it, try again", True),
    ("SQLITE_FULL",): (LogError, "; the disk is full: make room, nothing was lost", True),
    ("SQLITE_CORRUPT", "SQLITE_NOTADB"): (
        DamagedFile,
        "; the file is damaged",
        False,
    ),
    ("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_CANTOPEN", "SQLITE_AUTH"): (
        LogError,
        "; check who owns the file and its directory, and what they may do",
        False,
    ),
    ("SQLITE_IOERR",): (DiskFault, "; the disk reports an error: check it, then start again", False),
}
