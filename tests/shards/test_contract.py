"""Every shard of ours keeps the contract that it asks of others; and one that does not is found out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from reconciler.ports import SystemClock
from reconciler.query_client import QueryClient
from shards import belongings
from shards.audit import Audit
from shards.config import GatewaySettings
from shards.kit import Call, Shard, Traits, tool
from shards.own import Own
from shards.proposing import Desk
from shards.registry import Standing
from shards.traefik import Traefik
from shards.wire.contract import ShardContract
from tests.shards.elsewhere import Weather
from tests.shards.serving import NOBODY, DesiredRepo


@pytest.fixture
def desk(tmp_path: Path, desired: DesiredRepo) -> Iterator[Desk]:
    settings = GatewaySettings(directory=tmp_path / "gateway", source=desired.path, reconciler_url=NOBODY)
    settings.directory.mkdir()
    clock = SystemClock()
    audit, query = Audit(belongings.outbox(settings, clock, alone=True)), QueryClient(NOBODY)
    yield Desk(settings, belongings.clone(settings, alone=True), audit, query, clock, os.urandom)
    query.close()
    audit.close()


class OfOurs(ShardContract):
    """A shard of the gateway's own process: what it needs is there for each test."""

    elsewhere = False

    @pytest.fixture(autouse=True)
    def _desk(self, desk: Desk) -> None:
        self.desk = desk

    def test_every_tool_answers_its_example(self) -> None:
        """What they answer needs a reconciler, and has tests of its own."""


class TestTraefik(OfOurs):
    def make(self) -> Shard:
        return Traefik(self.desk)


class TestOwn(OfOurs):
    def make(self) -> Shard:
        return Own(self.desk, "1", lambda: {"traefik": Standing(state="up", tools=1)})


class TestWeatherThatBehaves(ShardContract):
    calls = {
        "forecast": {"city": "Kiel"},
        "linger": {"seconds": 0.0},
        "flood": {"characters": 3},
        "trick": {},
    }

    def make(self) -> Shard:
        return Behaving()


class Behaving(Weather):
    def tools(self):  # type: ignore[no-untyped-def]
        given = {"forecast", "linger", "flood", "trick"}
        return (one for one in self._all() if one.name in given)

    def _all(self):  # type: ignore[no-untyped-def]
        return Shard.tools(Weather())


class Wordless(BaseModel):
    pass


class Careless(Shard):
    """Nothing of it is as it should be."""

    name = "gateway"
    title = ""
    prefix = "x" * 60

    @tool(Traits(title="Do", writes=True))
    def do(self, call: Call, what: str) -> Wordless:
        """Do it."""
        return Wordless()


class CarelessContract(ShardContract):
    def make(self) -> Shard:
        return Careless()


@pytest.mark.parametrize(
    "name",
    [
        "test_its_names_are_ones_that_every_client_takes",
        "test_every_tool_tells_a_model_what_it_is_for",
        "test_one_that_runs_elsewhere_only_reads",
        "test_every_tool_answers_its_example",
    ],
)
def test_a_careless_shard_is_found_out(name: str) -> None:
    check: Callable[[], None] = getattr(CarelessContract(), name)
    with pytest.raises(AssertionError):
        check()
