"""The steps of the road as processes: a model proposes, a person approves, a pass. Real entries, one thread each.

What the log, an outbox or a tool acknowledged is told in a file by each process, at once: a killed one cannot lie.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import apprise

from reconciler import cli, founding
from reconciler.ports import SystemClock
from reconciler.query_client import QueryClient
from shards import belongings, config
from shards.audit import Audit
from shards.kit import Call
from shards.offers import Attempt
from shards.proposing import Desk
from shards.traefik import Traefik
from state.log import EventLog
from state.outbox import Outbox
from tests.durability.workloads import now, teller

NOBODY = "json://127.0.0.1:9/"
ROUTE = {"name": "new", "host": "new.lab", "service_url": "http://127.0.0.1:9", "reason": "it is wanted"}


def load(scratch: str) -> None:
    """Run through everything once in a home without a Traefik, so that all is loaded."""
    warnings.simplefilter("ignore")
    home = founding.create(Path(scratch), chosen={"WAYPOST_ALERT_URLS": NOBODY}, environ={}, now=now)
    propose(str(home.path), f"{scratch}/said", "create_route", ROUTE)
    for arguments in (("proposals",), ("drift",), ("plan",), ("reconcile", "--once")):
        with suppress(SystemExit):
            cli.main(["--home", str(home.path), *arguments])


def settle() -> None:
    """What is loaded otherwise than by `import`: Apprise looks for its channels at the first address."""
    warnings.simplefilter("ignore")
    apprise.Apprise().add(NOBODY)


@contextmanager
def told(said: str) -> Iterator[Callable[[str], None]]:
    """Writes down whatever becomes durable meanwhile: `event SEQ HASH`, `put ID`."""
    tell = teller(said)
    append, put_all = EventLog.append, Outbox.put_all

    def appended(log: EventLog, *arguments: Any, **more: Any) -> Any:
        recorded = append(log, *arguments, **more)
        for one in recorded:
            tell(f"event {one.seq} {one.hash}")
        return recorded

    def put(outbox: Outbox, entries: Sequence[Any]) -> list[str]:
        ids = put_all(outbox, entries)
        for id in ids:
            tell(f"put {id}")
        return ids

    with mock.patch.object(EventLog, "append", appended), mock.patch.object(Outbox, "put_all", put):
        yield tell


def command(home: str, said: str, *arguments: str) -> None:
    """`waypost …` to its end."""
    with told(said):
        cli.main(["--home", home, *arguments])


def propose(home: str, said: str, tool: str, arguments: dict[str, Any]) -> None:
    """A gateway starts, carries out one tool call, and answers; it holds its lock until it is gone."""
    with told(said) as tell, gateway(home) as (desk, audit):
        (found,) = (one for one in Traefik(desk).tools() if one.name == tool)
        call = Call(request_id="0" * 12 + "-" + os.urandom(8).hex(), client="a model", tool=f"traefik_{tool}")
        outcome = Attempt(audit, SystemClock(), found, call, arguments).run()
        assert outcome.answer is not None, outcome.refusal
        tell(f"answered {outcome.answer.proposal}")  # type: ignore[attr-defined]


def start_gateway(home: str, said: str) -> None:
    """A gateway starts, and mends what one before it left."""
    with told(said), gateway(home):
        pass


@contextmanager
def gateway(home: str) -> Iterator[tuple[Desk, Audit]]:
    settings, clock = config.read(Path(home), {}), SystemClock()
    belongings.hold(settings)
    audit = Audit(belongings.outbox(settings, clock, alone=True))
    query = QueryClient(settings.reconciler_url, timeout=0.2)
    desk = Desk(settings, belongings.clone(settings, alone=True), audit, query, clock, os.urandom)
    desk.recover()
    yield desk, audit
    audit.close()
