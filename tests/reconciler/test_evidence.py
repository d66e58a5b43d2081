"""What a target says enters the log without secrets, those included that stand in no specification."""

from __future__ import annotations

import orjson

from reconciler import evidence
from reconciler.core.target import Verdict
from reconciler.gitea import api as gitea
from state.events import StackDeployed
from state.model import Address

TOKEN = "ghp_c4n4rycanarycanarycanarycanary012345"
STACK = Address("komodo", "stack", "media")


def deployed(said: str) -> StackDeployed:
    return StackDeployed(
        instance="komodo", attempt="a", commit="c", stack="media", resources=(str(STACK),), deed="deploy",
        reason="it changed", good=False, said=said, update="u", seconds=1.0,
    )  # fmt: skip


def test_what_a_program_wrote_while_it_was_deployed_is_told_without_its_secrets() -> None:
    verdict = Verdict(
        outcome="refuted",
        evidence=f"the deploy failed: password={TOKEN}",
        faults={STACK: f"exit 1, with {TOKEN}"},
        deeds={"deed": deployed(f"pulled\nlogin with {TOKEN}\nno such image")},
    )
    told = evidence.covered(verdict, [])
    assert (told.evidence, told.faults) == ("the deploy failed: password=•••", {STACK: "•••"})
    assert told.deeds["deed"] == deployed("pulled\n•••\nno such image")


def test_what_gitea_answers_is_told_short_and_without_the_secrets_it_quotes() -> None:
    assert gitea._said(orjson.dumps({"message": f"no such\n user, token={TOKEN}"})) == ": no such user, token=•••"
    assert gitea._said(orjson.dumps({"message": f"{'x ' * 90}{TOKEN}"})) == ": •••"
    assert len(gitea._said(orjson.dumps({"message": "word " * 90_000}))) < 500
    assert gitea._said(b"<html>") == ""
