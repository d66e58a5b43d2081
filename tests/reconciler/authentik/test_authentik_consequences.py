"""What people are told that a change of blueprints costs them."""

from __future__ import annotations

import copy

import pytest

from reconciler.authentik.blueprint import leaving
from reconciler.authentik.consequences import losses
from reconciler.core.policy import Policy
from state.model import Address

PLACE = Address("authentik", "blueprint", "grafana")
PROXY, OAUTH2 = "authentik_providers_proxy.proxyprovider", "authentik_providers_oauth2.oauth2provider"
APPLICATION, BINDING = "authentik_core.application", "authentik_policies.policybinding"
FLOW, BRAND, OUTPOST = "authentik_flows.flow", "authentik_brands.brand", "authentik_outposts.outpost"
CERTIFICATE = "authentik_crypto.certificatekeypair"
VALIDATE = "authentik_stages_authenticator_validate.authenticatorvalidatestage"
GROUP = {"!Find": ["authentik_core.group", ["name", "figures"]]}


def entry(model, *, id="", state="present", name="grafana", **attrs):
    key = {APPLICATION: "slug", FLOW: "slug", BRAND: "domain"}.get(model, "name")
    identifiers = {key: name} if model != BINDING else {"target": {"!KeyOf": "app"}, "group": GROUP}
    return {"model": model, "state": state, "identifiers": identifiers, "attrs": attrs, **({"id": id} if id else {})}


def spec(*entries):
    return {"version": 1, "entries": list(entries)}


def told(before, after, policy=None):
    sides = [{PLACE: one} if one else {} for one in (before, after)]
    found = losses("authentik", *sides, (), policy or Policy(protected=()))
    return [(one.guard, one.level, one.lost) for one in found]


FULL = spec(
    entry(PROXY, id="provider", mode="forward_single", external_host="https://grafana.lab"),
    entry(APPLICATION, id="app", name="grafana", provider={"!KeyOf": "provider"}),
    entry(BINDING, order=0, enabled=True),
)


def changed(number, **attrs):
    other = copy.deepcopy(FULL)
    other["entries"][number]["attrs"].update(attrs)
    return other


def test_something_new_costs_nothing():
    assert told(None, FULL) == []


def test_what_stays_as_it_is_costs_nothing():
    assert told(FULL, copy.deepcopy(FULL)) == []


def test_a_file_that_goes_names_every_object_that_goes_with_it():
    assert [words for _, _, words in told(FULL, None)] == [
        "nobody would sign in through the proxy provider 'grafana' any more",
        "people would no longer find and sign in to the application 'grafana'",
        "'figures' would no longer say who may use 'app'",
    ]
    assert {level for _, level, _ in told(FULL, None)} == {"shown"}


def test_what_is_said_to_be_absent_goes_as_what_is_left_out():
    absent = copy.deepcopy(FULL)
    for one in absent["entries"]:
        one["state"] = "absent"
    assert told(FULL, absent) == told(FULL, None)
    assert told(absent, None) == []


def test_what_no_blueprint_made_goes_only_with_consent():
    absent = spec(entry(APPLICATION, name="theirs", state="absent"))
    assert told(None, absent) == [
        ("identity", "consent", "the application 'theirs' would be removed, which no blueprint made")
    ]


@pytest.mark.parametrize(
    ("number", "attrs", "guard", "words"),
    [
        (0, {"skip_path_regex": "^/api"}, "authentication", "without signing in"),
        (0, {"mode": "proxy"}, "authentication", "would guard in another mode"),
        (0, {"external_host": "https://other.lab"}, "identity", "would guard another address"),
        (0, {"internal_host": "https://evil.example"}, "identity", "to another server"),
        (0, {"authentication_flow": "x"}, "authentication", "how people sign in through"),
        (0, {"intercept_header_auth": False}, "authentication", "which credentials"),
        (1, {"policy_engine_mode": "any"}, "authentication", "one policy instead of all"),
        (1, {"provider": None}, "identity", "in another way"),
        (2, {"enabled": False}, "authentication", "would no longer be asked"),
        (2, {"negate": True}, "authentication", "whom it kept out"),
        (2, {"failure_result": True}, "authentication", "lets people in when it fails".replace("lets", "let")),
    ],
)  # fmt: skip
def test_a_guard_that_asks_less_is_told(number, attrs, guard, words):
    [(found, level, lost)] = told(FULL, changed(number, **attrs))
    assert (found, level) == (guard, "shown")
    assert words in lost


def test_what_only_looks_different_costs_nothing():
    assert told(FULL, changed(1, name="Figures", meta_description="graphs", open_in_new_tab=True)) == []


def test_further_ends_of_a_sign_in_and_a_secret_that_is_no_longer_asked_for_are_told():
    before = spec(
        entry(OAUTH2, client_type="confidential", redirect_uris=[{"matching_mode": "strict", "url": "https://a"}])
    )
    after = spec(entry(OAUTH2, client_type="public", redirect_uris=[{"matching_mode": "regex", "url": ".*"}]))
    assert [words for _, _, words in told(before, after)] == [
        "sign-ins through the OAuth2 provider 'grafana' could also end at .*",
        "whoever knows the name of the OAuth2 provider 'grafana' could use it, without its secret",
    ]


def test_a_flow_that_asks_less_and_a_step_that_goes_need_a_persons_word():
    before = spec(entry(FLOW, authentication="require_authenticated"), entry(VALIDATE, not_configured_action="deny"))
    after = spec(entry(FLOW, authentication="none"), entry(VALIDATE, not_configured_action="skip"))
    assert [level for _, level, _ in told(before, after)] == ["consent", "shown"]


def test_what_everybody_depends_on_needs_a_persons_word():
    flow = {"!Find": [FLOW, ["slug", "mine"]]}
    styled = spec(entry(BRAND, name="authentik-default", branding_custom_css="*{}", flow_authentication=flow))
    assert [level for _, level, _ in told(None, styled)] == ["consent", "consent"]
    assert told(None, spec(entry(BRAND, name="authentik-default", branding_title="Home"))) == []
    [(_, level, lost)] = told(None, spec(entry(FLOW, name="default-authentication-flow", title="x")))
    assert (level, "brings with it" in lost) == ("consent", True)


def test_whom_everybody_trusts_and_where_everybody_is_sent_needs_a_persons_word():
    trusting = spec(entry(BRAND, name="authentik-default", client_certificates=[find(CERTIFICATE, "name", "mine")]))
    [(guard, level, lost)] = told(None, trusting)
    assert (guard, level, "client_certificates" in lost) == ("authentication", "consent", True)
    sending = spec(entry(OUTPOST, config={"authentik_host": "https://elsewhere.example"}))
    [(guard, level, lost)] = told(None, sending)
    assert (guard, level, "where it sends people to sign in" in lost) == ("authentication", "consent", True)
    assert told(None, spec(entry(OUTPOST, providers=[find(PROXY, "name", "grafana")]))) == []


def test_a_provider_that_an_outpost_no_longer_answers_for_is_told():
    one, two = ({"!Find": [PROXY, ["name", name]]} for name in ("grafana", "wiki"))
    [(_, level, lost)] = told(spec(entry(OUTPOST, providers=[one, two])), spec(entry(OUTPOST, providers=[one])))
    assert (level, lost) == ("shown", "the outpost 'grafana' would no longer answer for wiki: nobody gets in there")


def test_what_is_let_go_of_is_told():
    [(_, level, lost)] = told(spec(entry(BRAND, name="authentik-default", branding_title="Home")), None)
    assert (level, "would stay in authentik as it is" in lost) == ("shown", True)


def test_a_protected_object_is_known_by_its_own_name_whatever_its_file_is_called():
    policy = Policy(protected=("*/*/*gitea*",))
    before = spec(entry(APPLICATION, name="gitea", open_in_new_tab=False))
    after = spec(entry(APPLICATION, name="gitea", open_in_new_tab=True))
    assert told(before, after, policy) == [
        ("protected", "consent", "the application 'gitea' is protected and would be changed")
    ]


def test_another_change_is_another_loss():
    sides = (
        [{PLACE: FULL}, {PLACE: changed(0, mode="proxy")}],
        [{PLACE: FULL}, {PLACE: changed(0, mode="forward_domain")}],
    )
    one, two = (losses("authentik", *pair, (), Policy(protected=()))[0] for pair in sides)
    assert one.lost == two.lost
    assert one.key != two.key


PASSWORD = "authentik_stages_password.passwordstage"
STEP = "authentik_flows.flowstagebinding"


def step(flow, stage, order=15):
    return {
        "model": STEP,
        "state": "present",
        "identifiers": {"target": flow, "order": order},
        "attrs": {"stage": stage},
    }


def find(model, key, name):
    return {"!Find": [model, [key, name]]}


def test_another_flow_to_sign_in_with_is_told_of_an_oauth2_provider():
    before, after = (spec(entry(OAUTH2, authentication_flow=find(FLOW, "slug", slug))) for slug in ("one", "two"))
    [(guard, level, lost)] = told(before, after)
    assert (guard, level, "how people sign in" in lost) == ("authentication", "shown", True)


def test_another_stage_in_the_place_of_a_step_needs_a_persons_word():
    flow = find(FLOW, "slug", "mine")
    before = spec(step(flow, find(PASSWORD, "name", "password")))
    after = spec(step(flow, find("authentik_stages_deny.denystage", "name", "no")))
    assert ("authentication", "consent", "a step of 'mine' would be replaced: its stage") in told(before, after)


def test_another_stage_under_the_id_that_a_step_refers_to_is_another_stage():
    flow = find(FLOW, "slug", "mine")
    before, after = (spec(entry(PASSWORD, id="s", name=name), step(flow, {"!KeyOf": "s"})) for name in ("one", "two"))
    assert "consent" in [level for _, level, lost in told(before, after) if "would be replaced" in lost]


def test_a_reference_that_is_written_otherwise_costs_nothing():
    found = copy.deepcopy(FULL)
    found["entries"][1]["attrs"]["provider"] = find(PROXY, "name", "grafana")
    assert told(FULL, found) == []


def test_a_new_step_needs_a_persons_word_unless_its_flow_is_made_along_with_it():
    login = find("authentik_stages_user_login.userloginstage", "name", "default-authentication-login")
    shipped = spec(step(find(FLOW, "slug", "default-authentication-flow"), login))
    assert told(None, shipped) == [
        ("authentication", "consent", "a step would be added to 'default-authentication-flow'")
    ]
    mine = entry(FLOW, id="flow", name="mine")
    own = spec(mine, step({"!KeyOf": "flow"}, login))
    assert told(None, own) == []
    assert [level for _, level, _ in told(spec(mine), own)] == ["consent"]
    borrowed = spec({**mine, "state": "created"}, step({"!KeyOf": "flow"}, login))
    assert [level for _, level, _ in told(None, borrowed)] == ["consent"]


def test_a_further_group_that_may_use_something_that_stands_already_is_told():
    bound = {"target": find(APPLICATION, "slug", "vault"), "group": find("authentik_core.group", "name", "everybody")}
    binding = {"model": BINDING, "identifiers": bound, "attrs": {"order": 9}}
    assert told(None, spec(binding)) == [("authentication", "shown", "'everybody' would also say who may use 'vault'")]


def test_a_flow_that_is_not_known_by_its_slug_needs_a_persons_word():
    welcome = {"model": FLOW, "identifiers": {"name": "Welcome to authentik!"}, "attrs": {"authentication": "none"}}
    assert [level for _, level, _ in told(None, spec(welcome))] == ["consent"]
    welcome["attrs"]["slug"] = "default-authentication-flow"
    [(_, level, lost)] = told(None, spec(welcome))
    assert (level, "brings with it" in lost) == ("consent", True)


def test_what_was_only_looked_at_is_taken_over_like_something_new():
    looked, taken = (spec(entry(FLOW, name="default-x", state=state)) for state in ("created", "present"))
    assert [level for _, level, _ in told(looked, taken)] == ["consent"]


def test_what_is_only_known_by_more_or_by_less_than_before_stays_and_is_judged_as_what_it_was():
    binding = {"target": {"!KeyOf": "app"}, "order": 0}
    wide = spec(entry(APPLICATION, id="app"), {"model": BINDING, "identifiers": binding, "attrs": {"group": GROUP}})
    narrow = copy.deepcopy(wide)
    narrow["entries"][0] |= {"identifiers": {"slug": "grafana", "name": "Grafana"}}
    narrow["entries"][1] |= {"identifiers": {**binding, "group": GROUP}, "attrs": {}}
    wide["entries"][0]["attrs"]["name"] = "Grafana"
    for before, after in ((wide, narrow), (narrow, wide)):
        assert leaving({PLACE: before}, {PLACE: after}).spec is None
        assert told(before, after) == []
        opened = copy.deepcopy(after)
        opened["entries"][1]["attrs"]["enabled"] = False
        assert [words for _, _, words in told(before, opened)] == ["a policy binding would no longer be asked"]


def test_what_authentik_could_not_tell_from_what_stays_is_let_go_of():
    narrow, wide = ({"model": FLOW, "identifiers": {"slug": "mine", **more}} for more in ({"name": "x"}, {}))
    left = leaving({PLACE: spec(narrow, wide)}, {PLACE: spec(narrow)})
    assert ([entry.identifiers for entry in left.kept], left.spec) == ([{"slug": "mine"}], None)
