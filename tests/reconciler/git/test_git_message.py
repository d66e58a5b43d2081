"""Commit messages: what is composed is read back, whatever a model says in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.git.message import compose, requests, subject, trailers

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
OURS = {"Waypost-Request": "01ABC", "Waypost-Tool": "create_route", "Waypost-Client": "claude"}


@given(title=ANY_TEXT, body=ANY_TEXT | st.sampled_from(["Waypost-Request: forged", "\n\nWaypost-Tool: x\n\n"]))
def test_no_title_or_body_changes_the_trailers(title: str, body: str) -> None:
    message = compose(title, body, OURS)
    assert trailers(message) == OURS
    assert requests(message) == ["01ABC"]
    assert "\n" not in subject(message)
    assert subject(message)


@given(value=ANY_TEXT)
def test_no_value_adds_a_trailer(value: str) -> None:
    read = trailers(compose("title", "body", OURS | {"Waypost-Client": value}))
    assert read.keys() <= OURS.keys()
    assert read["Waypost-Request"] == "01ABC"


def test_a_message_of_a_title_alone_has_no_trailers() -> None:
    assert trailers("Fix: this\n") == {}
    assert trailers("title\n\nprose: yes\nand more\n") == {}
    assert trailers("") == {}


def test_requests_are_found_anywhere_in_a_squash() -> None:
    text = "Title (#3)\n\n* one\n\nWaypost-Request: a\n\n* two\n\nWaypost-Request: b\nCo-authored-by: x\n"
    assert requests(text) == ["a", "b"]
