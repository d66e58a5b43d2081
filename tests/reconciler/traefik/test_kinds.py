"""Files are taken apart into resources and put together again; what Traefik would choke on is named with its place."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.traefik import decoder, fields, kinds
from reconciler.traefik.fields import Free, Many, Record, Scalar, Shape, Table
from state.model import Address


def faults(document: Any) -> list[str]:
    return [kinds.dotted(fault.path) for fault in kinds.examine(document).faults]


def test_a_file_is_taken_apart_by_kind_and_name() -> None:
    document = {
        "http": {"routers": {"a": {"rule": "r", "service": "s"}}, "services": {"s": {"loadBalancer": {"servers": []}}}},
        "tls": {"certificates": [{"certFile": "/a.pem", "keyFile": "/a.key"}], "options": {"default": {}}},
        "x-note": {"anything": [1]},
    }
    assert kinds.split(document) == {
        ("http.routers", "a"): {"rule": "r", "service": "s"},
        ("http.services", "s"): {"loadBalancer": {"servers": []}},
        ("tls.certificates", "/a.pem"): {"certFile": "/a.pem", "keyFile": "/a.key"},
        ("tls.options", "default"): {},
    }


def test_field_names_get_their_documented_form_whatever_the_file_writes() -> None:
    document = {"HTTP": {"Routers": {"Mine": {"RULE": "r", "Service": "s", "TLS": {"certresolver": "le"}}}}}
    assert kinds.split(document) == {
        ("http.routers", "Mine"): {"rule": "r", "service": "s", "tls": {"certResolver": "le"}}
    }


def test_what_traefik_reads_the_same_is_the_same() -> None:
    document = {"http": {"routers": {"a": {"rule": "r", "entryPoints": "web, two", "tls": True, "priority": None}}}}
    assert kinds.split(document) == {("http.routers", "a"): {"rule": "r", "entryPoints": ["web", "two"], "tls": {}}}


@pytest.mark.parametrize("document", [None, {}, {"http": None}, {"x-only": 1}])
def test_a_file_may_hold_nothing(document: Any) -> None:
    assert kinds.split(document) == {}


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ([], ""),
        ({"http": {}}, "http"),
        ({"http": {"routers": {}}}, "http.routers"),
        ({"http": {"routes": {"a": {}}}}, "http.routes"),
        ({"http": {"routers": {"a": {"rules": "r"}}}}, "http.routers.a.rules"),
        ({"http": {"routers": {"a": {"priority": "high"}}}}, "http.routers.a.priority"),
        ({"http": {"routers": {"a": {"priority": 1.5}}}}, "http.routers.a.priority"),
        ({"http": {"routers": {"a": {"priority": 2**63}}}}, "http.routers.a.priority"),
        ({"http": {"routers": {"a": {"priority": True}}}}, "http.routers.a.priority"),
        ({"http": {"routers": {"a": {"entryPoints": [None]}}}}, "http.routers.a.entryPoints[0]"),
        ({"http": {"routers": {"a": {"tls": {"domains": [{"mains": "x"}]}}}}}, "http.routers.a.tls.domains[0].mains"),
        ({"http": {"services": {"a": {"loadBalancer": {}}}}}, "http.services.a.loadBalancer"),
        ({"http": {"middlewares": {"a": {"headers": {"frameDeny": None}}}}}, "http.middlewares.a.headers"),
        (
            {"http": {"middlewares": {"a": {"headers": {"customRequestHeaders": {"X": None}}}}}},
            "http.middlewares.a.headers.customRequestHeaders",
        ),
        ({"http": {"middlewares": {"a": {"rateLimit": {"period": "1d"}}}}}, "http.middlewares.a.rateLimit.period"),
        ({"http": {"middlewares": {"a": {"plugin": {"p": {"o": [None]}}}}}}, "http.middlewares.a.plugin.p.o[0]"),
        ({"http": {"middlewares": {"a": {"plugin": {"p": {"o": [[1]]}}}}}}, "http.middlewares.a.plugin.p.o[0]"),
        ({"tls": {"options": {"a": {"clientAuth": {}}}}}, "tls.options.a.clientAuth"),
        ({"udp": {"routers": {"a": {"rule": "r"}}}}, "udp.routers.a.rule"),
    ],
)
def test_what_makes_traefik_reject_its_directory_is_found(document: Any, where: str | None) -> None:
    found = faults(document)
    if where is not None:
        assert where in found
    assert found
    assert decoder.rejects(document)


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"htpp": {"routers": {}}}, "htpp"),
        ({"http": {"routers": {"a": None, "b": {}}}}, "http.routers.a"),
        ({"http": {"routers": {"a@docker": {}}}}, "http.routers.a@docker"),
        ({"http": {"routers": {"": {}}}}, "http.routers."),
        ({"http": {"routers": {"a": {"rule": "r", "Rule": "s"}}}}, "http.routers.a.Rule"),
        ({"http": {"routers": {"a": {"rule": ["r"]}}}}, "http.routers.a.rule"),
        (
            {"http": {"services": {"a": {"loadBalancer": {"servers": ["http://x"]}}}}},
            "http.services.a.loadBalancer.servers[0]",
        ),
        ({"http": {"middlewares": {"a": {"compress": False}}}}, "http.middlewares.a.compress"),
        ({"tls": {"certificates": [{"certFile": "a"}, {"certFile": "a"}]}}, "tls.certificates[1]"),
        ({"http": {"routers": {"a": {}}}, "HTTP": {"routers": {"b": {}}}}, "HTTP"),
    ],
)
def test_what_traefik_would_silently_ignore_or_misread_is_found_too(document: Any, where: str) -> None:
    assert where in faults(document)
    assert not decoder.rejects(document)


def test_a_slip_of_the_pen_gets_a_hint() -> None:
    (fault,) = kinds.examine({"http": {"routers": {"a": {"middleware": ["x"]}}}}).faults
    assert "did you mean middlewares?" in fault.message


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(kinds.ShapeError) as caught:
        kinds.split({"http": {"routers": {"a": {"x": 1, "y": 2}}, "services": {}}, "tcp": {}})
    assert [kinds.dotted(fault.path) for fault in caught.value.faults] == [
        "http.routers.a.x", "http.routers.a.y", "http.services", "tcp",
    ]  # fmt: skip


def test_a_certificate_is_named_by_its_file_or_by_a_digest_of_what_stands_there() -> None:
    assert kinds.certificate_name({"certFile": "/certs/a.pem"}) == "/certs/a.pem"
    inline = kinds.certificate_name({"certFile": "-----BEGIN CERTIFICATE-----\nMII\n"})
    assert inline.startswith("sha256-")
    assert len(inline) < 50


@pytest.mark.parametrize(
    "spec", ["text", {"rule": "\udc80"}, {"rule": {"deep": 1}}, {5: "x"}, {"x" * 300: 1}, {"tls": {"domains": "a"}}]
)
def test_one_resource_by_itself_is_checked_as_in_a_file(spec: Any) -> None:
    assert kinds.check("http.routers", "a", spec)[1]


def test_a_model_cannot_nest_a_plugin_without_end() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    assert kinds.check("http.middlewares", "a", {"plugin": {"p": {"o": deep}}})[1]


def test_there_is_no_other_kind() -> None:
    assert "there are http.routers" in kinds.check("http.models", "a", {})[1][0].message


# ── every document that Traefik takes ────────────────────────────────────────────────────────────

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters="@"), min_size=1, max_size=8)
scalars: dict[str, st.SearchStrategy[Any]] = {
    "text": texts | st.integers(-9, 9) | st.booleans(),
    "number": st.integers(-(2**63), 2**63 - 1) | st.sampled_from(["5", "-5", 7.0]),
    "switch": st.booleans() | st.sampled_from(["true", "T", 0, 1]),
    "duration": st.integers(0, 99) | st.sampled_from(["1s", "1h30m", "-1.5ms", "10", "0"]),
}
anything = st.recursive(
    texts | st.booleans() | st.integers(-9, 9),
    lambda inner: (
        st.lists(inner.filter(lambda one: not isinstance(one, list)), max_size=3)
        | st.dictionaries(names, inner, max_size=3)
    ),
    max_leaves=8,
)


@cache
def specs(shape: Shape) -> st.SearchStrategy[Any]:
    match shape:
        case Scalar(takes):
            return scalars[takes]
        case Many(item):
            return st.lists(specs(item), max_size=2)
        case Table(item):
            return st.dictionaries(names, specs(item), min_size=1, max_size=2)
        case Record(inner, may_be_empty):
            if not inner:
                return st.just({})
            pairs = st.sampled_from(sorted(inner)).flatmap(lambda key: st.tuples(st.just(key), specs(inner[key])))
            return st.lists(pairs, min_size=not may_be_empty, max_size=3).map(dict)
        case Free():
            return st.dictionaries(names, anything, min_size=1, max_size=2)


def resources(kind: str) -> st.SearchStrategy[tuple[tuple[str, str], Any]]:
    named = st.tuples(st.just(kind), names)
    pairs = st.tuples(named, specs(fields.KINDS[kind]))
    if kind == kinds.CERTIFICATES:
        return pairs.map(lambda pair: ((kind, kinds.certificate_name(pair[1])), pair[1]))
    return pairs


states = st.lists(st.sampled_from(sorted(fields.KINDS)).flatmap(resources), max_size=4).map(dict)


@given(states)
def test_what_is_put_together_comes_apart_the_same(state: dict[tuple[str, str], Any]) -> None:
    assert kinds.split(kinds.join(state)) == state


@given(states)
def test_no_empty_section_is_ever_written(state: dict[tuple[str, str], Any]) -> None:
    document = kinds.join({Address("t", kind, name): spec for (kind, name), spec in state.items()})
    assert all(section and all(section.values()) for section in document.values())


sections = st.sampled_from(["http", "tls", "routers", "certificates", "a"])


@given(st.recursive(st.none() | anything, lambda inner: st.dictionaries(sections, inner, max_size=3), max_leaves=8))
def test_no_document_at_all_makes_it_fall_over(document: Any) -> None:
    kinds.examine(document)
