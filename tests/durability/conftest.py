"""What these tests share: a process that forks for each piece of work, and a scene to be killed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.durability import scene as scenes
from tests.durability import strace, trials, warm
from tests.durability.scene import Scene
from tests.durability.warm import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A warm process for work on files; it costs a second to start."""
    strace.require()
    with warm.warm(tmp_path_factory.mktemp("warm"), "tests.durability.workloads:load") as one:
        yield one


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A warm process that has loaded and rehearsed the whole product; it costs five seconds to start."""
    strace.require()
    with warm.warm(tmp_path_factory.mktemp("product"), "tests.durability.steps:load") as one:
        yield one


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory that is not on a disk: what many processes flush at once would make this machine wait."""
    with trials.in_memory() as directory:
        yield directory


@pytest.fixture
def scene(
    memory: Path, start_traefik: Callable[..., Any], product: Server, until: Callable[..., None]
) -> Iterator[Scene]:
    """A home whose main is live on a real Traefik, with one edit by hand that nobody noticed yet."""
    with scenes.receiver() as receiver:
        yield scenes.set_up(memory, start_traefik(throttle="10ms"), product, receiver, until)
