"""What ARCHITECTURE.md says is always true, and which mutants take it away: a promise that nobody tries is a hope.

`make mutants` sees to it that each mutant is caught. Here it is seen to that every promise has one.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from pathlib import Path

from tests.durability import mutants, mutations
from tests.simulation.weaknesses import WEAKNESSES

ROOT = Path(__file__).parent.parent

ALWAYS_TRUE: dict[str, tuple[str, ...]] = {
    "Only a commit changes the desired state": ("no way from the gateway to what writes", "no tool writes the policy"),
    "The gateway reaches no target": (),
    "Core functions have no I/O": (),
    "Every live write stands between": (
        "an attempt is not resumed", "appends are not atomic", "a write builds on one in doubt",
    ),
    "One Traefik apply is one file": (
        "one plan is one file", "our file is renamed into its place", "it is staged where Traefik does not read",
    ),
    "Only *refuted* undoes": ("an outage counts as refused", "no undo after refuted", "no quarantine"),
    "What we neither want nor wrote": ("what is foreign is removed", "no digest check before the write"),
    "The log is only appended": (
        "an event's hash covers the one before", "one reconciler in a home", "an append says what it knows of",
        "old events are read",
    ),
    "A loss that no person": (
        "guards are ignored", "what opens is a loss", "small losses of a day add up",
        "an agreement ends with its commit",
    ),
    "What nobody proved is no revision": ("no proof", "a revision whatever is left out"),
    "A commit that one instance refuses": ("nothing is taken back",),
    "One reconciler works in a home": ("one reconciler in a home", "one reconciler in a target's directory"),
    "What was acknowledged survives": (
        "every commit of the log is flushed (synchronous=NORMAL)", "an outbox is durable before its answer",
        "Git's objects and references are flushed", "a log that met a fault of the disk is over",
        "a faulty SQLite has a rollback journal",
    ),
    "A write is proven only once": (
        "no flush of folders", "what a dead process left is not flushed", "alerts are told whatever was told",
        "a message goes out without a note",
    ),
    "What only those let in could reach": ("another open way is a loss",),
    "A yes covers what was read": ("a yes covers what causes a loss", "a yes is a yes to everything"),
    "Containers come before identities": (
        "what others need comes first", "what goes, goes last", "what needs a part that waits waits too",
    ),
    "What Komodo was asked for": ("komodo is asked whatever it was asked",),
    "What a compose file gives": ("a stack gets of its host what is agreed to", "what nobody here knows is agreed to"),
    "A put-back that a death cut off": ("what was put back is put back anew",),
    "Each deploy has its reason": ("a deploy is told without a key",),
    "What leaves a blueprint": ("what leaves a blueprint is taken away",),
    "The newest lines of a log": (
        "what is left out of a log is told", "what others wrote is marked as such", "what others wrote has an end",
        "secrets in logs are covered",
    ),
    "Of ours only the reconciler": ("no way from the gateway to what writes",),
    "A shard that is dead": (
        "what a shard claims counts for nothing", "what a shard answers is bounded", "what a shard answers is clean",
        "a shard that fails is left in peace",
    ),
    "A client hears of a changed list": ("a client hears of new tools", "whose token is revoked hears no more"),
    "A tool of ours that came later": ("a later tool is closed to a token",),
    "What others wrote is seen": ("what others wrote drives no terminal",),
    "The kill switch": ("read-only holds for people", "read-only holds for models", "read-only holds for passes"),
    "What Traefik's API shows": ("secrets that Traefik shows are covered",),
    "Documentation is fetched": (
        "documentation is official", "documentation is outside this house",
        "another build of the same words is no news",
    ),
    "Secrets enter neither Git nor log": (
        "secrets are looked for before the commit", "no secret of an argument is kept", "drift is told by paths",
    ),
}  # fmt: skip
"""How a promise begins -> the mutants without which nobody would know whether it is kept."""

BY_CONTRACT = {
    "The gateway reaches no target": "import-linter keeps it, and test_architecture.py breaks each of its contracts",
    "Core functions have no I/O": "the same, beside a test of its own there that names what the core may not call",
}
"""Why there is none: nothing runs that could be taken out."""


def promises() -> list[str]:
    section = (ROOT / "ARCHITECTURE.md").read_text().split("## Always true", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^- (.+)$", section, re.M)


def test_every_promise_has_a_mutant_or_a_reason_why_none():
    said = promises()
    assert len(said) > 30
    beginnings = [[begin for begin in ALWAYS_TRUE if promise.startswith(begin)] for promise in said]
    without = [promise for promise, found in zip(said, beginnings, strict=True) if len(found) != 1]
    assert not without, "new here: add a mutant to tests/durability/mutants.py, and its name above"
    assert [one for (one,) in beginnings] == list(ALWAYS_TRUE), "in the order of ARCHITECTURE.md, and none too many"
    assert {begin for begin, named in ALWAYS_TRUE.items() if not named} == BY_CONTRACT.keys()


def test_every_mutant_that_is_named_is_one_and_no_two_have_one_name():
    names = Counter([*(one.safeguard for one in mutants.TABLE), *(one.name for one in WEAKNESSES)])
    assert [name for name, times in names.items() if times > 1] == []
    assert [name for named in ALWAYS_TRUE.values() for name in named if name not in names] == []


def test_every_safeguard_that_can_be_taken_out_has_somebody_who_notices():
    taken_out = {name for one in mutants.TABLE for name in one.mutations}
    written = {
        name: inspect.getdoc(made) or ""
        for name, made in vars(mutations).items()
        if inspect.isfunction(made) and made.__module__ == mutations.__name__ and not name.startswith("_")
    }
    assert taken_out <= written.keys()
    assert [name for name in written.keys() - taken_out if not written[name].startswith("No safeguard")] == []
