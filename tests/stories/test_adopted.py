"""A foreign route of a real Traefik becomes a file of the desired repo, and nobody who visits it notices."""

from __future__ import annotations

from tests.conftest import wait_until
from tests.stories.town import Town


def marked(name: str) -> dict[str, object]:
    """A middleware that says who served."""
    return {"headers": {"customResponseHeaders": {"X-Robots-Tag": name}}}


def test_an_adopted_route_takes_over_at_once_and_stays_when_the_foreign_one_goes(town: Town) -> None:
    service = {"loadBalancer": {"servers": [{"url": town.application.url}], "passHostHeader": False}}
    town.neighbour(
        routers={
            "shop": {"rule": "Host(`shop.lab`)", "service": "shop", "middlewares": ["all"], "entryPoints": ["web"]}
        },
        services={"shop": service},
        middlewares={"all": {"chain": {"middlewares": ["tag"]}}, "tag": marked("noindex")},
    )
    wait_until(lambda: town.house.status("shop.lab") == 200, "the foreign route")
    made = town.ask("traefik_adopt_route", router="shop@http", reason="labels were the start")
    assert made["remove"] == [
        "http.routers.shop", "http.services.shop", "http.middlewares.all", "http.middlewares.tag",
    ]  # fmt: skip
    assert (made["plan"]["state"], made["plan"]["conflicts"]) == ("shown", [])
    assert {one["severity"] for one in made["plan"]["problems"]} == {"warning"}
    assert "takes requests from `shop@http`" in str(made["plan"]["problems"]), "the hand-over is shown to who reviews"
    town.approve(made["proposal"])
    explained = town.ask("traefik_explain_request", url="http://shop.lab/")
    assert (explained["router"], explained["candidates"], explained["ambiguous"]) == (
        "shop",
        ["shop", "shop@http"],
        False,
    )
    assert town.house.status("shop.lab") == 200
    live = town.ask("traefik_get_route", name="shop")
    assert live["service"] == {"loadBalancer": {"servers": [{"url": town.application.url}], "passHostHeader": False}}
    assert (live["router"]["middlewares"], live["router"]["priority"]) == (["all"], len("Host(`shop.lab`)") + 1)
    town.neighbour()
    assert town.house.status("shop.lab") == 200
    assert town.reconciler.pass_now().state == "nothing"


def test_a_route_at_all_entry_points_is_adopted_with_all_of_them(town: Town) -> None:
    service = {"loadBalancer": {"servers": [{"url": town.application.url}]}}
    town.neighbour(routers={"both": {"rule": "Host(`both.lab`)", "service": "both"}}, services={"both": service})
    shown = town.ask("traefik_get_route", name="both@http")
    assert sorted(shown["router"]["entryPoints"]) == ["web", "websecure"] and shown["route"]["live"] == "foreign"
    assert shown["service"] == service, "without what Traefik fills in by itself"
    town.neighbour()
    assert town.refusal("traefik_get_route", name="both@http")["code"] == "unknown-resource"
