"""Files that change place: durable, never over another, on one disk or across two."""

import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from reconciler.handover.ground import Ground
from reconciler.ports import Disk
from reconciler.session import CommandError


@pytest.fixture
def elsewhere():
    """A directory on another file system, where this machine has one."""
    shared = Path("/dev/shm")
    place = Path(tempfile.mkdtemp(dir=shared if os.access(shared, os.W_OK) else None))
    yield place
    shutil.rmtree(place)


@pytest.fixture
def at(tmp_path, elsewhere):
    home = SimpleNamespace(home=SimpleNamespace(path=elsewhere))
    return Ground(home, SimpleNamespace(name="traefik", dynamic_dir=tmp_path), Disk())


def test_a_file_goes_to_another_disk_and_back_with_its_content_and_mode(at, tmp_path):
    file = tmp_path / "deep" / "a.yml"
    file.parent.mkdir()
    file.write_text("http:")
    file.chmod(0o640)
    aside = at.aside(at.free_aside("deep/a.yml"))
    at.move(file, aside)
    assert not file.exists()
    at.move(aside, file)
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("http:", 0o640)
    assert [path.name for path in tmp_path.rglob("*")] == ["deep", "a.yml"]


def test_nothing_that_is_there_is_ever_overwritten(at, tmp_path):
    (tmp_path / "a.yml").write_text("one")
    taken = at.aside(at.free_aside("a.yml"))
    taken.parent.mkdir(parents=True)
    taken.write_text("other")
    with pytest.raises(CommandError, match="there already"):
        at.move(tmp_path / "a.yml", taken)
    assert at.free_aside("a.yml") == "originals/traefik.2/a.yml"
    assert ((tmp_path / "a.yml").read_text(), taken.read_text()) == ("one", "other")
