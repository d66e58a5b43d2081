"""Processes as a person runs them: `up`, Ctrl-C, two at once, and a hand edit that nobody nudged about."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from reconciler.foreground import Stop

ROUTE = {
    "http": {
        "routers": {"hello": {"rule": "Host(`hello.lab`)", "service": "hello"}},
        "services": {"hello": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}},
    }
}


@pytest.fixture
def start(house, free_port):
    """Start `waypost COMMAND` on this house's home; ended with the test."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("WAYPOST_")},
        "WAYPOST_LISTEN": f"127.0.0.1:{free_port()}",
        "WAYPOST_RECONCILER_LISTEN": f"127.0.0.1:{free_port()}",
    }
    running = []

    def begin(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "reconciler", "--home", str(house.home.path), *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.append(process)
        return process

    begin.url = f"http://{environment['WAYPOST_RECONCILER_LISTEN']}"
    begin.environment = environment
    yield begin
    for process in running:
        if process.poll() is None:
            process.terminate()
            process.wait(20)
        process.stdout.close()


def ask(start, path):
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{start.url}/query/{path}", timeout=5) as answer:
        return json.load(answer)
    return {}


def test_a_hand_edit_is_noticed_without_anybody_asking(house, start):
    house.push({"waypost.yaml": "version: 1\nschedules:\n  reconcile: 2h\n  drift: 2h\n", "traefik/hello.yaml": ROUTE})
    start("serve-reconciler")
    house.until(lambda: ask(start, "status").get("revision") == 2, "the first pass")
    house.edit_live("hello.lab", "edited.lab")
    house.until(lambda: ask(start, "drift").get("drift"), "the drift")


def test_a_push_is_noticed_without_anybody_asking(house, start):
    house.push({"waypost.yaml": "version: 1\nschedules:\n  reconcile: 2h\n  drift: 2h\n"})
    start("serve-reconciler")
    house.until(lambda: ask(start, "status").get("revision") == 2, "the first pass")
    house.push({"traefik/hello.yaml": ROUTE})
    house.until(lambda: house.status("hello.lab") != 404, "the route")


def test_a_running_reconciler_that_has_nothing_to_do_does_nothing(house, start):
    house.propose({"traefik/hello.yaml": ROUTE})  # leaves an outbox that every pass looks into
    start("serve-reconciler")
    house.until(lambda: ask(start, "status").get("passes", 0) >= 1, "the first pass")
    settled = time.monotonic() + 3
    seen = set()
    while time.monotonic() < settled:
        seen.add(ask(start, "status").get("passes"))
    assert len(seen - {None}) <= 2, "a pass must not be the reason for the next one"


def test_a_second_reconciler_waits_and_says_so_and_takes_over(house, start):
    first = start("serve-reconciler")
    house.until(lambda: ask(start, "status").get("passes"), "the first reconciler")
    second = start("serve-reconciler")
    assert f"process {first.pid} holds" in second.stdout.readline()
    first.terminate()
    first.wait(20)
    house.until(lambda: ask(start, "status").get("passes"), "the second reconciler")


def test_the_command_line_works_through_a_running_reconciler(house, start):
    start("serve-reconciler")
    house.until(lambda: ask(start, "status").get("passes"), "the reconciler")
    house.push({"traefik/hello.yaml": ROUTE})
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", "--home", str(house.home.path), "reconcile", "--once"],
        env=start.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    house.until(lambda: house.status("hello.lab") != 404, "the route")


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGHUP], ids=["Ctrl-C", "a terminal that is closed"])
def test_up_ends_with_everything_it_started(house, start, ending):
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may outlive their terminal
    try:
        up = start("up")
    finally:
        signal.signal(signal.SIGHUP, before)
    house.until(lambda: ask(start, "status").get("passes"), "both processes")
    up.send_signal(ending)
    assert up.wait(30) == 0
    assert "Traceback" not in up.stdout.read()
    assert ask(start, "status") == {}


def test_what_was_started_to_outlive_its_terminal_does():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with Stop() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.is_set()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_pass_is_not_asked_for_by_a_web_page(house, start):
    start("serve-reconciler")
    house.until(lambda: ask(start, "status").get("passes"), "the reconciler")
    form = urllib.request.Request(f"{start.url}/nudge", data=b"x=1", method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(form, timeout=5)
    assert refused.value.code == 415
    refused.value.close()
    rebound = urllib.request.Request(f"{start.url}/query/status", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(rebound, timeout=5)
    assert refused.value.code == 400
    refused.value.close()
