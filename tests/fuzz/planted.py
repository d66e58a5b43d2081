"""Edges with a fault that somebody planted: the harness has to find each of them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

from tests.fuzz.fuzzing import LONGEST_WAIT, Edge, simply

_BLOWING_UP = re.compile(r"(a+)+$")


class Refused(Exception):
    """What an edge may raise."""


def _sound(given: bytes) -> bool:
    if len(given) % 2:
        raise Refused
    return True


def _raising(given: bytes) -> bool:
    return bool({}[given])


def _endless(given: bytes) -> bool:
    return _BLOWING_UP.match("a" * 40 + "!") is None


def _waiting(given: bytes) -> bool:
    return threading.Event().wait() or bool(given)


def _hoarding(given: bytes) -> bool:
    return len(bytes(300 << 20)) > len(given)


def _edge(name: str, take: Callable[[Any], bool], wait: float = LONGEST_WAIT) -> Edge:
    return Edge(
        name=name,
        share=1,
        make=lambda mutator: mutator.content([b"a sample"]),
        opened=simply(take),
        family=(Refused,),
        wait=wait,
    )


EDGES = (
    _edge("sound", _sound),
    _edge("raising", _raising),
    _edge("endless", _endless),
    _edge("waiting", _waiting, wait=1.0),
    _edge("hoarding", _hoarding),
)
