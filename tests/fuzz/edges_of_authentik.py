"""Blueprints as anybody may write them, here and in authentik itself, and what an authentik says."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from reconciler import document
from reconciler.authentik import blueprint
from reconciler.authentik.answers import AuthentikError
from reconciler.authentik.api import AuthentikApi
from reconciler.authentik.consequences import losses
from reconciler.authentik.held import Held, Names
from reconciler.authentik.language import LANGUAGE
from reconciler.core.policy import Policy
from reconciler.setting import Secret
from state.model import Address
from tests.fuzz.edges_of_traefik import WIRE
from tests.fuzz.fuzzing import Edge, Take
from tests.fuzz.mutating import Mutator, written
from tests.fuzz.stub import answer, stub

BLUEPRINT = b"""\
version: 1
metadata: {name: Grafana, labels: {team: home}}
context: {host: grafana.lab}
entries:
  - model: authentik_providers_oauth2.oauth2provider
    id: provider
    identifiers: {name: grafana}
    attrs:
      authorization_flow: !Find [authentik_flows.flow, [slug, default-provider-authorization-implicit-consent]]
      client_secret: !Context grafana_secret
      redirect_uris: [{matching_mode: strict, url: "https://grafana.lab/login"}]
  - model: authentik_core.application
    id: app
    state: present
    conditions: [!Condition [AND, true, !Context [wanted, true]]]
    identifiers: {slug: grafana}
    attrs: {name: Grafana, provider: !KeyOf provider, meta_launch_url: !Format ["https://%s/", !Context host]}
  - model: authentik_policies.policybinding
    identifiers: {target: !KeyOf app, group: !Find [authentik_core.group, [name, figures]]}
    attrs: {order: 0, enabled: !If [!Context [wanted, true], true, false]}
  - model: authentik_outposts.outpost
    identifiers: {managed: goauthentik.io/outposts/embedded}
    attrs: {providers: [!Find [authentik_providers_proxy.proxyprovider, [name, wiki]]]}
"""
USUAL: Any = document.read("", BLUEPRINT, tagged=True).value
HERE, THERE = Address("authentik", "blueprint", "grafana"), Address("authentik", "blueprint", "other")


def _text(mutator: Mutator) -> bytes:
    if mutator.chance.random() < 0.5:
        return mutator.content([BLUEPRINT])
    changed = mutator.value(json.loads(written(USUAL)))
    try:
        return blueprint.written(changed).encode()
    except (TypeError, RecursionError):
        return written(changed)  # what no JSON carries, no blueprint holds


@contextlib.contextmanager
def _blueprints(_: Path) -> Iterator[Take]:
    def take(content: bytes) -> bool:
        parsed = LANGUAGE.parse("authentik/grafana.yaml", content)
        read = document.read("", content, tagged=True)
        if isinstance(read.value, dict) and not read.problems:
            _judge(read.value)
        return not parsed.problems

    yield take


def _judge(spec: Any) -> None:
    """What stands in authentik is compared and judged, whatever it is."""
    for before, after in (({HERE: spec}, {HERE: USUAL}), ({HERE: USUAL}, {HERE: spec}), ({HERE: spec}, {})):
        losses("authentik", before, after, (), Policy())
        blueprint.leaving(before, after)
    together = {HERE: USUAL, THERE: spec}
    blueprint.in_order(together)
    blueprint.held_twice(together)
    again = document.read("", blueprint.written(spec).encode(), tagged=True)
    assert again.problems or again.value == spec, "it reads back as another"


INSTANCE = {
    "pk": "p", "name": "Waypost authentik: grafana", "content": BLUEPRINT.decode(), "context": {"a": "b"},
    "enabled": True, "status": "successful", "last_applied": "2026-11-21T12:00:00Z", "last_applied_hash": "f" * 128,
    "path": "",
}  # fmt: skip
PAGE = {"pagination": {"next": 0, "count": 1}, "results": [INSTANCE], "autocomplete": {}}
OBJECTS = {"pagination": {"next": 0}, "results": [{"pk": 1, "slug": "grafana", "name": "grafana"}]}
LOGS = {"pagination": {"next": 0}, "results": [{"logs": [{"event": "oh", "log_level": "warning"}]}]}
CALLS: dict[str, tuple[Callable[[AuthentikApi], Any], Any]] = {
    "held": (lambda api: Held.among(Names("authentik"), api.instances()).waiting, PAGE),
    "one": (lambda api: api.instance("p"), INSTANCE),
    "kept": (lambda api: str(api.create("n", "c", {}, enabled=False)), INSTANCE),
    "refused": (lambda api: str(api.change("p", content="c")), {"content": ["no", "- because"], "code": "invalid"}),
    "found": (lambda api: api.found("authentik_core.application", {"slug": "grafana"}), OBJECTS),
    "said": (lambda api: api.said_of("p"), LOGS),
    "version": (AuthentikApi.version, {"version_current": "2026.8.1"}),
}


def _said(mutator: Mutator) -> tuple[str, bytes]:
    call = mutator.chance.choice(list(CALLS))
    usual = CALLS[call][1]
    roll = mutator.chance.random()
    if roll < 0.2:
        return call, mutator.content([*WIRE, answer(written(usual))])
    if roll < 0.7:
        return call, answer(written(mutator.value(json.loads(written(usual)))))
    return call, answer(mutator.content([written(usual)]))


@contextlib.contextmanager
def _authentik(directory: Path) -> Iterator[Take]:
    token = directory / "token"
    token.write_text("right")
    with stub() as server:
        api = AuthentikApi(server.url, Secret(f"file:{token}"))

        def take(given: tuple[str, bytes]) -> bool:
            call, said = given
            server.answers = {"*": said}
            CALLS[call][0](api)
            return True

        yield take
        api.close()


EDGES = (
    Edge(name="blueprint", share=250, make=_text, opened=_blueprints, family=()),
    Edge(name="answer of authentik", share=100, make=_said, opened=_authentik, family=(AuthentikError,)),
)
