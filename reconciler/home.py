"""A home: the directory that holds one Waypost, where everything in it is, and what must not be done twice there."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler import config
from reconciler.config import ENVIRON, Settings
from reconciler.locks import Held, Lock, lock

__all__ = ["Held", "Home", "HomeError", "Lock", "lock", "open"]


class HomeError(Exception):
    """A directory that cannot be (or become) a home. The message says why and what to do."""


@dataclass(frozen=True)
class Home:
    """An open home: its settings, and where everything in it is."""

    path: Path
    settings: Settings

    @property
    def settings_path(self) -> Path:
        return self.path / config.SETTINGS_FILE

    @property
    def log_path(self) -> Path:
        """The event log. Only the reconciler opens it for writing."""
        return self.path / "log.db"

    @property
    def people_path(self) -> Path:
        """The outbox of people's commands."""
        return self.path / "people.db"

    @property
    def tokens_path(self) -> Path:
        """Hashes of the tokens that MCP clients show. People write it, the gateway reads it."""
        return self.path / "tokens.json"

    @property
    def embedded(self) -> bool:
        """Whether the desired repo is the one inside this home."""
        return self.settings.desired_repo is None

    @property
    def desired_store_path(self) -> Path:
        """The bare repository the reconciler reads: the desired repo itself, or our mirror of it."""
        return self.path / ("desired.git" if self.embedded else "mirror.git")

    @property
    def desired_source(self) -> str:
        """Where `main` comes from, for whoever follows it: a path or an address."""
        return self.settings.desired_repo or str(self.desired_store_path)

    @property
    def gateway_path(self) -> Path:
        """What the gateway's own account may write; nothing else in the home."""
        return self.path / "gateway"

    @property
    def gateway_clone_path(self) -> Path:
        return self.gateway_path / "clone.git"

    @property
    def gateway_outbox_path(self) -> Path:
        return self.gateway_path / "outbox.db"

    @property
    def documentation_path(self) -> Path:
        """What was fetched of watched documentation; worth nothing that cannot be fetched again."""
        return self.path / "documentation"

    @property
    def work_path(self) -> Path:
        """Scratch space of the reconciler, worthless after it stopped."""
        return self.path / "work"

    def lock_reconciler(self) -> Lock | Held:
        """The lock that keeps the reconciler of this home single, or who holds it."""
        return lock(self.path / "reconciler.lock")

    @property
    def target_directories(self) -> list[Path]:
        """Where our files stand in the targets' directories, each once, in the same order for everybody."""
        return sorted({Path(os.path.realpath(place.dynamic_dir)) for place in self.settings.places})


def open(directory: Path, environ: Mapping[str, str] = ENVIRON) -> Home:
    """The home in `directory`. Raises HomeError where there is none, ConfigError for settings that are wrong."""
    path = directory.absolute()
    if not (path / config.SETTINGS_FILE).is_file():
        raise HomeError(
            f"{path} is not a Waypost home: there is no {config.SETTINGS_FILE} in it; `waypost init` makes one"
        )
    refuse_network_file_system(path)
    return Home(path, config.load(environ, path))


# ── where a home may not be ──────────────────────────────────────────────────────────────────────

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "davfs", "fuse.sshfs", "fuse.rclone"}
)
"""Where neither a lock nor a flushed write can be relied on."""


def refuse_network_file_system(path: Path, mounts: str | None = None) -> None:
    """Raises HomeError if `path` (there already, or not yet) lies on NFS, SMB or the like."""
    kind = file_system(path, mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        raise HomeError(
            f"{path} is on a network file system ({kind}), where locks and flushed writes cannot be relied on: "
            "choose a directory on a disk of this machine"
        )


def file_system(path: Path, mounts: str | None = None) -> str:
    """The kind of file system that `path` is (or would be) on; "" where this machine does not say.

    `mounts` is the text of /proc/self/mountinfo.
    """
    text = _mounts() if mounts is None else mounts
    place = Path(os.path.realpath(path))
    best, kind = -1, ""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        columns = before.split()
        mount = Path(_unescaped(columns[4])) if len(columns) > 4 and after else None
        # Of two mounts on one place the later one hides the earlier.
        if mount and place.is_relative_to(mount) and len(mount.parts) >= best:
            best, kind = len(mount.parts), after.split()[0]
    return kind


def _mounts() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return ""


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
