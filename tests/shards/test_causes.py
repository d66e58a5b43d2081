"""The table of causes: each holds for facts that mean it, comes before those it explains, and is the only one first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shards import causes
from shards.backends import Backend
from shards.certificates import HostCertificate, Trouble
from shards.facts import Claimed, Explained, Facts, Instance, Main, Subject, Waiting, Wanted, evidences
from shards.knowing import About, Heard, Known

GITEA = "traefik/http.routers/gitea"
WELL = Subject(url="https://git.lab/", host="git.lab", https=True)
SERVED = Explained(router="gitea", service="gitea", reason="only it matches", entry_point="websecure", tls=True)
NOBODY = Explained(status=404, reason="no router matches", entry_point="websecure", tls=True)
LIVE = Claimed(router="gitea@file", entry_points=("websecure",), tls=True)
WANTED = Wanted(address=GITEA, rule="Host(`git.lab`)", file="traefik/gitea.yaml:3", live="as desired", service="gitea")


def backend(error: str = "") -> Backend:
    return Backend(
        service="gitea",
        url="http://10.0.0.7:3000",
        known_from="desired",
        answers=not error,
        status=None if error else 200,
        milliseconds=1,
        error=error,
        traefik_says="",
    )


def certificate(*troubles: Trouble) -> HostCertificate:
    return HostCertificate(
        host="git.lab", entry_point="websecure", address="127.0.0.1:443", routers=["gitea@file"], resolver="",
        answered=True, trouble=list(troubles),
    )  # fmt: skip


FINE = Facts(
    subject=WELL,
    explained=SERVED,
    wanted=[WANTED],
    claimed=[LIVE],
    main=Main(state="nothing", said="all is as main says"),
    backends=[backend()],
    certificates=[certificate()],
    changes=["2026-01-01 apply proven (waypost)"],
)
GONE = replace(
    FINE, explained=NOBODY, wanted=[replace(WANTED, live="missing")], claimed=[], backends=[], certificates=[]
)


def seen(status: int) -> Subject:
    return replace(WELL, status=status)


def instance(**said: object) -> Instance:
    return Instance(**said)  # type: ignore[arg-type]


def told(cause: str) -> Known:
    return Known(outcome="trouble", said=cause, cause=cause)


def heard(of: About, *said: Known | str) -> list[Heard]:
    return [Heard(of=of, instance=f"number {number}", said=one) for number, one in enumerate(said)]


TABLE = {
    "target-lost": replace(GONE, instance=instance(lost="the API does not answer")),
    "not-http": replace(FINE, explained=Explained(taken_by="tcp", reason="HostSNI(`*`) has it")),
    "tie": replace(FINE, explained=Explained(tied=("a", "b"), reason="same priority")),
    "poison": replace(GONE, instance=instance(poison={"broken.yml": "tab in line 3"})),
    "quarantined": replace(GONE, quarantined=[GITEA]),
    "disabled": replace(
        FINE, explained=replace(NOBODY, words=("! gitea would match and serves nothing: no such middleware",))
    ),
    "not-written": replace(GONE, instance=instance(write_failed="the disk is full")),
    "held": replace(GONE, main=Main(state="held", said="held: it takes git.lab away")),
    "not-served": replace(GONE, instance=instance(unserved="Traefik does not watch")),
    "hand-edit": replace(FINE, drifted={GITEA: "differs live in rule"}, wanted=[replace(WANTED, live="differs")]),
    "not-applied": replace(GONE, main=Main(state="waiting", said="read-only: nothing is applied")),
    "deploy-failed": replace(FINE, subject=seen(502), heard=heard("deploys", told("the deploy of git failed"))),
    "container-down": replace(FINE, subject=seen(502), heard=heard("containers", told("container git is exited"))),
    "waiting": replace(GONE, wanted=[], waiting=[Waiting(id="gitea-x1", title="Create route gitea")]),
    "another-door": replace(FINE, explained=replace(NOBODY, entry_point="web", tls=False), subject=seen(404)),
    "another-path": replace(FINE, explained=NOBODY),
    "no-route": replace(GONE, wanted=[]),
    "taken": replace(FINE, subject=replace(WELL, route="wiki"), backends=[]),
    "backend-down": replace(FINE, subject=seen(502), backends=[backend("the connection is refused")]),
    "certificate": replace(FINE, certificates=[certificate(Trouble(code="expired", said="it ended", next="renew"))]),
    "identity": replace(FINE, subject=seen(403), heard=heard("identity", told("no application there is for git.lab"))),
    "middleware": replace(FINE, subject=seen(401), explained=replace(SERVED, middlewares=("auth",))),
    "unreached": replace(FINE, subject=seen(504)),
    "traefik-answers": replace(FINE, explained=Explained(status=400, reason="the path is none")),
    "application": replace(FINE, subject=seen(404)),
    "nobody-can-tell": replace(FINE, explained=Explained(unknown="Traefik does not answer"), backends=[]),
    "all-is-well": FINE,
}  # fmt: skip


def test_every_cause_of_the_table_is_tried_here() -> None:
    assert list(TABLE) == [cause.code for cause in causes.CAUSES]


@pytest.mark.parametrize("code", TABLE)
def test_facts_that_mean_a_cause_have_it_first_with_a_next_step(code: str) -> None:
    first = causes.likely(TABLE[code])[0]
    assert first.cause == code, first
    assert len(first.said) > 20 and len(first.next) > 20 and "{" not in first.next


def test_a_foreign_route_that_is_named_without_its_provider_is_not_taken_by_itself() -> None:
    foreign = replace(
        FINE, subject=replace(WELL, route="wiki"), wanted=[], explained=replace(SERVED, router="wiki@docker")
    )
    assert causes.likely(foreign)[0].cause == "all-is-well"


def test_little_knowledge_is_said_to_be_little() -> None:
    nothing = Facts(subject=Subject(route="gitea"), missing={"live": "the reconciler is away", "desired": "no main"})
    (found,) = causes.likely(nothing)
    assert (found.cause, "the reconciler is away" in found.said) == ("too-little-known", True)


def test_a_cause_that_explains_comes_before_what_it_explains() -> None:
    both = replace(GONE, instance=instance(poison={"broken.yml": "tab"}), main=Main(state="held", said="held: x"))
    assert [one.cause for one in causes.likely(both)][:2] == ["poison", "held"]


def test_what_does_not_run_explains_a_route_that_went_with_it_and_no_answer_that_came_from_behind() -> None:
    gone = replace(GONE, wanted=[], heard=heard("containers", told("container git is exited")))
    assert causes.likely(gone)[0].cause == "container-down", "its labels went with it"
    answered = replace(FINE, subject=seen(404), heard=heard("containers", told("container git is exited")))
    assert causes.likely(answered)[0].cause == "application"


def test_other_parts_of_the_house_are_told_of_where_they_were_asked() -> None:
    knows = Known(outcome="fine", said="container git runs and is healthy", details=("image gitea:1.27",))
    facts = replace(FINE, heard=[*heard("containers", knows), *heard("identity", "authentik does not answer")])
    found = {one.source: one for one in evidences(facts)}
    assert (found["containers"].outcome, found["containers"].details) == ("fine", ["image gitea:1.27"])
    assert (found["identity"].outcome, "deploys" in found) == ("missing", False)


def test_every_source_is_told_and_what_is_missing_says_why() -> None:
    told = {one.source: one for one in evidences(replace(FINE, missing={"drift": "the reconciler is away"}))}
    assert set(told) == {
        "request", "desired", "live", "target", "main", "drift", "backends", "certificate", "proposals", "history",
    }  # fmt: skip
    assert (told["drift"].outcome, told["drift"].said) == ("missing", "the reconciler is away")
    assert {one.outcome for one in told.values()} == {"fine", "missing"}


@pytest.mark.parametrize("code", TABLE)
def test_every_evidence_is_a_sentence_whatever_the_facts_are(code: str) -> None:
    assert all(len(one.said) > 5 for one in evidences(TABLE[code]))
