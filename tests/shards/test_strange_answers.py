"""Whatever JSON stands where the reconciler's answer should be: it is read or refused, and never an exception."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.desired import Desired, Instance
from shards import answers, certificates, facts, lent, reports
from shards.drafting import Ground
from shards.kit import Refused

NOTHING = Ground(
    commit="c", desired=Desired(commit="c", tree="t"), instances=(Instance("traefik", "traefik", "traefik"),)
)
WORDS = st.sampled_from(
    ["traefik", "a@docker", "http.routers", "http.services", "enabled", "le", "", "Host(`a.lab`)", "•••", "x" * 300]
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "entry_points", "routers", "resolvers", "certificates", "names", "hosts", "name", "host", "port", "tls",
        "resources", "kind", "spec", "secrets", "used_by", "router", "provider", "priority", "parents", "missing",
        "targets", "poison", "disabled", "drift", "fields", "address", "proposals", "status", "events", "seq",
        "said", "plan", "state", "words", "quarantined", "service", "middlewares", "tied", "loadBalancer",
        "servers", "lost",
    ]
)  # fmt: skip
ANSWERS = st.dictionaries(FIELDS, ANY | st.lists(st.dictionaries(FIELDS, ANY, max_size=6), max_size=3), max_size=8)


@settings(max_examples=150, deadline=None)
@given(ANSWERS)
def test_every_answer_is_read_or_refused(told: dict[str, Any]) -> None:
    setup = certificates.known(NOTHING, "traefik", told)
    certificates.questions(setup, "")
    explained = facts.read_explained(told)
    instance, main = facts.read_status(told, "traefik")
    known = facts.Facts(
        subject=facts.Subject(url="http://a.lab/", host="a.lab"),
        explained=explained,
        instance=instance,
        main=main,
        drifted=facts.read_drift(told),
        waiting=list(facts.read_proposals(told, ["traefik"], "a.lab")),
        changes=facts.read_changes(told, 5),
    )
    facts.evidences(known)
    for read in (reports.explanation, reports.history, reports.drift, reports.passed):
        _refused_or_read(read, told)
    _refused_or_read(lambda answer: answers.foreign_route("c", lent.read(answer)), told)


def _refused_or_read(read: Any, told: dict[str, Any]) -> None:
    try:
        read(told)
    except Refused as refusal:
        assert refusal.code == "unreadable"
