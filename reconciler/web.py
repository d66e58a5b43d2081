"""The reconciler's own address: what the gateway may ask, health, and a nudge. It answers; it never approves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from reconciler import metrics
from reconciler.core.target import TargetError
from reconciler.git.errors import GitError
from reconciler.gitea import webhook
from reconciler.loop import Outcome
from state.errors import LogError


class Unknown(Exception):
    """There is no such thing; the message names it."""


class Answers(Protocol):
    """What the pages and queries need from the running reconciler. Plain JSON data, secrets covered."""

    def plan_of(self, proposal: str) -> dict[str, Any]: ...
    def plan_ref(self, ref: str) -> dict[str, Any]: ...
    def history(self, resource: str, limit: int) -> dict[str, Any]: ...
    def deployed(self, limit: int) -> dict[str, Any]: ...
    def why(self, resource: str) -> dict[str, Any]: ...
    def status(self) -> dict[str, Any]: ...
    def drift(self) -> dict[str, Any]: ...
    def live(self, instance: str) -> dict[str, Any]: ...
    def explain(self, instance: str, request: str) -> dict[str, Any]: ...
    def encryption(self, instance: str) -> dict[str, Any]: ...
    def lent(self, instance: str, router: str, protocol: str) -> dict[str, Any]: ...
    def proposals(self) -> dict[str, Any]: ...
    def proposal(self, id: str) -> dict[str, Any]: ...
    def revision(self, number: int) -> dict[str, Any]: ...
    def pass_now(self) -> Outcome: ...
    def hooked(self, delivery: webhook.Delivery) -> webhook.Heard: ...
    def webhooks(self) -> dict[str, Any]: ...
    def metrics(self) -> bytes: ...


def build(answers: Answers, hosts: list[str]) -> Starlette:
    """The application. `hosts` are the host names that callers may use."""

    def path(request: Request, name: str) -> str:
        return str(request.path_params[name])

    def query(request: Request, name: str) -> str:
        return request.query_params.get(name, "")

    routes = {
        "/query/plan/{proposal:path}": lambda r: answers.plan_of(path(r, "proposal")),
        "/query/plan": lambda r: answers.plan_ref(query(r, "ref")),
        "/query/history": lambda r: answers.history(query(r, "resource"), _number(query(r, "limit"), 100)),
        "/query/why": lambda r: answers.why(query(r, "resource")),
        "/query/status": lambda r: answers.status(),
        "/query/drift": lambda r: answers.drift(),
        "/query/webhooks": lambda r: answers.webhooks(),
        "/query/deployed": lambda r: answers.deployed(_number(query(r, "limit"), 20)),
        "/query/live": lambda r: answers.live(query(r, "instance")),
        "/query/explain": lambda r: answers.explain(query(r, "instance"), query(r, "request")),
        "/query/encryption": lambda r: answers.encryption(query(r, "instance")),
        "/query/foreign": lambda r: answers.lent(query(r, "instance"), query(r, "router"), query(r, "protocol")),
        "/query/proposals": lambda r: answers.proposals(),
        "/query/proposals/{proposal:path}": lambda r: answers.proposal(path(r, "proposal")),
        "/query/revisions/{number}": lambda r: answers.revision(_revision(path(r, "number"))),
        "/health": lambda r: answers.status(),
    }
    guarded = Starlette(
        routes=[
            *(Route(pattern, _endpoint(answer), methods=["GET"]) for pattern, answer in routes.items()),
            # Asking for a pass changes no decision: a pass only does what main says anyway.
            Route("/metrics", lambda r: _metrics(answers), methods=["GET"]),
            Route("/nudge", _endpoint(lambda r: outcome_json(answers.pass_now())), methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts)],
    )
    # Gitea calls us by whatever name it knows; who signs needs no other proof of where it meant to go.
    return Starlette(routes=[Route("/webhooks/gitea", _webhook(answers), methods=["POST"]), Mount("/", guarded)])


_LATER = {"Retry-After": "30"}
_WHOLE = 5.0
"""Seconds for a whole webhook to arrive: Gitea gives up then, and whoever goes on only fills our memory."""


def _webhook(answers: Answers) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        """Answers at once, whatever is to be done: Gitea waits for five seconds and never tries again."""
        try:
            async with asyncio.timeout(_WHOLE):
                delivery = await _delivered(request)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except TimeoutError:
            return JSONResponse({"taken": False, "said": "Gitea would not have taken so long"}, 408)
        # In a thread: the secrets may be waited for, no longer than Gitea has time, and others are served meanwhile.
        heard = await run_in_threadpool(answers.hooked, delivery)
        said = {"taken": heard is webhook.Heard.TAKEN, "said": heard.said}
        return JSONResponse(said, heard.status, headers=_LATER if heard.status == 503 else None)

    return endpoint


async def _delivered(request: Request) -> webhook.Delivery:
    body, headers = await _body(request), request.headers
    return webhook.Delivery(
        body=body,
        signature=headers.get("x-gitea-signature", ""),
        event=headers.get("x-gitea-event", ""),
        id=headers.get("x-gitea-delivery", ""),
    )


async def _body(request: Request) -> bytes | None:
    """What was sent; None where it is larger than any push, and then it is not read on."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > webhook.MOST_BYTES:
            return None
    return bytes(body)


def _metrics(answers: Answers) -> Response:
    try:
        return Response(answers.metrics(), media_type=metrics.CONTENT_TYPE)
    except (GitError, LogError) as error:
        return _refusal(error, 503)


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "state": outcome.state,
        "said": outcome.said,
        "revision": outcome.revision,
        "exit_code": outcome.exit_code,
        "plan": outcome.plan_json,
    }


def _endpoint(answer: Callable[[Request], dict[str, Any]]) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        if request.method == "POST" and request.headers.get("content-type") != "application/json":
            return JSONResponse({"error": "say Content-Type: application/json"}, 415)
        try:
            return JSONResponse(answer(request))
        except Unknown as error:
            return _refusal(error, 404)
        except ValueError as error:
            return _refusal(error, 400)
        except (TargetError, GitError, LogError) as error:
            return _refusal(error, 503)

    return endpoint


def _refusal(error: Exception, status: int) -> Response:
    # It may quote what was asked, and a question may hold halves of characters, which no answer can carry.
    return JSONResponse({"error": str(error).encode("utf-8", "backslashreplace").decode()}, status)


def _revision(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise ValueError(f"'{text[:40]}' is no number of a revision")
    return int(text)


def _number(text: str, default: int) -> int:
    if not text:
        return default
    if not text.isdigit() or not 1 <= int(text) <= 10_000:
        raise ValueError(f"limit is '{text}'; right would be a number from 1 to 10000")
    return int(text)
