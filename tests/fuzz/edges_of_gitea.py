"""What a Gitea says, or whatever else answers at its address."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from reconciler.gitea.address import Repository
from reconciler.gitea.api import Gitea, GiteaError
from tests.fuzz.edges_of_traefik import WIRE
from tests.fuzz.fuzzing import Edge, Take
from tests.fuzz.mutating import Mutator, written
from tests.fuzz.stub import answer, stub

PULL = {
    "number": 7,
    "state": "closed",
    "title": "Say hello",
    "body": "text",
    "merged": True,
    "merged_by": {"id": 1, "login": "alice"},
    "merge_commit_sha": "c" * 40,
    "html_url": "https://git.lab/house/desired/pulls/7",
    "head": {"ref": "proposals/p1", "sha": "a" * 40},
}
CALLS: dict[str, tuple[Callable[[Gitea], Any], Any]] = {
    "who": (Gitea.me, {"id": 1, "login": "waypost"}),
    "pull": (lambda gitea: gitea.pull(7), PULL),
    "found": (lambda gitea: gitea.pull_between("main", "proposals/p1"), PULL),
    "merged": (lambda gitea: gitea.merge_of("c" * 40, "main"), PULL),
    "comments": (lambda gitea: gitea.comments(7), [{"id": 1, "body": "text", "user": {"login": "alice"}}]),
    "reviews": (lambda gitea: gitea.reviews(7), [{"state": "APPROVED", "user": {"login": "bob"}, "stale": False}]),
    "marked": (lambda gitea: gitea.set_status("c" * 40, context="x", state="success", description="y"), {}),
}


def _said(mutator: Mutator) -> tuple[str, bytes]:
    call = mutator.chance.choice(list(CALLS))
    usual = CALLS[call][1]
    roll = mutator.chance.random()
    if roll < 0.2:
        return call, mutator.content([*WIRE, answer(written(usual))])
    if roll < 0.7:
        return call, answer(written(mutator.value(json.loads(written(usual)))))
    return call, answer(mutator.content([written(usual)]))


@contextlib.contextmanager
def _gitea(_: Path) -> Iterator[Take]:
    with stub() as server:
        gitea = Gitea(server.url, Repository("house", "desired"))

        def take(given: tuple[str, bytes]) -> bool:
            call, said = given
            server.answers = {"*": said}
            CALLS[call][0](gitea)
            return True

        yield take
        gitea.close()


EDGES = (Edge(name="answer of Gitea", share=200, make=_said, opened=_gitea, family=(GiteaError,)),)
