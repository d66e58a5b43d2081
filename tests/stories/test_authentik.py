"""Blueprints go the whole road: a proposal, a person's yes, authentik's own word for it, and back again."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest

from reconciler import founding, home
from reconciler.setting import Secret
from shards.authentik_live import AuthentikAt
from state import events
from tests.authentik.fake_authentik import MADE_SECRET, OAUTH2, HungUp, running
from tests.stories.at_work import at_work
from tests.stories.conftest import House
from tests.stories.written import written_below

APPLICATION, PROXY = "authentik_core.application", "authentik_providers_proxy.proxyprovider"
LITERAL = "hunter2hunter2"


def blueprint(name="grafana", title="", flow="default-provider-authorization-implicit-consent", more=""):
    return f"""\
# {name}, for everybody who signs in
version: 1
metadata:
  name: {name}
entries:
  - model: {PROXY}
    id: provider
    identifiers:
      name: {name}
    attrs:
      external_host: https://{name}.lab
      mode: forward_single
      authorization_flow: !Find [authentik_flows.flow, [slug, {flow}]]
      invalidation_flow: !Find [authentik_flows.flow, [slug, default-provider-invalidation-flow]]
  - model: {APPLICATION}
    identifiers:
      slug: {name}
    attrs:
      name: {title or name.title()}
      provider: !KeyOf provider
{more}"""


@pytest.fixture(scope="module")
def server():
    with running() as authentik:
        yield authentik


@pytest.fixture
def house(tmp_path, server, until):
    """A home whose only target is an authentik, as fresh as it is after its installation."""
    pristine, url = type(server)(), server.url
    vars(server).update(vars(pristine))
    server.url = url
    (tmp_path / "token").write_text("right")
    made = founding.create(
        tmp_path / "home",
        chosen={
            "WAYPOST_AUTHENTIK_URL": url,
            "WAYPOST_AUTHENTIK_TOKEN": f"file:{tmp_path / 'token'}",
            "WAYPOST_AUTHENTIK_DEADLINE": "2s",
            "WAYPOST_APPROVE_WITHOUT_TERMINAL": "true",
        },
        environ={},
        now=lambda: datetime.now(UTC),
    )
    house = House(home.open(made.path, {}), None, tmp_path / "clone", until)
    house.authentik = server
    subprocess.run(["git", "clone", "--quiet", str(made.desired_source), str(house.clone)], check=True)
    house.git("rm", "--quiet", "-r", "traefik")
    house.push({"README.md": "a home with an authentik and nothing else"})
    assert house.run().state == "nothing"
    yield house
    assert server.faults == []


def test_a_proposal_is_tried_there_approved_applied_and_proven(house, waypost):
    id = house.propose({"authentik/grafana.yaml": blueprint()})
    _, shown = waypost("show", id)
    assert "create authentik/blueprint/grafana" in shown
    assert house.authentik.blueprints == {}
    _, listed = waypost("plan", "--json", "--ref", id)
    code, said = waypost("approve", id, "--plan", json.loads(listed)["digest"])
    assert code in (0, 2), said
    outcome = house.run()
    assert house.authentik.one(APPLICATION, slug="grafana")["name"] == "Grafana"
    assert "authentik applied 1 blueprints" in house.events(events.ApplyProven)[-1].evidence
    assert outcome.revision == 2
    asked = len(house.authentik.asked)
    assert house.run().state == "nothing"
    assert {one.split()[0] for one in house.authentik.asked[asked:]} == {"GET"}


WIKI = {
    "slug": "wiki",
    "title": "Wiki",
    "external_host": "https://wiki.lab",
    "kind": "oauth2",
    "redirect_uris": ["https://wiki.lab/login"],
    "reason": "people write",
}
WAY_IN = {
    "slug": "mine",
    "title": "Welcome home",
    "designation": "authentication",
    "steps": [
        {"kind": "password", "name": "mine-password", "order": 20, "settings": {"failed_attempts_before_cancel": 5}},
        {"kind": "identification", "name": "mine-who", "order": 10, "settings": {"user_fields": ["username"]}},
    ],
    "reason": "a way in of our own",
}
BRAND = {"title": "Home", "flows": {"authentication": "mine"}, "reason": "it is our home"}


def test_what_a_model_asks_for_by_tools_is_there_after_a_yes_and_its_secret_nowhere_else(house, waypost):
    house.home, told, live = home.open(house.home.path, {"WAYPOST_AUTHENTIK_DEADLINE": "60s"}), [], house.authentik
    at = AuthentikAt(url=live.url, token=Secret(f"file:{house.home.path.with_name('token')}"))
    with at_work(house, authentik=(at,)) as gateway:

        def agreed(tool, arguments):
            """Asked for by a model, and approved by a person."""
            proposed = gateway.answer(f"authentik_{tool}", **arguments)
            code, said = waypost("approve", proposed["proposal"], "--plan", proposed["plan"]["digest"])
            assert code == 0, said
            told.extend((json.dumps(proposed), said))

        agreed("create_application", WIKI)
        provider = live.one(OAUTH2, name="wiki")
        assert provider["redirect_uris"] == [{"matching_mode": "strict", "url": "https://wiki.lab/login"}]
        assert live.one(APPLICATION, slug="wiki")["provider"] == provider["pk"]
        assert provider["client_secret"].startswith(MADE_SECRET)

        agreed("manage_flows", WAY_IN)
        flow = live.one("authentik_flows.flow", slug="mine")
        bound = [one for one in live.objects["authentik_flows.flowstagebinding"] if one["target"] == flow["pk"]]
        stages = {one["pk"]: one for kind in ("identification", "password") for one in live.objects[stage(kind)]}
        assert [stages[one["stage"]]["name"] for one in sorted(bound, key=lambda one: one["order"])] == [
            "mine-who", "mine-password",
        ]  # fmt: skip

        agreed("sync_brand", BRAND)
        brand = live.one("authentik_brands.brand", domain="authentik-default")
        assert (brand["branding_title"], brand["flow_authentication"]) == ("Home", flow["pk"])

        [wiki] = gateway.answer("authentik_list_applications")["applications"]
        assert (wiki["slug"], wiki["provider"], wiki["live"]) == ("wiki", "wiki", True)
        told.append(json.dumps([wiki, gateway.answer("history", limit=500)]))
        why = gateway.answer("why", resource="authentik/blueprint/brand-authentik-default")
        assert why["request"]["tool"] == "authentik_sync_brand"
    assert house.run().state == "nothing"
    assert waypost("why", "authentik/blueprint/wiki")[0] == 0
    told.append(waypost("log", "export")[1])
    assert "GET /providers/oauth2/" in live.asked  # whose answers show it
    assert MADE_SECRET not in "".join(told)
    assert [name for name, data in written_below(house.home.path) if MADE_SECRET.encode() in data] == []


def stage(kind):
    return f"authentik_stages_{kind}.{kind}stage"


def test_what_authentik_would_not_take_holds_the_commit_with_file_and_reason(house):
    house.push({"authentik/grafana.yaml": blueprint(flow="nowhere")})
    outcome = house.run()
    assert outcome.state == "held"
    [problem] = [one for one in outcome.plan.errors if "authorization_flow" in str(one)]
    assert str(problem).startswith("authentik/grafana.yaml:1")
    assert house.authentik.blueprints == {}


@pytest.mark.parametrize(
    ("model", "known", "attrs"),
    [
        ("authentik_flows.flow", {"slug": "our-login"}, "{title: x, name: x, designation: authentication}"),
        ("authentik_stages_password.passwordstage", {"name": "our-password"}, "{backends: []}"),
    ],
)
def test_what_a_person_made_of_the_way_in_is_not_overwritten(house, model, known, attrs):
    [(field, name)] = known.items()
    theirs = house.authentik.make(model, **known, authentication="require_token")
    entry = f"  - {{model: {model}, identifiers: {{{field}: {name}}}, attrs: {attrs}%s}}\n"
    house.push({"authentik/ours.yaml": "version: 1\nentries:\n" + entry % ""})
    outcome = house.run()
    assert outcome.state == "held"
    assert f"'{name}' is in authentik already, made by somebody else" in str(outcome.plan.errors)
    house.push({"authentik/ours.yaml": "version: 1\nentries:\n" + entry % ", state: created"})
    assert house.run().state == "applied"
    assert house.authentik.one(model, **known) == {**theirs}


def test_an_outpost_of_which_nobody_can_tell_which_it_is_leaves_nobody_out(house):
    theirs = house.authentik.make(PROXY, name="wiki", external_host="https://wiki.lab")
    outpost = house.authentik.one("authentik_outposts.outpost", name="authentik Embedded Outpost")
    outpost["providers"] = [theirs["pk"]]
    known = "{name: %s}, attrs: {providers: [!KeyOf provider]}"
    more = "  - {model: authentik_outposts.outpost, identifiers: " + known + "}\n"
    for name, words in (
        ("authentik Embedded Outpost", "serves 'wiki', which this list leaves out"),
        ("!Format ['%s', authentik Embedded Outpost]", "the outpost must be known by plain values"),
    ):
        house.push({"authentik/grafana.yaml": blueprint(more=more % name)})
        outcome = house.run()
        assert outcome.state == "held"
        assert words in str(outcome.plan.errors)
    assert outpost["providers"] == [theirs["pk"]]


HOSTILE = {
    "      meta_description: !File /etc/authentik/secret": "!File is out of reach",
    "      meta_description: !Env AUTHENTIK_SECRET_KEY": "!Env is out of reach",
    "  - {model: authentik_core.user, identifiers: {username: eve}}": "accounts are people's",
    f"  - {{model: {OAUTH2}, identifiers: {{name: x}}, attrs: {{client_secret: {LITERAL}}}}}": "write !Context NAME",
    "  - {model: authentik_policies_expression.expressionpolicy, identifiers: {name: x}}": "it holds code",
}


def test_a_hostile_blueprint_reaches_nobody(house, waypost):
    asked = len(house.authentik.asked)
    for more, words in HOSTILE.items():
        house.push({"authentik/grafana.yaml": blueprint(more=more + "\n")})
        outcome = house.run()
        assert outcome.state == "held"
        assert words in str(outcome.plan.errors)
        assert LITERAL not in waypost("plan")[1]
    assert {one.split()[0] for one in house.authentik.asked[asked:]} <= {"GET"}
    assert LITERAL not in waypost("log", "export")[1]


def test_what_is_passed_over_in_silence_is_undone_and_quarantined(house):
    house.push({"authentik/grafana.yaml": blueprint()})
    assert house.run().state == "applied"
    house.authentik.silent = {APPLICATION}
    house.push({"authentik/wiki.yaml": blueprint("wiki")})
    assert house.run().state == "refuted"
    [refuted] = house.events(events.ApplyRefuted)
    assert "there is no application 'wiki'" in refuted.faults["authentik/blueprint/wiki"]
    assert house.events(events.ApplyUndone)[-1].proven
    assert list(house.authentik.ours()) == ["Waypost authentik: grafana"]
    assert house.authentik.one(PROXY, name="wiki") is None
    assert house.run().state != "applied"


def test_without_a_worker_nothing_is_said_to_be_applied_and_later_it_is_finished(house):
    house.push({"authentik/grafana.yaml": blueprint()})
    assert house.run().state == "applied"
    house.authentik.worker = False
    house.push({"authentik/grafana.yaml": blueprint(title="Figures")})
    assert house.run().state == "unknown"
    assert house.authentik.one(APPLICATION, slug="grafana")["name"] == "Grafana"
    house.authentik.worker = True
    outcome = house.run()
    assert outcome.state in ("applied", "nothing", "drift")
    assert outcome.revision
    assert house.authentik.one(APPLICATION, slug="grafana")["name"] == "Figures"


def test_while_authentik_is_away_what_it_is_to_get_waits(house):
    house.authentik.down = True
    house.push({"authentik/grafana.yaml": blueprint()})
    outcome = house.run()
    assert outcome.state == "waiting"
    assert "status 503" in outcome.said
    house.authentik.down = False
    assert house.run().state == "applied"


@pytest.mark.parametrize(
    "step",
    [
        pytest.param("POST /managed/blueprints/", marks=pytest.mark.soak),  # of the two, one is there
        "PATCH /managed/blueprints/{instance_uuid}/",  # both are, and nothing is applied
        pytest.param("POST /managed/blueprints/{instance_uuid}/apply/", marks=pytest.mark.soak),
    ],
)
def test_a_pass_that_is_killed_is_finished_by_the_next_one(house, step):
    house.push({"authentik/grafana.yaml": blueprint()})
    assert house.run().state == "applied"
    house.push({"authentik/grafana.yaml": blueprint(title="Figures"), "authentik/a-wiki.yaml": blueprint("wiki")})
    reached, over = threading.Event(), threading.Event()

    def hang(asked):
        if asked == step and any("wiki" in name for name in house.authentik.ours()):
            reached.set()
            over.wait(30)

    house.authentik.after = hang
    command = [sys.executable, "-m", "reconciler", "--home", str(house.home.path), "reconcile"]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert reached.wait(30)
    killed.kill()
    killed.wait()
    house.authentik.after = lambda asked: None
    over.set()
    for _ in range(3):
        outcome = house.run()
    assert (outcome.state, outcome.revision) == ("nothing", 3)
    assert house.authentik.one(APPLICATION, slug="grafana")["name"] == "Figures"
    assert house.authentik.one(APPLICATION, slug="wiki")
    assert sorted(house.authentik.ours()) == ["Waypost authentik: a-wiki", "Waypost authentik: grafana"]


def test_an_outage_between_the_content_and_what_takes_away_leaves_nothing_behind(house):
    house.push({"authentik/grafana.yaml": blueprint()})
    assert house.run().state == "applied"
    house.push({"authentik/grafana.yaml": blueprint().partition(f"  - model: {APPLICATION}")[0]})
    assert house.run().state == "held"
    with house.session() as person:
        person.consent(person.plan().plan)

    def cut_off(asked):
        house.authentik.down = asked == "PATCH /managed/blueprints/{instance_uuid}/" or house.authentik.down
        if house.authentik.down:
            raise HungUp

    house.authentik.after = cut_off
    house.run()
    assert house.authentik.down
    house.authentik.after, house.authentik.down = lambda asked: None, False
    assert house.run().state == "nothing"
    assert house.authentik.one(APPLICATION, slug="grafana") is None
    assert list(house.authentik.ours()) == ["Waypost authentik: grafana"]


def test_reverting_the_commit_takes_the_objects_away_again(house):
    house.push({"authentik/wiki.yaml": blueprint("wiki")})
    assert house.run().state == "applied"
    house.push({"authentik/grafana.yaml": blueprint()})
    assert house.run().state == "applied"
    house.git("revert", "--no-edit", "HEAD")
    house.git("push", "--quiet")
    outcome = house.run()
    lost = [refusal.loss.lost for refusal in outcome.plan.refusals]
    assert outcome.state == "held"
    assert "people would no longer find and sign in to the application 'grafana'" in lost
    with house.session() as person:
        person.consent(person.plan().plan)
    assert house.run().state == "applied"
    assert house.authentik.one(APPLICATION, slug="grafana") is house.authentik.one(PROXY, name="grafana") is None
    assert list(house.authentik.ours()) == ["Waypost authentik: wiki"]


def test_a_hand_edit_of_a_blueprint_is_drift_and_is_put_back_when_a_person_says_so(house, waypost):
    house.push({"authentik/grafana.yaml": blueprint()})
    assert house.run().state == "applied"
    kept = house.authentik.ours()["Waypost authentik: grafana"]
    kept.content = kept.content.replace("Grafana", "Graphs")
    house.authentik.hour()
    assert house.run().state == "drift"
    [found] = house.events(events.DriftFound)
    assert found.address == "authentik/blueprint/grafana"
    kept.enabled = False
    code, said = waypost("drift", "--adopt", found.address)
    assert (code, "it is switched off in authentik, and no file can say that" in said) == (1, True), said
    edited, kept.enabled = kept.content, True
    kept.content = edited.replace(APPLICATION, "authentik_core.group")
    code, said = waypost("drift", "--adopt", found.address)
    assert (code, "authentik_core.group is out of reach" in said) == (1, True), said
    assert not house.events(events.ProposalMade)
    kept.content = edited
    waypost("drift", "--heal", found.address)
    house.run()
    assert house.authentik.one(APPLICATION, slug="grafana")["name"] == "Grafana"
    assert house.run().state == "nothing"


ADMINS = "!Find [authentik_core.group, [name, admins]]"


def test_who_may_use_something_is_still_said_where_that_is_known_by_more_than_before(house):
    house.authentik.make("authentik_core.group", name="admins")
    bound = "  - {model: authentik_policies.policybinding, identifiers: {target: !KeyOf app, order: 0%s}%s}\n"
    ours = blueprint().replace("    identifiers:\n      slug:", "    id: app\n    identifiers:\n      slug:")
    house.push({"authentik/grafana.yaml": ours + bound % ("", f", attrs: {{group: {ADMINS}}}")})
    assert house.run().state == "applied"
    house.push({"authentik/grafana.yaml": ours + bound % (f", group: {ADMINS}", "")})
    assert house.run().state == "applied"
    assert house.authentik.one("authentik_policies.policybinding", order=0)
