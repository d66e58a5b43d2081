"""What the event log costs beside its parts: a durable append beside a raw insert, a replay beside bare decoding.

Run as a script: `python tests/bench/bench_log.py [events to replay]`. Both sides of a ratio take turns.
"""

from __future__ import annotations

import gc
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from state.codec import decode, encode
from state.database import WAL_PAGES, pragma
from state.database import sqlite3 as sqlite
from state.events import (
    ApplyProven,
    ApplyStarted,
    CommitApproved,
    Event,
    PlanMade,
    PlanShown,
    ProposalMade,
    RevisionMade,
    ToolCalled,
)
from state.log import Entry, EventLog
from state.views import ALL
from tests.bench.figures import Figure, ratio, told

PAIRS = 15
APPENDS = 300
REPLAYS = 3
BATCH = 2_000
HASH = bytes(range(32))
TOOLS = (
    "gateway_status", "list_routes", "get_route", "route_history", "explain_request", "plan_changes", "update_route",
    "proposals_get",
)  # fmt: skip


# ── what happens in a home ───────────────────────────────────────────────────────────────────────


def deployment(number: int) -> Iterator[Entry]:
    """One change on its whole way: what a model asked for, what a person approved, what was applied and proven."""
    address = f"traefik/http.routers/app{number % 500}"
    spec = {"rule": f"Host(`app{number % 500}.example.org`)", "service": f"app{number % 500}", "entryPoints": ["web"]}
    commit, proposal = f"{number:040x}", f"p{number:011x}"
    change = f"update {address}"
    for tool in TOOLS:
        called = ToolCalled(
            shard="traefik", tool=tool, client="claude-code", outcome="ok", arguments_digest=f"{number:064x}"
        )
        yield said(called, "gateway", number)
    yield said(
        ProposalMade(
            proposal=proposal, branch=f"proposals/{proposal}", commit=commit, parent=f"{number - 1:040x}",
            tool="traefik_update_route", client="claude-code", title=f"Move app{number % 500}", resources=(address,),
        ),
        f"proposal/{proposal}", number,
    )  # fmt: skip
    shown = PlanShown(proposal=proposal, commit=commit, digest=f"{number:064x}", changes=(change,), losses=())
    yield said(shown, f"proposal/{proposal}", number)
    approved = CommitApproved(commit=commit, via="fast-forward", proposal=proposal, by="ada <ada@home>", subject="Move")
    yield said(approved, "main", number)
    yield said(PlanMade(commit=commit, digest=f"{number:064x}", changes=(change,), reason="main moved"), "main", number)
    attempt, changes = f"a{number:015x}", {address: spec}
    started = ApplyStarted(
        instance="traefik", attempt=attempt, commit=commit, digest=f"{number:064x}", before=f"{number:064x}",
        after=f"{number + 1:064x}", changes=changes, reason="main is ahead of what is live",
    )  # fmt: skip
    proven = ApplyProven(
        instance="traefik", attempt=attempt, commit=commit, changes=changes, file=f"{number + 1:064x}", seconds=0.2,
        evidence="the marker and all routers are listed as enabled",
    )  # fmt: skip
    yield said(started, "target/traefik", number)
    yield said(proven, "target/traefik", number)
    revised = RevisionMade(
        number=number + 1, commit=commit, tree=f"{number:040x}", policy="c" * 64, reason="applied and proven"
    )
    yield said(revised, "main", number)


def said(event: Event, stream: str, number: int) -> Entry:
    return Entry(stream=stream, event=event, request_id=f"{number:032x}")


def life() -> Iterator[Entry]:
    return itertools.chain.from_iterable(map(deployment, itertools.count()))


def clock() -> Callable[[], datetime]:
    """A clock that tells how long a home takes for as many events as are appended at once."""
    days, start = itertools.count(), datetime(2020, 1, 1, tzinfo=UTC)
    return lambda: start + timedelta(days=next(days))


# ── append ───────────────────────────────────────────────────────────────────────────────────────


COLUMNS = "seq, id, at, stream, version, type, schema, actor, request_id, data, salt, payload_hash, prev_hash, hash"


class Raw:
    """What anybody would write: an insert and a commit for each event, as durable as the log.

    `whole`: a row as long as the log's, found by id and by version like the log's. Else what an event is at least.
    """

    def __init__(self, path: Path, *, whole: bool) -> None:
        self._connection = sqlite.connect(path, isolation_level=None)
        for setting in ("journal_mode = WAL", "synchronous = EXTRA", f"wal_autocheckpoint = {WAL_PAGES}"):
            self._connection.execute(f"PRAGMA {setting}")
        table = f"({COLUMNS.replace('seq', 'seq INTEGER PRIMARY KEY')}, UNIQUE (id), UNIQUE (stream, version))"
        self._connection.execute(
            f"CREATE TABLE events {table if whole else '(seq INTEGER PRIMARY KEY, at, stream, type, data)'}"
        )
        self._insert = self._insert_whole if whole else self._insert_least
        self._number = 0

    def append(self, entry: Entry) -> None:
        self._number += 1
        name, schema, data = encode(entry.event)
        at = datetime.now(UTC).isoformat(timespec="microseconds")
        self._connection.execute("BEGIN IMMEDIATE")
        self._insert(entry, name, schema, data.decode(), at)
        self._connection.execute("COMMIT")

    def _insert_whole(self, entry: Entry, name: str, schema: int, data: str, at: str) -> None:
        values = (
            self._number, os.urandom(16).hex(), at, entry.stream, self._number, name, schema, entry.actor,
            entry.request_id, data, HASH[:16], HASH, HASH, HASH,
        )  # fmt: skip
        self._connection.execute(f"INSERT INTO events ({COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)

    def _insert_least(self, entry: Entry, name: str, schema: int, data: str, at: str) -> None:
        values = (at, entry.stream, name, data)
        self._connection.execute("INSERT INTO events (at, stream, type, data) VALUES (?, ?, ?, ?)", values)


def appending(directory: Path, pairs: int) -> list[Figure]:
    log = EventLog.open(directory / "log.db", now=lambda: datetime.now(UTC), create=True)
    assert pragma(log._database, "synchronous") == 3  # the same as theirs
    whole, least = Raw(directory / "whole.db", whole=True), Raw(directory / "least.db", whole=False)
    entries = list(itertools.islice(life(), APPENDS))
    rounds = []
    for number in range(pairs + 1):
        takers = [log.append, whole.append, least.append]
        turn = number % len(takers)
        rates = {taker: rate(taker, entries) for taker in takers[turn:] + takers[:turn]}
        rounds.append([rates[taker] for taker in takers])
    log.close()
    del rounds[0]  # the first one makes the files
    ours, raw, _ = (statistics.median(side) for side in zip(*rounds, strict=True))
    note = f"{ours:,.0f} over {raw:,.0f} a second, both flushed each time (WAL, synchronous=EXTRA)"
    return [
        Figure(
            name="durable append with chain, over a raw insert of such a row",
            value=ratio([(ours, raw) for ours, raw, _ in rounds]), bar=0.8, at_least=True, note=note,
        ),
        Figure(
            name="the same, over the least row in a table without indexes",
            value=ratio([(ours, raw) for ours, _, raw in rounds]),
        ),
    ]  # fmt: skip


def rate(append: Callable[[Entry], object], entries: list[Entry]) -> float:
    gc.collect()
    start = time.perf_counter()
    for entry in entries:
        append(entry)
    return len(entries) / (time.perf_counter() - start)


# ── replay ───────────────────────────────────────────────────────────────────────────────────────


def replaying(directory: Path, events: int) -> list[Figure]:
    """Every view, folded from the first event on, from a log on disk; beside decoding the same payloads in memory.

    In processor time. Tool calls, which no view is about, are passed over by the query: a replay need not decode them.
    """
    log, entries = EventLog.open(directory / "long.db", now=clock(), create=True), life()
    while log.head().seq < events:
        log.append(list(itertools.islice(entries, BATCH)))
    payloads = [(one.type, one.schema, encode(one.event)[2]) for one in log.read()]
    pairs = [(replayed(log), decoded(payloads)) for _ in range(REPLAYS)]
    log.close()
    ours, bare = (statistics.median(side) for side in zip(*pairs, strict=True))
    passed = sum(name == ToolCalled.__name__ for name, *_ in payloads) / len(payloads)
    note = f"{events:,} events, {ours:,.0f} over {bare:,.0f} a second; {passed:.0%} are tool calls, not decoded"
    name = f"replay into all {len(ALL)} views, over bare decoding"
    return [Figure(name=name, value=ratio(pairs), bar=0.4, at_least=True, note=note)]


def replayed(log: EventLog) -> float:
    gc.collect()
    start = time.process_time()
    log.replayed(ALL)
    return log.head().seq / (time.process_time() - start)


def decoded(payloads: list[tuple[str, int, bytes]]) -> float:
    gc.collect()
    start = time.process_time()
    for type_name, schema, data in payloads:
        decode(type_name, schema, data)
    return len(payloads) / (time.process_time() - start)


def main(events: int, pairs: int = PAIRS) -> int:
    with tempfile.TemporaryDirectory() as directory:
        missed = told(appending(Path(directory), pairs))  # at once: the other takes minutes
        return told(replaying(Path(directory), events)) or missed


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
