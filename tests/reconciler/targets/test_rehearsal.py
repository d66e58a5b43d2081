"""A write that failed is rehearsed before it is tried again: what the rehearsal says is what the write would do."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from reconciler.core.target import TargetError
from reconciler.ports import Disk
from reconciler.targets.owned import OwnedFile


class Small(Disk):
    """A disk with room for that many bytes in our folder."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, path: Path, content: bytes, mode: int = 0o644) -> None:
        beside = sum(one.stat().st_size for one in path.parent.iterdir() if one != path)
        if beside + len(content) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(path, content, mode)


def writes(owned: OwnedFile, content: bytes) -> bool:
    try:
        owned.keep(owned.read())
        owned.place(content)
    except TargetError:
        return False
    return True


def rehearses(owned: OwnedFile, content: bytes) -> bool:
    try:
        owned.rehearse(content)
    except TargetError:
        return False
    return True


@pytest.mark.parametrize("earlier", [(), (30,), (10, 40), (40, 10), (40, 40)])
@pytest.mark.parametrize("room", range(40, 160, 10))
def test_a_rehearsal_says_what_the_write_would_do(tmp_path: Path, earlier: tuple[int, ...], room: int) -> None:
    files = Small(room=1000)
    owned = OwnedFile(tmp_path, files)
    owned.lock()
    for size in earlier:
        assert writes(owned, b"-" * size)
    files.room = room
    on_disk = owned.read()
    said = rehearses(owned, b"+" * 40)
    assert owned.read() == on_disk
    assert sorted(path.name for path in owned.path.parent.iterdir() if "next" in path.name) == []
    owned.lock()
    assert said == writes(owned, b"+" * 40)
    owned.release()
