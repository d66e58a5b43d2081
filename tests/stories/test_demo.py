"""The demo is the product's own story; here it has to come true."""

import os
import subprocess
import sys

import pytest


def test_the_demo_tells_its_whole_story_and_every_observation_holds(traefik_binary, tmp_path):
    command = [sys.executable, "-m", "reconciler", "demo"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for told in ("hello.localhost answers 200", "drift is reported", "the route is gone", "chain and anchors hold"):
        assert told in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["git"])
def test_the_demo_says_what_it_needs(missing, tmp_path):
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "reconciler", "demo"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 1
    assert missing in done.stdout
    assert "Traceback" not in done.stderr
