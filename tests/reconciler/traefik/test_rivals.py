"""Who else holds a name of ours, who of us is served, and which names Traefik's own copies take."""

from __future__ import annotations

import pytest

from reconciler.traefik.rivals import copies, reads_before, rival

NAMED = "http.routers", "r"
OURS = "mcp-managed/waypost.yml"
SPEC = {"rule": "Path(`/`)", "service": "s"}
OTHER = {**SPEC, "priority": 1}


@pytest.mark.parametrize(
    ("file", "there", "first", "same", "unanimous"),
    [
        ("a.yml", [SPEC], True, True, True),
        ("a.yml", [OTHER], True, False, False),
        ("a.yml", [SPEC, OTHER], True, True, False),
        ("a.yml", [OTHER, SPEC], True, False, False),
        ("z.yml", [OTHER], False, False, False),
        ("z.yml", [dict(reversed(SPEC.items()))], False, True, True),
        ("a.yml", [], True, False, False),
    ],
)
def test_a_rival_takes_over_when_it_is_read_first_and_says_something_else(
    file: str, there: list[dict[str, object]], first: bool, same: bool, unanimous: bool
) -> None:
    one = rival(NAMED, SPEC, OURS, {NAMED: file}, {NAMED: there})
    assert one is not None
    assert (one.file, one.first, one.same, one.unanimous) == (file, first, same, unanimous)
    assert one.takes_over == (first and not same)


def test_nobody_rivals_a_name_that_no_other_file_holds_or_a_certificate_which_has_none() -> None:
    assert rival(NAMED, SPEC, OURS, {}, {}) is None
    certificate = "tls.certificates", "/a.pem"
    assert rival(certificate, {}, OURS, {certificate: "a.yml"}, {}) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [("a.yml", OURS), ("Z.yml", "a.yml"), ("a/z.yml", "a.yml"), ("mcp-managed/a.yml", OURS), (OURS, "n.yml")],
)
def test_a_directory_is_read_in_the_byte_order_of_its_entries(one: str, other: str) -> None:
    assert reads_before(one, other) and not reads_before(other, one)


def test_a_router_of_several_entry_points_is_copied_for_those_with_options() -> None:
    routers = [("both", ["web", "secure"]), ("only", ["secure"]), ("all", []), ("twice", ["secure", "secure"])]
    assert copies(routers, ["web", "secure", "inner"], ["secure", "inner"]) == {
        "secure-both": ["both"],
        "secure-all": ["all"],
        "inner-all": ["all"],
    }
    assert copies([("all", [])], ["secure"], ["secure"]) == {}
