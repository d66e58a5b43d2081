"""The gateway's audit: durable before the answer, flushed together, and one that cannot be kept fails alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.secrets import REDACTED
from shards import audit as audits
from shards.audit import Audit
from shards.kit import Call
from shards.outcome import Outcome
from state.errors import LogError
from state.outbox import Outbox
from tests.shards.serving import now


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox.open(tmp_path / "outbox.db", now, create=True)
    yield opened
    opened.close()


def call(number: int) -> Call:
    return Call(request_id=f"r{number}", client="a model", tool="traefik_list_routes")


class Slow(Outbox):
    """It waits before its first flush until many are waiting for the next one."""

    gate: threading.Event
    flushes: int

    def put_all(self, entries):  # type: ignore[no-untyped-def]
        self.flushes += 1
        self.gate.wait(30)
        return super().put_all(entries)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    opened = Slow.open(tmp_path / "outbox.db", now, create=True)
    opened.gate, opened.flushes = threading.Event(), 0
    yield opened
    opened.close()


def test_those_who_come_during_a_flush_share_the_next(slow: Slow) -> None:
    audit = Audit(slow)
    with ThreadPoolExecutor(20) as workers:
        done = [workers.submit(audit.note, call(number), "traefik", {}, Outcome()) for number in range(20)]
        while len(audit._queue) < 19:
            threading.Event().wait(0.01)
        slow.gate.set()
        for one in done:
            one.result(30)
    assert {row.request_id for row in slow.read()} == {f"r{number}" for number in range(20)}
    assert slow.flushes == 2


def test_what_cannot_be_kept_fails_alone(slow: Slow) -> None:
    audit = Audit(slow)
    with ThreadPoolExecutor(20) as workers:
        good = [workers.submit(audit.note, call(number), "traefik", {}, Outcome()) for number in range(10)]
        bad = workers.submit(audit.note, call(99), "x" * 2_000_000, {}, Outcome())
        while len(audit._queue) < 10:
            threading.Event().wait(0.01)
        slow.gate.set()
        for one in good:
            one.result(30)
        with pytest.raises(LogError):
            bad.result(30)
    assert len(list(slow.read())) == 10


@pytest.mark.parametrize(
    "arguments, told",
    [
        ({"host": "a.lab"}, '{"host":"a.lab"}'),
        ({"password": "hunter2hunter2"}, f'{{"password":"{REDACTED}"}}'),
        ({"spec": {"users": ["a:$apr1$abcdefgh$0123456789012345678901"]}}, f'{{"spec":{{"users":["{REDACTED}"]}}}}'),
        ({"url": "http://a:hunter2hunter2@b"}, f'{{"url":"{REDACTED}"}}'),
        ({"token": 12345678}, f'{{"token":"{REDACTED}"}}'),
        ({"half": "\udc80"}, '{"half":"?"}'),
    ],
)
def test_arguments_are_kept_without_secrets(arguments: dict[str, object], told: str) -> None:
    assert audits.told(arguments) == told


def test_long_arguments_are_cut(outbox: Outbox) -> None:
    Audit(outbox).note(call(1), "traefik", {"text": "so long " * 10_000}, Outcome())
    [row] = outbox.read()
    assert 4_000 < len(vars(row.event)["arguments"]) < 4_010


TOKEN = "ghp_c4n4rycanarycanarycanarycanary012345"


def test_of_megabytes_no_more_is_looked_at_than_is_kept_and_some(outbox: Outbox) -> None:
    far = audits.told({"text": "plain words " * 300_000 + TOKEN, "more": {"password": "hunter2hunter2"}})
    assert far.startswith('{"text":"plain words plain') and far.endswith("…") and len(far) < 4_010
    many = audits.told({f"name{number}": "value" for number in range(100_000)})
    assert many.startswith('{"name0":"value","name1":') and many.endswith("…") and len(many) < 4_010


@pytest.mark.parametrize("before", [3_900, 3_970, 3_999, 15_970])
def test_a_secret_where_the_kept_part_ends_is_not_kept_in_half(before: int) -> None:
    assert TOKEN[:8] not in audits.told({"text": "a " * (before // 2) + TOKEN, "more": TOKEN})


async def noted(audit: Audit, numbers: Iterable[int], arguments: Mapping[str, object] | None = None) -> list[object]:
    notes = (audit.noted(call(number), "traefik", arguments or {}, Outcome()) for number in numbers)
    return list(await asyncio.gather(*notes, return_exceptions=True))


def test_who_waits_on_the_event_loop_shares_a_flush_too(slow: Slow) -> None:
    async def run() -> None:
        audit = Audit(slow)
        first = asyncio.create_task(noted(audit, range(1)))
        while not slow.flushes:
            await asyncio.sleep(0)
        others = asyncio.create_task(noted(audit, range(1, 20)))
        while len(audit._notes) < 19:
            await asyncio.sleep(0)
        answered_early = first.done()
        slow.gate.set()
        assert not answered_early
        assert [*await first, *await others] == [None] * 20

    asyncio.run(run())
    assert {row.request_id for row in slow.read()} == {f"r{number}" for number in range(20)}
    assert slow.flushes == 2


def test_a_note_that_cannot_be_made_fails_alone(outbox: Outbox) -> None:
    class Strange(dict[str, object]):
        def items(self):  # type: ignore[no-untyped-def]
            raise ZeroDivisionError

    async def run() -> list[list[object]]:
        audit = Audit(outbox)
        return await asyncio.gather(noted(audit, [1]), noted(audit, [2], Strange(a=1)), noted(audit, [3]))

    [before], [strange], [after] = asyncio.run(run())
    assert before is None and after is None and isinstance(strange, LogError)
    assert {row.request_id for row in outbox.read()} == {"r1", "r3"}


def test_what_its_client_does_not_wait_for_is_written_all_the_same(slow: Slow) -> None:
    async def run() -> None:
        audit = Audit(slow)
        note = asyncio.create_task(noted(audit, [1]))
        while not slow.flushes:
            await asyncio.sleep(0)
        note.cancel()
        slow.gate.set()
        await asyncio.gather(note, return_exceptions=True)
        assert await noted(audit, [2]) == [None]

    asyncio.run(run())
    assert [row.request_id for row in slow.read()] == ["r1", "r2"]


def test_what_was_told_is_written_before_the_audit_is_closed_and_nothing_after(tmp_path: Path) -> None:
    path = tmp_path / "closed.db"

    async def run() -> list[object]:
        audit = Audit(Outbox.open(path, now, create=True))
        note = asyncio.create_task(noted(audit, [1]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        audit.close()
        return [*await note, *await noted(audit, [2])]

    first, second = asyncio.run(run())
    assert first is None and isinstance(second, LogError)
    opened = Outbox.open(path, now, readonly=True)
    assert [row.request_id for row in opened.read()] == ["r1"]
    opened.close()
