"""What the authentik target does to a server that tries, queues and applies blueprints as authentik does."""

from __future__ import annotations

import contextlib
import copy
import os

import pytest

from reconciler.authentik.answers import AuthentikError
from reconciler.authentik.api import AuthentikApi
from reconciler.authentik.language import LANGUAGE
from reconciler.core.target import Attempt, TargetError
from reconciler.ports import SystemClock
from reconciler.setting import Secret
from reconciler.targets.authentik import AuthentikTarget
from state.model import Address, digest_bytes
from tests.authentik.fake_authentik import HungUp, running

APPLICATION, PROXY = "authentik_core.application", "authentik_providers_proxy.proxyprovider"
OAUTH2, OUTPOST = "authentik_providers_oauth2.oauth2provider", "authentik_outposts.outpost"


def proxied(name="grafana", **attrs):
    """A blueprint of one application behind a proxy provider."""
    text = f"""
version: 1
metadata: {{name: {name}}}
entries:
  - model: {PROXY}
    id: provider
    identifiers: {{name: {name}}}
    attrs:
      external_host: https://{name}.lab
      mode: forward_single
      authorization_flow: !Find [authentik_flows.flow, [slug, default-provider-authorization-implicit-consent]]
      invalidation_flow: !Find [authentik_flows.flow, [slug, default-provider-invalidation-flow]]
  - model: {APPLICATION}
    id: app
    identifiers: {{slug: {name}}}
    attrs: {{name: {name.title()}, provider: !KeyOf provider}}
"""
    parsed = LANGUAGE.parse(f"authentik/{name}.yaml", text.encode())
    assert parsed.problems == ()
    spec = copy.deepcopy(parsed.resources[0][2])
    spec["entries"][0]["attrs"].update(attrs)
    return spec


def secretive(name="grafana"):
    spec = proxied(name)
    entry = spec["entries"][0]
    del entry["attrs"]["mode"], entry["attrs"]["external_host"]
    entry["model"] = OAUTH2
    entry["attrs"] |= {"client_secret": {"!Context": "grafana_secret"}, "redirect_uris": []}
    return spec


def at(name):
    return Address("authentik", "blueprint", name)


def attempt(target, before, after, id="a1"):
    draft = Attempt(id=id, instance="authentik", commit="c1", live=after, before=before.file)
    return Attempt(**{**vars(draft), "after": digest_bytes(target.render(draft))})


def apply(target, after, id="a1"):
    """Write and prove a state: the attempt and its verdict."""
    made = attempt(target, target.observe(), after, id)
    assert target.write(made) == made.after
    return made, target.prove(made)


@pytest.fixture(scope="module")
def server():
    with running() as authentik:
        yield authentik


@pytest.fixture
def authentik(server):
    """One server for all tests, as fresh for each as at its start."""
    pristine, url = type(server)(), server.url
    vars(server).update(vars(pristine))
    server.url = url
    yield server
    assert server.faults == []


@pytest.fixture
def make(authentik):
    made = []

    def make(**more):
        made.append(AuthentikApi(authentik.url, Secret("env:AUTHENTIK_TOKEN")))
        return AuthentikTarget("authentik", made[-1], clock=SystemClock(), deadline=more.pop("deadline", 5.0), **more)

    os.environ["AUTHENTIK_TOKEN"] = "right"
    yield make
    del os.environ["AUTHENTIK_TOKEN"]
    for api in made:
        api.close()


@pytest.fixture
def target(make):
    return make()


def test_a_blueprint_is_kept_applied_and_proven_by_the_hash_of_its_content(authentik, target):
    made, verdict = apply(target, {at("grafana"): proxied()})
    assert verdict.outcome == "proven"
    assert authentik.one(APPLICATION, slug="grafana")["provider"] == authentik.one(PROXY, name="grafana")["pk"]
    seen = target.observe()
    assert seen.live == {at("grafana"): proxied()}
    assert (seen.file, seen.disabled, seen.version) == (made.after, {}, "2026.8.1")


def test_an_old_status_proves_nothing(authentik, make):
    target = make(deadline=0.3)
    apply(target, {at("grafana"): proxied()})
    authentik.worker = False
    _, verdict = apply(target, {at("grafana"): proxied(mode="proxy")}, "a2")
    assert authentik.ours()["Waypost authentik: grafana"].status == "successful"
    assert verdict.outcome == "unknown"
    assert "worker" in verdict.remedy
    assert at("grafana") in target.observe().disabled


def test_the_hash_of_a_blueprint_that_stood_there_before_is_not_taken_for_a_new_proof(authentik, make):
    target = make(deadline=0.3)
    apply(target, {at("grafana"): proxied()})
    authentik.breaks = {PROXY}
    refuted, verdict = apply(target, {at("grafana"): proxied(mode="proxy")}, "a2")
    assert verdict.outcome == "refuted"
    authentik.worker = False
    assert target.undo(refuted, {at("grafana"): proxied()}).outcome == "unknown"


def test_what_authentik_cannot_apply_is_refuted_with_the_words_of_its_task_and_put_back(authentik, target):
    apply(target, {at("grafana"): proxied()})
    authentik.breaks = {APPLICATION}
    made, verdict = apply(target, {at("grafana"): proxied(mode="proxy"), at("wiki"): proxied("wiki")}, "a2")
    assert verdict.outcome == "refuted"
    assert "authentik_core.application broke" in verdict.faults[at("grafana")]
    assert verdict.suspects == {at("grafana")}
    authentik.breaks = set()
    undone = target.undo(made, {at("grafana"): proxied()})
    assert undone.outcome == "proven"
    assert target.observe().live == {at("grafana"): proxied()}
    assert authentik.one(PROXY, name="grafana")["mode"] == "forward_single"
    assert list(authentik.ours()) == ["Waypost authentik: grafana"]


def test_what_is_passed_over_without_a_word_is_refuted(authentik, target):
    authentik.silent = {APPLICATION}
    _, verdict = apply(target, {at("grafana"): proxied()})
    assert authentik.ours()["Waypost authentik: grafana"].status == "successful"
    assert verdict.outcome == "refuted"
    assert "there is no application 'grafana'" in verdict.evidence


def test_what_the_server_rejects_is_told_before_anything_is_written_and_leaves_nothing_behind(authentik, target):
    wrong = proxied(authorization_flow={"!Find": ["authentik_flows.flow", ["slug", "nowhere"]]})
    found = target.validate({at("grafana"): wrong, at("wiki"): proxied("wiki")}, target.observe())
    assert [(one.address, "authorization_flow" in one.message) for one in found.problems[1:]] == [
        ("authentik/blueprint/grafana", True)
    ]
    assert authentik.blueprints == {}
    assert APPLICATION not in authentik.objects


def test_a_trial_is_never_enabled_and_one_that_a_death_left_is_swept(authentik, target):
    enabled = []
    authentik.after = lambda asked: enabled.extend(kept.enabled for kept in authentik.blueprints.values())
    target.validate({at("grafana"): proxied()}, target.observe())
    assert enabled == [False]
    authentik.keep("Waypost itself (authentik): trial 100 beef", "version: 1\nentries: []\n", enabled=False)
    never = "Waypost itself (authentik): trial " + "9" * 5_000
    authentik.keep(never, "version: 1\nentries: []\n", enabled=False)
    authentik.after = lambda asked: None
    assert target.probe("a0").outcome == "proven"
    assert [kept.name for kept in authentik.blueprints.values()] == [never]


def test_a_probe_asks_whether_anybody_applies_blueprints(authentik, make):
    assert make().probe("a0").outcome == "proven"
    authentik.worker = False
    verdict = make(deadline=0.2).probe("a0")
    assert (verdict.outcome, "worker" in verdict.remedy) == ("unknown", True)
    assert authentik.blueprints == {}


def test_a_file_that_goes_takes_its_objects_with_it(authentik, target):
    apply(target, {at("grafana"): proxied(), at("wiki"): proxied("wiki")})
    _, verdict = apply(target, {at("wiki"): proxied("wiki")}, "a2")
    assert verdict.outcome == "proven"
    assert authentik.one(APPLICATION, slug="grafana") is authentik.one(PROXY, name="grafana") is None
    assert authentik.one(APPLICATION, slug="wiki")
    assert list(authentik.ours()) == ["Waypost authentik: wiki"]


def test_what_cannot_be_taken_away_is_refuted_and_stays_whole(authentik, target):
    before = {at("grafana"): proxied(), at("wiki"): proxied("wiki")}
    apply(target, before)
    authentik.clinging = {PROXY}
    refuted, verdict = apply(target, {at("wiki"): proxied("wiki")}, "a2")
    assert verdict.outcome == "refuted"
    assert "is referenced by another" in verdict.evidence
    assert target.undo(refuted, before).outcome == "proven"
    assert authentik.one(APPLICATION, slug="grafana")
    assert sorted(authentik.ours()) == ["Waypost authentik: grafana", "Waypost authentik: wiki"]


def test_what_a_refuted_attempt_wants_gone_stays_though_authentik_applies_all_at_its_hour(authentik, target):
    before = {at("grafana"): proxied(), at("wiki"): proxied("wiki")}
    apply(target, before)
    authentik.breaks = {PROXY}
    made, verdict = apply(target, {at("grafana"): proxied(mode="proxy")}, "a2")
    assert verdict.outcome == "refuted"
    authentik.breaks = set()
    authentik.hour()
    assert authentik.one(APPLICATION, slug="wiki")
    assert target.undo(made, before).outcome == "proven"
    assert target.observe().live == before


def test_an_entry_that_goes_takes_its_object_with_it_and_what_it_belonged_to_stays(authentik, target):
    authentik.make("authentik_core.group", name="figures")
    bound = proxied()
    binding = {
        "model": "authentik_policies.policybinding",
        "identifiers": {"target": {"!KeyOf": "app"}, "group": {"!Find": ["authentik_core.group", ["name", "figures"]]}},
        "attrs": {"order": 0},
    }
    bound["entries"].append(binding)
    apply(target, {at("grafana"): bound})
    assert len(authentik.objects["authentik_policies.policybinding"]) == 1
    _, verdict = apply(target, {at("grafana"): proxied()}, "a2")
    assert verdict.outcome == "proven"
    assert authentik.objects["authentik_policies.policybinding"] == []
    assert authentik.one(APPLICATION, slug="grafana")["name"] == "Grafana"


def test_what_belongs_to_something_that_belongs_to_another_is_found_and_taken_away(authentik, target):
    policy = authentik.make("authentik_policies_expression.expressionpolicy", name="theirs")
    flow = {"model": "authentik_flows.flow", "id": "flow", "identifiers": {"slug": "mine"}}
    flow["attrs"] = {"name": "Mine", "title": "Mine", "designation": "authentication"}
    stage = {"model": "authentik_stages_deny.denystage", "id": "stage", "identifiers": {"name": "no"}, "attrs": {}}
    step = {"model": "authentik_flows.flowstagebinding", "id": "step", "attrs": {}}
    step["identifiers"] = {"target": {"!KeyOf": "flow"}, "stage": {"!KeyOf": "stage"}, "order": 1}
    found = {"!Find": ["authentik_policies_expression.expressionpolicy", ["name", "theirs"]]}
    bound = {"model": "authentik_policies.policybinding", "attrs": {"order": 0}}
    bound["identifiers"] = {"target": {"!KeyOf": "step"}, "policy": found}
    apply(target, {at("mine"): {"version": 1, "entries": [flow, stage, step, bound]}})
    assert [one["policy"] for one in authentik.objects["authentik_policies.policybinding"]] == [policy["pk"]]
    _, verdict = apply(target, {at("mine"): {"version": 1, "entries": [flow, stage, step]}}, "a2")
    assert verdict.outcome == "proven"
    assert authentik.objects["authentik_policies.policybinding"] == []
    assert len(authentik.objects["authentik_flows.flowstagebinding"]) == 1


def test_an_entry_that_moves_to_another_file_stays(authentik, target):
    apply(target, {at("grafana"): proxied()})
    before = authentik.one(APPLICATION, slug="grafana")["pk"]
    _, verdict = apply(target, {at("figures"): proxied()}, "a2")
    assert verdict.outcome == "proven"
    assert authentik.one(APPLICATION, slug="grafana")["pk"] == before
    assert list(authentik.ours()) == ["Waypost authentik: figures"]


def test_a_brand_and_what_authentik_brings_with_it_are_let_go_of_and_that_is_told(authentik, target):
    brand = {
        "version": 1,
        "entries": [
            {
                "model": "authentik_brands.brand",
                "identifiers": {"domain": "authentik-default"},
                "attrs": {"branding_title": "Home"},
            }
        ],
    }
    apply(target, {at("brand"): brand})
    assert "stays in authentik" in target.validate({}, target.observe()).notes[0]
    apply(target, {}, "a2")
    assert authentik.one("authentik_brands.brand", domain="authentik-default")["branding_title"] == "Home"


def test_a_death_before_the_application_is_finished_by_asking_again(authentik, target, make):
    made = attempt(target, target.observe(), {at("grafana"): proxied()})
    target.write(made)
    reborn = make()
    assert reborn.observe().file == made.after
    assert reborn.prove(made).outcome == "proven"


@pytest.mark.parametrize(
    "death", [pytest.param(step, marks=() if step % 3 == 1 else (pytest.mark.soak,)) for step in range(15)]
)
def test_whichever_step_a_death_comes_after_the_next_write_brings_what_is_wanted(authentik, target, make, death):
    apply(target, {at("grafana"): proxied(), at("wiki"): proxied("wiki")})
    left = [death]

    def die(asked):
        left[0] -= 1
        if left[0] < 0:
            raise HungUp

    wanted = {at("grafana"): proxied(mode="proxy"), at("news"): proxied("news")}
    made = attempt(target, target.observe(), wanted, "a2")
    authentik.after = die
    try:
        target.write(made)
        target.prove(made)
    except TargetError:
        authentik.after = lambda asked: None
    authentik.after = lambda asked: None
    reborn = make()
    again, verdict = apply(reborn, wanted, "a3")
    assert verdict.outcome == "proven"
    assert {slug for slug in ("grafana", "wiki", "news") if authentik.one(APPLICATION, slug=slug)} == {
        "grafana",
        "news",
    }
    assert authentik.one(PROXY, name="grafana")["mode"] == "proxy"
    assert sorted(authentik.ours()) == ["Waypost authentik: grafana", "Waypost authentik: news"]


def test_what_the_server_rejects_while_it_is_written_is_taken_back(authentik, target):
    apply(target, {at("grafana"): proxied()})
    before = target.observe()
    wrong = proxied("wiki", authorization_flow={"!Find": ["authentik_flows.flow", ["slug", "nowhere"]]})
    made = attempt(target, before, {at("grafana"): proxied(mode="proxy"), at("wiki"): wrong}, "a2")
    with pytest.raises(AuthentikError, match="rejects 'Waypost authentik: wiki'"):
        target.write(made)
    assert target.observe() == before


def test_what_a_person_changed_there_is_seen_and_not_overwritten(authentik, target):
    apply(target, {at("grafana"): proxied()})
    kept = authentik.ours()["Waypost authentik: grafana"]
    seen = target.observe()
    kept.content = kept.content.replace("forward_single", "proxy")
    assert not target.unmoved(seen)
    assert target.observe().live[at("grafana")] == proxied(mode="proxy")
    with pytest.raises(TargetError, match="changed since"):
        target.write(attempt(target, seen, {}, "a2"))
    kept.enabled = False
    assert target.observe().live[at("grafana")]["enabled"] is False
    kept.content = "{{{"
    assert set(target.observe().live[at("grafana")]) == {"unreadable"}


def test_blueprints_of_others_are_left_alone(authentik, target):
    theirs = authentik.keep("Default - Events", "", path="default/events.yaml")
    apply(target, {at("grafana"): proxied()})
    apply(target, {}, "a2")
    assert list(authentik.blueprints.values()) == [theirs]


def test_the_hourly_application_changes_nothing_of_the_verdict(authentik, target):
    made, _ = apply(target, {at("grafana"): proxied()})
    seen = target.observe()
    authentik.one(APPLICATION, slug="grafana")["name"] = "changed by hand"
    authentik.hour()
    assert authentik.one(APPLICATION, slug="grafana")["name"] == "Grafana"
    assert target.unmoved(seen)
    assert target.prove(made).outcome == "proven"


def test_what_one_needs_of_another_is_applied_after_it(authentik, target):
    outpost = {
        "version": 1,
        "entries": [
            {
                "model": OUTPOST,
                "identifiers": {"managed": "goauthentik.io/outposts/embedded"},
                "attrs": {"providers": [{"!Find": [PROXY, ["name", "grafana"]]}]},
            }
        ],
    }
    wanted = {at("a-outpost"): outpost, at("grafana"): proxied()}
    found = target.validate(wanted, target.observe())
    assert found.problems == ()
    assert "authentik/blueprint/a-outpost needs authentik/blueprint/grafana" in found.notes[0]
    _, verdict = apply(target, wanted)
    assert verdict.outcome == "proven"
    provider = authentik.one(PROXY, name="grafana")["pk"]
    assert authentik.one(OUTPOST, name="authentik Embedded Outpost")["providers"] == [provider]


def test_a_list_of_an_outpost_that_would_take_off_what_others_attached_is_told(authentik, target):
    flow = authentik.objects["authentik_flows.flow"][0]["pk"]
    theirs = authentik.make(PROXY, name="theirs", external_host="https://t.lab", authorization_flow=flow)
    authentik.one(OUTPOST, name="authentik Embedded Outpost")["providers"] = [theirs["pk"]]
    spec = proxied()
    entry = {"model": OUTPOST, "identifiers": {"name": "authentik Embedded Outpost"}, "attrs": {}}
    spec["entries"].append({**entry, "attrs": {"providers": [{"!KeyOf": "provider"}]}})
    [problem] = target.validate({at("grafana"): spec}, target.observe()).problems
    assert "serves 'theirs', which this list leaves out" in problem.message


def test_a_secret_reaches_authentik_alone(authentik, make, monkeypatch):
    monkeypatch.setenv("GRAFANA_SECRET", "canary-1234567890")
    target = make(context={"grafana_secret": Secret("env:GRAFANA_SECRET")})
    wanted = {at("grafana"): secretive()}
    assert target.validate(wanted, target.observe()).problems == ()
    made, verdict = apply(target, wanted)
    assert verdict.outcome == "proven"
    assert authentik.one(OAUTH2, name="grafana")["client_secret"] == "canary-1234567890"
    authentik.breaks = {OAUTH2}
    changed = secretive()
    changed["entries"][0]["attrs"]["client_type"] = "public"
    refuted, verdict = apply(target, {at("grafana"): changed}, "a2")
    assert verdict.outcome == "refuted"
    held = [
        target.observe(),
        verdict,
        target.render(refuted),
        *(kept.content for kept in authentik.blueprints.values()),
    ]
    with contextlib.closing(AuthentikApi(authentik.url, Secret("env:AUTHENTIK_TOKEN"))) as api:
        held += api.instances()
    assert "canary" not in repr(held)
    assert "•••" in verdict.evidence


def test_a_secret_that_was_rotated_is_drift_until_it_is_told(authentik, make, monkeypatch):
    monkeypatch.setenv("GRAFANA_SECRET", "canary-1234567890")
    target = make(context={"grafana_secret": Secret("env:GRAFANA_SECRET")})
    wanted = {at("grafana"): secretive()}
    apply(target, wanted)
    monkeypatch.setenv("GRAFANA_SECRET", "canary-of-tomorrow")
    assert target.observe().live == {at("grafana"): {**secretive(), "outdated": ["grafana_secret"]}}
    _, verdict = apply(target, wanted, "a2")
    assert verdict.outcome == "proven"
    assert authentik.one(OAUTH2, name="grafana")["client_secret"] == "canary-of-tomorrow"
    assert target.observe().live == wanted


def test_an_object_that_two_blueprints_hold_is_told(target):
    problems = target.validate({at("grafana"): proxied(), at("zz"): proxied()}, target.observe()).problems
    assert [(one.address, one.message) for one in problems] == [
        (
            "authentik/blueprint/zz",
            f"the {what} 'grafana' also stands in authentik/blueprint/grafana; keep it in one of them",
        )
        for what in ("proxy provider", "application")
    ]


def test_a_name_that_nobody_explains_is_told_before_anything_is_written(target):
    [problem] = target.validate({at("grafana"): secretive()}, target.observe()).problems
    assert "nobody says what !Context grafana_secret is" in problem.message


def test_a_secret_of_the_home_may_not_stand_where_people_see_it(make, monkeypatch):
    monkeypatch.setenv("GRAFANA_SECRET", "canary-1234567890")
    target = make(context={"grafana_secret": Secret("env:GRAFANA_SECRET")})
    spec = proxied()
    spec["entries"][1]["attrs"]["meta_description"] = {"!Context": "grafana_secret"}
    [problem] = target.validate({at("grafana"): spec}, target.observe()).problems
    assert "would be shown at 'meta_description'" in problem.message


def test_while_authentik_is_away_nothing_can_be_said(authentik, target):
    made, _ = apply(target, {at("grafana"): proxied()})
    seen = target.observe()
    authentik.down = True
    assert not target.unmoved(seen)
    assert "503" in target.blocked(made)
    with pytest.raises(AuthentikError, match="status 503"):
        target.observe()


def test_a_token_that_is_not_taken_is_told_with_what_it_needs(authentik, target):
    authentik.token = "another"
    with pytest.raises(AuthentikError, match="may manage blueprints") as refused:
        target.observe()
    assert not refused.value.retry
    authentik.token = "right"
    assert target.observe().live == {}


def without_application(name="grafana", **attrs):
    spec = proxied(name, **attrs)
    return {**spec, "entries": spec["entries"][:1]}


def cut_off(authentik, step, times=1):
    """From the answer to the so-many-th such request on, nothing is heard of authentik any more."""
    left = [times]

    def after(asked):
        left[0] -= asked == step
        if left[0] <= 0:
            authentik.down = True
            raise HungUp

    authentik.after = after


def come_back(authentik):
    authentik.after, authentik.down = lambda asked: None, False


CHANGE = "PATCH /managed/blueprints/{instance_uuid}/"


@pytest.mark.parametrize("times", [1, 2])
def test_an_outage_after_the_content_was_written_loses_nothing_of_what_is_to_go(authentik, target, make, times):
    apply(target, {at("grafana"): proxied()})
    made = attempt(target, target.observe(), {at("grafana"): without_application()}, "a2")
    cut_off(authentik, CHANGE, times)
    target.write(made)
    with pytest.raises(TargetError):
        target.prove(made)
    come_back(authentik)
    reborn = make()
    assert reborn.observe().file == made.after
    assert "not yet been taken away" in reborn.observe().unserved
    assert reborn.prove(made).outcome == "proven"
    assert authentik.one(APPLICATION, slug="grafana") is None
    assert list(authentik.ours()) == ["Waypost authentik: grafana"]


def test_an_outage_while_an_attempt_is_undone_loses_nothing_of_what_it_brought(authentik, target, make):
    before = {at("grafana"): without_application()}
    apply(target, before)
    made, _ = apply(target, {at("grafana"): proxied()}, "a2")
    cut_off(authentik, CHANGE)
    with pytest.raises(TargetError):
        target.undo(made, before)
    come_back(authentik)
    assert make().undo(made, before).outcome == "proven"
    assert authentik.one(APPLICATION, slug="grafana") is None


def test_what_was_to_go_and_stays_after_all_is_not_taken_away(authentik, target, make):
    before = {at("grafana"): proxied()}
    first, _ = apply(target, before)
    made = attempt(target, target.observe(), {at("grafana"): without_application()}, "a2")
    cut_off(authentik, "POST /managed/blueprints/")
    target.write(made)
    with pytest.raises(TargetError):
        target.prove(made)
    come_back(authentik)
    there = authentik.one(APPLICATION, slug="grafana")["pk"]
    authentik.hour()
    reborn = make()
    assert reborn.observe().unserved == ""
    assert reborn.prove(first).outcome == "proven"
    assert authentik.one(APPLICATION, slug="grafana")["pk"] == there
    assert list(authentik.ours()) == ["Waypost authentik: grafana"]


def killed(authentik, doing, where, nth):
    """Do it in a process that dies when authentik has done such a thing for the n-th time; whether it died."""
    left = [nth]

    def after(asked):
        left[0] -= where(asked)
        if left[0] <= 0:
            authentik.down = True
            raise HungUp

    authentik.after = after
    with contextlib.suppress(TargetError):
        doing()
    died = authentik.down
    come_back(authentik)
    return died


def deaths(authentik, make, doing, where):
    """Die at the first of such things, then at the second, and so on; who comes next is an hour late."""
    then, died, nth = copy.deepcopy((authentik.blueprints, authentik.objects)), True, 0
    while died:
        nth += 1
        authentik.blueprints, authentik.objects = copy.deepcopy(then)
        target = make()
        died = killed(authentik, lambda one=target: doing(one), where, nth)
        authentik.hour()
        yield make()
    assert nth > 5


def is_change(asked):
    return not asked.startswith("GET ")


ANY_DEATH = pytest.mark.parametrize(
    "where", [is_change, pytest.param(lambda asked: True, marks=pytest.mark.soak)], ids=["a change", "any answer"]
)


@ANY_DEATH
def test_what_leaves_the_blueprints_goes_and_nothing_else_wherever_the_process_dies(authentik, target, make, where):
    apply(target, {at("grafana"): proxied(), at("wiki"): proxied("wiki")})
    stays, wanted = authentik.one(PROXY, name="wiki")["pk"], {at("wiki"): without_application("wiki")}
    made = attempt(target, target.observe(), wanted, "a2")

    def remove(one):
        one.write(made)
        one.prove(made)

    for reborn in deaths(authentik, make, remove, where):
        there = reborn.observe().file == made.after
        verdict = reborn.prove(made) if there else apply(reborn, wanted, "a3")[1]
        assert verdict.outcome == "proven"
        seen = reborn.observe()
        assert (seen.live, seen.disabled, seen.unserved) == (wanted, {}, "")
        assert authentik.objects.get(APPLICATION, []) == []
        assert [one["pk"] for one in authentik.objects[PROXY]] == [stays]
        assert list(authentik.ours()) == ["Waypost authentik: wiki"]


@ANY_DEATH
def test_what_was_refuted_is_put_back_as_it_was_wherever_the_process_dies(authentik, target, make, where):
    before = {at("grafana"): proxied(), at("wiki"): proxied("wiki")}
    apply(target, before)
    stays = {name: authentik.one(APPLICATION, slug=name)["pk"] for name in ("grafana", "wiki")}
    authentik.breaks = {APPLICATION}
    wanted = {at("grafana"): without_application(mode="proxy"), at("news"): proxied("news")}
    made, verdict = apply(target, wanted, "a2")
    assert verdict.outcome == "refuted"
    authentik.breaks = set()
    for reborn in deaths(authentik, make, lambda one: one.undo(made, before), where):
        assert reborn.undo(made, before).outcome == "proven"
        seen = reborn.observe()
        assert (seen.live, seen.file, seen.disabled, seen.unserved) == (before, made.before, {}, "")
        assert {one["slug"]: one["pk"] for one in authentik.objects[APPLICATION]} == stays
        assert authentik.one(PROXY, name="grafana")["mode"] == "forward_single"
        assert len(authentik.objects[PROXY]) == 2
        assert len(authentik.ours()) == 2


def test_a_blueprint_that_a_person_broke_refutes_no_attempt_that_did_not_write_it(authentik, target):
    apply(target, {at("grafana"): proxied(), at("other"): proxied("other")})
    kept = authentik.ours()["Waypost authentik: other"]
    broken = f"version: 1\nentries:\n- {{model: {APPLICATION}, identifiers: {{slug: z}}, attrs: {{}}}}\n"
    mark = kept.content.partition("\n")[0]
    for number, content in enumerate((broken, f"{mark}\n{broken}")):
        kept.content = content
        seen = target.observe()
        mode = ("proxy", "forward_single")[number]
        after = {**seen.live, at("grafana"): proxied(mode=mode)}
        made = attempt(target, seen, after, f"a{number + 2}")
        target.write(made)
        assert target.prove(made).outcome == "proven"
        assert at("other") in target.observe().disabled
    assert target.undo(made, seen.live).outcome == "proven"


def test_a_blueprint_that_is_renamed_is_not_held_up_by_the_one_that_it_replaces(target):
    apply(target, {at("old"): proxied()})
    both = {at("old"): proxied(), at("new"): proxied()}
    assert target.blocked(attempt(target, target.observe(), both, "a2")) == ""
    assert target.validate(both, target.observe()).problems != ()


def client(name="nextcloud", state="present", **attrs):
    flow = {"!Find": ["authentik_flows.flow", ["slug", "default-provider-authorization-implicit-consent"]]}
    attrs = {
        "authorization_flow": flow,
        "redirect_uris": [{"matching_mode": "strict", "url": "https://n.lab"}],
        **attrs,
    }
    provider = {"model": OAUTH2, "state": state, "identifiers": {"name": name}, "attrs": attrs}
    return {"version": 1, "entries": [provider]}


def by_hand(authentik, name="nextcloud"):
    flow = authentik.one("authentik_flows.flow", slug="default-provider-authorization-implicit-consent")["pk"]
    ends = [{"matching_mode": "strict", "url": "https://n.lab"}]
    return authentik.make(OAUTH2, name=name, authorization_flow=flow, invalidation_flow=flow, redirect_uris=ends)


EVIL = [{"matching_mode": "strict", "url": "https://evil.example/cb"}]


def test_what_a_person_made_in_authentik_is_not_taken_over(authentik, target):
    theirs = by_hand(authentik)
    [problem] = target.validate({at("x"): client(redirect_uris=EVIL)}, target.observe()).problems
    assert "the OAuth2 provider 'nextcloud' is in authentik already, made by somebody else" in problem.message
    by_key = client(redirect_uris=EVIL)
    by_key["entries"][0]["identifiers"] = {"pk": theirs["pk"], "name": "another"}
    assert "made by somebody else" in target.validate({at("x"): by_key}, target.observe()).problems[0].message
    by_key["entries"][0]["identifiers"] = {"name": {"!Format": ["next%s", "cloud"]}}
    assert "known by plain values" in target.validate({at("x"): by_key}, target.observe()).problems[0].message
    assert theirs["redirect_uris"][0]["url"] == "https://n.lab"


def test_what_was_only_looked_at_is_not_taken_over_later(authentik, target):
    by_hand(authentik)
    apply(target, {at("x"): client(state="created", redirect_uris=EVIL)})
    [problem] = target.validate({at("x"): client(redirect_uris=EVIL)}, target.observe()).problems
    assert "made by somebody else" in problem.message


def test_what_is_there_just_as_it_is_wanted_is_no_takeover_nor_is_what_moves_or_comes_back(authentik, target):
    by_hand(authentik)
    assert target.validate({at("x"): client()}, target.observe()).problems == ()
    apply(target, {at("x"): client(), at("grafana"): proxied()})
    moved = {at("y"): client(redirect_uris=EVIL), at("figures"): proxied(mode="proxy")}
    assert target.validate(moved, target.observe()).problems == ()
    for one in list(authentik.ours().values()):
        del authentik.blueprints[one.pk]
    assert target.validate({at("grafana"): proxied()}, target.observe()).problems == ()


@pytest.mark.parametrize("status", [403, 503])
def test_an_authentik_that_only_answers_to_who_looks_is_told_and_nothing_breaks(authentik, target, monkeypatch, status):
    answer = type(authentik).answer

    def reading(self, method, path, body):
        return answer(self, method, path, body) if method == "GET" else (status, {"detail": "not now"})

    monkeypatch.setattr(type(authentik), "answer", reading)
    wanted = {at("grafana"): proxied()}
    found = target.validate(wanted, target.observe())
    if status == 403:
        assert ["may manage blueprints" in one.message for one in found.problems] == [True]
    else:
        assert (found.problems, "could not be tried" in found.notes[0]) == ((), True)
    assert str(status) in target.blocked(attempt(target, target.observe(), wanted))
