"""The sign of life: called after passes that did their work, silent after others, and its address told to nobody."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from reconciler.alerting.heartbeat import Heartbeat
from reconciler.setting import SECRET_ADDRESS, Secret


class Switch:
    """Somebody who notices when no call comes; `status` is the answer, `free` lets it be given."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.status = 200
        self.endless = False
        self.free = threading.Event()
        self.free.set()
        outer = self

        class Take(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.calls.append(self.path)
                outer.free.wait(10)
                self.send_response(outer.status)
                self.send_header("Content-Length", str(1 << 40) if outer.endless else "0")
                self.end_headers()
                with contextlib.suppress(OSError):
                    while outer.endless:
                        self.wfile.write(b".")

            def log_message(self, format: str, *arguments: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Take)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/ping/hidden-uuid"


@pytest.fixture
def switch() -> Iterator[Switch]:
    one = Switch()
    yield one
    one.free.set()
    one.endless = False
    one.server.shutdown()
    one.server.server_close()


def beat(heartbeat: Heartbeat, *states: str) -> None:
    for state in states:
        heartbeat.after(state)
        heartbeat.stop()


def test_it_beats_after_a_pass_that_did_its_work_and_after_no_other(switch: Switch) -> None:
    heartbeat = Heartbeat(Secret(switch.url), None, pytest.fail)
    beat(heartbeat, "nothing", "lost", "unknown", "held", "applied")
    assert switch.calls == ["/ping/hidden-uuid"] * 3


def test_an_outage_is_complained_of_once_and_without_the_address(switch: Switch) -> None:
    said: list[str] = []
    heartbeat = Heartbeat(Secret(switch.url), None, said.append)
    for switch.status in (500, 500, 200, 404):
        beat(heartbeat, "nothing")
    assert [one.rpartition(": ")[2] for one in said] == ["status 500", "status 404"]
    assert not any("hidden-uuid" in one for one in said)


def test_a_switch_that_hangs_keeps_no_pass_and_gets_one_call(switch: Switch, until: Callable[..., None]) -> None:
    switch.free.clear()
    heartbeat = Heartbeat(Secret(switch.url), None, pytest.fail)
    for _ in range(3):
        heartbeat.after("nothing")
    until(lambda: switch.calls, "the call")
    assert len(switch.calls) == 1


def test_an_address_that_was_rotated_counts_with_the_next_beat(switch: Switch, tmp_path: Path) -> None:
    (tmp_path / "address").write_text("http://127.0.0.1:9/gone")
    said: list[str] = []
    heartbeat = Heartbeat(Secret(f"file:{tmp_path}/address", "WAYPOST_HEARTBEAT_URL"), None, said.append)
    beat(heartbeat, "nothing")
    (tmp_path / "address").write_text(switch.url)
    beat(heartbeat, "nothing")
    assert len(said) == 1 and "gone" not in said[0] and len(switch.calls) == 1


@pytest.mark.parametrize("text", ["ftp://x/", "https://", "http://x:99999/", "hidden", "env:not a name"])
def test_what_is_no_address_is_refused_in_the_settings(text: str) -> None:
    with pytest.raises(ValueError):
        SECRET_ADDRESS.parse(text)
    assert SECRET_ADDRESS.shown(text) == "***"


def test_nobody_who_wants_none_is_called() -> None:
    assert SECRET_ADDRESS.parse("") is None
    beat(Heartbeat(None, None, pytest.fail), "nothing")


def test_an_answer_that_does_not_end_keeps_it_from_no_further_beat(switch: Switch, until: Callable[..., None]) -> None:
    switch.endless = True
    heartbeat = Heartbeat(Secret(switch.url), None, [].append)
    until(lambda: heartbeat.after("nothing") or len(switch.calls) > 1, "the second call")
    heartbeat.stop()
