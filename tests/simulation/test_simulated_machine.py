"""The simulated disk does what the real one does, and loses no less."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from reconciler.ports import Disk, Files
from tests.simulation.fate import Died, Fate, Trace
from tests.simulation.machine import SimulatedDisk, SimulatedFiles, VirtualTime


def simulated() -> tuple[SimulatedDisk, SimulatedFiles]:
    disk = SimulatedDisk(VirtualTime())
    disk.folder("/d")
    return disk, SimulatedFiles(disk, Fate(Trace()))


def outcome(files: Files, root: Path) -> list[object]:
    """What a writer sees of everything that it may do, failures included."""
    seen: list[object] = []

    def tried(name: str, *arguments: object) -> None:
        try:
            found = getattr(files, name)(*arguments)
            listed = found if isinstance(found, bytes | str | None) else [path.relative_to(root) for path in found]
            seen.append(listed)
        except OSError as error:
            seen.append(error.errno)

    tried("read", root / "none")
    tried("write", root / "missing" / "file", b"x")
    tried("make_directory", root / "folder" / "deep")
    tried("write", root / "folder" / "b", b"one")
    tried("write", root / "folder" / "b", b"two")
    tried("read", root / "folder" / "b")
    tried("replace", root / "folder" / "none", root / "folder" / "a")
    tried("replace", root / "folder" / "b", root / "folder" / "a")
    tried("write", root / "z.yml", b"z")
    tried("replace", root / "z.yml", root / "folder" / "deep")
    tried("read", root / "folder" / "deep")
    tried("kind", root / "folder")
    tried("kind", root / "folder" / "a")
    tried("kind", root / "none")
    tried("walk", root)
    tried("strays", root)
    tried("walk", root / "none")
    tried("touch_directory", root / "folder")
    tried("touch_directory", root / "none")
    tried("remove", root / "folder" / "a")
    tried("remove", root / "folder" / "a")
    tried("walk", root)
    return seen


def test_a_writer_cannot_tell_the_simulated_disk_from_the_real_one(tmp_path: Path) -> None:
    assert outcome(simulated()[1], Path("/d")) == outcome(Disk(), tmp_path)


def test_what_was_written_and_renamed_survives_every_power_cut() -> None:
    for seed in range(50):
        disk, files = simulated()
        files.write(Path("/d/next"), b"new")
        files.replace(Path("/d/next"), Path("/d/file"))
        disk.lose_power(Random(seed))
        assert disk.content("/d/file") == b"new"
        assert disk.content("/d/next") is None


def test_a_power_cut_may_tear_what_was_not_flushed_and_undo_what_was_not_flushed_with_its_folder() -> None:
    found = set()
    for seed in range(200):
        disk, files = simulated()
        disk.flushes_files = disk.flushes_folders = False
        files.write(Path("/d/next"), b"0123456789")
        files.replace(Path("/d/next"), Path("/d/file"))
        disk.lose_power(Random(seed))
        found.add((disk.content("/d/next"), disk.content("/d/file")))
    assert (None, None) in found
    assert (None, b"0123456789") in found
    assert any(content and len(content) < 10 for _, content in found)


def test_a_process_that_died_has_no_effect_any_more() -> None:
    disk = SimulatedDisk(VirtualTime())
    disk.folder("/d")
    fate = Fate(Trace())
    fate.expect({("change", 3): fate.die})
    files = SimulatedFiles(disk, fate)
    with pytest.raises(Died):
        files.write(Path("/d/file"), b"0123456789")
    with pytest.raises(Died):
        files.remove(Path("/d/file"))
    assert disk.content("/d/file") == b"01234"


@pytest.mark.parametrize(("ailment", "left"), [("full", b"01234"), ("read-only", None), ("flush fails", b"0123456789")])
def test_a_disk_that_fails_says_so_and_leaves_what_such_a_disk_leaves(ailment: str, left: bytes | None) -> None:
    disk, files = simulated()
    disk.ailment = ailment  # type: ignore[assignment]
    with pytest.raises(OSError, match=r"."):
        files.write(Path("/d/file"), b"0123456789")
    assert disk.content("/d/file") == left
