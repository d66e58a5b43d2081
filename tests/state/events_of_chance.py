"""Hypothesis strategies for events: small pools, so that addresses, proposals and attempts meet again."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from state.events import EVENTS, Event, PayloadRedacted
from state.record import Entry

INSTANCES = ("traefik", "edge")
ADDRESSES = tuple(f"{instance}/http.routers/{name}" for instance in INSTANCES for name in ("a", "b", "c%2Fd"))
STREAMS = ("home", "main", "gateway", "proposal/p1", "target/traefik", "alerts")

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31)
    | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
address = st.sampled_from((*ADDRESSES, "no address at all"))
text = st.sampled_from(("", "a", "b")) | st.text(max_size=5)

_BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "instance": st.sampled_from(INSTANCES),
    "address": address,
    "addresses": st.lists(address, max_size=3).map(tuple),
    "resources": st.lists(address, max_size=3).map(tuple),
    "proposal": st.sampled_from(("", "p1", "p2")),
    "attempt": st.sampled_from(("a1", "a2")),
    "commit": st.sampled_from(("c1", "c2", "c3")),
    "digest": st.sampled_from(("d1", "d2")),
    "fingerprint": st.sampled_from(("f1", "f2")),
    "number": st.integers(1, 4),
    "losses": st.lists(
        st.fixed_dictionaries({}, optional={"key": text, "address": address, "lost": text}), max_size=2
    ).map(tuple),
}
_BY_ADDRESS = {
    "changes": st.none() | st.dictionaries(st.text(max_size=3), plain, max_size=2),
    "resources": st.none() | st.dictionaries(st.text(max_size=3), plain, max_size=2),
    "faults": text,
}


def _of(hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) is tuple:
        return st.lists(_of(get_args(hint)[0]), max_size=2).map(tuple)
    if get_origin(hint) is not None:
        return st.dictionaries(text, plain, max_size=2)
    simple = {str: text, int: st.integers(0, 9), float: st.floats(0, 10), bool: st.booleans()}
    return simple[hint]


def _field(event: type[Event], name: str, hint: Any) -> st.SearchStrategy[Any]:
    if event.__name__ == "ResourcesQuarantined" and name == "resources":
        return st.dictionaries(address, text, max_size=3)
    if name in _BY_ADDRESS and get_origin(hint) is not tuple:
        return st.dictionaries(address, _BY_ADDRESS[name], max_size=3)
    return _BY_NAME[name] if name in _BY_NAME else _of(hint)


def of_type(event: type[Event]) -> st.SearchStrategy[Event]:
    hints = get_type_hints(event)
    return st.builds(event, **{each.name: _field(event, each.name, hints[each.name]) for each in fields(event)})


some_event = st.sampled_from([event for event in EVENTS.values() if event is not PayloadRedacted]).flatmap(of_type)
some_entry = st.builds(
    Entry,
    stream=st.sampled_from(STREAMS),
    event=some_event,
    actor=st.sampled_from(("waypost", "person:ann", "gateway:claude")),
    request_id=st.sampled_from(("", "r1", "r2")),
    key=st.sampled_from(("",) * 8 + ("k1", "k2", "k3")),
)
