"""The contract of shards, asked of those that the gateway makes itself: with their documentation, as settings say."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from reconciler.documentation.fetching import Reach
from reconciler.ports import SystemClock
from reconciler.query_client import QueryClient
from shards import belongings, systems
from shards.audit import Audit
from shards.config import GatewaySettings
from shards.kit import Shard
from shards.proposing import Desk
from shards.wire.contract import Contract
from tests.reconciler.documentation.recorded import recorded
from tests.shards.serving import DesiredRepo, gateway_over
from tests.shards.test_documentation import MANUALS, reaching

DOCS = {"topic": "backups"}
"""What the recorded documentation of every system has a section of."""


@contextlib.contextmanager
def desk_over(desired: DesiredRepo, directory: Path, reconciler_url: str) -> Iterator[Desk]:
    """A desk as the gateway has it."""
    settings = GatewaySettings(directory=directory, source=desired.path, reconciler_url=reconciler_url)
    settings.directory.mkdir()
    clock = SystemClock()
    audit, query = Audit(belongings.outbox(settings, clock, alone=True)), QueryClient(reconciler_url)
    yield Desk(settings, belongings.clone(settings, alone=True), audit, query, clock, os.urandom)
    query.close()
    audit.close()


@contextlib.contextmanager
def manuals() -> Iterator[Reach]:
    """What the people of every system publish, recorded on loopback."""
    with recorded({}) as site:
        for manual in MANUALS:
            port = str(site.port).encode()
            site.pages |= {path: page.replace(b"PORT", port) for path, page in manual.pages.items()}
        yield reaching(site)


class OfTheGateway(Contract):
    """A test says which shard, over which desk and desired repo, and what the settings know of its system."""

    name: ClassVar[str]
    desk: Desk
    desired: DesiredRepo
    known: dict[str, Any]

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> Iterator[None]:
        self.directory = tmp_path
        with manuals() as reach, contextlib.ExitStack() as self.closing:
            self.reach = reach
            yield

    def make(self) -> Shard:
        desk = copy.copy(self.desk)
        desk.settings = replace(desk.settings, documentation=self.reach, **self.known)
        shards, close = systems.shards(desk.settings, desk, SystemClock(), os.urandom)
        self.closing.callback(close)
        [shard] = (one for one in shards if one.name == self.name)
        return shard

    @contextlib.contextmanager
    def through(self) -> Iterator[str]:
        """The address of that gateway."""
        known = {**self.known, "documentation": self.reach, "reconciler_url": self.desk.settings.reconciler_url}
        with gateway_over(self.desired, self.directory / "through", **known) as waypost:
            yield waypost.url

    def test_through_the_gateway_that_makes_it_it_is_the_same_shard(self) -> None:
        here = self.make()
        with self.through() as address:
            self.require_the_same(address, here.prefix, here.tools())
