"""A target that watches its test's own directory, and the shadow beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.ports import Disk, SystemClock
from reconciler.targets.shadow import Shadow
from reconciler.targets.traefik import TraefikTarget
from reconciler.traefik.api import TraefikApi


@pytest.fixture
def a_target() -> Iterator[Callable[..., TraefikTarget]]:
    """`a_target(directory, url, deadline=…, shadow=…)` -> a TraefikTarget named "traefik"."""
    apis: list[TraefikApi] = []

    def make(directory: Path, url: str, *, deadline: float = 8.0, **more: Any) -> TraefikTarget:
        apis.append(TraefikApi(url))
        return TraefikTarget(
            "traefik",
            directory,
            apis[-1],
            files=Disk(),
            clock=SystemClock(),
            chance=os.urandom,
            deadline=deadline,
            **more,
        )

    yield make
    for api in apis:
        api.close()


@pytest.fixture
def target(traefik: Any, a_target: Callable[..., TraefikTarget]) -> TraefikTarget:
    """A target without a shadow, on the running Traefik."""
    return a_target(traefik.directory, traefik.url)


@pytest.fixture
def shadow(tmp_path: Path, traefik_binary: Path) -> Iterator[Shadow]:
    one = Shadow(traefik_binary, files=Disk(), clock=SystemClock(), workdir=tmp_path / "shadow")
    yield one
    one.close()
