"""Write tools propose: exactly one commit each, or nothing at all, and never a secret, a template or the policy."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from reconciler import document
from reconciler.routing import rules
from state.events import ProposalMade, ProposalWithdrawn, ToolCalled
from tests.shards.serving import HAND_WRITTEN, ROUTE, Answers, DesiredRepo, Waypost

MakeWaypost = Callable[..., Waypost]


def config(text: bytes | None) -> dict:
    assert text is not None
    return document.read("file.yaml", text).value


def test_create_route_commits_exactly_one_proposal_with_its_trailers(waypost: Waypost) -> None:
    proposed = waypost.answer("traefik_create_route", **ROUTE)
    assert waypost.proposals == {proposed["branch"]: proposed["commit"]}
    commit = waypost.clone.commit(proposed["commit"])
    assert commit.parents == (waypost.desired.main,)
    assert commit.subject == "Create route gitea for gitea.example.org"
    assert ROUTE["reason"] in commit.message
    assert commit.trailers["Waypost-Tool"] == "traefik_create_route"
    assert commit.trailers["Waypost-Client"].startswith("mcp")
    assert waypost.clone.changed(commit.parents[0], commit.id) == ["traefik/gitea.yaml"]


def test_a_created_route_is_native_traefik_configuration(waypost: Waypost) -> None:
    more = {
        "host": ["gitea.example.org", "Git.Example.Org"],
        "path_prefix": "/git",
        "service_url": ["http://10.0.0.1:3000", "http://10.0.0.2:3000"],
        "middlewares": ["compress", "auth@docker"],
        "entry_points": ["websecure"],
        "cert_resolver": "le",
    }
    proposed = waypost.answer("traefik_create_route", **{**ROUTE, **more})
    assert config(waypost.file(proposed["commit"], "traefik/gitea.yaml")) == {
        "http": {
            "routers": {
                "gitea": {
                    "rule": "(Host(`gitea.example.org`) || Host(`git.example.org`)) && PathPrefix(`/git`)",
                    "service": "gitea",
                    "entryPoints": ["websecure"],
                    "middlewares": ["compress", "auth@docker"],
                    "tls": {"certResolver": "le"},
                }
            },
            "services": {
                "gitea": {
                    "loadBalancer": {"servers": [{"url": "http://10.0.0.1:3000"}, {"url": "http://10.0.0.2:3000"}]}
                }
            },
        }
    }
    assert proposed["resources"] == ["traefik/http.routers/gitea", "traefik/http.services/gitea"]


def test_the_proposal_is_durable_and_recorded_before_the_answer(waypost: Waypost) -> None:
    proposed = waypost.answer("traefik_create_route", **ROUTE)
    made, called = (row.event for row in waypost.outbox())
    assert isinstance(made, ProposalMade)
    assert isinstance(called, ToolCalled)
    assert (made.proposal, made.commit, made.parent) == (
        proposed["proposal"],
        proposed["commit"],
        proposed["parent"],
    )
    assert made.resources == ("traefik/http.routers/gitea", "traefik/http.services/gitea")
    assert (called.tool, called.outcome) == ("traefik_create_route", "ok")


def test_a_reply_says_plan_pending_while_the_reconciler_is_away(waypost: Waypost) -> None:
    plan = waypost.answer("traefik_create_route", **ROUTE)["plan"]
    assert plan["state"] == "pending"
    assert "cannot be reached" in plan["reason"]


def test_a_reply_shows_the_plan_of_the_reconciler(make_waypost: MakeWaypost, reconciler: str, answers: Answers) -> None:
    change = {"action": "create", "address": "traefik/http.routers/gitea"}
    answers.told["plan"] = {"plan": {"digest": "d" * 64, "code": "dddddd", "changes": [change], "conflicts": []}}
    proposed = make_waypost(reconciler_url=reconciler).answer("traefik_create_route", **ROUTE)
    assert proposed["plan"]["state"] == "shown"
    assert (proposed["plan"]["code"], proposed["plan"]["changes"]) == ("dddddd", [change])
    assert f"waypost approve {proposed['proposal']}" in proposed["review"]


@pytest.mark.parametrize("strange", [True, 7, "soon", {"a": 1}])
def test_a_plan_whose_lists_are_none_is_shown_without_them(
    make_waypost: MakeWaypost, reconciler: str, answers: Answers, strange: object
) -> None:
    answers.told["plan"] = {"plan": {"code": "dddddd", "notes": strange, "changes": strange}}
    plan = make_waypost(reconciler_url=reconciler).answer("traefik_create_route", **ROUTE)["plan"]
    assert (plan["state"], plan["code"], plan["notes"], plan["changes"]) == ("shown", "dddddd", [], [])


def test_a_plan_that_makes_no_sense_is_pending_and_costs_no_proposal(
    make_waypost: MakeWaypost, reconciler: str, answers: Answers
) -> None:
    answers.told["plan"] = {"plan": "soon"}
    assert make_waypost(reconciler_url=reconciler).answer("traefik_create_route", **ROUTE)["plan"]["state"] == "pending"


def test_comments_and_key_order_of_an_edited_file_survive(waypost: Waypost) -> None:
    proposed = waypost.answer(
        "traefik_update_route", name="grafana", host="graphs.example.org", service_url="http://10.0.0.6:3000",
        reason="new box",
    )  # fmt: skip
    before, after = HAND_WRITTEN.decode(), waypost.file(proposed["commit"], "traefik/grafana.yaml").decode()
    expected = before.replace("grafana.example.org", "graphs.example.org").replace("10.0.0.5", "10.0.0.6")
    # The comment of the very value that changed may go with it; all the others stay where they are.
    cut = "# the box in the cellar"
    assert [line.replace(cut, "").strip() for line in after.splitlines()] == [
        line.replace(cut, "").strip() for line in expected.splitlines()
    ]


def test_update_changes_only_what_is_given(waypost: Waypost) -> None:
    proposed = waypost.answer("traefik_update_route", name="grafana", middlewares=[], reason="no compression")
    router = config(waypost.file(proposed["commit"], "traefik/grafana.yaml"))["http"]["routers"]["grafana"]
    assert router == {"service": "grafana", "rule": "Host(`grafana.example.org`) && PathPrefix(`/dash`)"}


def test_taking_a_certificate_resolver_away_gives_no_tls_to_a_route_that_has_none(waypost: Waypost) -> None:
    proposed = waypost.answer("traefik_update_route", name="grafana", cert_resolver="", priority=3, reason="plain")
    router = config(waypost.file(proposed["commit"], "traefik/grafana.yaml"))["http"]["routers"]["grafana"]
    assert (router["priority"], "tls" in router) == (3, False)


def test_update_refuses_to_guess_the_rest_of_a_hand_written_rule(waypost: Waypost) -> None:
    waypost.desired.commit(
        {"traefik/x.yaml": b"http: {routers: {x: {rule: 'Path(`/x`) || Host(`a`)', service: a@docker}}}\n"}
    )
    refusal = waypost.refusal("traefik_update_route", name="x", host="b.example.org", reason="moved")
    assert refusal["code"] == "bad-rule"


def test_delete_takes_a_route_with_its_own_service_and_leaves_what_is_shared(waypost: Waypost) -> None:
    proposed = waypost.answer("traefik_delete_route", name="grafana", reason="gone")
    left = waypost.file(proposed["commit"], "traefik/grafana.yaml")
    assert config(left) == {"http": {"middlewares": {"compress": {"compress": {}}}}}
    shared = b"http: {routers: {other: {rule: 'Host(`o.example.org`)', service: grafana}}}\n"
    waypost.desired.commit({"traefik/other.yaml": shared})
    proposed = waypost.answer("traefik_delete_route", name="grafana", reason="gone")
    assert "services" in config(waypost.file(proposed["commit"], "traefik/grafana.yaml"))["http"]


def test_only_what_names_it_as_a_service_shares_a_service(waypost: Waypost) -> None:
    """An entry point or a middleware may be called like it; an error page is served by it as much as a route."""
    alike = b"http: {routers: {o: {rule: 'Host(`o.lab`)', service: a@docker, entryPoints: [grafana]}}}\n"
    waypost.desired.commit({"traefik/o.yaml": alike})
    made = waypost.answer("traefik_update_route", name="grafana", service_url="http://10.0.0.6:3000", reason="moved")
    assert made["resources"] == ["traefik/http.services/grafana"]
    proposed = waypost.answer("traefik_delete_route", name="grafana", reason="gone")
    assert "traefik/http.services/grafana" in proposed["resources"]
    pages = b"http: {middlewares: {pages: {errors: {status: ['500'], service: grafana, query: /}}}}\n"
    waypost.desired.commit({"traefik/pages.yaml": pages})
    proposed = waypost.answer("traefik_delete_route", name="grafana", reason="gone")
    assert proposed["resources"] == ["traefik/http.routers/grafana"]


def test_a_file_that_holds_nothing_more_goes_away(waypost: Waypost) -> None:
    waypost.desired.commit(
        {"traefik/y.yaml": b"http: {routers: {y: {rule: 'Host(`y.example.org`)', service: a@docker}}}\n"}
    )
    proposed = waypost.answer("traefik_delete_route", name="y", reason="gone")
    assert waypost.file(proposed["commit"], "traefik/y.yaml") is None


def test_any_native_resource_can_be_proposed(waypost: Waypost) -> None:
    proposed = waypost.answer(
        "traefik_add_dynamic_config",
        kind="http.middlewares",
        name="lan only/v1",
        spec={"ipAllowList": {"sourceRange": ["10.0.0.0/8"]}},
        reason="keep the LAN to itself",
    )
    assert proposed["files"] == ["traefik/lan-only-v1.yaml"]
    assert proposed["resources"] == ["traefik/http.middlewares/lan only%2Fv1"]


def test_a_resource_that_stands_elsewhere_is_replaced_where_it_stands(waypost: Waypost) -> None:
    proposed = waypost.answer(
        "traefik_add_dynamic_config",
        kind="http.middlewares",
        name="compress",
        spec={"compress": {"minResponseBodyBytes": 1024}},
        reason="not for tiny answers",
    )
    assert proposed["files"] == ["traefik/grafana.yaml"]


HOSTILE_HOSTS = [
    "a`) || PathPrefix(`/",
    "evil.example.org`",
    "two words.example.org",
    '{{ env "TOKEN" }}',
    "{{.example.org",
    "http://gitea.example.org",
    "gitea.example.org:3000",
    "gitea.example.org/path",
    "a.example.org\nhttp:",
    "",
    "*",
    ".",
]


@pytest.mark.parametrize("host", HOSTILE_HOSTS)
def test_a_hostile_host_name_is_refused_and_nothing_is_committed(refusing: Waypost, host: str) -> None:
    refusal = refusing.refusal("traefik_create_route", **{**ROUTE, "host": host})
    assert refusal["code"] == "bad-rule"
    assert "host name" in refusal["message"]
    assert refusing.proposals == {}


@pytest.mark.parametrize("prefix", ["api", "/a`)", "/{{x}}", "/a b", "/../x"])
def test_a_hostile_path_is_refused(refusing: Waypost, prefix: str) -> None:
    assert refusing.refusal("traefik_create_route", **{**ROUTE, "path_prefix": prefix})["code"] == "bad-rule"
    assert refusing.proposals == {}


@pytest.mark.parametrize(
    "url",
    [
        "ftp://10.0.0.1",
        "10.0.0.1:3000",
        "http://",
        "http://a b",
        "http://user:pass@10.0.0.1",
        "http://{{x}}",
        "http://a:99999",
    ],
)
def test_a_backend_that_is_none_is_refused(refusing: Waypost, url: str) -> None:
    assert refusing.refusal("traefik_create_route", **{**ROUTE, "service_url": url})["code"] == "bad-backend"
    assert refusing.proposals == {}


def test_the_rule_of_a_created_route_asks_for_its_host_and_nothing_else(waypost: Waypost) -> None:
    proposed = waypost.answer("traefik_create_route", **ROUTE)
    router = config(waypost.file(proposed["commit"], "traefik/gitea.yaml"))["http"]["routers"]["gitea"]
    assert rules.parse(router["rule"]) == rules.Host("gitea.example.org")


SECRETS = {
    "basicAuth": {"users": ["admin:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/"]},
    "headers": {"customRequestHeaders": {"Authorization": "Bearer ghp_16C7e42F292c6912E7710c838347Ae178B4a"}},
}


@pytest.mark.parametrize("type_", SECRETS)
def test_a_secret_is_refused_before_the_commit_and_never_repeated(refusing: Waypost, type_: str) -> None:
    refusal = refusing.refusal(
        "traefik_add_dynamic_config",
        kind="http.middlewares",
        name="m",
        spec={type_: SECRETS[type_]},
        reason="auth please",
    )
    assert refusal["code"] == "secret"
    assert "apr1" not in str(refusal)
    assert "ghp_" not in str(refusal)
    assert refusing.proposals == {}
    assert not any(path.suffix == ".lock" for path in refusing.settings.clone.rglob("*"))


def test_a_secret_in_the_reason_is_refused(refusing: Waypost) -> None:
    reason = "the token is ghp_16C7e42F292c6912E7710c838347Ae178B4a"
    assert refusing.refusal("traefik_create_route", **{**ROUTE, "reason": reason})["code"] == "secret"
    assert refusing.proposals == {}


def test_a_secret_that_a_person_committed_keeps_nobody_from_changing_the_rest(waypost: Waypost) -> None:
    users = b"      basicAuth: {users: ['admin:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/']}\n"
    waypost.desired.commit({"traefik/grafana.yaml": HAND_WRITTEN + b"    login:\n" + users})
    proposed = waypost.answer("traefik_update_route", name="grafana", path_prefix="/x", reason="moved")
    assert b"$apr1$" in waypost.file(proposed["commit"], "traefik/grafana.yaml")


def test_what_would_leave_a_reference_dangling_is_refused_with_its_place(waypost: Waypost) -> None:
    spec = {"rule": "Host(`x.example.org`)", "service": "nowhere"}
    refusal = waypost.refusal(
        "traefik_add_dynamic_config", kind="http.routers", name="x", spec=spec, reason="let us see"
    )
    assert (refusal["code"], len(refusal["problems"])) == ("invalid", 1)
    assert "nowhere" in refusal["problems"][0]


def test_deleting_a_route_that_another_one_names_is_refused(waypost: Waypost) -> None:
    child = b"http: {routers: {child: {rule: 'PathPrefix(`/x`)', service: a@docker, parentRefs: [grafana]}}}\n"
    waypost.desired.commit({"traefik/child.yaml": child})
    refusal = waypost.refusal("traefik_delete_route", name="grafana", reason="gone")
    assert refusal["code"] == "invalid"
    assert "traefik/http.routers/child" in str(refusal["problems"])
    assert waypost.proposals == {}


def test_a_neighbours_middleware_is_taken_on_trust_when_it_is_written_with_its_provider(waypost: Waypost) -> None:
    assert waypost.answer("traefik_create_route", **ROUTE, middlewares=["theirs@file", "auth@docker"])["proposal"]


def test_a_template_is_refused(refusing: Waypost) -> None:
    spec = {"headers": {"customResponseHeaders": {"X-Leak": '{{ env "HOME" }}'}}}
    refusal = refusing.refusal(
        "traefik_add_dynamic_config", kind="http.middlewares", name="m", spec=spec, reason="headers please"
    )
    assert refusal["code"] == "invalid"
    assert "{{" in str(refusal)
    assert refusing.proposals == {}


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "http.routers", "name": "r", "spec": {"rule": "Host(`a`)"}},
        {"kind": "http.middlewares", "name": "m", "spec": {"compres": {}}},
        {"kind": "http.services", "name": "s", "spec": {"loadBalancer": {}}},
        {"kind": "http.services", "name": "s", "spec": {}},
    ],
)
def test_configuration_that_traefik_would_not_take_is_refused(refusing: Waypost, bad: dict) -> None:
    refusal = refusing.refusal("traefik_add_dynamic_config", **bad, reason="let us see")
    assert refusal["code"] == "invalid"
    assert refusing.proposals == {}


@pytest.mark.parametrize("name", ["../../waypost", "waypost", "..", "/etc/passwd", "waypost.yaml", ".git/config"])
def test_the_policy_cannot_be_reached_by_any_name(waypost: Waypost, name: str) -> None:
    before = waypost.file(waypost.desired.main, "waypost.yaml") if waypost.clone.head() else b"version: 1\n"
    spec = {"compress": {}}
    waypost.call("traefik_add_dynamic_config", kind="http.middlewares", name=name, spec=spec, reason="sneaking")
    for commit in waypost.proposals.values():
        changed = waypost.clone.changed(waypost.desired.main, commit)
        assert all(path.startswith("traefik/") and path != "traefik/waypost.yaml" for path in changed)
        assert waypost.file(commit, "waypost.yaml") == before


def test_a_rollback_leaves_the_policy_as_it_is(waypost: Waypost) -> None:
    first = waypost.desired.main
    waypost.desired.commit(
        {
            "waypost.yaml": b"version: 1\nprotected: ['*/*/*']\n",
            "traefik/grafana.yaml": None,
            "traefik/new.yaml": b"http: {middlewares: {c: {compress: {}}}}\n",
        }
    )
    proposed = waypost.answer("traefik_rollback", revision=first, reason="that was wrong")
    assert waypost.file(proposed["commit"], "traefik/grafana.yaml") == HAND_WRITTEN
    assert waypost.file(proposed["commit"], "traefik/new.yaml") is None
    assert waypost.file(proposed["commit"], "waypost.yaml") == b"version: 1\nprotected: ['*/*/*']\n"
    assert "traefik/http.routers/grafana" in proposed["resources"]


def test_a_rollback_takes_the_number_of_a_revision(waypost: Waypost, desired: DesiredRepo) -> None:
    desired.store.keep(1, desired.main)
    desired.commit({"traefik/grafana.yaml": None})
    proposed = waypost.answer("traefik_rollback", revision="1", reason="bring it back")
    assert waypost.file(proposed["commit"], "traefik/grafana.yaml") == HAND_WRITTEN


def test_a_rollback_to_what_is_unknown_is_refused(refusing: Waypost) -> None:
    for revision in ("7", "deadbeef"):
        assert refusing.refusal("traefik_rollback", revision=revision, reason="please")["code"] == "unknown-revision"


def test_read_only_refuses_every_proposal_and_reads_on(make_waypost: MakeWaypost) -> None:
    waypost = make_waypost(read_only=True)
    calls = {
        "traefik_create_route": ROUTE,
        "traefik_delete_route": {"name": "grafana", "reason": "gone"},
        "traefik_rollback": {"revision": waypost.desired.main, "reason": "back"},
    }
    for tool, arguments in calls.items():
        refusal = waypost.refusal(tool, **arguments)
        assert refusal["code"] == "read-only"
        assert "WAYPOST_READ_ONLY" in refusal["message"]
    assert waypost.proposals == {}
    assert waypost.answer("traefik_list_routes")["routes"]


def test_concurrent_proposals_make_separate_branches_on_the_same_main(waypost: Waypost) -> None:
    def propose(number: int) -> str:
        name = f"app{number}"
        return waypost.answer("traefik_create_route", **{**ROUTE, "name": name, "host": f"{name}.example.org"})[
            "branch"
        ]

    with ThreadPoolExecutor(8) as pool:
        branches = set(pool.map(propose, range(8)))
    assert branches == waypost.proposals.keys()
    assert len(branches) == 8
    assert {waypost.clone.commit(commit).parents for commit in waypost.proposals.values()} == {(waypost.desired.main,)}


def test_two_updates_of_one_route_are_two_proposals(waypost: Waypost) -> None:
    for prefix in ("/a", "/b"):
        waypost.answer("traefik_update_route", name="grafana", path_prefix=prefix, reason="moving")
    made = [row.event for row in waypost.outbox() if isinstance(row.event, ProposalMade)]
    assert len({event.proposal for event in made}) == 2
    assert {event.resources for event in made} == {("traefik/http.routers/grafana",)}


def test_a_proposal_stands_on_main_as_it_is_at_that_moment(waypost: Waypost) -> None:
    waypost.answer("traefik_list_routes")
    newer = waypost.desired.commit({"README.md": b"# newer\n"})
    assert waypost.answer("traefik_create_route", **ROUTE)["parent"] == newer


def test_what_changes_nothing_is_no_proposal(refusing: Waypost) -> None:
    refusal = refusing.refusal("traefik_update_route", name="grafana", middlewares=["compress"], reason="as it is")
    assert "changes nothing" in str(refusal["problems"])
    assert refusing.proposals == {}


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"name": "grafana"}, "already-exists"),
        ({"middlewares": ["nobody-knows"]}, "invalid"),
        ({"instance": "edge"}, "unknown-instance"),
    ],
)
def test_a_route_that_cannot_be_is_refused_with_what_there_is(refusing: Waypost, more: dict, code: str) -> None:
    refusal = refusing.refusal("traefik_create_route", **{**ROUTE, **more})
    assert refusal["code"] == code
    assert refusing.proposals == {}


def test_a_file_that_a_person_has_to_mend_is_named_and_not_touched(waypost: Waypost) -> None:
    waypost.desired.commit({"traefik/gitea.yaml": b"http:\n  routers: [oops\n"})
    refusal = waypost.refusal("traefik_create_route", **ROUTE)
    assert refusal["code"] == "invalid"
    assert "traefik/gitea.yaml" in str(refusal)
    assert waypost.proposals == {}


def test_a_broken_file_elsewhere_keeps_nobody_from_proposing(waypost: Waypost) -> None:
    waypost.desired.commit({"traefik/broken.yaml": b"http:\n  routers: [oops\n"})
    assert waypost.answer("traefik_create_route", **ROUTE)["proposal"]


def test_a_withdrawn_proposal_is_gone_and_recorded(waypost: Waypost) -> None:
    proposed = waypost.answer("traefik_create_route", **ROUTE)
    waypost.answer("proposals_withdraw", proposal=proposed["proposal"], reason="changed my mind")
    assert waypost.proposals == {}
    [event] = [row.event for row in waypost.outbox() if isinstance(row.event, ProposalWithdrawn)]
    assert (event.proposal, event.reason) == (proposed["proposal"], "changed my mind")
    refusal = waypost.refusal("proposals_withdraw", proposal=proposed["proposal"], reason="once more")
    assert refusal["code"] == "unknown-proposal"


def test_why_a_proposal_was_withdrawn_is_recorded_without_the_secret_in_it(waypost: Waypost) -> None:
    proposed = waypost.answer("traefik_create_route", **ROUTE)
    reason = "wrong, password: hunter2hunter2"
    waypost.answer("proposals_withdraw", proposal=proposed["proposal"], reason=reason)
    [event] = [row.event for row in waypost.outbox() if isinstance(row.event, ProposalWithdrawn)]
    assert event.reason == "wrong, password: •••"
