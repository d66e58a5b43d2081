"""What may stand in a blueprint of the desired repo, and what is said of the rest."""

from __future__ import annotations

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.authentik import blueprint, models, shape
from reconciler.authentik.language import LANGUAGE
from reconciler.core.redact import cover, redact
from state.model import Address
from tests.authentik.fake_authentik import Loader, Tag

NATIVE = """\
# everybody who may see figures
version: 1
metadata:
  name: Grafana
  labels: {team: home}
context:
  host: grafana.lab
entries:
  - model: authentik_providers_oauth2.oauth2provider
    id: provider
    identifiers:
      name: grafana
    attrs:
      authorization_flow: !Find [authentik_flows.flow, [slug, default-provider-authorization-implicit-consent]]
      client_secret: !Context grafana_secret
      redirect_uris:
        - {matching_mode: strict, url: "https://grafana.lab/login"}
      property_mappings:
        - !Find [authentik_providers_oauth2.scopemapping, [managed, goauthentik.io/providers/oauth2/scope-openid]]
  - model: authentik_core.application
    state: present
    conditions: [!Condition [AND, true, !Context [wanted, true]]]
    identifiers: {slug: grafana}
    attrs:
      name: Grafana
      provider: !KeyOf provider
      meta_launch_url: !Format ["https://%s/", !Context host]
      group: !If [!Context [wanted, true], "Figures", ""]
"""


def parsed(text):
    return LANGUAGE.parse("authentik/grafana.yaml", text.encode())


def said(text):
    return [str(problem) for problem in parsed(text).problems]


def entry(lines, model="authentik_core.application"):
    return f"version: 1\nentries:\n  - model: {model}\n    identifiers: {{slug: a}}\n{lines}"


def test_a_native_blueprint_is_one_resource_named_by_its_file():
    found = parsed(NATIVE)
    assert found.problems == ()
    [(kind, name, spec, line)] = found.resources
    assert (kind, name, line) == ("blueprint", "grafana", 1)
    assert spec["entries"][0]["attrs"]["client_secret"] == {"!Context": "grafana_secret"}
    assert spec["entries"][1]["attrs"]["meta_launch_url"] == {"!Format": ["https://%s/", {"!Context": "host"}]}


def test_entries_may_stand_in_groups():
    grouped = NATIVE.replace("entries:\n  - model", "entries:\n  first:\n  - model", 1)
    assert parsed(grouped).problems == ()
    assert [one.model for one in blueprint.entries(parsed(grouped).resources[0][2])] == [
        "authentik_providers_oauth2.oauth2provider",
        "authentik_core.application",
    ]


def test_what_is_written_for_authentik_reads_back_as_the_same_here_and_there():
    spec = parsed(NATIVE).resources[0][2]
    text = blueprint.written(spec, "Waypost a1")
    assert parsed(text).resources[0][2] == spec
    theirs = yaml.load(text, Loader)
    assert theirs == yaml.load(NATIVE, Loader)
    assert theirs["entries"][1]["attrs"]["provider"] == Tag("KeyOf", "provider")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc_-: #", min_size=1, max_size=6), inner, max_size=3)
        | st.builds(lambda text: {"!Context": text}, st.text("abc: #'\"", max_size=6))
        | st.builds(lambda items: {"!Format": items}, st.lists(inner, min_size=1, max_size=3))
    ),
    max_leaves=12,
)


@given(VALUES)
def test_whatever_a_field_holds_survives_being_written(value):
    spec = {"version": 1, "entries": [{"model": "m", "identifiers": {"name": "x"}, "attrs": {"config": value}}]}
    again = parsed(blueprint.written(spec, "Waypost a1"))
    assert again.resources == (("blueprint", "grafana", spec, 1),)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("version: 1\nentries: []\n", "2:1", "at least one entry"),
        ("entries: {}\n", "", "right would be version: 1"),
        ("- 1\n", "1:1", "right would be a blueprint"),
        (entry("    nope: 1\n"), "5:5", "an entry has no 'nope'"),
        (entry("    permissions: []\n"), "5:5", "permissions are out of reach"),
        (entry("    state: gone\n"), "5:5", "one of present, created, absent"),
        (entry("    state: must_created\n"), "5:5", "one of present, created, absent"),
        (entry("    state: !Context [s, absent]\n"), "5:5", "written out"),
        (entry("    attrs: {nmae: a}\n"), "5:13", "did you mean 'name'?"),
        (entry("    attrs: {open_in_new_tab: 1}\n"), "5:13", "right would be true or false"),
        (entry("    attrs: {open_in_new_tab: yes}\n"), "5:13", "yes without quotes"),
        (entry("    attrs: {provider: grafana}\n"), "5:13", "right would be a whole number"),
        (entry("    attrs: {provider: !KeyOf nobody}\n"), "5:13", "no entry above has the id 'nobody'"),
        (entry("    attrs: {name: !Env AUTHENTIK_SECRET_KEY}\n"), "5:13", "!Env is out of reach"),
        (entry("    attrs: {name: !File /etc/passwd}\n"), "5:13", "!File is out of reach"),
        (entry("    attrs: {name: !Format ['%s', !File /etc/passwd]}\n"), "5:34", "!File is out of reach"),
        (entry("    attrs: {name: !FindObject [authentik_core.token, [key, a]]}\n"), "5:13", "!FindObject is out of"),
        (entry("    attrs: {provider: !Find [authentik_core.token, [key__startswith, a]]}\n"), "5:13", "opens doors"),
        (entry("    attrs: {provider: !Find [authentik_flows.flow, [slug__regex, a]]}\n"), "5:13", "found by slug"),
        (entry("    attrs: {provider: !Find [!Context m, [slug, a]]}\n"), "5:13", "right would be !Find [MODEL"),
        (entry("    attrs: {name: !Surprise a}\n"), "5:13", "there is no tag !Surprise"),
        (entry("    attrs: {name: &a x, group: *a}\n"), "5:19", "anchor"),
        (entry("    attrs: {'!KeyOf': x}\n"), "5:13", "would be taken for a tag"),
        (entry("", "!Context model"), "3:5", "right would be a model, written out"),
        (entry("", "authentik_core.user"), "3:5", "accounts are people's"),
        (entry("", "authentik_core.group"), "3:5", "who belongs to a group is people's"),
        (entry("", "authentik_core.token"), "3:5", "a token opens doors"),
        (entry("", "authentik_policies_expression.expressionpolicy"), "3:5", "it holds code"),
        (entry("", "authentik_providers_oauth2.scopemapping"), "3:5", "it holds code"),
        (entry("", "authentik_stages_prompt.prompt"), "3:5", "it holds code"),
        (entry("", "authentik_rbac.role"), "3:5", "what somebody may do"),
        (entry("", "authentik_blueprints.metaapplyblueprint"), "3:5", "blueprints do not call each other"),
        (entry("", "authentik_tenants.domain"), "3:5", "none of those that Waypost manages"),
        ("version: 1\ncontext: {client_secret: hunter22}\nentries: []\n", "2:11", "a secret must not stand in Git"),
    ],
)  # fmt: skip
def test_what_may_not_stand_there_is_told_with_its_place(text, place, words):
    found = [one for one in said(text) if words in one]
    assert found, said(text)
    assert found[0].startswith(f"authentik/grafana.yaml:{place}")


@pytest.mark.parametrize(
    "value",
    ["hunter2hunter2", "!Context [name, hunter2]", "!Format ['%s', hunter2]", "!If [true, hunter2, hunter2]"],
)
def test_a_secret_is_a_reference_and_nothing_else(value):
    text = NATIVE.replace("!Context grafana_secret", value)
    assert any("client_secret: a secret must not stand in Git" in one for one in said(text))
    assert not any("hunter2" in one for one in said(text))


def test_what_stands_for_a_secret_is_shown_nowhere():
    text = NATIVE.replace("!Context host", "!Context grafana_secret")
    assert any("'grafana_secret' stands for a secret, which would be shown here" in one for one in said(text))


@pytest.mark.parametrize("name", ["host", "client_secret"])
@pytest.mark.parametrize("value", ["!Context grafana_secret", "!Format ['%s', !Context [x, !Context grafana_secret]]"])
def test_what_stands_for_a_secret_gets_no_other_name_by_which_it_could_be_shown(name, value):
    shown = NATIVE.replace("host: grafana.lab", f"{name}: {value}").replace("!Context host", f"!Context {name}")
    assert any(f"{name}: !Context has no place here" in one for one in said(shown)), said(shown)


UUID = "0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f"


@pytest.mark.parametrize(
    "key", ["!Format ['%s', 1]", "'01'", "' 1'", "'\uff11'", "1.0", "true", UUID.upper(), UUID.replace("-", "")]
)
def test_a_key_that_could_not_be_told_from_that_of_somebody_elses_object_is_refused(key):
    text = entry("    attrs: {name: A}\n").replace("slug: a", "pk: " + key)
    assert any("right would be the key as authentik itself writes it" in one for one in said(text)), said(text)


@pytest.mark.parametrize("key", ["7", "'7'", UUID])
def test_a_key_as_authentik_tells_it_is_taken(key):
    assert said(entry("    attrs: {name: A}\n").replace("slug: a", "pk: " + key)) == []


def test_all_faults_are_told_at_once():
    assert len(said(entry("    attrs: {nmae: a, name: !Env X, provider: no}\n"))) == 4


def test_a_single_account_cannot_be_bound():
    text = entry("    attrs: {user: 1}\n", "authentik_policies.policybinding")
    assert any("bind a group" in one for one in said(text))


FIELDS = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 300) | st.sampled_from(("", "a", "strict", "all", "proxy", "x" * 300)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(("url", "mode")), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from(sorted(models.ALLOWED)), st.data())
def test_the_shape_of_a_model_is_judged_as_the_published_schema_judges_it(model, data):
    schema = models.published()[model]
    field = data.draw(st.sampled_from(sorted(schema["properties"])))
    value = {field: data.draw(FIELDS)}
    theirs = jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker(["uuid"])).is_valid(value)
    ours = [words for _, words in shape.faults(value, schema, ()) if "no such field" not in words]
    if theirs and ours:
        assert "UUID" in ours[0]  # their checker of this form may be another
    else:
        assert theirs == (not ours)


def test_only_files_of_yaml_that_are_not_hidden_are_read():
    assert [LANGUAGE.reads(path) for path in ("a.yaml", "b/c.yml", ".d.yaml", "e/.f/g.yaml", "README.md")] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_those_that_others_need_come_first():
    provider = {"!Find": [models.PROXY, ["name", "grafana"]]}
    outpost = {"model": models.OUTPOST, "identifiers": {"name": "o"}, "attrs": {"providers": [provider]}}
    seeking = {"version": 1, "entries": [outpost]}
    found = {"version": 1, "entries": [{"model": models.PROXY, "identifiers": {"name": "grafana"}}]}
    one, two = Address("authentik", "blueprint", "a"), Address("authentik", "blueprint", "b")
    assert blueprint.in_order({one: seeking, two: found}) == [two, one]
    assert blueprint.needs(one, {one: seeking, two: found}) == {two}


def test_all_that_is_allowed_is_published_and_what_holds_a_secret_is_known():
    assert models.published().keys() == models.ALLOWED
    fields = {name for model in models.published().values() for name in model["properties"]}
    assert fields >= models.SECRET_FIELDS
    for model, field_name in models.FORBIDDEN_FIELDS:
        assert field_name in models.published()[model]["properties"]
    for model, found_by in models.FINDABLE.items():
        if model in models.ALLOWED:
            assert models.published()[model]["properties"].keys() >= found_by


def test_what_only_names_a_secret_may_be_shown_and_a_secret_may_not():
    spec = parsed(NATIVE).resources[0][2]
    assert redact(spec) == spec
    assert cover("no value for grafana_secret", [spec]) == "no value for grafana_secret"
    spec["entries"][0]["attrs"]["client_secret"] = "hunter2hunter2"
    assert "hunter2" not in str(redact(spec))
