"""Every shard of ours keeps the contract that it asks of others; and one that does not is found out."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from reconciler import web
from reconciler.loop import Outcome
from reconciler.ports import SystemClock
from shards.kit import Call, Refused, Shard, Traits, tool
from shards.limits import Limits
from shards.own import Own
from shards.proposing import Desk, Intent
from shards.registry import Standing
from shards.wire.contract import Contract, ShardContract
from tests.shards.contracts import DOCS, OfTheGateway, desk_over
from tests.shards.elsewhere import Weather
from tests.shards.serving import Answers, DesiredRepo, gateway_over, served

WIKI = b"""\
http:
  routers:
    wiki: {rule: Host(`wiki.lab`), service: wiki, tls: {}}
  services:
    wiki: {loadBalancer: {servers: [{url: "http://127.0.0.1:9"}]}}
"""
ADDRESS = "traefik/http.routers/wiki"
ASKED = {"method": "GET", "url": "https://wiki.lab/", "headers": {}, "client_ip": "127.0.0.1"}
FOREIGN = [
    {"kind": "http.routers", "name": "git@docker", "spec": {"rule": "Host(`git.lab`)", "service": "git"}},
    {"kind": "http.services", "name": "git@docker", "spec": {"loadBalancer": {"servers": [{"url": "http://git:80"}]}}},
]
TOLD: dict[str, dict[str, Any]] = {
    "live": {"ours": {}, "foreign": {"traefik/http.routers/git@docker": "docker"}},
    "encryption": {
        "entry_points": [{"name": "websecure", "host": "127.0.0.1", "port": 9, "tls": True}],
        "routers": [
            {"name": "wiki@file", "protocol": "http", "hosts": ["wiki.lab"], "entry_points": ["websecure"], "tls": True}
        ],
    },
    "status": {"state": "nothing", "said": "nothing to do"},
    "drift": {"drift": [{"address": ADDRESS, "fields": ["rule"], "since": "2026-01-02"}]},
    "plan": {"plan": {"digest": "d"}},
    "plan_ref": {"plan": {"digest": "d"}},
    "proposals": {"proposals": []},
    "proposal": {"status": "open"},
    f"explain traefik {json.dumps(ASKED, separators=(',', ':'))}": {"router": "wiki", "words": ["wiki serves it"]},
    f"history {ADDRESS} 100": {"events": [{"seq": 1, "said": "made"}]},
    f"history {ADDRESS} 5": {"events": [{"seq": 1, "said": "made"}]},
    "history 50": {"events": [{"seq": 1, "said": "made"}]},
    f"why {ADDRESS}": {"resource": ADDRESS, "live": True},
    "foreign": {"router": "git@docker", "provider": "docker", "priority": 15, "resources": FOREIGN},
}


class Reconciler(Answers):
    """One that answers about the wiki, and whose passes have nothing to do."""

    def pass_now(self) -> Outcome:
        return Outcome(state="nothing", said="nothing to do")


@pytest.fixture(scope="module")
def reconciler() -> Iterator[str]:
    with served(web.build(Reconciler(TOLD), ["127.0.0.1"])) as url:
        yield url


@pytest.fixture
def desk(tmp_path: Path, desired: DesiredRepo, reconciler: str) -> Iterator[Desk]:
    desired.commit({"traefik/wiki.yaml": WIKI})
    with desk_over(desired, tmp_path / "gateway", reconciler) as desk:
        yield desk


class OfTheWiki(OfTheGateway):
    known = {}

    @pytest.fixture(autouse=True)
    def _desk(self, desk: Desk, desired: DesiredRepo) -> None:
        self.desk, self.desired = desk, desired
        self.first = desired.store.commit(desired.main).parents[0]


class TestTraefik(OfTheWiki):
    name = "traefik"

    @property
    def calls(self) -> Mapping[str, Mapping[str, Any]]:  # type: ignore[override]
        why = {"reason": "the wiki moved"}
        return {
            "list_routes": {},
            "get_route": {"name": "wiki"},
            "create_route": {**why, "name": "new", "host": "new.lab", "service_url": "http://127.0.0.1:9"},
            "update_route": {**why, "name": "wiki", "priority": 7},
            "adopt_route": {**why, "router": "git@docker", "service_url": "http://127.0.0.1:9"},
            "delete_route": {**why, "name": "wiki"},
            "add_dynamic_config": {**why, "kind": "http.middlewares", "name": "small", "spec": {"compress": {}}},
            "get_backend_status": {"name": "wiki"},
            "check_ssl_status": {"host": "wiki.lab"},
            "diagnose": {"what": "wiki", "status": 502},
            "list_middlewares": {},
            "list_middleware_presets": {},
            "plan_changes": {},
            "validate_config": {"content": WIKI.decode()},
            "reload_config": {},
            "explain_request": {"url": ASKED["url"]},
            "route_history": {"name": "wiki"},
            "drift_report": {},
            "rollback": {**why, "revision": self.first},
            "get_traefik_docs": DOCS,
        }


class TestOwn(OfTheWiki):
    @property
    def calls(self) -> Mapping[str, Mapping[str, Any]]:  # type: ignore[override]
        return {
            "gateway_status": {},
            "proposals_list": {},
            "proposals_get": {"proposal": self.proposal},
            "proposals_withdraw": {"proposal": self.proposal, "reason": "nobody wants it"},
            "history": {},
            "why": {"resource": ADDRESS},
        }

    @pytest.fixture(autouse=True)
    def _proposed(self, _desk: None) -> None:
        call = Call(request_id="r", client="c", tool="traefik_rollback")
        intent = Intent(slug="back", title="Back", reason="to withdraw it")
        self.proposal = self.desk.restore(call, intent, self.first).proposal

    def make(self) -> Shard:
        return Own(self.desk, "1", lambda: {"traefik": Standing(state="up", tools=1)}, Limits(SystemClock()))

    @contextlib.contextmanager
    def through(self) -> Iterator[str]:
        chosen = {"reconciler_url": self.desk.settings.reconciler_url}
        with gateway_over(self.desired, self.directory / "through", **chosen) as waypost:
            proposed = waypost.answer("traefik_rollback", revision=self.first, reason="to withdraw it")
            self.proposal = proposed["proposal"]
            yield waypost.url


class TestWeatherThatBehaves(ShardContract):
    calls = {
        "forecast": {"city": "Kiel"},
        "linger": {"seconds": 0.0},
        "flood": {"characters": 3},
        "trick": {},
    }

    def make(self) -> Shard:
        return Behaving()


class Behaving(Weather):
    def tools(self):  # type: ignore[no-untyped-def]
        given = {"forecast", "linger", "flood", "trick"}
        return (one for one in self._all() if one.name in given)

    def _all(self):  # type: ignore[no-untyped-def]
        return Shard.tools(Weather())


class Wordless(BaseModel):
    pass


class Careless(Shard):
    """Nothing of it is as it should be."""

    name = "gateway"
    title = ""
    prefix = "x" * 60

    @tool(Traits(title="Do", writes=True))
    def do(self, call: Call, what: str) -> Wordless:
        """Do it."""
        return Wordless()


class Homebound(Shard):
    """It answers in the thread that it was made in, and nowhere else."""

    name = "homebound"
    title = "Homebound"
    prefix = "homebound_"

    def __init__(self) -> None:
        self._home = threading.get_ident()

    @tool(Traits(title="Do"))
    def do(self, call: Call) -> Wordless:
        """Do what can only be done here and nowhere else."""
        if threading.get_ident() != self._home:
            raise Refused("not-here", "Only at home.")
        return Wordless()


class HomeboundContract(Contract):
    calls = {"do": {}}

    def make(self) -> Shard:
        return Homebound()


@pytest.mark.parametrize(
    "name",
    ["test_over_http_it_is_the_same_shard", "test_what_it_reads_is_the_same_through_a_gateway_that_finds_it_elsewhere"],
)
def test_one_that_answers_in_this_process_only_is_found_out_wherever_it_may_run(name: str) -> None:
    contract = HomeboundContract()
    contract.test_every_tool_answers_its_example()
    with pytest.raises(AssertionError, match="Only at home"):
        getattr(contract, name)()


class CarelessContract(ShardContract):
    def make(self) -> Shard:
        return Careless()


@pytest.mark.parametrize(
    "name",
    [
        "test_its_names_are_ones_that_every_client_takes",
        "test_its_name_is_none_of_those_in_the_gateway",
        "test_every_tool_tells_a_model_what_it_is_for",
        "test_all_its_tools_only_read",
        "test_every_tool_answers_its_example",
    ],
)
def test_a_careless_shard_is_found_out(name: str) -> None:
    check: Callable[[], None] = getattr(CarelessContract(), name)
    with pytest.raises(AssertionError):
        check()
