"""What people would lose is held until a person agrees to that very loss, on a real Traefik."""

import json

import pytest
from click.testing import CliRunner

from reconciler import loop
from reconciler.cli import waypost
from state import events
from state.log import Entry

USERS = {"users": ["ada:$apr1$q8eZFHjF$Fvmkk//V6Btlaf2i/ju5n/"]}
ASKED, OPEN, NOBODY = 401, 418, 404


def routers(**specs):
    """A desired file with these routers, to Traefik's own service that answers 418 (so that no backend is needed)."""
    return {"http": {"routers": {name: {"service": "noop@internal", **spec} for name, spec in specs.items()}}}


def asked(**more):
    return {"rule": "Host(`r1.lab`)", "entryPoints": ["web"], "middlewares": ["door"], **more}


def door(spec=None):
    return {"http": {"middlewares": {"door": spec or {"basicAuth": USERS}}}}


def give(house, files):
    house.push(files)
    assert house.run().state == "applied"


@pytest.fixture
def guarded(house):
    """A house where r1.lab asks who is there."""
    give(house, {"traefik/door.yaml": door(), "traefik/r1.yaml": routers(r1=asked())})
    house.until(lambda: house.status("r1.lab") == ASKED, "the route with authentication")
    return house


def held(house, guard):
    """The refusals of this guard, all of a pass that held."""
    assert house.run().state == "held"
    return [one for one in house.events(events.PlanHeld)[-1].refusals if one["guard"] == guard]


def consent(house):
    with house.session() as person:
        person.consent(person.plan().plan)
    return house.run().state


WAYS = {
    "the same rule, higher priority": {"rule": "Host(`r1.lab`)", "priority": 1000},
    "a longer rule": {"rule": "Host(`r1.lab`) && PathPrefix(`/`)"},
    "every host by a regular expression": {"rule": "HostRegexp(`.*`)", "priority": 1000},
    "no host at all": {"rule": "PathPrefix(`/`)"},
    "at every entry point": {"rule": "Host(`r1.lab`)", "priority": 1000, "entryPoints": None},
}


@pytest.mark.parametrize("spec", WAYS.values(), ids=WAYS)
def test_a_new_open_route_before_one_with_authentication_is_held_and_would_have_opened_it(guarded, spec):
    spec = {name: value for name, value in {"entryPoints": ["web"], **spec}.items() if value is not None}
    guarded.push({"traefik/new.yaml": routers(new=spec)})
    (refusal,) = held(guarded, "authentication")
    assert refusal["address"] == "traefik/http.routers/r1"
    assert "r1.lab would answer without authentication, through traefik/http.routers/new" in refusal["lost"]
    assert guarded.status("r1.lab") == ASKED
    assert consent(guarded) == "applied"
    guarded.until(lambda: guarded.status("r1.lab") == OPEN, "what the guard foresaw")


def test_a_tcp_router_that_takes_every_connection_is_held(guarded):
    tcp = {
        "routers": {"all": {"rule": "HostSNI(`*`)", "service": "all", "entryPoints": ["web"]}},
        "services": {"all": {"loadBalancer": {"servers": [{"address": "127.0.0.1:9"}]}}},
    }
    guarded.push({"traefik/tcp.yaml": {"tcp": tcp}})
    assert held(guarded, "authentication")
    assert guarded.status("r1.lab") == ASKED


@pytest.mark.parametrize("rule", ["Host(`*.lab`)", "HostRegexp(`.*`)"])
def test_a_deleted_route_with_authentication_before_a_broader_open_one_is_held(guarded, rule):
    give(guarded, {"traefik/all.yaml": routers(all={"rule": rule, "priority": 1, "entryPoints": ["web"]})})
    assert guarded.status("r1.lab") == ASKED
    guarded.push({"traefik/r1.yaml": None})
    (refusal,) = held(guarded, "authentication")
    assert "through traefik/http.routers/all" in refusal["lost"]
    assert not [one for one in guarded.events(events.PlanHeld)[-1].refusals if one["guard"] == "hostnames"]
    assert consent(guarded) == "applied"
    guarded.until(lambda: guarded.status("r1.lab") == OPEN, "what the guard foresaw")


def test_a_neighbours_middleware_that_only_sounds_like_authentication_is_none(guarded):
    guarded.traefik.drop("theirs.yml", json.dumps({"http": {"middlewares": {"noauth": {"compress": {}}}}}))
    guarded.until(lambda: "noauth@file" in guarded.traefik.names(), "the neighbour's middleware")
    guarded.push({"traefik/r1.yaml": routers(r1=asked(middlewares=["noauth"]))})
    assert held(guarded, "authentication")
    assert guarded.status("r1.lab") == ASKED


def test_an_open_route_that_cannot_get_those_requests_passes(guarded):
    quiet = {"rule": "HostRegexp(`.*`)", "priority": 1, "entryPoints": ["web"]}
    other = {"rule": "Host(`other.lab`)", "priority": 1000, "entryPoints": ["web"]}
    give(guarded, {"traefik/new.yaml": routers(quiet=quiet, other=other)})
    assert guarded.status("r1.lab") == ASKED


# ── one yes is one yes ───────────────────────────────────────────────────────────────────────────


def test_the_same_loss_again_needs_a_new_yes(guarded):
    opened = {"traefik/door.yaml": door({"compress": {}})}
    guarded.push(opened)
    assert held(guarded, "authentication")
    assert consent(guarded) == "applied"
    give(guarded, {"traefik/door.yaml": door()})
    guarded.until(lambda: guarded.status("r1.lab") == ASKED, "authentication again")
    guarded.push(opened)
    assert held(guarded, "authentication")
    assert guarded.status("r1.lab") == ASKED


def test_what_was_approved_and_refuted_is_not_approved_for_a_later_push(guarded):
    broken = {"new": {"ipAllowList": {"sourceRange": ["not an address"]}}}
    id = guarded.propose({"traefik/r1.yaml": routers(r1=asked(middlewares=[]))})
    with guarded.session() as person:
        record = person.proposal(id)
        person.saw(record, person.plan(id).plan)
        person.merge(record)
    both = routers(r1=asked(middlewares=[]), new={"rule": "Host(`new.lab`)", "middlewares": ["new"]})
    guarded.git("pull", "--quiet")
    both["http"]["middlewares"] = broken
    guarded.push({"traefik/r1.yaml": both})
    assert guarded.run().state in ("refuted", "held")
    guarded.until(lambda: guarded.status("r1.lab") == ASKED, "the last good state")
    guarded.push({"traefik/r1.yaml": routers(r1=asked())})
    assert guarded.run().state == "nothing"
    guarded.push({"traefik/r1.yaml": routers(r1=asked(middlewares=[]))})
    assert held(guarded, "authentication")
    assert guarded.status("r1.lab") == ASKED


# ── a plan is seen when a person sees it ─────────────────────────────────────────────────────────


def show(house, id, *more):
    shown = CliRunner().invoke(waypost, ["--home", str(house.home.path), "show", id, *more])
    assert shown.exit_code == 0, shown.output
    return shown


def merge(house, id):
    """As a person merges who never heard of Waypost."""
    house.git("fetch", "--quiet", "origin", f"proposals/{id}")
    house.git("merge", "--quiet", "--ff-only", "FETCH_HEAD")
    house.git("push", "--quiet")


def propose_opening(house):
    return house.propose({"traefik/r1.yaml": routers(r1=asked(middlewares=[]))}, "Tidy up")


def test_a_proposal_that_nobody_looked_at_is_held_however_often_it_was_planned(guarded):
    id = propose_opening(guarded)
    guarded.run()
    show(guarded, id, "--json")  # data for a program: nobody saw it
    merge(guarded, id)
    assert held(guarded, "authentication")
    assert guarded.status("r1.lab") == ASKED
    assert [one.to_person for one in guarded.events(events.PlanShown)] == [False]


def test_a_proposal_that_a_person_was_shown_may_be_merged_by_any_road(guarded):
    id = propose_opening(guarded)
    for _ in range(2):
        assert "would answer without authentication" in show(guarded, id).stdout
    merge(guarded, id)
    assert guarded.run().state == "applied"
    assert [one.to_person for one in guarded.events(events.PlanShown)] == [True]
    guarded.until(lambda: guarded.status("r1.lab") == OPEN, "what the person was shown")


def test_what_a_person_is_shown_while_a_reconciler_runs_counts_as_well(guarded):
    id = propose_opening(guarded)
    with guarded.world() as running:
        loop.run_pass(running)
        show(guarded, id)
        merge(guarded, id)
        assert loop.run_pass(running).state == "applied"


def test_who_was_shown_the_plan_by_approve_has_seen_it_approved_or_not(guarded):
    id = propose_opening(guarded)
    asked_for = CliRunner().invoke(waypost, ["--home", str(guarded.home.path), "approve", id])
    assert asked_for.exit_code == 3
    merge(guarded, id)
    assert guarded.run().state == "applied"


def test_who_names_a_plan_by_its_digest_agrees_to_the_losses_it_had(guarded):
    id = guarded.propose({"traefik/r1.yaml": None}, "Tidy up")
    digest = json.loads(show(guarded, id, "--json").stdout)["plan"]["digest"]
    everybody = {"rule": "HostRegexp(`.*`)", "service": "noop@internal", "entryPoints": ["web"], "priority": 1}
    guarded.traefik.drop("theirs.yml", json.dumps({"http": {"routers": {"everybody": everybody}}}))
    guarded.until(lambda: guarded.status("x.lab") == OPEN, "the neighbour's route")
    command = ["--home", str(guarded.home.path), "approve", id, "--plan", digest]
    approved = CliRunner().invoke(waypost, command)
    assert (approved.exit_code, guarded.status("r1.lab")) == (3, ASKED), approved.output
    assert "look at it again" in approved.stderr
    assert guarded.events(events.ConsentGiven) == []


# ── the ways to repair everything else ───────────────────────────────────────────────────────────


def test_a_protected_route_is_held_with_its_host_and_all_it_needs(house):
    gitea = {"rule": "Host(`git.lab`)", "middlewares": ["allow"], "entryPoints": ["web"]}
    allow = {"http": {"middlewares": {"allow": {"ipAllowList": {"sourceRange": ["127.0.0.0/8"]}}}}}
    give(house, {"traefik/gitea.yaml": routers(Gitea=gitea), "traefik/allow.yaml": allow})
    house.push({"traefik/gitea.yaml": None})
    assert held(house, "protected")
    house.git("revert", "--no-edit", "HEAD")
    deny = {"http": {"middlewares": {"allow": {"ipAllowList": {"sourceRange": ["192.0.2.1/32"]}}}}}
    house.push({"traefik/allow.yaml": deny})
    (refusal,) = held(house, "protected")
    assert refusal["address"] == "traefik/http.middlewares/allow"
    house.git("revert", "--no-edit", "HEAD")
    thief = {"rule": "Host(`git.lab`)", "priority": 9999, "entryPoints": ["web"]}
    house.push({"traefik/z.yaml": routers(z=thief)})
    (refusal,) = held(house, "protected")
    assert "git.lab in place of traefik/http.routers/Gitea" in refusal["lost"]
    assert house.status("git.lab") == OPEN


# ── small steps ──────────────────────────────────────────────────────────────────────────────────


def hosts(*numbers):
    return routers(**{f"h{n}": {"rule": f"Host(`h{n}.lab`)", "entryPoints": ["web"]} for n in numbers})


def test_hosts_that_go_a_few_at_a_time_add_up(house):
    # There for longer than a day, as far as anybody remembers: taken over, not made.
    give(house, {"traefik/hosts.yaml": hosts(*range(8))})
    with house.world() as world:
        resources = {str(a): spec for a, spec in world.targets["traefik"].observe().live.items()}
        adopted = events.ResourcesAdopted(instance="traefik", commit="", resources=resources, reason="")
        world.log.append(
            Entry(stream="target/traefik", event=events.TargetEjected(instance="traefik", files=(), reason="forget"))
        )
        world.log.append(Entry(stream="target/traefik", event=events.TargetAdopted(instance="traefik", reason="again")))
        world.log.append(Entry(stream="target/traefik", event=adopted))
    give(house, {"traefik/hosts.yaml": hosts(3, 4, 5, 6, 7)})
    house.push({"traefik/hosts.yaml": hosts(5, 6, 7)})
    refusals = held(house, "hostnames")
    assert [one["lost"].split(" ")[0] for one in refusals] == ["h3.lab", "h4.lab"]
    assert "after h0.lab, h1.lab, h2.lab went" in refusals[0]["lost"]
    assert consent(house) == "applied"
    give(house, {"traefik/hosts.yaml": hosts(6, 7)})  # somebody looked: counting starts anew
    assert house.status("h6.lab") == OPEN


def test_the_last_of_several_routes_needs_a_persons_word_though_presets_are_left(house):
    give(house, {"traefik/hosts.yaml": hosts(1, 2)})
    house.push({"traefik/hosts.yaml": None})
    assert held(house, "empty")
    assert house.status("h1.lab") == OPEN
    assert consent(house) == "applied"
    house.until(lambda: house.status("h1.lab") == NOBODY, "the end of the last route")


def test_a_plain_revert_of_a_single_new_route_needs_nobody(house):
    give(house, {"traefik/hosts.yaml": hosts(1)})
    house.git("revert", "--no-edit", "HEAD")
    house.git("push", "--quiet")
    assert house.run().state == "applied"


# ── what the internet reaches ────────────────────────────────────────────────────────────────────


def test_a_host_that_newly_hides_behind_a_public_router_is_held(house):
    policy = "version: 1\nguards:\n  public_entry_points: [web]\n"
    blog = {"rule": "Host(`blog.lab`)", "entryPoints": ["web"]}
    give(house, {"waypost.yaml": policy, "traefik/blog.yaml": routers(blog=blog)})
    house.push({"traefik/blog.yaml": routers(blog={**blog, "rule": "Host(`blog.lab`) || Host(`db.lab`)"})})
    (refusal,) = held(house, "exposure")
    assert "db.lab would newly be reachable on the public entry point web" in refusal["lost"]
    assert house.status("db.lab") == NOBODY


# ── a yes to less is no yes to more ──────────────────────────────────────────────────────────────

PART = {"rule": "Host(`r1.lab`) && Path(`/public`)", "priority": 999, "entryPoints": ["web"]}
MORE = {**PART, "rule": "Host(`r1.lab`) && (Path(`/public`) || PathPrefix(`/zzzz`))"}


def agreed_to_a_plan(house):
    house.push({"traefik/new.yaml": routers(new=PART)})
    assert held(house, "authentication")
    with house.session() as person:
        person.consent(person.plan().plan)


def seen_and_merged(house):
    id = house.propose({"traefik/new.yaml": routers(new=PART)})
    with house.session() as person:
        record = person.proposal(id)
        person.saw(record, person.plan(id).plan)
        person.merge(record)
    house.git("pull", "--quiet")


@pytest.mark.parametrize("agree", [agreed_to_a_plan, seen_and_merged])
def test_who_agreed_to_open_a_part_has_not_agreed_to_a_wider_rule_pushed_after_it(guarded, agree):
    agree(guarded)
    guarded.push({"traefik/new.yaml": routers(new=MORE)})
    assert held(guarded, "authentication")
    assert guarded.status("r1.lab", "/zzzz") == ASKED
    assert consent(guarded) == "applied"
    guarded.until(lambda: guarded.status("r1.lab", "/zzzz") == OPEN, "what was agreed to in the end")


def test_a_commit_that_has_no_part_in_it_leaves_an_agreement_as_it_is(guarded):
    agreed_to_a_plan(guarded)
    guarded.push({"traefik/beside.yaml": routers(beside={"rule": "Host(`beside.lab`)", "entryPoints": ["web"]})})
    assert guarded.run().state == "applied"
    guarded.until(lambda: guarded.status("r1.lab", "/public") == OPEN, "what was agreed to")


# ── what an entry point gives to every route ─────────────────────────────────────────────────────


def test_a_new_route_behind_a_middleware_of_ours_that_the_entry_point_names_passes(guarded):
    guarded.traefik.stop()
    guarded.traefik.static["entryPoints"]["web"]["http"] = {"middlewares": ["door@file"]}
    guarded.traefik.start()
    guarded.until(guarded.traefik.up, "Traefik with the entry point's own middleware")
    give(guarded, {"traefik/r2.yaml": routers(r2={"rule": "Host(`r2.lab`)", "entryPoints": ["web"]})})
    guarded.until(lambda: guarded.status("r2.lab") == ASKED, "the new route behind it")


# ── ways round what asks who is there ────────────────────────────────────────────────────────────


def test_a_service_that_would_answer_whoever_is_turned_away_is_held_and_would_have_answered(guarded):
    answering = {"status": ["401"], "service": "noop@internal", "query": "/", "statusRewrites": {"401": 200}}
    guarded.push({
        "traefik/way.yaml": {"http": {"middlewares": {"way": {"errors": answering}}}},
        "traefik/r1.yaml": routers(r1=asked(middlewares=["way", "door"])),
    })  # fmt: skip
    (refusal,) = held(guarded, "authentication")
    assert "`way` has `noop@internal` answer whoever is turned away" in refusal["lost"]
    assert guarded.status("r1.lab") == ASKED
    assert consent(guarded) == "applied"
    guarded.until(lambda: guarded.status("r1.lab") == 200, "what the guard foresaw")


def connections(*addresses):
    """Every connection at web goes to Traefik's own API, from these addresses only where there are any."""

    def to(port):
        middlewares = {"lan": {"ipAllowList": {"sourceRange": list(addresses)}}} if addresses else {}
        router = {"rule": "HostSNI(`*`)", "service": "api", "entryPoints": ["web"], "middlewares": [*middlewares]}
        services = {"api": {"loadBalancer": {"servers": [{"address": f"127.0.0.1:{port}"}]}}}
        tcp = {"routers": {"all": router}, "services": services, "middlewares": middlewares}
        return {"tcp": {section: held for section, held in tcp.items() if held}}

    return to


def test_connections_from_more_addresses_are_held_and_would_have_come_in(house):
    port = house.traefik.ports["traefik"]

    def comes_in():
        try:
            return house.status("any.lab", "/api/version") == 200
        except OSError:
            return False

    give(house, {"traefik/all.yaml": connections("192.0.2.0/24")(port)})
    house.until(lambda: not comes_in(), "connections from certain addresses only")
    for wider in (connections("192.0.2.0/24", "127.0.0.0/8"), connections()):
        house.push({"traefik/all.yaml": wider(port)})
        (refusal,) = held(house, "authentication")
        assert refusal["address"] == "traefik/tcp.middlewares/lan"
        assert not comes_in()
    assert consent(house) == "applied"
    house.until(comes_in, "what the guard foresaw")


def test_another_open_way_to_what_asks_who_is_there_is_held(house):
    port = house.traefik.ports["traefik"]
    app = {"http": {"services": {"app": {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{port}"}]}}}}}
    kept = {"traefik/door.yaml": door(), "traefik/app.yaml": app, "traefik/r1.yaml": routers(r1=asked(service="app"))}
    give(house, kept)
    house.push({"traefik/r2.yaml": routers(r2={"rule": "Host(`r2.lab`)", "service": "app", "entryPoints": ["web"]})})
    (refusal,) = held(house, "authentication")
    assert "this route would serve them for r2.lab without that" in refusal["lost"]
    assert house.status("r2.lab") == NOBODY
