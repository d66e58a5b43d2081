"""Cases of the choice of a router: the real Traefik does what is written there, and so do we."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.routing.request import Request
from tests.reconciler.routing.choices import MARKED, PAIRS, USUAL, Ask, Outcome, Place, dynamic, of_rest, ties, wrong
from tests.reconciler.routing.real_traefik import RealTraefik, serving
from tests.reconciler.routing.secure import Secure

PLACES = {"usual": USUAL, "marked": MARKED}


@pytest.mark.parametrize("place", PLACES)
def test_every_choice_is_the_one_that_is_written_down(place: str, choices_of: Callable[[Place], Any]) -> None:
    assert list(wrong(PLACES[place], choices_of(PLACES[place]))) == []


@pytest.mark.parametrize("place", PLACES)
def test_the_real_traefik_chooses_as_it_is_written_down(
    place: str, traefik_binary: Path, until: Callable[..., None]
) -> None:
    here = PLACES[place]
    providers: dict[str, Any] = {"rest": {"insecure": True}}
    if here.precedence:
        providers["precedence"] = list(here.precedence)
    with serving(traefik_binary, dynamic(here), options=here.doors, providers=providers) as traefik:
        put_rest(traefik, here)
        first = f"{next(iter(here.rest))}@rest"
        until(lambda: first in traefik._api("/api/rawdata")["routers"], "taking in the second provider")
        heard = [(ask, told(traefik, ask)) for case in here.cases.values() for ask in case.asks]
        assert [(ask, seen) for ask, seen in heard if seen != ask.expect] == []
        for group in ("tie", "both") if ties(here) else ():
            assert_chance(traefik, group)


def put_rest(traefik: RealTraefik, place: Place) -> None:
    url = f"http://127.0.0.1:{traefik.ports['traefik']}/api/providers/rest"
    asked = urllib.request.Request(url, data=json.dumps(of_rest(place)).encode(), method="PUT")
    with urllib.request.urlopen(asked, timeout=30) as answer:
        assert answer.status == 200


def told(traefik: RealTraefik, ask: Ask) -> Outcome:
    """What a real Traefik does, in the words of the cases."""
    if ask.tls:
        status, router = Secure(traefik.ports[ask.door]).ask(ask.request, ask.host)
    else:
        ((status, router),) = traefik.ask([(ask.request, "")], ask.door)
    own = {200: "own", 301: "moved", 308: "moved"}
    return router if status == 418 else own.get(status, str(status))


def assert_chance(traefik: RealTraefik, group: str) -> None:
    """Of many pairs some go one way, some the other."""
    requests = [(Request(host=f"{group}{number:02}.test"), "") for number in range(PAIRS)]
    winners = [router for _, router in traefik.ask(requests, "web")]
    ways = {("@" in winner) or winner.endswith("y") for winner in winners}
    assert ways == {True, False}, winners
