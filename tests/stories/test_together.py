"""One commit for a container, its identity and its route: in this order, each proven, and all of it back again."""

import json
from dataclasses import replace

import pytest

from reconciler import drifting, home, loop
from reconciler.core.target import TargetError
from state import events
from tests import plain_http
from tests.authentik.fake_authentik import running
from tests.komodo.fake_komodo import KEY, SECRET, FakeKomodo, Fate, Serving
from tests.stories.mortal import Died
from tests.stories.test_authentik import APPLICATION, blueprint
from tests.stories.test_komodo import compose, stack
from tests.stories.test_taken_back import acting, failing

ORDER = ["komodo", "authentik", "traefik"]


@pytest.fixture(scope="module")
def servers():
    komodo = Serving(FakeKomodo())
    with running() as authentik:
        yield komodo, authentik
    komodo.close()


@pytest.fixture
def whole(tmp_path, house, servers):
    """The house with a Komodo and an authentik beside its Traefik."""
    serving, authentik = servers
    komodo = serving.komodo = FakeKomodo()
    pristine, url = type(authentik)(), authentik.url
    vars(authentik).update(vars(pristine))
    authentik.url = url
    for name, text in (("key", KEY), ("secret", SECRET), ("token", "right")):
        (tmp_path / name).write_text(text)
    with (house.home.path / "waypost.env").open("a") as settings:
        settings.write(
            f"\nWAYPOST_KOMODO_URL={serving.url}\nWAYPOST_KOMODO_KEY=file:{tmp_path / 'key'}\n"
            f"WAYPOST_KOMODO_SECRET=file:{tmp_path / 'secret'}\nWAYPOST_KOMODO_DEADLINE=1s\n"
            f"WAYPOST_AUTHENTIK_URL={url}\nWAYPOST_AUTHENTIK_TOKEN=file:{tmp_path / 'token'}\n"
            "WAYPOST_AUTHENTIK_DEADLINE=2s\n"
        )
    house.home = home.open(house.home.path, {})
    house.komodo, house.authentik = komodo, authentik
    yield house
    assert komodo.faults == []
    assert authentik.faults == []


def routes(*hosts):
    routers = {host: {"rule": f"Host(`{host}.lab`)", "service": host, "entryPoints": ["web"]} for host in hosts}
    services = {host: {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}} for host in hosts}
    return {"http": {"routers": routers, "services": services}}


def everything(name="wiki", image="wiki:1"):
    return {
        f"komodo/{name}/stack.toml": stack(name),
        f"komodo/{name}/compose.yaml": compose(image),
        f"authentik/{name}.yaml": blueprint(name),
        f"traefik/{name}.yaml": routes(name),
    }


def is_there(whole, name="wiki"):
    """What of the three is live: container, identity, route."""
    stack = whole.komodo.stacks.get(name)
    return [
        bool(stack and stack.state == "running"),
        whole.authentik.one(APPLICATION, slug=name) is not None,
        whole.status(f"{name}.lab") != 404,
    ]


def run(whole, **instances):
    with whole.world() as world:
        return loop.run_pass(acting(world, **instances))


def approve(whole, waypost, files):
    """Propose, look at the plan, and say yes to all that it costs."""
    id = whole.propose(files)
    plan = json.loads(waypost("show", id, "--json")[1])["plan"]
    code, said = waypost("approve", id, "--plan", plan["digest"])
    if code == 3:  # what needs a word of its own is agreed to once it stands on main
        plan = json.loads(waypost("plan", "--json")[1])
        code, said = waypost("approve", whole.git("ls-remote", "origin", "main").split()[0], "--plan", plan["digest"])
    assert code == 0, said
    return plan


def proven(whole):
    return [one.instance for one in whole.events(events.ApplyProven)]


def guard(whole):
    """A neighbour's file with a middleware that routes of ours may name."""
    middleware = json.dumps({"http": {"middlewares": {"guard": {"compress": {}}}}})
    (whole.traefik.directory / "guard.yml").write_text(middleware)


def guarded(host):
    wanted = routes(host)
    wanted["http"]["routers"][host]["middlewares"] = ["guard@file"]
    return wanted


def losing_guard(whole, then=lambda: None):
    """The neighbour takes the middleware away once our file is written: Traefik itself disables what needs it."""

    def method(real):
        def prove(attempt):
            (whole.traefik.directory / "guard.yml").unlink(missing_ok=True)
            gone = f"{whole.traefik.url}/api/http/middlewares/guard@file"
            whole.until(lambda: plain_http.get(gone).status_code == 404, "the middleware to go")
            then()
            return real(attempt)

        return prove

    return method


def test_container_identity_and_route_go_live_in_this_order(whole):
    before = len(proven(whole))
    whole.push(everything())
    outcome = whole.run()
    assert (outcome.state, outcome.revision) == ("applied", 2), outcome.said
    assert proven(whole)[before:] == ORDER
    assert is_there(whole) == [True, True, True]
    assert whole.run().state == "nothing"


def test_what_is_removed_goes_in_the_opposite_order_and_last(whole, waypost):
    whole.push({**everything(), **everything("old")})
    assert whole.run().state == "applied"
    before = len(proven(whole))
    approve(whole, waypost, {**dict.fromkeys(everything("old")), **everything("new")})
    assert proven(whole)[before:] == [*ORDER, "authentik", "komodo"]
    assert is_there(whole, "old") == [False, False, False]
    assert is_there(whole, "new") == [True, True, True]
    assert is_there(whole) == [True, True, True]


def test_an_identity_that_its_blueprint_declares_gone_goes_after_its_route(whole, waypost):
    whole.push({**everything(), **everything("old")})
    assert whole.run().state == "applied"
    before = len(proven(whole))
    gone = blueprint("old").replace(f"- model: {APPLICATION}\n", f"- model: {APPLICATION}\n    state: absent\n")
    approve(whole, waypost, {"authentik/old.yaml": gone, "traefik/old.yaml": None})
    assert proven(whole)[before:] == ["traefik", "authentik"]
    assert is_there(whole, "old") == [True, False, False]
    assert is_there(whole) == [True, True, True]


def test_what_its_blueprint_declared_gone_comes_back_before_its_route(whole, waypost):
    whole.push({**everything(), **everything("old")})
    assert whole.run().state == "applied"
    before = len(proven(whole))
    whole.komodo.fates["old"] = [Fate(fails="no such network")]
    gone = blueprint("old").replace(f"- model: {APPLICATION}\n", f"- model: {APPLICATION}\n    state: absent\n")
    whole.push({**dict.fromkeys(everything("old")), "authentik/old.yaml": gone})
    assert whole.run().state == "held"
    with whole.session() as person:
        person.consent(person.plan().plan)
    assert whole.run().state == "refuted"
    assert proven(whole)[before:] == ["traefik", "authentik", "authentik", "traefik"]
    assert is_there(whole, "old") == [True, True, True]


def test_a_container_that_does_not_come_up_keeps_all_of_its_commit_out(whole):
    whole.komodo.fates["wiki"] = [Fate(fails="no such image")]
    whole.push(everything())
    assert whole.run().state == "refuted"
    assert is_there(whole) == [False, False, False]
    assert proven(whole) == ["traefik"]  # the starter state, and nothing since
    whole.push(everything(image="wiki:2"))
    assert whole.run().state == "applied"
    assert is_there(whole) == [True, True, True]


def test_an_identity_that_is_refused_takes_its_container_down_again(whole):
    whole.authentik.breaks = {APPLICATION}
    whole.push(everything())
    assert whole.run().state == "refuted"
    assert is_there(whole) == [False, False, False]
    assert whole.run().state == "waiting"
    assert is_there(whole) == [False, False, False]


def test_a_route_that_is_refused_is_taken_back_with_identity_and_container_in_the_opposite_order(whole):
    guard(whole)
    whole.push({**everything(), "traefik/wiki.yaml": guarded("wiki")})
    outcome = run(whole, traefik={"prove": losing_guard(whole)})
    assert outcome.state == "refuted", outcome.said
    assert "guard" in whole.events(events.ApplyRefuted)[-1].reason
    undone = [one.instance for one in whole.events(events.ApplyProven) if one.undoes]
    assert undone == ["authentik", "komodo"]
    assert whole.events(events.ApplyUndone)[-1].instance == "traefik"
    assert is_there(whole) == [False, False, False]
    held = {str(one) for event in whole.events(events.ResourcesQuarantined) for one in event.resources}
    assert {one.partition("/")[0] for one in held} == set(ORDER)
    assert whole.run().state == "waiting"
    assert is_there(whole) == [False, False, False]


@pytest.mark.parametrize("instance", ORDER)
@pytest.mark.parametrize("method", ["write", "prove"])
@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
def test_a_death_at_any_step_is_finished_by_the_next_pass(whole, instance, method, after):
    whole.push(everything())
    with pytest.raises(Died):
        run(whole, **{instance: {method: failing(Died(), after=after)}})
    outcome = whole.run()
    for _ in range(2):
        outcome = outcome if outcome.revision else whole.run()
    assert outcome.revision == 2, outcome.said
    assert is_there(whole) == [True, True, True]
    assert len(whole.komodo.done("wiki")) == 1  # deployed once, whenever the end came
    assert [one.stack for one in whole.events(events.StackDeployed)] == ["wiki"]  # and told once
    assert whole.run().state == "nothing"


def test_a_death_between_two_steps_leaves_the_yes_to_the_later_one(whole):
    whole.push({**everything(), **everything("old")})
    assert whole.run().state == "applied"
    whole.push({**dict.fromkeys(everything("old")), **everything("new")})
    assert whole.run().state == "held"
    with whole.session() as person:
        person.consent(person.plan().plan)
    with pytest.raises(Died):
        run(whole, authentik={"write": failing(Died())})
    assert is_there(whole, "new")[0]  # the first step is proven, and what goes was not its turn yet
    outcome = whole.run()
    assert outcome.state == "applied", outcome.said
    assert is_there(whole, "old") == [False, False, False]


def test_while_a_container_waits_its_route_does_too_and_others_do_not(whole):
    whole.push(everything())
    assert whole.run().state == "applied"
    whole.komodo.down = True
    whole.push(everything("news"))
    whole.push({"traefik/other.yaml": routes("other")})
    outcome = whole.run()
    assert outcome.state == "waiting"
    assert "traefik/http.routers/news" in outcome.said
    assert whole.status("other.lab") != 404
    assert is_there(whole, "news") == [False, False, False]
    [deferred] = whole.events(events.ChangesDeferred)
    assert deferred.resources["traefik/http.routers/news"] == "komodo"
    assert deferred.resources["authentik/blueprint/news"] == "komodo"
    whole.run()
    assert len(whole.events(events.ChangesDeferred)) == 1
    whole.komodo.down = False
    assert whole.run().state == "applied"
    assert is_there(whole, "news") == [True, True, True]


def test_what_needs_a_part_that_waits_waits_with_it_and_holds_up_no_other(whole):
    whole.push(everything())
    assert whole.run().state == "applied"
    whole.komodo.down = True
    compress = {"http": {"middlewares": {"compress": {"compress": {}}}}}
    whole.push({**everything("news"), "traefik/compress.yaml": compress})
    needing = routes("needing")
    needing["http"]["routers"]["needing"]["middlewares"] = ["compress"]
    whole.push({"traefik/needing.yaml": needing})
    whole.push({"traefik/other.yaml": routes("other")})
    outcome = whole.run()
    assert outcome.state == "waiting", outcome.said
    assert whole.status("other.lab") != 404
    assert whole.status("needing.lab") == 404
    assert whole.events(events.ChangesDeferred)[-1].resources["traefik/http.routers/needing"] == "komodo"
    whole.komodo.down = False
    assert whole.run().state == "applied"
    assert whole.status("needing.lab") != 404


def test_what_goes_after_a_part_that_waits_with_another_waits_too(whole):
    whole.push({**everything(), **everything("old")})
    assert whole.run().state == "applied"
    whole.komodo.down = True
    compress = {"http": {"middlewares": {"compress": {"compress": {}}}}}
    whole.push({**everything("news"), "traefik/compress.yaml": compress})
    apart = routes("old")
    apart["http"]["routers"]["old"]["middlewares"] = ["compress"]
    whole.push({"traefik/old.yaml": apart, "authentik/old.yaml": None})  # it asks nobody any more who comes
    with whole.session() as person:
        person.consent(person.plan().plan)
    for _ in range(2):
        outcome = whole.run()
        assert outcome.state == "waiting", outcome.said
        assert is_there(whole, "old") == [True, True, True]  # its route as it is still needs its identity
    [deferred] = whole.events(events.ChangesDeferred)
    assert deferred.resources["traefik/http.routers/old"] == "komodo"
    assert deferred.resources["authentik/blueprint/old"] == "traefik"
    whole.komodo.down = False
    with whole.session() as person:
        person.consent(person.plan().plan)
    before = len(proven(whole))
    outcome = whole.run()
    assert outcome.state == "applied", outcome.said
    assert is_there(whole, "old") == [True, False, True]
    assert proven(whole)[before:] == [*ORDER, "authentik"]


def test_an_edit_by_hand_that_is_put_back_only_when_its_turn_comes_stays_drift_until_then(whole):
    whole.push(everything())
    assert whole.run().state == "applied"
    whole.komodo.down = True
    whole.edit_live("wiki.lab", "edited.lab")
    changed = routes("wiki")
    changed["http"]["routers"]["wiki"]["rule"] = "Host(`wiki.lab`) && PathPrefix(`/`)"
    whole.push({**everything(image="wiki:2"), "traefik/wiki.yaml": changed})
    assert whole.run().state == "held"
    with whole.session() as person:
        drifting.heal(person, None, "put it back")
    for _ in range(2):
        assert whole.run().state == "waiting"
    assert not whole.events(events.DriftCleared)
    whole.komodo.down = False
    assert whole.run().state == "applied"
    assert whole.status("wiki.lab") != 404
    assert len(whole.events(events.DriftCleared)) == 1


def test_what_is_wrong_whatever_comes_holds_main_though_a_part_of_it_waits(whole):
    whole.push(everything())
    assert whole.run().state == "applied"
    whole.komodo.down = True
    whole.push(everything("news"))
    wrong = routes("wrong")
    wrong["http"]["routers"]["wrong"]["middlewares"] = ["nowhere"]
    whole.push({"traefik/wrong.yaml": wrong})
    outcome = whole.run()
    assert outcome.state == "held"
    assert "nowhere" in str(outcome.plan.errors)


def test_a_target_that_cannot_be_asked_whether_it_takes_its_part_holds_up_no_other(whole):
    whole.push({"authentik/wiki.yaml": blueprint("wiki")})
    whole.push({"traefik/other.yaml": routes("other")})
    away = {"validate": failing(TargetError("it answers with status 503"))}
    outcome = run(whole, authentik=away)
    assert outcome.state == "waiting"
    assert "status 503" in outcome.said
    assert whole.status("other.lab") != 404
    id = whole.propose({"authentik/news.yaml": blueprint("news")})
    run(whole, authentik=away)
    assert whole.run().state == "applied"
    assert id


def test_the_kill_switch_stops_a_deploy_that_was_begun(whole):
    whole.push(everything())
    with pytest.raises(Died):
        run(whole, komodo={"prove": failing(Died())})
    with whole.world() as world:
        loop.run_pass(replace(world, read_only=True))
    assert whole.komodo.done() == []
    assert whole.run().revision == 2


def test_an_attempt_at_a_target_that_is_no_longer_here_keeps_nobody_waiting(whole):
    whole.push(everything())
    with pytest.raises(Died):
        run(whole, komodo={"prove": failing(Died())})
    whole.push({**dict.fromkeys(everything()), "traefik/other.yaml": routes("other")})
    settings = whole.home.path / "waypost.env"
    kept = [line for line in settings.read_text().splitlines() if "KOMODO" not in line]
    settings.write_text("\n".join(kept))
    whole.home = home.open(whole.home.path, {})
    assert whole.run().state == "applied"


def test_the_plan_of_one_proposal_tells_of_all_three(whole, waypost):
    plan = approve(whole, waypost, everything())
    assert {one["address"].partition("/")[0] for one in plan["changes"]} == set(ORDER)
    assert is_there(whole) == [True, True, True]
