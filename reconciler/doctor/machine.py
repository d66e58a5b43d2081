"""The doctor's look at the machine: Python, SQLite, account, clock, disk, ports."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import shutil
import socket
from datetime import UTC, datetime
from pathlib import Path

from reconciler.doctor.finding import Finding, fail, ok, warn
from reconciler.ports import Clock
from reconciler.setting import Listen
from state.database import degradation, sqlite_version

LITTLE_SPACE = 500 << 20
NO_SPACE = 50 << 20
"""Bytes free below which a disk is worth a word, and below which nothing should be started on it."""

EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
"""No machine that runs this program can be in an earlier year."""


def python() -> Finding:
    """Which Python runs this."""
    return ok("python", f"Python {platform.python_version()} on {platform.machine()}")


def sqlite() -> Finding:
    """Whether the SQLite that is linked in keeps a write-ahead log safely."""
    version = ".".join(map(str, sqlite_version()))
    if reason := degradation(sqlite_version()):
        return warn("sqlite", reason, "Where a pysqlite3 wheel exists for this machine, install it; else leave it")
    return ok("sqlite", f"SQLite {version}")


def account() -> Finding:
    """Who this is; root is more than Waypost needs."""
    if os.geteuid() == 0:
        return warn(
            "account",
            "this runs as root, so what follows says little about the account that Waypost will have",
            "Run Waypost, and this check, as the account that may write Traefik's dynamic directory and no more",
        )
    return ok("account", f"account {os.geteuid()}, groups {', '.join(map(str, sorted(os.getgroups())))}")


def clock_is_set(clock: Clock) -> Finding:
    """Whether this machine knows what time it is."""
    now = clock.now()
    if now < EARLIEST:
        return fail("clock", f"the clock says {now:%Y-%m-%d %H:%M} UTC", "Set it, and let NTP keep it")
    if _kernel_says_unsynchronised():
        return warn(
            "clock",
            f"{now:%Y-%m-%d %H:%M} UTC, but nothing keeps it right",
            "Turn on time synchronisation (for example systemd-timesyncd or chrony)",
        )
    return ok("clock", f"{now:%Y-%m-%d %H:%M} UTC")


_TIME_ERROR = 5


def _kernel_says_unsynchronised() -> bool:
    """False also where this kernel cannot be asked."""
    query = (ctypes.c_char * 512)()  # struct timex with modes = 0: only asks
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    return adjtimex is not None and int(adjtimex(query)) == _TIME_ERROR


def space(what: str, path: Path) -> Finding:
    """Whether there is room where `path` is."""
    check = f"disk of {what}"
    try:
        free, files = shutil.disk_usage(path).free, os.statvfs(path)
    except OSError as fault:
        return fail(check, f"{path} cannot be asked: {fault.strerror}", "See that it exists and is mounted")
    remedy = f"Make room on the file system of {path}"
    if files.f_files and not files.f_favail:
        return fail(check, "no file can be made any more (no inode is left)", remedy)
    found = f"{free >> 20} MiB free at {path}"
    if free < NO_SPACE:
        return fail(check, found, remedy)
    return warn(check, found, remedy) if free < LITTLE_SPACE else ok(check, found)


def port(what: str, setting: str, listen: Listen, *, running: bool) -> Finding:
    """Whether `listen` can be listened on, or is by ourselves (`running`)."""
    check = f"port of {what}"
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as door:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind((listen.host, listen.port))
    except OSError as fault:
        return _occupied(check, setting, listen, fault, running)
    return _usable(check, setting, listen, "is free")


def _usable(check: str, setting: str, listen: Listen, found: str) -> Finding:
    if listen.loopback:
        return ok(check, f"{listen} {found}")
    return warn(
        check,
        f"{listen} {found}, and open to everything that can reach this machine",
        f"Set {setting} to loopback, or see that only those who should can reach it",
    )


def _occupied(check: str, setting: str, listen: Listen, fault: OSError, running: bool) -> Finding:
    if fault.errno == errno.EADDRINUSE and running:
        return _usable(check, setting, listen, "is in use, as it should be while Waypost runs")
    reasons = {
        errno.EADDRINUSE: "is used by another program",
        errno.EACCES: "is a port that this account may not open",
        errno.EADDRNOTAVAIL: "is not an address of this machine",
    }
    reason = reasons.get(fault.errno or 0, f"cannot be opened: {fault.strerror or fault}")
    return fail(check, f"{listen} {reason}", f"Choose another one in {setting}")
