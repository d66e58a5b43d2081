"""Why is Gitea a 404? Asked in one call, on a real Traefik, for every reason that real parts can have."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import wait_until
from tests.stories.town import Town

NOTHING_THERE = "http://127.0.0.1:9"


def files(name: str, backend: str = NOTHING_THERE, **more: Any) -> dict[str, Any]:
    """A desired route of this name for the host of this name, with its service."""
    router = {"rule": f"Host(`{name}.why`)", "service": name, "entryPoints": ["web"], **more}
    service = {"loadBalancer": {"servers": [{"url": backend}]}}
    return {f"traefik/{name}.yaml": {"http": {"routers": {name: router}, "services": {name: service}}}}


def cause(town: Town, what: str, **more: Any) -> str:
    told = town.ask("traefik_diagnose", what=what, **more)
    assert {one["source"] for one in told["evidence"]} >= {"request", "live", "history", "backends", "proposals"}
    assert told["most_likely"]["next"] and all(one["said"] for one in told["evidence"])
    return str(told["most_likely"]["cause"])


@pytest.fixture(scope="module", autouse=True)
def routes(town: Town) -> None:
    good = town.application.url
    town.want(
        files("well", good)
        | files("dead")
        | files("deep", good, rule="Host(`deep.why`) && PathPrefix(`/app`)")
        | files("safe", good, entryPoints=["websecure"], tls={})
        | files("high", good, rule="Host(`high.why`)", priority=500)
        | files("edited", good)
    )


def test_a_route_that_nobody_wants_is_not_there(town: Town) -> None:
    told = town.ask("traefik_diagnose", what="http://nowhere.why/", status=404)
    assert (told["most_likely"]["cause"], told["partial"]) == ("no-route", False)
    assert cause(town, "nowhere") == "no-route"


def test_a_proposal_that_waits_is_named(town: Town) -> None:
    wish = {"name": "pending", "host": "pending.why", "service_url": NOTHING_THERE, "entry_points": ["web"]}
    made = town.ask("traefik_create_route", reason="wanted", **wish)
    told = town.ask("traefik_diagnose", what="pending", status=404)
    assert told["most_likely"]["cause"] == "waiting" and made["proposal"] in told["most_likely"]["said"]
    by_host = town.ask("traefik_diagnose", what="http://pending.why/", status=404)
    assert by_host["most_likely"]["cause"] == "waiting", by_host["most_likely"]


def test_the_wrong_entry_point_the_wrong_path_and_another_router_are_told_apart(town: Town) -> None:
    assert cause(town, "http://safe.why/", status=404) == "another-door"
    assert cause(town, "http://deep.why/other", status=404) == "another-path"
    town.neighbour(
        routers={
            "thief": {"rule": "Host(`high.why`)", "service": "noop@internal", "entryPoints": ["web"], "priority": 900}
        }
    )
    told = town.ask("traefik_diagnose", what="high", status=418)
    assert told["most_likely"]["cause"] == "taken" and "thief@http" in told["most_likely"]["said"]
    town.neighbour(
        routers={
            "rival": {"rule": "Host(`high.why`)", "service": "noop@internal", "entryPoints": ["web"], "priority": 500}
        }
    )
    assert cause(town, "http://high.why/") == "tie"
    town.neighbour()


def test_a_dead_backend_an_application_and_a_route_in_order_are_told_apart(town: Town) -> None:
    told = town.ask("traefik_diagnose", what="dead", status=502)
    assert told["most_likely"]["cause"] == "backend-down" and "nothing listens" in told["most_likely"]["said"]
    assert cause(town, "http://well.why/missing", status=404) == "application"
    well = town.ask("traefik_diagnose", what="well")
    assert (well["most_likely"]["cause"], well["url"]) == ("all-is-well", "http://well.why/")
    history = next(one for one in well["evidence"] if one["source"] == "history")
    assert "apply proven" in history["said"], history


def test_a_disabled_router_and_a_missing_certificate_are_seen(town: Town) -> None:
    town.neighbour(
        routers={"broken": {"rule": "Host(`broken.why`)", "service": "noop@internal", "middlewares": ["gone"]}}
    )
    assert cause(town, "http://broken.why/", status=404) == "disabled"
    town.neighbour()
    assert cause(town, "https://safe.why/") == "certificate"


def test_a_hand_edit_is_seen_before_all_that_comes_of_it(town: Town) -> None:
    town.house.edit_live("edited.why", "other.why")
    wait_until(lambda: town.house.status("edited.why") == 404, "the hand edit")
    assert town.reconciler.pass_now().state == "drift"
    told = town.ask("traefik_diagnose", what="edited", status=404)
    assert told["most_likely"]["cause"] == "hand-edit"
    town.house.edit_live("other.why", "edited.why")
    wait_until(lambda: town.house.status("edited.why") == 200, "the hand edit taken back")
    town.reconciler.pass_now()


def test_a_poisoned_directory_is_the_cause_of_what_is_not_loaded(town: Town) -> None:
    town.house.traefik.drop("poison.yml", "http:\n\trouters: {}\n")
    town.house.push(files("late", town.application.url))
    town.reconciler.pass_now()
    told = town.ask("traefik_diagnose", what="late", status=404)
    assert told["most_likely"]["cause"] == "poison" and "poison.yml" in told["most_likely"]["said"]
    (town.house.traefik.directory / "poison.yml").unlink()
    wait_until(lambda: town.reconciler.pass_now().state in ("applied", "nothing"), "all is well again")
    assert cause(town, "late") == "all-is-well"


def test_what_a_guard_holds_is_the_cause_of_what_is_not_live(town: Town) -> None:
    theirs = {"rule": "Host(`theirs.why`)", "service": "noop@internal", "entryPoints": ["web"]}
    town.neighbour(routers={"theirs": theirs})
    town.house.push(files("next", town.application.url) | files("grab", rule="Host(`theirs.why`)", priority=999))
    assert town.reconciler.pass_now().state == "held", "it takes over what somebody else serves"
    told = town.ask("traefik_diagnose", what="next.why", status=404)
    assert told["most_likely"]["cause"] == "held", told["most_likely"]
    town.want({"traefik/grab.yaml": None})
    assert cause(town, "next") == "all-is-well"
    town.neighbour()


def test_a_pass_that_is_asked_for_brings_what_was_approved_and_nothing_else(town: Town) -> None:
    town.house.push(files("nudged", town.application.url))
    first = town.ask("traefik_reload_config")
    assert (first["state"], [one["address"] for one in first["plan"]["changes"]]) == (
        "applied", ["traefik/http.routers/nudged", "traefik/http.services/nudged"],
    )  # fmt: skip
    assert town.ask("traefik_reload_config")["state"] == "nothing"


def test_a_middleware_answers_for_itself(town: Town) -> None:
    guard = {"ipAllowList": {"sourceRange": ["192.0.2.0/24"]}}
    route = files("kept", town.application.url, middlewares=["nobody"])
    route["traefik/kept.yaml"]["http"]["middlewares"] = {"nobody": guard}
    town.want(route)
    wait_until(lambda: town.house.status("kept.why") == 403, "the allow-list")
    told = town.ask("traefik_diagnose", what="Kept", status=403)
    assert (told["most_likely"]["cause"], "nobody" in told["most_likely"]["said"]) == ("middleware", True)


def test_without_traefik_it_says_so_and_what_it_could_not_ask(town: Town) -> None:
    town.house.traefik.stop()
    town.reconciler.pass_now()
    told = town.ask("traefik_diagnose", what="well", status=404)
    missing = {one["source"] for one in told["evidence"] if one["outcome"] == "missing"}
    assert (told["most_likely"]["cause"], told["partial"], missing) == ("target-lost", True, {"live"})
    town.house.traefik.start()
    wait_until(lambda: town.house.traefik.up() and town.house.status("well.why") == 200, "Traefik")
    town.reconciler.pass_now()
