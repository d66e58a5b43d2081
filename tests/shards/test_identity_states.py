"""What authentik says about a route that fails: nobody knows its host, nobody can sign in, or all is well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.setting import Secret
from shards.authentik_live import AuthentikAt, Live
from shards.identity_states import IdentityStates
from shards.kit import Refused
from shards.knowing import Known, Question
from tests.authentik.fake_authentik import FakeAuthentik, running

PROXY = "authentik_providers_proxy.proxyprovider"


@pytest.fixture
def authentik() -> Iterator[FakeAuthentik]:
    with running() as one:
        yield one


def asked(authentik: FakeAuthentik, **question: Any) -> Known:
    live = Live(AuthentikAt(url=authentik.url, token=Secret("right")))
    try:
        return IdentityStates(live).about(Question(host="git.lab", **question))
    finally:
        live.close()


def application(authentik: FakeAuthentik, *, provider: bool = True, attached: bool = True) -> None:
    made = authentik.make(PROXY, name="Gitea proxy", external_host="https://git.lab") if provider else None
    authentik.make(
        "authentik_core.application", name="Gitea", slug="gitea", provider=made and made["pk"],
        launch_url="https://git.lab/",
    )  # fmt: skip
    outpost = authentik.one("authentik_outposts.outpost", name="authentik Embedded Outpost")
    assert outpost
    outpost["providers"] = [made["pk"]] if made and attached else []


def test_a_route_that_asks_for_an_application_nobody_knows_is_explained(authentik: FakeAuthentik) -> None:
    told = asked(authentik, middlewares=("preset-authentik",))
    assert told.outcome == "trouble" and "no application at git.lab" in told.cause


def test_a_route_that_does_not_ask_has_nothing_to_do_with_it(authentik: FakeAuthentik) -> None:
    told = asked(authentik, middlewares=("compress",))
    assert (told.outcome, told.cause) == ("unknown", "")


def test_an_application_without_a_provider_lets_nobody_in(authentik: FakeAuthentik) -> None:
    application(authentik, provider=False)
    assert "has no provider" in asked(authentik).cause


def test_one_that_the_outpost_does_not_answer_for_is_told_and_is_no_certain_cause(authentik: FakeAuthentik) -> None:
    application(authentik, attached=False)
    told = asked(authentik, middlewares=("preset-authentik",))
    assert (told.outcome, told.cause) == ("trouble", "") and "not attached" in told.said


def test_one_that_is_all_there_is_well(authentik: FakeAuthentik) -> None:
    application(authentik)
    told = asked(authentik, middlewares=("preset-authentik",))
    assert told.outcome == "fine" and "Gitea" in told.said


def test_an_authentik_that_is_away_is_missing(authentik: FakeAuthentik) -> None:
    authentik.down = True
    with pytest.raises(Refused, match="authentik cannot be asked"):
        asked(authentik)
