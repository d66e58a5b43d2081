"""What models send, and what gateway and reconciler send each other: tools, MCP on the wire, questions, answers."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_from_bytes

from reconciler import app, founding, home, web
from reconciler.query_client import Away, QueryClient
from reconciler.serve import Reconciler
from reconciler.world import World
from shards import gateway
from shards.config import GatewaySettings
from shards.proposing import read_plan
from tests.fuzz import asgi, samples
from tests.fuzz.fuzzing import Edge, Take
from tests.fuzz.mutating import LARGE, Mutator, written
from tests.fuzz.stub import answer, stub
from tests.shards.serving import NOBODY, DesiredRepo

REASON = "because somebody asked for it"
ARGUMENTS: Mapping[str, dict[str, Any]] = {
    "traefik_list_routes": {"instance": "traefik"},
    "traefik_get_route": {"name": "grafana"},
    "traefik_create_route": {
        "name": "gitea", "host": ["gitea.lab", "git.lab"], "service_url": "http://127.0.0.1:3000", "reason": REASON,
        "path_prefix": "/x", "middlewares": ["compress"], "entry_points": ["web"], "tls": True, "cert_resolver": "le",
    },
    "traefik_update_route": {"name": "grafana", "reason": REASON, "host": "other.lab", "service_url": ["http://a:1"]},
    "traefik_delete_route": {"name": "grafana", "reason": REASON},
    "traefik_adopt_route": {"router": "gitea@docker", "reason": REASON, "instead": {"auth@docker": "auth"}},
    "traefik_check_ssl_status": {"host": "grafana.example.org"},
    "traefik_diagnose": {"what": "https://grafana.example.org/dash?x=1", "status": 404, "method": "GET"},
    "traefik_add_dynamic_config": {
        "kind": "http.middlewares", "name": "limit", "spec": {"rateLimit": {"average": 10, "period": "1s"}},
        "reason": REASON,
    },
    "traefik_list_middlewares": {},
    "traefik_plan_changes": {"proposal": ""},
    "traefik_explain_request": {"url": "http://a.lab/x", "method": "GET", "headers": {"X": "y"}, "client_ip": "::1"},
    "traefik_route_history": {"name": "grafana"},
    "traefik_rollback": {"revision": "1", "reason": REASON},
    "proposals_get": {"proposal": "gitea-abc"},
    "proposals_withdraw": {"proposal": "gitea-abc", "reason": REASON},
    "history": {"resource": "traefik/http.routers/grafana", "limit": 5},
    "why": {"resource": "traefik/http.routers/grafana"},
}  # fmt: skip
HEADERS = {
    "Host": "127.0.0.1:9100",
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2025-06-18",
}
FAULTS = (b'"code":-32603', b'"code":0,', b'"code":"internal"')
"""How a fault of ours shows through: the protocol's own code for one, the SDK's for what nobody caught, and ours."""


def _call(name: str, arguments: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


def _arguments(mutator: Mutator) -> tuple[dict[str, str], bytes]:
    """A well-formed call of a tool, strange in its arguments."""
    tool = mutator.chance.choice(list(ARGUMENTS))
    given = ARGUMENTS[tool]
    if tool == "traefik_add_dynamic_config":
        piece = mutator.chance.choice(samples.PIECES)
        section, groups = next(iter(piece.items()))
        group, members = next(iter(groups.items()))
        name, spec = next(iter(members.items()))
        given = {**given, "kind": f"{section}.{group}", "name": name, "spec": mutator.value(spec)}
    if mutator.chance.random() < 0.7:
        given = mutator.value(given)
    return HEADERS, written(_call(tool, given))


MESSAGES = (
    _call("traefik_list_routes", {}),
    {"jsonrpc": "2.0", "id": "a", "method": "tools/list", "params": {"cursor": "x", "_meta": {"progressToken": 1}}},
    {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}},
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "ping"},
    {"jsonrpc": "2.0", "id": 2, "result": {}},
)  # fmt: skip


def _message(mutator: Mutator) -> tuple[dict[str, str], bytes]:
    """Anything at all at the endpoint."""
    headers = dict(HEADERS)
    if mutator.chance.random() < 0.3:
        name = mutator.chance.choice([*HEADERS, "Authorization", "Origin", "Mcp-Session-Id", "User-Agent", "Mcp-Name"])
        changed = mutator.text([headers.get(name, "Bearer wp_claude_abc")])
        headers[name] = "".join(sign for sign in changed if sign.isprintable() and ord(sign) < 256)[:1000]
    return headers, mutator.document(MESSAGES, [written(one) for one in MESSAGES])


@contextlib.contextmanager
def _gateway(place: Path) -> Iterator[Take]:
    """The real gateway; its reconciler is away."""
    desired = DesiredRepo(place / "desired.git")
    settings = GatewaySettings(directory=place / "gateway", source=desired.path, reconciler_url=NOBODY)
    logging.disable(logging.CRITICAL)
    with asgi.running(gateway.build(settings)) as application:

        def take(given: tuple[dict[str, str], bytes]) -> bool:
            headers, body = given
            status, said = application.ask("POST", "/mcp", headers, body)
            assert 200 <= status < 500, (status, said)
            assert not any(fault in said for fault in FAULTS), said
            return status < 300 and b'"error"' not in said and b'"isError":true' not in said

        yield take
    logging.disable(logging.NOTSET)


# ── between gateway and reconciler ───────────────────────────────────────────────────────────────

QUESTIONS = (
    "/query/plan?ref=main",
    "/query/plan/p1",
    "/query/history?resource=traefik/http.routers/a&limit=5",
    "/query/why?resource=traefik/http.routers/a",
    "/query/status",
    "/query/drift",
    "/query/webhooks",
    "/query/live?instance=traefik",
    "/query/explain?instance=traefik&request=" + quote(json.dumps(samples.REQUESTS[0])),
    "/query/proposals",
    "/query/proposals/p1",
    "/query/revisions/1",
    "/health",
)


def _question(mutator: Mutator) -> tuple[str, str, bytes]:
    """Method, target and body. What no request line could carry is escaped."""
    if mutator.chance.random() < 0.3:
        request = written(mutator.value(mutator.chance.choice(samples.REQUESTS)))
        return "GET", "/query/explain?request=" + quote_from_bytes(request[:LARGE]), b""
    target = quote_from_bytes(mutator.content([one.encode() for one in QUESTIONS]), safe="/?&=%+*~:;,@!$'()")
    return mutator.chance.choice(("GET", "GET", "GET", "POST")), "/" + target.lstrip("/"), b"{}"


@contextlib.contextmanager
def reconciler(place: Path, **chosen: str) -> Iterator[asgi.Application]:
    """The real reconciler over a home of its own, whose Traefik is a stub that answers well."""
    directory = place / "dynamic"
    directory.mkdir()
    with stub() as traefik, contextlib.ExitStack() as stack:
        traefik.answers = {
            "/api/version": answer(written(samples.VERSION)),
            "/api/entrypoints": answer(written(samples.ENTRY_POINTS)),
            "/api/rawdata": answer(written(samples.RAWDATA)),
            "/api/overview": answer(written(samples.OVERVIEW)),
            "*": b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
        }
        of_traefik = {"WAYPOST_TRAEFIK_DYNAMIC_DIR": str(directory), "WAYPOST_TRAEFIK_API_URL": traefik.url}
        made = founding.create(
            place / "home", chosen={**of_traefik, **chosen}, environ={}, now=lambda: datetime.now(UTC)
        )
        opened = home.open(made.path, {})
        world = stack.enter_context(app.locked(opened))
        assert isinstance(world, World)
        yield stack.enter_context(asgi.running(web.build(Reconciler(opened, world), ["127.0.0.1"])))


@contextlib.contextmanager
def _asked(place: Path) -> Iterator[Take]:
    with reconciler(place) as application:

        def take(given: tuple[str, str, bytes]) -> bool:
            method, target, body = given
            headers = {"Host": "127.0.0.1:9101", "Content-Type": "text/plain"}
            status, said = application.ask(method, target, headers, body)
            assert status < 500 or status == 503, (status, said)
            return status == 200

        yield take


PLAN = {
    "plan": {
        "digest": "ab" * 32, "code": "abcd", "held": "", "changes": [{"address": "traefik/http.routers/a"}],
        "effects": [{"said": "x"}], "losses": [], "conflicts": [], "refusals": [{"guard": "x"}], "problems": [],
        "notes": ["a note"],
    }
}  # fmt: skip
LIVE = {"resources": [{"address": "traefik/http.routers/a", "spec": {}}], "foreign": {}, "witness": "", "problems": []}


def _reply(mutator: Mutator) -> bytes:
    usual = mutator.chance.choice((PLAN, LIVE, {"error": "there is no such thing"}))
    if mutator.chance.random() < 0.3:
        return mutator.content([answer(written(usual))])
    return answer(written(mutator.value(usual)))


@contextlib.contextmanager
def _answered(_: Path) -> Iterator[Take]:
    """What the gateway makes of what answers at the reconciler's address: never an exception."""
    with stub() as reconciler:
        client = QueryClient(reconciler.url)

        def take(given: bytes) -> bool:
            reconciler.answers = {"*": given}
            said = client.plan("p1")
            plan = read_plan(said)
            written(plan.model_dump(mode="json"))
            return not isinstance(said, Away)

        yield take
        client.close()


EDGES = (
    Edge(name="arguments of tools", share=250, make=_arguments, opened=_gateway),
    Edge(name="MCP on the wire", share=400, make=_message, opened=_gateway),
    Edge(name="question to the reconciler", share=80, make=_question, opened=_asked),
    Edge(name="answer of the reconciler", share=400, make=_reply, opened=_answered),
)
