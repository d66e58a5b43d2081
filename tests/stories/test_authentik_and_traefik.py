"""One proposal for the identity provider and the proxy: identity first, and all of it back where one refuses."""

from __future__ import annotations

import contextlib
import json
import os

import pytest

from reconciler import home
from reconciler.ports import SystemClock
from reconciler.query_client import QueryClient
from shards import belongings
from shards.audit import Audit
from shards.authentik import Authentik
from shards.config import GatewaySettings
from shards.kit import Call
from shards.proposing import Desk
from state import events
from tests.authentik.fake_authentik import running

APPLICATION, OUTPOST = "authentik_core.application", "authentik_outposts.outpost"


@pytest.fixture
def authentik():
    with running() as authentik:
        yield authentik


@pytest.fixture
def both(tmp_path, house, authentik):
    """The house, with an authentik beside its Traefik."""
    (tmp_path / "token").write_text("right")
    with (house.home.path / "waypost.env").open("a") as settings:
        settings.write(f"\nWAYPOST_AUTHENTIK_URL={authentik.url}\nWAYPOST_AUTHENTIK_TOKEN=file:{tmp_path / 'token'}\n")
    house.home = home.open(house.home.path, {})
    return house


@contextlib.contextmanager
def tools_of(house):
    """The authentik shard at the gateway's desk of this home."""
    settings = GatewaySettings(directory=house.home.gateway_clone_path.parent, source=house.home.desired_store_path)
    settings.directory.mkdir(exist_ok=True)
    clock = SystemClock()
    audit, query = Audit(belongings.outbox(settings, clock, alone=True)), QueryClient("http://127.0.0.1:9")
    desk = Desk(settings, belongings.clone(settings, alone=True), audit, query, clock, os.urandom)
    yield {tool.name: tool for tool in Authentik(desk).tools()}
    query.close()
    audit.close()


def test_an_application_and_its_guarded_route_are_one_proposal_one_plan_and_one_way_back(both, waypost, authentik):
    call = Call(request_id="r1", client="model@localhost", tool="authentik_create_application")
    arguments = {
        "slug": "wiki",
        "title": "Wiki",
        "external_host": "https://wiki.lab",
        "reason": "people write",
        "route": {"service_url": "http://127.0.0.1:9", "outpost_url": "http://127.0.0.1:9", "entry_points": ["web"]},
    }
    with tools_of(both) as tools:
        id = tools["create_application"].run(call, arguments).proposal
    both.run()
    _, said = waypost("plan", "--json", "--ref", id)
    plan = json.loads(said)
    assert not plan["held"]
    assert {one["address"].partition("/")[0] for one in plan["changes"]} == {"authentik", "traefik"}
    code, said = waypost("approve", id, "--plan", plan["digest"])
    assert code in (0, 2), said
    both.run()
    assert [one.instance for one in both.events(events.ApplyProven)][-2:] == ["authentik", "traefik"]
    provider = authentik.one("authentik_providers_proxy.proxyprovider", name="wiki")["pk"]
    assert authentik.one(OUTPOST, name="authentik Embedded Outpost")["providers"] == [provider]
    assert both.status("wiki.lab") not in (404, 200)  # the outpost is asked, and is not there

    authentik.breaks = {APPLICATION}
    arguments |= {"slug": "news", "external_host": "https://news.lab", "title": "News"}
    with tools_of(both) as tools:
        id = tools["create_application"].run(call, arguments).proposal
    both.run()
    digest = json.loads(waypost("plan", "--json", "--ref", id)[1])["digest"]
    waypost("approve", id, "--plan", digest)
    both.run()
    assert both.events(events.ApplyRefuted)
    assert both.status("news.lab") == 404
    assert both.status("wiki.lab") not in (404, 200)
    assert sorted(authentik.ours()) == [
        "Waypost authentik: outpost-authentik-embedded-outpost",
        "Waypost authentik: wiki",
    ]
    assert authentik.one(OUTPOST, name="authentik Embedded Outpost")["providers"] == [provider]
