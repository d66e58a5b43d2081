"""Shards elsewhere: which of them a person declares, what is remembered of them, and what they answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

from reconciler.setting import ConfigError
from shards import declared, gateway
from shards.belongings import Shelf
from shards.config import GatewaySettings
from shards.declared import Declared, Listed
from shards.health import Patience, Turned
from shards.wire.remote import Link, Surroundings
from tests.fuzz import asgi
from tests.fuzz.edges_of_agents import FAULTS, HEADERS
from tests.fuzz.fuzzing import Edge, Take
from tests.fuzz.leaping import Leaping
from tests.fuzz.mutating import Mutator, written
from tests.fuzz.peer import TOOL, Odd, Peer, odd, serving
from tests.shards.serving import NOBODY, WIDE, DesiredRepo

FILE = b"""\
[shards.weather]
url = "http://weather:9200/mcp"
tools = ["forecast", "warnings"]
token = "env:WEATHER_TOKEN"
seconds = 12.5
at_once = 4
check_every = 30
prompts = ["daily"]
resources = ["weather://reports/"]

[shards.weather.tool.forecast]
seconds = 90
retries = 0

[shards."tide-tables"]
url = "https://tides.example.org/mcp?a=b"
tools = ["next.tide"]
token = "file:/run/secrets/tides"
"""
TOOLS = [TOOL, {"name": "warnings", "inputSchema": {"type": "object"}, "icons": [{"src": "https://a/b.png"}]}]


def _around(**chosen: Any) -> Surroundings:
    return Surroundings(clock=Leaping(), chance=Random(0).randbytes, tls=_no_trust, **chosen)


def _no_trust() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _offered(link: Link) -> bool:
    """Whether it has tools; what clients and pages are told of it is JSON."""
    for offer in link.offers().values():
        json.dumps(offer.listing.model_dump(mode="json", by_alias=True, exclude_none=True), ensure_ascii=False).encode()
    json.dumps(link.standing().as_json(), default=str).encode()
    return bool(link.offers())


# ── files ────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def _files(place: Path) -> Iterator[Take]:
    """shards.toml; whatever it declares can be kept a link to."""
    path = place / "shards.toml"

    def take(content: bytes) -> bool:
        path.write_bytes(content)
        found = declared.read(path)
        for name, shard in found.items():
            link = Link(shard, Shelf(place / f"{name}.json"), _around())
            assert not _offered(link) and sorted(shard.tools) == link.missing
            assert urlsplit(shard.url).port != 0
        return bool(found)

    yield take


@contextlib.contextmanager
def _shelves(place: Path) -> Iterator[Take]:
    """What a shard offered last, as somebody left it."""
    path = place / "weather.json"
    shard = Declared(name="weather", url="http://127.0.0.1:9/mcp", tools=frozenset({"forecast", "warnings"}))
    logging.disable(logging.CRITICAL)

    def take(content: bytes) -> bool:
        path.write_bytes(content)
        return _offered(Link(shard, Shelf(path), _around()))

    yield take
    logging.disable(logging.NOTSET)


# ── answers ──────────────────────────────────────────────────────────────────────────────────────

ERAS = ("modern", "legacy")
ASKED: dict[str, dict[str, Any]] = {
    "tools/call": {"name": "{}_forecast", "arguments": {"city": "here"}, "_meta": {"progressToken": 1}},
    "prompts/list": {},
    "prompts/get": {"name": "{}_daily", "arguments": {"city": "here"}},
    "resources/list": {},
    "resources/templates/list": {},
    "resources/read": {"uri": "weather://reports/now"},
    "completion/complete": {
        "ref": {"type": "ref/prompt", "name": "{}_daily"}, "argument": {"name": "city", "value": "h"},
    },
}  # fmt: skip


def _answered(mutator: Mutator) -> Odd:
    """Calls more often than the rest, and without sessions more often than with them."""
    method = mutator.chance.choice(("tools/call", "tools/call", "tools/call", *ASKED))
    era = mutator.chance.choice(("modern", "modern", "legacy"))
    return odd(mutator, f"/{era}/mcp", method)


def _shard(peer: Peer, era: str) -> Declared:
    return Declared(
        name=era,
        url=f"{peer.url}/{era}/mcp",
        tools=frozenset({"forecast"}),
        prompts=frozenset({"daily"}),
        resources=frozenset({"weather://reports/"}),
        seconds=0.3,
        retries=0,
        patience=Patience(every=3600.0, within=0.5, failures=1_000_000),
    )


@contextlib.contextmanager
def _elsewhere(place: Path) -> Iterator[Take]:
    """The real gateway before a shard of each era: a client is told an answer or a refusal, and the next is well."""
    desired, clock = DesiredRepo(place / "desired.git"), Leaping()
    logging.disable(logging.CRITICAL)
    with serving(Peer()) as peer:
        settings = GatewaySettings(
            directory=place / "gateway",
            source=desired.path,
            reconciler_url=NOBODY,
            bounds=WIDE,
            discovery=Listed(tuple(_shard(peer, era) for era in ERAS)),
        )
        with asgi.running(gateway.build(settings, clock=clock)) as application:
            for era in ERAS:
                _be_well(application, clock, era)

            def take(given: Odd) -> bool:
                era = given.path.split("/")[1]
                clock.leap()
                peer.odd = given
                is_answer = _is_answer(application, given.method, era)
                peer.odd = None
                if not is_answer:
                    _be_well(application, clock, era)
                return is_answer

            yield take
    logging.disable(logging.NOTSET)


def _is_answer(application: asgi.Application, method: str, era: str) -> bool:
    params = json.loads(json.dumps(ASKED[method]).replace("{}_", f"{era}_"))
    asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    status, said = application.ask("POST", f"/mcp/{era}", HEADERS, written(asked))
    assert 200 <= status < 500, (status, said)
    assert not any(fault in said for fault in FAULTS), said
    return status < 300 and not any(sign in said for sign in (b'"error":', b'"isError":true', b'"waypost/missing"'))


def _be_well(application: asgi.Application, clock: Leaping, era: str) -> None:
    """Whatever it answered before: as soon as it is well, so are its calls."""
    ends = time.monotonic() + 30
    while not _is_answer(application, "tools/call", era):
        assert time.monotonic() < ends, f"the shard {era} is well, and nobody notices"
        application.wait(0.1)
        clock.leap()


# ── being found ──────────────────────────────────────────────────────────────────────────────────


def _greeting(mutator: Mutator) -> Odd:
    era, method = mutator.chance.choice(
        (("modern", "server/discover"), ("modern", "tools/list"), ("legacy", "initialize"), ("legacy", "tools/list"))
    )
    return odd(mutator, f"/{era}/mcp", method)


@contextlib.contextmanager
def _met(place: Path) -> Iterator[Take]:
    """A link to a shard that was never seen before: it is up with its tools, or down with a reason."""
    logging.disable(logging.CRITICAL)
    with serving(Peer()) as peer, asyncio.Runner() as runner:

        def take(given: Odd) -> bool:
            peer.odd = given
            return runner.run(_found(peer, given.path.split("/")[1], Shelf(place / "kept.json")))

        yield take
    logging.disable(logging.NOTSET)


async def _found(peer: Peer, era: str, shelf: Shelf) -> bool:
    told: asyncio.Queue[Turned] = asyncio.Queue()
    shelf.put([])
    shard = Declared(
        name=era,
        url=f"{peer.url}/{era}/mcp",
        tools=frozenset({"forecast"}),
        patience=Patience(every=0.0, within=0.5, failures=1),
        seconds=0.3,
    )
    link = Link(shard, shelf, _around(tell=lambda name, turned: told.put_nowait(turned)))
    keeping = asyncio.create_task(link.keep())
    turned = await asyncio.wait_for(told.get(), 30)
    keeping.cancel()
    await asyncio.wait({keeping})
    assert turned.reason and "\n" not in turned.reason, turned
    return _offered(link) and turned.state == "up"


EDGES = (
    Edge(
        name="shards.toml",
        share=300,
        make=lambda m: m.content([FILE]),
        opened=_files,
        family=(ConfigError,),
    ),
    Edge(
        name="remembered tools",
        share=200,
        make=lambda m: m.document([TOOLS], [written(TOOLS)]),
        opened=_shelves,
    ),
    Edge(name="answer of a shard", share=45, make=_answered, opened=_elsewhere),
    Edge(name="shard that is met", share=20, make=_greeting, opened=_met),
)
