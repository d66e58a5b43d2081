"""What a model can see of an authentik and propose for it, and what stays out of its reach."""

from __future__ import annotations

import os

import pytest
import yaml

from reconciler.git.store import Store
from reconciler.ports import SystemClock
from reconciler.query_client import QueryClient
from reconciler.setting import Secret
from shards import belongings
from shards.audit import Audit
from shards.authentik import Authentik
from shards.authentik_live import AuthentikAt, Live
from shards.config import GatewaySettings
from shards.kit import Call, Refused
from shards.proposing import Desk
from tests.authentik.fake_authentik import Loader, Tag, running
from tests.shards.contracts import DOCS, OfTheGateway
from tests.shards.serving import DesiredRepo

CALL = Call(request_id="r1", client="model@localhost", tool="authentik_test")
APP = {"slug": "wiki", "title": "Wiki", "external_host": "https://wiki.lab", "reason": "people write"}
ROUTE = {"service_url": "http://127.0.0.1:3000", "outpost_url": "http://authentik-server:9000"}
STEPS = [{"kind": "identification", "name": "mine-who", "order": 10, "settings": {"user_fields": ["username"]}}]
NEWS = """\
version: 1
metadata: {name: news}
entries:
  - model: authentik_core.application
    identifiers: {slug: news}
    attrs: {name: News}
"""
PROXY, OUTPOST = "authentik_providers_proxy.proxyprovider", "authentik_outposts.outpost"


@pytest.fixture(scope="module")
def server():
    with running() as authentik:
        yield authentik


@pytest.fixture
def desk(tmp_path):
    desired = DesiredRepo(tmp_path / "desired.git")
    settings = GatewaySettings(directory=tmp_path / "gateway", source=desired.path)
    settings.directory.mkdir()
    clock = SystemClock()
    audit, query = Audit(belongings.outbox(settings, clock, alone=True)), QueryClient("http://127.0.0.1:9")
    desk = Desk(settings, belongings.clone(settings, alone=True), audit, query, clock, os.urandom)
    desk.desired = desired
    yield desk
    query.close()
    audit.close()


class Model:
    """Calls tools as the gateway does, and reads what they proposed."""

    def __init__(self, desk, **alive):
        self.desk, self.alive = desk, alive
        self.tools = {tool.name: tool for tool in Authentik(desk, alive).tools()}

    def __call__(self, tool, **arguments):
        return self.tools[tool].run(CALL, arguments)

    def refusal(self, tool, **arguments):
        with pytest.raises(Refused) as refused:
            self(tool, **arguments)
        assert Store.open(self.desk.settings.clone).branches("proposals/") == {}
        return refused.value

    def file(self, proposed, path):
        return self.desk.content(proposed.commit, path)

    def merged(self, proposed):
        """A person takes it over."""
        self.desk.desired.commit({path: self.file(proposed, path) for path in proposed.files})
        return proposed


@pytest.fixture
def model(desk):
    return Model(desk)


@pytest.fixture
def looking(desk, server, monkeypatch):
    """A model whose gateway may look at a real server."""
    pristine, url = type(server)(), server.url
    vars(server).update(vars(pristine))
    server.url = url
    monkeypatch.setenv("LOOKING", "right")
    live = Live(AuthentikAt(url=url, token=Secret("env:LOOKING")))
    yield Model(desk, authentik=live)
    live.close()
    assert server.faults == []


def test_an_application_is_one_readable_blueprint(model):
    proposed = model("create_application", **APP, groups=["figures"], outpost="")
    assert (proposed.files, proposed.resources) == (["authentik/wiki.yaml"], ["authentik/blueprint/wiki"])
    text = model.file(proposed, "authentik/wiki.yaml").decode()
    assert "      authorization_flow: !Find [authentik_flows.flow, [slug, default-provider-" in text
    assert "provider: !KeyOf provider" in text
    read = yaml.load(text, Loader)
    assert [one["model"].rpartition(".")[2] for one in read["entries"]] == [
        "proxyprovider", "application", "policybinding",
    ]  # fmt: skip
    assert read["entries"][0]["attrs"]["mode"] == "forward_single"
    assert read["entries"][2]["identifiers"]["group"] == Tag("Find", ["authentik_core.group", ["name", "figures"]])


def test_openid_connect_puts_no_secret_into_git(model):
    proposed = model("create_application", **APP, kind="oauth2", redirect_uris=["https://wiki.lab/login"])
    [path] = proposed.files
    provider = yaml.load(model.file(proposed, path), Loader)["entries"][0]
    assert provider["attrs"]["redirect_uris"] == [{"matching_mode": "strict", "url": "https://wiki.lab/login"}]
    assert not {"client_secret", "client_id"} & provider["attrs"].keys()
    assert len(provider["attrs"]["property_mappings"]) == 3


def test_blueprint_route_and_middleware_are_one_proposal(model):
    proposed = model("create_application", **APP, route=ROUTE)
    assert proposed.resources == [
        "authentik/blueprint/outpost-authentik-embedded-outpost",
        "authentik/blueprint/wiki",
        "traefik/http.middlewares/authentik",
        "traefik/http.routers/wiki",
        "traefik/http.routers/wiki-sign-in",
        "traefik/http.services/authentik-outpost",
        "traefik/http.services/wiki",
    ]
    route = yaml.safe_load(model.file(proposed, "traefik/wiki.yaml"))["http"]["routers"]
    assert route["wiki"] == {"rule": "Host(`wiki.lab`)", "service": "wiki", "middlewares": ["authentik"]}
    assert route["wiki-sign-in"] == {
        "rule": "Host(`wiki.lab`) && PathPrefix(`/outpost.goauthentik.io/`)",
        "service": "authentik-outpost",
    }
    guard = yaml.safe_load(model.file(proposed, "traefik/authentik.yaml"))["http"]["middlewares"]["authentik"]
    assert guard["forwardAuth"]["address"] == "http://authentik-server:9000/outpost.goauthentik.io/auth/traefik"


def test_a_second_application_uses_the_middleware_and_the_list_that_are_there(model):
    model.merged(model("create_application", **APP, route=ROUTE))
    more = {**APP, "slug": "news", "external_host": "https://news.lab", "route": {"service_url": "http://127.0.0.1:1"}}
    proposed = model("create_application", **more)
    assert "traefik/http.middlewares/authentik" not in proposed.resources
    listed = yaml.load(model.file(proposed, "authentik/outpost-authentik-embedded-outpost.yaml"), Loader)
    names = [one.content[1][1] for one in listed["entries"][0]["attrs"]["providers"]]
    assert names == ["wiki", "news"]


def test_what_others_attached_to_an_outpost_stays_on_its_list(looking, server):
    theirs = server.make(PROXY, name="theirs", external_host="https://t.lab")
    server.one(OUTPOST, name="authentik Embedded Outpost")["providers"] = [theirs["pk"]]
    proposed = looking("create_application", **APP)
    listed = yaml.load(looking.file(proposed, "authentik/outpost-authentik-embedded-outpost.yaml"), Loader)
    assert [one.content[1][1] for one in listed["entries"][0]["attrs"]["providers"]] == ["theirs", "wiki"]


def test_a_middleware_that_is_not_there_needs_the_address_of_the_outpost(model):
    refusal = model.refusal("create_application", **APP, route={"service_url": "http://127.0.0.1:3000"})
    assert (refusal.code, "give outpost_url" in str(refusal)) == ("no-outpost", True)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"external_host": "wiki.lab"}, "bad-address"),
        ({"external_host": "https://me:pw@wiki.lab"}, "bad-address"),
        ({"external_host": "https://[wiki.lab"}, "bad-address"),
        ({"external_host": "https://wiki.lab:99999"}, "bad-address"),
        ({"kind": "oauth2"}, "bad-redirect"),
        ({"kind": "oauth2", "redirect_uris": [".*"]}, "bad-address"),
        ({"slug": "../up"}, "bad-arguments"),
        ({"client_secret": "hunter22"}, "bad-arguments"),
        ({"instance": "traefik"}, "unknown-instance"),
        ({"instance": "nowhere"}, "unknown-instance"),
    ],
)
def test_what_makes_no_application_is_refused(model, changed, code):
    assert model.refusal("create_application", **{**APP, **changed}).code == code


def test_an_application_that_is_there_is_not_made_twice(model):
    model.merged(model("create_application", **APP))
    with pytest.raises(Refused, match=r"authentik/wiki\.yaml holds wiki already"):
        model("create_application", **APP)


HOSTILE = {
    "accounts": "- {model: authentik_core.user, identifiers: {username: eve}}",
    "groups": "- {model: authentik_core.group, identifiers: {name: admins}, attrs: {is_superuser: true}}",
    "tokens": "- {model: authentik_core.token, identifiers: {identifier: x}}",
    "policies with code": "- {model: authentik_policies_expression.expressionpolicy, identifiers: {name: x}}",
    "property mappings": "- {model: authentik_providers_oauth2.scopemapping, identifiers: {name: x}}",
    "files": "- {model: authentik_core.application, identifiers: {slug: x}, attrs: {name: !File /etc/passwd}}",
    "the environment": "- {model: authentik_core.application, identifiers: {slug: x}, attrs: {name: !Env SECRET}}",
    "permissions": "- {model: authentik_core.application, identifiers: {slug: x}, permissions: []}",
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_what_is_out_of_reach_is_refused_with_the_reason_before_anything_is_committed(model, line):
    refusal = model.refusal("set_blueprint", name="x", content=f"version: 1\nentries:\n{line}\n", reason="because")
    assert refusal.code == "invalid"
    assert any("out of reach" in str(problem) for problem in refusal.problems)


def test_a_secret_is_refused_and_not_repeated(model):
    content = """version: 1
entries:
  - model: authentik_providers_oauth2.oauth2provider
    identifiers: {name: x}
    attrs: {client_secret: hunter2hunter2}
"""
    refusal = model.refusal("set_blueprint", name="x", content=content, reason="because")
    assert refusal.code == "secret"
    assert "hunter2" not in f"{refusal}{refusal.problems}"
    named = model(
        "set_blueprint", name="x", content=content.replace("hunter2hunter2", "!Context x_secret"), reason="ok it"
    )
    assert named.resources == ["authentik/blueprint/x"]


def test_a_native_blueprint_keeps_every_byte(model):
    content = (
        "# mine\nversion: 1\nentries:\n  - model: authentik_core.application  # this one\n    identifiers: {slug: x}\n"
    )
    model.merged(model("set_blueprint", name="x", content=content, reason="as it was"))
    shown = model("get_blueprint", name="x")
    assert (shown.content, shown.holds) == (content, ["application 'x'"])


def test_a_file_with_a_persons_comments_is_not_written_over(model):
    hand = b"# ours, since 2019\nversion: 1\nentries:\n- model: authentik_brands.brand\n  identifiers: {domain: lab}\n"
    model.desk.desired.commit({"authentik/brand-lab.yaml": hand})
    assert model.refusal("sync_brand", domain="lab", title="Home", reason="a name").code == "hand-written"


def test_a_flow_is_its_stages_in_order(model):
    steps = [
        {"kind": "password", "name": "mine-password", "order": 20, "settings": {"failed_attempts_before_cancel": 5}},
        {"kind": "identification", "name": "mine-who", "order": 10, "settings": {"user_fields": ["username"]}},
    ]
    proposed = model(
        "manage_flows", slug="mine", title="Mine", designation="authentication", steps=steps, reason="a second way in"
    )
    read = yaml.load(model.file(proposed, "authentik/flow-mine.yaml"), Loader)
    bindings = [one["identifiers"] for one in read["entries"] if one["model"].endswith("flowstagebinding")]
    assert [(one["stage"].content, one["order"]) for one in bindings] == [("stage-1", 10), ("stage-0", 20)]
    model.merged(proposed)
    again = model(
        "manage_flows", slug="mine", title="Mine", designation="authentication", steps=steps[1:], reason="less"
    )
    assert again.files == ["authentik/flow-mine.yaml"]


@pytest.mark.parametrize("kind", ["prompt", "captcha", "user_write", "email"])
def test_stages_that_run_code_or_make_accounts_cannot_be_asked_for(model, kind):
    steps = [{"kind": kind, "name": "x", "order": 1}]
    arguments = {"slug": "x", "title": "X", "designation": "enrollment", "steps": steps, "reason": "because"}
    assert model.refusal("manage_flows", **arguments).code == "bad-arguments"


def test_a_brand_changes_only_what_is_given_and_takes_no_style(model):
    proposed = model("sync_brand", title="Home", flows={"authentication": "mine"}, reason="it is our home")
    read = yaml.load(model.file(proposed, "authentik/brand-authentik-default.yaml"), Loader)
    assert read["entries"][0]["attrs"] == {
        "branding_title": "Home",
        "flow_authentication": Tag("Find", ["authentik_flows.flow", ["slug", "mine"]]),
    }
    with pytest.raises(Refused, match="do not fit"):
        model("sync_brand", branding_custom_css="*{}", reason="because")
    with pytest.raises(Refused, match="Say what is to change"):
        model("sync_brand", reason="because")


def test_removing_a_blueprint_takes_its_provider_from_the_outposts_list(model):
    for slug in ("wiki", "news"):
        model.merged(model("create_application", **{**APP, "slug": slug, "external_host": f"https://{slug}.lab"}))
    proposed = model("remove_blueprint", name="news", reason="nobody reads it")
    assert model.file(proposed, "authentik/news.yaml") is None
    listed = yaml.load(model.file(proposed, "authentik/outpost-authentik-embedded-outpost.yaml"), Loader)
    assert [one.content[1][1] for one in listed["entries"][0]["attrs"]["providers"]] == ["wiki"]
    with pytest.raises(Refused, match="holds no blueprint 'nope'"):
        model("remove_blueprint", name="nope", reason="because")


def test_applications_are_listed_as_desired_and_as_live(looking, server):
    looking.merged(looking("create_application", **APP))
    provider = server.make(PROXY, name="old", external_host="https://old.lab")
    server.make("authentik_core.application", slug="old", name="Old", provider=provider["pk"])
    listed = looking("list_applications")
    assert [(one.slug, one.file, one.provider, one.live) for one in listed.applications] == [
        ("old", "", "old", True),
        ("wiki", "authentik/wiki.yaml", "wiki", False),
    ]
    assert listed.unknown == ""


def test_live_applications_are_listed_without_tricks_and_without_what_lets_somebody_in(looking, server):
    pristine = list(server.objects.get("authentik_core.application", []))
    server.page_size = 100
    evil = "https://ann:secret@a.lab/start?token=secret#secret"
    server.make("authentik_core.application", slug="0", name="Po\u202ert\u200bal", launch_url=evil)
    for number in range(310):
        server.make("authentik_core.application", slug=f"a{number}", name="x", launch_url="")
    listed = looking("list_applications")
    server.objects["authentik_core.application"], server.page_size = pristine, 2
    first = listed.applications[0]
    assert (first.name, first.launch_url) == ("Portal", "https://a.lab/start")
    assert len(listed.applications) == 300
    assert listed.left_out == 11 + len(pristine)


def test_while_authentik_is_away_the_desired_ones_are_listed_and_the_reason_is_told(looking, server):
    looking.merged(looking("create_application", **APP))
    server.down = True
    listed = looking("list_applications")
    assert [(one.slug, one.live) for one in listed.applications] == [("wiki", None)]
    assert "status 503" in listed.unknown
    server.down = False


def test_without_a_token_to_look_with_that_is_said(model):
    assert "WAYPOST_AUTHENTIK_READ_TOKEN" in model("list_applications").unknown


def test_every_tool_says_what_it_does(desk):
    tools = list(Authentik(desk).tools())
    assert [(tool.name, tool.traits.writes) for tool in tools] == [
        ("list_applications", False), ("get_blueprint", False), ("create_application", True), ("manage_flows", True),
        ("sync_brand", True), ("set_blueprint", True), ("remove_blueprint", True),
    ]  # fmt: skip
    assert all("Only proposes" in " ".join(tool.description.split()) for tool in tools if tool.traits.writes)


def test_the_gateway_of_a_home_with_an_authentik_offers_it(make_waypost, server, tmp_path):
    token = tmp_path / "token"
    token.write_text(server.token)
    at = AuthentikAt(url=server.url, token=Secret(f"file:{token}"))
    waypost = make_waypost(authentik=(at,))
    proposed = waypost.answer("authentik_create_application", **APP, route=ROUTE)
    assert waypost.file(proposed["commit"], "authentik/wiki.yaml")
    assert (
        waypost.refusal("authentik_set_blueprint", name="x", content="version: 1", reason="because")["code"]
        == "invalid"
    )
    assert waypost.answer("authentik_list_applications")["unknown"] == ""
    token.write_text("another")
    server.token = "another"  # exchanged while the gateway runs
    assert waypost.answer("authentik_list_applications")["unknown"] == ""


class TestAuthentik(OfTheGateway):
    name = "authentik"
    calls = {
        "list_applications": {},
        "get_blueprint": {"name": "news"},
        "create_application": {**APP, "route": ROUTE},
        "manage_flows": {
            "slug": "mine",
            "title": "Mine",
            "designation": "authentication",
            "steps": STEPS,
            "reason": "a way in",
        },
        "sync_brand": {"title": "Home", "reason": "our name"},
        "set_blueprint": {"name": "news", "content": NEWS, "reason": "other news"},
        "remove_blueprint": {"name": "news", "reason": "nobody reads it"},
        "get_authentik_docs": DOCS,
    }

    @pytest.fixture(autouse=True)
    def _looking(self, looking, server):
        self.desk, self.desired = looking.desk, looking.desk.desired
        self.known = {"authentik": (AuthentikAt(url=server.url, token=Secret("env:LOOKING")),)}
        self.desired.commit({"authentik/news.yaml": NEWS.replace("news", "old news").encode()})
