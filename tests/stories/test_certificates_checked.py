"""`check_ssl_status` on a real Traefik: certificates good, expired, for others, missing, and ports that say nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from reconciler.certificates import ending
from state import events
from tests.stories.town import Town

X400 = x509.UnrecognizedExtension(
    x509.SubjectAlternativeName.oid, b"\x30\x13" + b"\x82\x0bstrange.lab" + b"\xa3\x04\x30\x02\x30\x00"
)
"""A name and an address of X.400: Traefik and visitors pass over the one that they do not know."""


def route(host: str, **more: object) -> dict[str, object]:
    return {"rule": f"Host(`{host}`)", "service": "noop@internal", "entryPoints": ["websecure"], "tls": {}, **more}


@pytest.fixture(scope="module", autouse=True)
def hosts(town: Town) -> None:
    issue = town.authority.issue
    certificates = [
        issue("good.lab"),
        issue("old.lab", until=-timedelta(days=1)),
        issue("soon.lab", until=timedelta(days=3)),
        issue("*.wild.lab", "wild.lab"),
        issue("*.secured.lab"),
        issue("strange.lab", names=X400),
    ]
    routers = {
        "good": route("good.lab"),
        "old": route("old.lab"),
        "soon": route("soon.lab"),
        "wild": route("git.wild.lab"),
        "none": route("none.lab"),
        "strange": route("strange.lab"),
        "asked": route("asked.lab", tls={"certResolver": "le"}),
        "plain": {"rule": "Host(`plain.lab`)", "service": "noop@internal", "entryPoints": ["web"]},
    }
    town.want(
        {
            "traefik/tls.yaml": {"tls": {"certificates": certificates}},
            "traefik/certified.yaml": {"http": {"routers": routers}},
        }
    )
    town.neighbour(routers={"their": route("their.lab", tls={"certResolver": "nowhere"})})


def told(town: Town, host: str) -> dict[str, object]:
    (one,) = town.ask("traefik_check_ssl_status", host=host)["hosts"]
    return dict(one)


def codes(one: dict[str, object]) -> list[str]:
    return [each["code"] for each in one["trouble"]]  # type: ignore[attr-defined, index]


def test_a_good_certificate_is_reported_with_all_that_it_says(town: Town) -> None:
    one = told(town, "good.lab")
    assert (codes(one), one["verified"], one["covers_host"], one["default_certificate"]) == ([], True, True, False)
    assert (one["subject"], one["issuer"], one["names"], one["entry_point"]) == (
        "good.lab", "Town CA", ["good.lab"], "websecure",
    )  # fmt: skip
    assert one["days_left"] in (89, 90) and one["chain"] == ["good.lab"] and one["tls_version"] == "TLSv1.3"
    assert told(town, "git.wild.lab")["covers_host"] and not codes(told(town, "git.wild.lab"))


def test_what_is_wrong_is_named_with_what_to_do(town: Town) -> None:
    assert codes(told(town, "old.lab")) == ["expired"]
    assert codes(told(town, "soon.lab")) == ["expires-soon"]
    none = told(town, "none.lab")
    assert (codes(none), none["default_certificate"], none["verified"]) == (["no-certificate"], True, False)
    asked = told(town, "asked.lab")
    assert (codes(asked), asked["resolver"], asked["subject"]) == (
        ["default-certificate"],
        "le",
        "TRAEFIK DEFAULT CERT",
    )
    their = told(town, "their.lab")
    assert codes(their)[0] == "unknown-resolver" and "only le" in str(their["trouble"])
    assert "no-tls" in codes(told(town, "plain.lab"))
    strange = told(town, "strange.lab")
    assert codes(strange) == ["no-answer"] and "no certificate that can be read" in str(strange["trouble"])


def test_all_hosts_with_tls_are_asked_at_once_and_trouble_comes_first(town: Town) -> None:
    answer = town.ask("traefik_check_ssl_status")
    hosts = [one["host"] for one in answer["hosts"]]
    assert {f"{name}.lab" for name in ("good", "old", "soon", "git.wild", "none", "asked", "their")} <= set(hosts)
    assert {"good.lab", "git.wild.lab"} <= {one["host"] for one in answer["hosts"] if not one["trouble"]}
    assert answer["hosts"][0]["trouble"] and not answer["hosts"][-1]["trouble"] and answer["resolvers"] == ["le"]


def test_a_host_that_nobody_configured_is_never_connected_to(town: Town) -> None:
    for host in ("127.0.0.1", "example.org", "good.lab:22", "http://good.lab"):
        assert town.refusal("traefik_check_ssl_status", host=host)["code"] == "unknown-host"
    assert town.refusal("traefik_check_ssl_status", address="127.0.0.1:22")["code"] == "bad-arguments"


def test_the_reconcilers_own_look_finds_what_ends_as_visitors_are_shown_it(town: Town) -> None:
    now = datetime.now(UTC)
    doors = [door for door in ending.doors(town.reconciler.encryption("traefik")) if door.host.endswith(".lab")]
    found = ending.shown(doors, town.authority.file)
    ends = {door.host: leaf.not_after for door, leaf in found.items() if leaf and not leaf.is_default}
    assert ends["old.lab"] < now < ends["soon.lab"] < now + timedelta(days=4) < ends["good.lab"]
    news = list(ending.news("traefik", {}, found, now))
    assert "old.lab" in {one.host for one in news if isinstance(one, events.CertificateEnding)}
    assert found[next(door for door in doors if door.host == "strange.lab")] is None, "and it silences nobody else"
    assert not {one.host for one in news} & {"strange.lab", "good.lab", "git.wild.lab", "none.lab", "plain.lab"}
