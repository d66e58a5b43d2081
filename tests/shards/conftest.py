"""A real gateway over real HTTP on loopback, a real desired repo, and a reconciler that can be away."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler import web
from tests.shards.serving import Answers, DesiredRepo, Waypost, gateway_over, served


@pytest.fixture
def desired(tmp_path: Path) -> DesiredRepo:
    return DesiredRepo(tmp_path / "desired.git")


@pytest.fixture
def make_waypost(tmp_path: Path, desired: DesiredRepo) -> Iterator[Callable[..., Waypost]]:
    """Start a gateway; settings may be given. All of them end with the test."""
    with contextlib.ExitStack() as running:
        yield lambda **chosen: running.enter_context(gateway_over(desired, tmp_path / "gateway", **chosen))


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waypost]:
    """One gateway for many calls that must all be refused: whoever commits anything fails the others too."""
    directory = tmp_path_factory.mktemp("refusing")
    with gateway_over(DesiredRepo(directory / "desired.git"), directory / "gateway") as waypost:
        yield waypost


@pytest.fixture
def waypost(make_waypost: Callable[..., Waypost]) -> Waypost:
    """A gateway whose reconciler is away."""
    return make_waypost()


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def reconciler(answers: Answers) -> Iterator[str]:
    """The reconciler's real query interface over canned answers; gives its address."""
    with served(web.build(answers, ["127.0.0.1"])) as url:
        yield url
