"""What another version of Traefik would make of what is served now, tried in that very version."""

import json

import pytest
from click.testing import CliRunner

from reconciler.cli import waypost
from tests.reconciler.routing.real_traefik import binary_of


def plan(house, *arguments):
    return CliRunner().invoke(waypost, ["--home", str(house.home.path), "plan", *arguments])


@pytest.fixture
def wild(house):
    """A house with a wildcard host, which only Traefik 3.7 and later know."""
    routers = {
        "wild": {"rule": "Host(`*.wild.lab`)", "service": "noop@internal", "entryPoints": ["web"]},
        "plain": {"rule": "Host(`plain.lab`)", "service": "noop@internal", "entryPoints": ["web"]},
    }
    house.push({"traefik/wild.yaml": {"http": {"routers": routers}}})
    assert house.run().state == "applied"
    return house


def test_what_an_older_traefik_would_do_otherwise_is_told_with_a_request(wild):
    told = plan(wild, "--traefik", str(binary_of("3.6.15")))
    assert told.exit_code == 2, told.output
    assert "3.7.15 → 3.6.15" in told.output
    assert "wild.lab/` went to `wild`; after this it is answered 404" in told.output
    assert "plain" not in told.output


def test_the_very_same_traefik_changes_nothing(wild, traefik_binary):
    told = plan(wild, "--traefik", str(traefik_binary), "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["requests"] == []


def test_a_program_that_is_not_there_and_options_that_do_not_fit_are_named(wild):
    assert "no program" in plan(wild, "--traefik", "/nowhere/traefik").output
    assert "choose one" in plan(wild, "--traefik", "traefik", "--ref", "main").output


def test_what_falls_through_because_the_other_refuses_a_rule_or_reads_a_path_otherwise_is_told(house):
    routers = {
        "all": {"rule": "PathPrefix(`/`)", "priority": 1, "service": "noop@internal", "entryPoints": ["web"]},
        "wild": {
            "rule": "Host(`*.wild.lab`)",
            "service": "noop@internal",
            "entryPoints": ["web"],
            "middlewares": ["door"],
        },
    }
    door = {"basicAuth": {"users": ["ada:$apr1$q8eZFHjF$Fvmkk//V6Btlaf2i/ju5n/"]}}
    house.push({"traefik/wild.yaml": {"http": {"routers": routers, "middlewares": {"door": door}}}})
    assert house.run().state == "applied"
    told = plan(house, "--traefik", str(binary_of("3.6.15")))
    assert told.exit_code == 2, told.output
    assert (
        "`GET http://*.wild.lab/` went to `wild` behind `door`; after this it goes to `all`, without `door`. "
        "Nobody is asked who they are any more."
    ) in told.output
    assert "`CONNECT" in told.output  # Traefik 3.7 refuses what 3.6 takes
