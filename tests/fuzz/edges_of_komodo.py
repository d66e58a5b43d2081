"""Stacks and compose files as anybody may write them, here and in Komodo itself, and what a Komodo says."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reconciler.core.plan import ABSENT, Change
from reconciler.core.policy import Policy
from reconciler.core.target import TargetError
from reconciler.komodo import checking, contents, deeds, labels
from reconciler.komodo.consequences import losses
from reconciler.komodo.deeds import Step
from reconciler.komodo.language import LANGUAGE
from reconciler.komodo.reading import Reader
from reconciler.komodo.services import standing
from reconciler.komodo.wire import KomodoError, Wire
from reconciler.ports import Disk
from reconciler.setting import Secret
from reconciler.targets.komodo_record import Held, Record, RecordFile, UnderWay
from state.model import Address
from tests.fuzz.edges_of_traefik import WIRE
from tests.fuzz.fuzzing import Edge, Take
from tests.fuzz.mutating import Mutator, written
from tests.fuzz.stub import answer, stub

FILES = {
    "stack.toml": b"""\
[[stack]]
name = "media"
after = ["db"]
[stack.config]
server = "nas"
pre_deploy.command = "true"
environment = \"\"\"
TZ = UTC
TOKEN = [[TOKEN]]
\"\"\"
""",
    "compose.yaml": b"""\
x-shared: &shared {restart: always}
services:
  web:
    <<: *shared
    image: jellyfin:10
    ports: ["8096:8096", {target: 80, published: "8080"}]
    volumes: ["data:/data", {type: bind, source: /srv, target: /srv}]
    depends_on: {db: {condition: service_healthy}}
    labels:
      traefik.http.routers.web.rule: Host(`films.lab`)
      traefik.http.routers.web.tls.domains[0].main: lab
      traefik.http.services.web.loadbalancer.server.port: 8096
  db: {image: "postgres:17", environment: ["POSTGRES_PASSWORD=${DB}"]}
volumes: {data: }
""",
    "request.yaml": b'do: restart\nat: "2026-11-21T15:04:05Z"\nreason: it is stuck\nservices: [web]\n',
}
ID = {"$oid": "0" * 24}
STACK = {"_id": ID, "name": "media", "config": {"server_id": "1", "file_contents": "services: {}"}, "info": {}}
LOG = {"stage": "Up", "command": "x", "stdout": "", "stderr": "no", "success": False, "start_ts": 1, "end_ts": 2}
UPDATE = {"_id": ID, "operation": "DeployStack", "status": "Complete", "success": False, "logs": [LOG]}
SERVICE = {"service": "web", "image": "a", "container": {"name": "m", "state": "running", "status": "Up"}}
CALLS: dict[str, tuple[Callable[[Reader], Any], Any]] = {
    "stacks": (Reader.stacks, [{"id": "1", "name": "media", "info": {"state": "running"}}]),
    "stack": (lambda komodo: contents.understood(str(komodo.stack("media").config)), STACK),
    "servers": (Reader.servers, [{"id": "1", "name": "nas"}]),
    "services": (lambda komodo: standing(komodo.services("media"), {}).told, [SERVICE]),
    "log": (lambda komodo: komodo.log("media", [], 10), LOG),
    "update": (lambda komodo: (komodo.update("1").fault, komodo.update("1").busy), UPDATE),
    "updates": (lambda komodo: komodo.updates("1"), {"updates": [{"id": "1", "operation": "DeployStack"}]}),
    "at work": (lambda komodo: komodo.at_work("media"), {"deploying": True}),
}


def _file(mutator: Mutator) -> tuple[str, bytes]:
    name = mutator.chance.choice(list(FILES))
    return name, mutator.content([FILES[name]])


@contextlib.contextmanager
def _files(_: Path) -> Iterator[Take]:
    def take(given: tuple[str, bytes]) -> bool:
        name, content = given
        parsed = LANGUAGE.parse(f"komodo/media/{name}", content)
        state = {Address("komodo", kind, stack): spec for kind, stack, spec, _ in parsed.resources}
        changes = [
            Change(address=one, base=ABSENT, want=want, live=ABSENT, action="create") for one, want in state.items()
        ]
        for before, after in (({}, state), (state, {})):
            losses("komodo", before, after, changes, Policy())
            list(checking.problems(after, before, ["nas"], datetime(2026, 11, 21, tzinfo=UTC)))
            list(checking.of_labels(after, before))
        deeds.by_stack(state)
        contents.understood(content.decode("utf-8", "replace"))
        return not parsed.problems

    yield take


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
def _komodo(place: Path) -> Iterator[Take]:
    (place / "key").write_text("right")
    key = Secret(f"file:{place / 'key'}")
    with stub() as server:
        komodo = Reader(Wire(server.url, key, key, only_reads=True))

        def take(given: tuple[str, bytes]) -> bool:
            call, said = given
            server.answers = {"*": said}
            CALLS[call][0](komodo)
            return True

        yield take
        komodo.close()


def _labelled(mutator: Mutator) -> Any:
    parsed = LANGUAGE.parse("komodo/media/compose.yaml", FILES["compose.yaml"])
    found = parsed.resources[0][2]["services"]["web"]["labels"]
    return {mutator.text([key]): mutator.text([str(value)]) for key, value in found.items()}


@contextlib.contextmanager
def _records(place: Path) -> Iterator[Take]:
    file = RecordFile(place / "komodo.json", Disk())

    def take(content: bytes) -> bool:
        (place / "komodo.json").write_bytes(content)
        file.load()
        return True

    yield take


STEP = Step(stack="media", deed="deploy", why="it is new", wanted={"stack": {"server": "nas"}}, services=("web",))
UNDER_WAY = UnderWay(attempt="1", commit="c", after="d", steps=(STEP,))
KEPT = Record(held={"media": Held(mark="m", specs={"stack": {}})}, under_way=UNDER_WAY)
RECORD = json.dumps({"format": 1, **asdict(KEPT)}).encode()


def _recorded(mutator: Mutator) -> bytes:
    return mutator.content([RECORD])


@contextlib.contextmanager
def _labels(_: Path) -> Iterator[Take]:
    def take(given: Any) -> bool:
        return not labels.of_compose("media", {"services": {"web": {"labels": given}}}).faults

    yield take


EDGES = (
    Edge(name="file of a stack", share=250, make=_file, opened=_files),
    Edge(name="labels of a container", share=100, make=_labelled, opened=_labels),
    Edge(
        name="record of deploys", share=50, make=lambda m: m.content([RECORD]), opened=_records, family=(TargetError,)
    ),
    Edge(name="answer of Komodo", share=100, make=_said, opened=_komodo, family=(KomodoError,)),
)
