"""A glance after a whole look: what it may let pass, what it must see, and for how long it is enough."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.core.target import Attempt
from reconciler.ports import Disk, SystemClock
from reconciler.targets.traefik import TraefikTarget
from reconciler.traefik.api import TraefikApi
from state.model import Address, digest_bytes

NEIGHBOUR = "http: {middlewares: {theirs: {compress: {minResponseBodyBytes: %d}}}}"


class Later(SystemClock):
    """The machine's clock, which can be told that time went by."""

    gone_by = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.gone_by


@pytest.fixture
def clock() -> Later:
    return Later()


@pytest.fixture
def target(traefik: Any, clock: Later) -> Any:
    """A target whose one route is served, beside a neighbour's file."""
    api = TraefikApi(traefik.url)
    one = TraefikTarget("traefik", traefik.directory, api, files=Disk(), clock=clock, chance=os.urandom, deadline=8.0)
    traefik.drop("theirs.yml", NEIGHBOUR % 1)
    live = {Address("traefik", "http.routers", "app"): {"rule": "Host(`app.test`)", "service": "noop@internal"}}
    draft = Attempt(id="a1", instance="traefik", commit="c0ffee", live=live, before=one.observe().file)
    attempt = Attempt(**{**draft.__dict__, "after": digest_bytes(one.render(draft))})
    one.write(attempt)
    assert one.prove(attempt).outcome == "proven"
    yield one
    api.close()


def test_where_nothing_moves_a_glance_is_enough_until_it_is_time_for_a_whole_look(
    target: TraefikTarget, clock: Later
) -> None:
    seen = target.observe()
    assert target.unmoved(seen)
    assert target.unmoved(seen)
    clock.gone_by = 299.0
    assert target.unmoved(seen)
    clock.gone_by = 301.0
    assert not target.unmoved(seen)


def test_a_hand_edit_is_seen_at_a_glance_even_if_it_keeps_size_and_times(traefik: Any, target: TraefikTarget) -> None:
    seen, path = target.observe(), traefik.directory / "mcp-managed" / "waypost.yml"
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"app.test", b"epp.test"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not target.unmoved(seen)


def test_a_neighbours_file_that_comes_changes_or_goes_is_seen_at_a_glance(traefik: Any, target: TraefikTarget) -> None:
    seen = target.observe()
    traefik.drop("theirs.yml", NEIGHBOUR % 2)
    assert not target.unmoved(seen)
    seen = target.observe()
    traefik.drop("more.yml", "http: {middlewares: {more: {compress: {}}}}")
    assert not target.unmoved(seen)
    seen = target.observe()
    (traefik.directory / "more.yml").unlink()
    assert not target.unmoved(seen)


def test_a_traefik_that_started_anew_or_says_nothing_is_seen_at_a_glance(
    traefik: Any, target: TraefikTarget, until: Callable[..., None]
) -> None:
    seen = target.observe()
    traefik.stop()
    assert not target.unmoved(seen)
    traefik.start()
    until(traefik.up, "Traefik is up again")
    assert not target.unmoved(seen)


def test_another_who_looks_meanwhile_vouches_for_nothing(target: TraefikTarget) -> None:
    seen = target.observe()
    assert not target.apart().unmoved(seen)


def test_trouble_is_never_left_to_a_glance(traefik: Any, target: TraefikTarget) -> None:
    traefik.drop("broken.yml", "http: [")
    seen = target.observe()
    assert seen.poison
    assert not target.unmoved(seen)
