"""Our one file: JSON that every YAML reader takes, no byte of it a template, the same for the same input."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import document
from reconciler.traefik import kinds, render
from state.model import Address

MARKER = "waypost-gen-7"


def router(name: str) -> Address:
    return Address("edge", "http.routers", name)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.text(
    '{}\\"u07b`\n\ufeff\x85\u2028\x7f', max_size=12
)
snapshots = st.dictionaries(
    st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=9)
    .filter(lambda name: "@" not in name)
    .map(router),
    st.fixed_dictionaries({"rule": texts, "service": texts}),
    max_size=4,
)
provenances = st.dictionaries(st.text(max_size=5), texts, max_size=3)


@given(snapshots, provenances)
def test_what_is_rendered_is_read_back(snapshot: dict[Address, Any], provenance: dict[str, Any]) -> None:
    content = render.render(snapshot, marker=MARKER, provenance=provenance)
    resources, read = render.parse(content, "edge")
    assert resources == snapshot
    assert {**read, **provenance} == read
    assert render.marker_of(content) == MARKER


@given(snapshots, provenances)
def test_no_byte_of_it_is_a_template_and_yaml_reads_what_json_reads(
    snapshot: dict[Address, Any], provenance: dict[str, Any]
) -> None:
    content = render.render(snapshot, marker=MARKER, provenance=provenance)
    assert b"{{" not in content
    read = document.read("waypost.yml", content, templates=False)
    assert read.problems == ()
    assert read.value == orjson.loads(content)
    assert kinds.examine(read.value).faults == ()


@given(snapshots)
def test_the_same_input_gives_the_same_bytes_in_any_order(snapshot: dict[Address, Any]) -> None:
    turned = dict(reversed(snapshot.items()))
    assert render.render(snapshot, marker=MARKER, provenance={}) == render.render(turned, marker=MARKER, provenance={})


def test_an_empty_state_is_a_file_with_only_the_marker() -> None:
    content = orjson.loads(render.render({}, marker=MARKER, provenance={}))
    assert list(content) == ["http", "x-waypost"]
    assert content["http"] == {"middlewares": {MARKER: render.marker_spec(MARKER)}}


@pytest.mark.parametrize("marker", ["gen-1", "", "waypost-gen-mine"])
def test_a_marker_that_could_be_taken_for_a_resource_is_refused(marker: str) -> None:
    taken = {Address("edge", "http.middlewares", "waypost-gen-mine"): {"addPrefix": {"prefix": "/x"}}}
    with pytest.raises(ValueError, match="cannot be the marker"):
        render.render(taken, marker=marker, provenance={})


def test_a_hand_edit_in_yaml_is_read() -> None:
    edited = b"# by hand\nhttp:\n  routers:\n    a: {rule: r, service: s, colour: red}\n"
    edited += b"  middlewares:\n    waypost-gen-1: {}\n"
    resources, provenance = render.parse(edited, "edge")
    assert resources == {router("a"): {"rule": "r", "service": "s", "colour": "red"}}
    assert provenance == {}


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"http:\n"])
def test_a_truncated_file_holds_nothing(content: bytes) -> None:
    assert render.parse(content) == ({}, {})
    assert render.marker_of(content) == ""


@pytest.mark.parametrize(
    "content",
    [b'{"http": {"routers"', b"\xff\xfe", b"a: [\n", b'{"a": 1, "a": 2,}x', b'{"a":' * 300 + b"1" + b"}" * 300],
)
def test_a_file_that_is_no_yaml_any_more_is_said_to_be_unreadable(content: bytes) -> None:
    with pytest.raises(render.Unreadable) as caught:
        render.parse(content)
    assert caught.value.problems
