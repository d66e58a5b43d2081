from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given

from state.codec import UPCASTS, WAYPOST, Vocabulary, decode, encode
from state.errors import LogError, MalformedEvent, NewerLogError
from state.events import EVENTS, Event, HomeCreated, PlanShown, ResourcesAdopted, ToolCalled
from state.sparing import dataclass
from tests.state.events_of_chance import some_event

GOLDEN = [orjson.loads(line) for line in (Path(__file__).parent / "golden.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize("line", GOLDEN, ids=lambda line: f"{line['type']}-{line['schema']}")
def test_every_golden_line_is_still_understood(line):
    event = decode(line["type"], line["schema"], orjson.dumps(line["data"]))
    assert type(event) is EVENTS[line["type"]]
    assert WAYPOST.misfit(event) == ""
    assert decode(*encode(event)) == event
    if line["schema"] == event.schema:
        assert line["data"].items() <= orjson.loads(encode(event)[2]).items()


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_every_shape_of_every_event_has_a_golden_line(event):
    lines = {(line["type"], line["schema"]) for line in GOLDEN}
    missing = {(event.__name__, schema) for schema in range(1, event.schema + 1)} - lines
    assert not missing, "add a line to golden.jsonl for each (type, schema); lines that stand there never change"


def test_every_older_shape_has_an_upcast():
    older = {(event.__name__, schema) for event in EVENTS.values() for schema in range(1, event.schema)}
    assert set(UPCASTS) == older


@given(some_event)
def test_an_event_comes_back_as_it_was(event):
    assert decode(*encode(event)) == event


@given(some_event)
def test_what_the_types_promise_holds_after_a_round_trip(event):
    assert WAYPOST.misfit(decode(*encode(event))) == ""


def test_tuples_come_back_as_tuples():
    shown = PlanShown(proposal="p", commit="c", digest="d", changes=("create x",), losses=({"host": "a"},))
    again = decode(*encode(shown))
    assert isinstance(again, PlanShown)
    assert again.losses == ({"host": "a"},)
    assert hash(again.changes) == hash(("create x",))


def test_a_field_that_was_not_stored_takes_its_default():
    data = b'{"shard":"s","tool":"t","client":"c","outcome":"ok","arguments_digest":"d"}'
    assert decode("ToolCalled", 1, data) == ToolCalled(
        shard="s", tool="t", client="c", outcome="ok", arguments_digest="d", reason=""
    )


@pytest.mark.parametrize("type_name, schema", [("TeleportationProven", 1), ("HomeCreated", 2)])
def test_an_event_from_the_future_is_refused_with_what_to_do(type_name, schema):
    with pytest.raises(NewerLogError, match=f"newer Waypost.*{type_name}.*[Ii]nstall"):
        decode(type_name, schema, b"{}")


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b'"x"', b"{}", b'{"waypost":"1","more":2}', b'{"Waypost":"1"}', b"\xff"]
)
def test_bytes_that_are_no_event_are_malformed(data):
    with pytest.raises(MalformedEvent, match="HomeCreated"):
        decode("HomeCreated", 1, data)


@pytest.mark.parametrize("instead", [b"null", b'"abc"', b"1", b'{"a":1}'])
def test_what_is_no_list_does_not_become_a_tuple(instead):
    with pytest.raises(MalformedEvent, match="addresses"):
        decode("QuarantineLifted", 1, b'{"reason":"","addresses":' + instead + b"}")


@pytest.mark.parametrize("worth", [2**70, "\ud800", object(), {1, 2}])
def test_what_json_cannot_carry_is_refused_before_it_is_written(worth):
    with pytest.raises(LogError, match="HomeCreated"):
        encode(HomeCreated(waypost=worth))


def test_what_nests_deeper_than_could_be_taken_in_is_refused_before_it_is_written():
    spec: dict[str, object] = {}
    for _ in range(125):  # the event, its resources and this are the other levels
        spec = {"a": spec}
    adopted = ResourcesAdopted(instance="traefik", commit="c", resources={"traefik/tls.options/a": spec}, reason="")
    assert decode(*encode(adopted)) == adopted
    with pytest.raises(LogError, match="a ResourcesAdopted nests deeper than 128 levels"):
        encode(replace(adopted, resources={"traefik/tls.options/a": {"a": spec}}))


def test_a_class_outside_the_vocabulary_is_refused():
    @dataclass(frozen=True, kw_only=True)
    class Whispered(Event):
        what: str

    with pytest.raises(LogError, match="Whispered"):
        encode(Whispered(what="psst"))


def test_old_shapes_are_lifted_step_by_step():
    @dataclass(frozen=True, kw_only=True)
    class Measured(Event):
        schema = 3
        celsius: float
        where: str

    words = Vocabulary(
        {"Measured": Measured},
        {
            ("Measured", 1): lambda old: {"celsius": old["fahrenheit"] - 32},
            ("Measured", 2): lambda old: {**old, "where": "unknown"},
        },
    )
    assert words.decode("Measured", 1, b'{"fahrenheit":33}') == Measured(celsius=1, where="unknown")
    assert words.decode("Measured", 2, b'{"celsius":2}') == Measured(celsius=2, where="unknown")
    assert words.decode("Measured", 3, b'{"celsius":3,"where":"hall"}') == Measured(celsius=3, where="hall")
    assert words.encode(Measured(celsius=4, where="hall"))[:2] == ("Measured", 3)


@pytest.mark.parametrize(
    "data", [b'{"waypost":1}', b'{"waypost":null}', b'{"waypost":["0"]}', b'{"waypost":{}}', b'{"waypost":true}']
)
def test_a_field_of_a_wrong_type_is_named(data):
    assert "waypost" in WAYPOST.misfit(decode("HomeCreated", 1, data))


@pytest.mark.parametrize("schema", [0, -1])
def test_a_schema_that_never_was_is_malformed(schema):
    with pytest.raises(MalformedEvent, match="never written"):
        decode("HomeCreated", schema, b'{"waypost":"1"}')


def test_decoding_deep_nesting_ends_in_words():
    deep = b'{"waypost":' + b"[" * sys.getrecursionlimit() * 2 + b"]" * sys.getrecursionlimit() * 2 + b"}"
    with pytest.raises(MalformedEvent):
        decode("HomeCreated", 1, deep)
