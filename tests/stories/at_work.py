"""A home at work: its reconciler and its gateway, each over HTTP on loopback, and models that call tools."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from reconciler import web
from reconciler.serve import Reconciler
from tests.shards.serving import Waypost, gateway_over, served
from tests.stories.conftest import House


@contextlib.contextmanager
def at_work(house: House, **systems: Any) -> Iterator[Waypost]:
    """The gateway of this home, which looks at these systems. Commands find the reconciler: approving makes a pass."""
    repo: Any = SimpleNamespace(path=house.home.desired_store_path)
    with house.world() as world, served(web.build(Reconciler(house.home, world), ["127.0.0.1"])) as url:
        with house.home.settings_path.open("a") as settings:
            settings.write(f"\nWAYPOST_RECONCILER_LISTEN={url.removeprefix('http://')}\n")
        with gateway_over(repo, house.home.gateway_path, reconciler_url=url, **systems) as gateway:
            yield gateway
