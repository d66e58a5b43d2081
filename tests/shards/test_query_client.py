"""Whatever answers, or does not, the gateway gets data or a reason, and never an exception."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from reconciler import query_client
from reconciler.query_client import Away, QueryClient
from tests.shards.serving import NOBODY, served


async def _strange(request: Request) -> Response:
    match request.path_params["kind"]:
        case "html":
            return HTMLResponse("<h1>hello</h1>")
        case "list":
            return JSONResponse([1, 2])
        case "redirect":
            return RedirectResponse("/query/plan/html")
        case "error":
            return JSONResponse({"error": "the log is locked"}, 503)
        case "deep":
            return Response(b'{"events": ' + b"[" * 900 + b"]" * 900 + b"}")
        case "huge":
            return Response(b"x" * (query_client.MOST_BYTES + 1))
        case "missing":
            return JSONResponse({"error": "no such proposal"}, 404)
    await asyncio.sleep(30)
    return Response()


@pytest.fixture
def strange() -> Iterator[str]:
    with served(Starlette(routes=[Route("/query/plan/{kind}", _strange)])) as url:
        yield url


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("html", "unreadable"),
        ("list", "unreadable"),
        ("redirect", "unreadable"),
        ("error", "away"),
        ("deep", "unreadable"),
        ("huge", "unreadable"),
        ("missing", "unknown"),
        ("slow", "away"),
    ],
)
def test_a_strange_answer_is_a_reason(strange: str, kind: str, cause: str) -> None:
    client = QueryClient(strange, timeout=1.0)
    answer = client.plan(kind)
    client.close()
    assert isinstance(answer, Away)
    assert (answer.cause, bool(answer.reason)) == (cause, True)


@pytest.mark.parametrize("url", [NOBODY, "http://nowhere.invalid", "http://[::1]:1", "not an address"])
def test_nobody_there_is_a_reason(url: str) -> None:
    client = QueryClient(url, timeout=1.0)
    answer = client.status()
    client.close()
    assert isinstance(answer, Away)
    assert answer.cause == "away"
