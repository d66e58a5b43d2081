"""A process killed in the middle of its Git work loses nothing it said yes to, and wedges nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.git.proposals import proposals
from reconciler.git.store import Store
from tests.reconciler.git.people import main_of, run_git, the_road

CHILD = "import sys; from tests.reconciler.git.people import the_road; the_road(sys.argv[1])"


def killed(place: Path, call: str, count: int) -> dict[str, str]:
    """What the road acknowledged before it was killed at the so-and-so-many-th call of this kind."""
    strace = ["strace", "-qq", "-f", "-o", "/dev/null", "-e", f"trace={call}"]
    inject = ["-e", f"inject={call}:signal=KILL:when={count}"]
    command = [*strace, *inject, sys.executable, "-c", CHILD, str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.stderr
    return dict(line.split() for line in done.stdout.splitlines())


def check(place: Path, acknowledged: dict[str, str]) -> None:
    """Everything acknowledged is there, nothing is wedged, nothing is damaged."""
    store = Store.open(place)
    store.sweep_stale_locks()
    if commit := acknowledged.get("proposed"):
        assert proposals(store) == {"a": commit}
    if commit := acknowledged.get("merged"):
        assert main_of(store) == commit
    if commit := acknowledged.get("kept"):
        assert store.revisions() == {1: commit}
    if commit := acknowledged.get("anchored"):
        assert [anchor.commit for anchor in store.anchors()] == [commit]
    assert run_git(place, "Ada", "fsck", "--full").returncode == 0


@pytest.mark.parametrize("call", ["fsync", "rename", "link", "unlink", "mkdir", "openat"])
def test_killed_at_any_call_to_the_file_system_nothing_is_lost_or_wedged(
    store: Store, tmp_path: Path, call: str
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("needs the `strace` command, to kill a process at an exact point")
    step = 97 if call == "openat" else 1  # mostly Python finding its modules
    for count in range(1, 2000, step):
        place = tmp_path / f"{count}.git"
        shutil.copytree(store.path, place)
        acknowledged = killed(place, call, count)
        check(place, acknowledged)
        the_road(place)
        check(place, acknowledged)
        shutil.rmtree(place)
        if "anchored" in acknowledged:
            return
    raise AssertionError("the work never came to its end")
