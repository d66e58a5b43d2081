"""The real file system behind the port: nothing in somebody else's directory makes it wait or crash."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import pytest

from reconciler.ports import MOST_BYTES, Disk


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """A directory with one of everything; what is named `file` can be read."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("deep")
    (tmp_path / "file").write_text("plain")
    (tmp_path / "link-to-file").symlink_to(tmp_path / "file")
    (tmp_path / "link-to-folder").symlink_to(tmp_path / "folder")
    (tmp_path / "link-to-nothing").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "folder" / "pipe")
    before = Path.cwd()
    os.chdir(tmp_path)  # the path of a socket may not be long
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("socket")
    finally:
        os.chdir(before)
    return tmp_path


def opened_here() -> list[Path]:
    """Where the descriptors of this process lead; a count would hear of what other threads close meanwhile."""
    places = []
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208  a path for each would be one more
        with contextlib.suppress(FileNotFoundError):
            places.append(Path(f"/proc/self/fd/{number}").readlink())
    return places


def test_a_walk_shows_files_and_strays_show_the_rest_both_in_the_order_of_bytes(strange: Path) -> None:
    walked = [str(path.relative_to(strange)) for path in Disk().walk(strange)]
    assert walked == ["file", "folder/file", "link-to-file"]
    strays = [str(path.relative_to(strange)) for path in Disk().strays(strange)]
    assert strays == ["folder/pipe", "link-to-folder", "link-to-nothing", "socket"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("file", "file"),
        ("folder", "folder"),
        ("link-to-file", "link"),
        ("link-to-folder", "link"),
        ("link-to-nothing", "link"),
        ("folder/pipe", "other"),
        ("socket", "other"),
        ("nothing", ""),
        ("file/below", ""),
    ],
)
def test_what_stands_at_a_path_is_told_without_following_it(strange: Path, name: str, kind: str) -> None:
    assert Disk().kind(strange / name) == kind


def test_reading_follows_links_to_files_and_misses_what_is_not_there(strange: Path) -> None:
    assert Disk().read(strange / "link-to-file") == b"plain"
    assert Disk().read(strange / "link-to-nothing") is None
    assert Disk().read(strange / "nothing") is None


@pytest.mark.parametrize("name", ["folder", "link-to-folder", "folder/pipe", "socket"])
def test_reading_what_is_no_file_is_refused_at_once_and_leaves_nothing_open(strange: Path, name: str) -> None:
    with pytest.raises(OSError):
        Disk().read(strange / name)
    assert not [place for place in opened_here() if place.is_relative_to(strange)]


def test_writing_into_a_pipe_that_nobody_reads_is_refused_at_once(strange: Path) -> None:
    with pytest.raises(OSError):
        Disk().write(strange / "folder" / "pipe", b"content")


def test_a_file_that_is_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    for size in (MOST_BYTES, MOST_BYTES + 1):
        (tmp_path / "big").touch()
        os.truncate(tmp_path / "big", size)
        if size == MOST_BYTES:
            assert len(Disk().read(tmp_path / "big") or b"") == size
        else:
            with pytest.raises(OSError, match="larger than 64 MiB"):
                Disk().read(tmp_path / "big")
