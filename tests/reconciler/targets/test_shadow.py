"""The shadow gives the real decoder's verdict, costs nothing twice, and outlives nobody."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from reconciler.ports import Disk, SystemClock
from reconciler.targets.shadow import Shadow, ShadowError, find_binary
from reconciler.traefik.api import EntryPoint

GOOD = b'{"http": {"routers": {"r": {"rule": "Host(`a.test`)", "service": "noop@internal"}}}}'
DOORS = (
    EntryPoint(name="web", address=":80"),
    EntryPoint(name="websecure", address=":443", http={"tls": {"certResolver": "letsencrypt"}}),
    EntryPoint(name="dns", address=":53/udp"),
)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return b") Z" not in Path(f"/proc/{pid}/stat").read_bytes() if Path(f"/proc/{pid}").exists() else False


def test_a_good_directory_is_loaded_under_the_live_entry_points(shadow: Shadow) -> None:
    verdict = shadow.examine({"a.yml": GOOD, "deep/er/b.toml": b"# nothing"}, DOORS)
    assert verdict.loaded and not verdict.poison
    assert set(verdict.routers()) == {"r@file", "websecure-r@file"}
    assert {item.status for item in verdict.routers().values()} == {"enabled"}


POISON = {
    "an empty section": b"http: {}",
    "an unknown field": b"http:\n  routers:\n    x:\n      rule: a\n      bogus: 1\n",
    "no YAML at all": b"a: [1\n",
    "a duplicate key": b"a: 1\na: 2\n",
    "a template that fails": b"x: {{ nope }}",
    "a word for a number": b"http:\n  routers:\n    x:\n      priority: high\n",
}


@pytest.mark.parametrize("what", POISON)
def test_a_poison_file_is_named_with_the_decoders_words(shadow: Shadow, what: str) -> None:
    verdict = shadow.examine({"a.yml": GOOD, "b.yml": POISON[what], "c.yml": b"# fine"}, DOORS)
    assert not verdict.loaded
    assert list(verdict.poison) == ["b.yml"] and verdict.poison["b.yml"]
    assert "r@file" in verdict.routers()  # what is left without it


def test_every_poison_file_is_named_and_no_place_of_ours_shows(shadow: Shadow) -> None:
    contents = {"a.yml": GOOD, "x/b c.yml": b"http: {}", "x/d.toml": b"a =", "é.yaml": b"\x00"}
    verdict = shadow.examine(contents, DOORS)
    assert set(verdict.poison) == {"x/b c.yml", "x/d.toml", "é.yaml"}
    assert not any("watched" in reason for reason in verdict.poison.values())


def test_poison_is_forgotten_once_it_is_mended(shadow: Shadow) -> None:
    assert not shadow.examine({"a.yml": b"http: {}"}, DOORS).loaded
    assert shadow.examine({"a.yml": GOOD}, DOORS).loaded
    assert shadow.examine({}, DOORS).loaded


def test_the_same_directory_is_examined_once(shadow: Shadow) -> None:
    first = shadow.examine({"a.yml": GOOD}, DOORS)
    shadow.close()
    assert shadow.examine({"a.yml": GOOD}, DOORS) is first
    assert shadow.pid == 0


def test_without_known_entry_points_it_still_decodes(shadow: Shadow) -> None:
    assert shadow.examine({"a.yml": GOOD}, ()).loaded
    assert not shadow.examine({"a.yml": b"http: {}"}, ()).loaded


def test_it_dies_with_close(shadow: Shadow, until: Callable[..., None]) -> None:
    shadow.examine({"a.yml": GOOD}, DOORS)
    pid = shadow.pid
    assert alive(pid)
    shadow.close()
    until(lambda: not alive(pid), "the end of the shadow")


STARTER = """
import sys, time
from pathlib import Path
from reconciler.ports import Disk, SystemClock
from reconciler.targets.shadow import Shadow
shadow = Shadow(Path(sys.argv[1]), files=Disk(), clock=SystemClock(), workdir=Path(sys.argv[2]))
shadow.examine({}, ())
print(shadow.pid, flush=True)
time.sleep(600)
"""


def test_it_dies_with_us_however_we_die(traefik_binary: Path, tmp_path: Path, until: Callable[..., None]) -> None:
    command = [sys.executable, "-c", STARTER, str(traefik_binary), str(tmp_path / "shadow")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert alive(pid)
        owner.send_signal(signal.SIGKILL)
    until(lambda: not alive(pid), "the end of the shadow")


def test_it_is_started_again_after_somebody_killed_it(shadow: Shadow, until: Callable[..., None]) -> None:
    shadow.examine({"a.yml": GOOD}, DOORS)
    pid = shadow.pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), "the end of the shadow")
    assert shadow.examine({"b.yml": GOOD}, DOORS).loaded
    assert shadow.pid != pid


def a_binary(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_binary_that_does_not_start_is_said_in_its_own_words(tmp_path: Path) -> None:
    broken = a_binary(tmp_path / "broken", "echo cannot do that; exit 1")
    shadow = Shadow(broken, files=Disk(), clock=SystemClock(), workdir=tmp_path / "shadow")
    with pytest.raises(ShadowError, match="cannot do that"):
        shadow.examine({}, ())
    shadow.close()


def test_a_missing_binary_is_an_error_in_plain_words(tmp_path: Path) -> None:
    shadow = Shadow(tmp_path / "none", files=Disk(), clock=SystemClock(), workdir=tmp_path / "shadow")
    with pytest.raises(ShadowError, match="cannot be run"):
        shadow.version()


def test_its_copies_are_for_no_other_account(shadow: Shadow, tmp_path: Path) -> None:
    shadow.examine({"a.yml": GOOD}, DOORS)
    assert stat.S_IMODE((tmp_path / "shadow").stat().st_mode) == 0o700
    shadow.close()
    assert not (tmp_path / "shadow").exists()


def test_a_template_finds_nothing_of_our_environment(shadow: Shadow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    header = b'X: "{{ env `SECRET_TOKEN` }}."'
    content = b"http: {middlewares: {m: {headers: {customResponseHeaders: {" + header + b"} } } } }"
    item = shadow.examine({"a.yml": content}, DOORS).runtime.of("http.middlewares")["m@file"]
    assert item.spec["headers"]["customResponseHeaders"]["X"] == "."


class _Counter(BaseHTTPRequestHandler):
    hits = 0

    def do_GET(self) -> None:
        type(self).hits += 1
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def backend() -> Iterator[str]:
    _Counter.hits = 0
    with HTTPServer(("127.0.0.1", 0), _Counter) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_health_checks_of_copied_services_do_not_run_on(shadow: Shadow, backend: str) -> None:
    service = {"loadBalancer": {"servers": [{"url": backend}], "healthCheck": {"path": "/", "interval": "20ms"}}}
    router = {"rule": "Host(`a.test`)", "service": "s"}
    content = json.dumps({"http": {"routers": {"r": router}, "services": {"s": service}}}).encode()
    assert shadow.examine({"a.yml": content}, DOORS).loaded
    shadow.examine({"b.yml": GOOD}, DOORS)  # by now the first is certainly parked
    settled = _Counter.hits
    for number in range(30):
        shadow.examine({f"{number}.yml": GOOD}, DOORS)
    assert _Counter.hits == settled


def test_the_binary_is_the_one_named_else_the_one_beside_our_python(tmp_path: Path) -> None:
    named = a_binary(tmp_path / "my-traefik", "exit 0")
    assert find_binary(str(named)) == named
    assert find_binary(str(tmp_path / "missing")) is None
    beside = find_binary("")
    assert beside is None or beside.name == "traefik"
