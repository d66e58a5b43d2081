"""A name that another file holds too: the same content is a hand-over under way, other content would be a lottery."""

from reconciler.traefik import validate
from reconciler.traefik.validate import LiveNames
from state.model import Address

NAMED = ("http.routers", "r")
SPEC = {"rule": "Host(`a.test`)", "service": "noop@internal"}


def severities(*there):
    live = LiveNames(foreign_files={NAMED: "theirs.yml"}, foreign_specs={NAMED: there})
    found = validate.check({Address("traefik", *NAMED): SPEC}, live=live)
    return [problem.severity for problem in found if "theirs.yml" in problem.message]


def test_the_same_content_elsewhere_is_noted_and_allowed():
    assert severities(dict(SPEC)) == ["warning"]


def test_other_content_in_any_file_is_refused():
    assert severities({**SPEC, "priority": 1}) == ["error"]
    assert severities(dict(SPEC), {**SPEC, "priority": True}) == ["error"]


def test_unknown_content_is_refused():
    assert severities() == ["error"]
