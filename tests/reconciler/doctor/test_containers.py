"""What the doctor finds about Dozzle and Docker: away, open to everybody, letting too much through, or well."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from reconciler import config
from reconciler.doctor import check_up, containers
from tests.dozzle.containers_told import Containers, FakeDozzle
from tests.shards.serving import served

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def dozzle() -> Iterator[tuple[Containers, str]]:
    held = Containers()
    with served(FakeDozzle(held).application()) as url:
        yield held, url


@pytest.fixture
def login(tmp_path: Path) -> Path:
    path = tmp_path / "login"
    path.write_text("waypost:right")
    return path


@contextlib.contextmanager
def engine(started: int, shown: int) -> Iterator[str]:
    """What stands before an Engine: how it answers to starting a container, and to showing all of it."""

    async def version(_: Any) -> Any:
        return JSONResponse({"Version": "29.1.0", "ApiVersion": "1.51"})

    async def listed(_: Any) -> Any:
        return JSONResponse([])

    async def asked(request: Any) -> Any:
        status = started if request.method == "POST" else shown
        return PlainTextResponse("", status)

    routes = [
        Route("/version", version),
        Route("/containers/json", listed),
        Route("/containers/{id}/{what}", asked, methods=["GET", "POST"]),
    ]
    with served(Starlette(routes=routes)) as url:
        yield url


def found(tmp_path: Path, **chosen: str) -> dict[str, tuple[str, str]]:
    settings = config.load({f"WAYPOST_{name.upper()}": text for name, text in chosen.items()}, tmp_path)
    return {one.check: (one.level, f"{one.found} {one.remedy}") for one in containers.examine(settings)}


def test_it_says_nothing_of_what_is_not_configured(tmp_path: Path) -> None:
    assert found(tmp_path) == {}
    assert containers.examine in check_up.SYSTEMS


def test_a_proxy_that_only_reads_is_well(tmp_path: Path) -> None:
    with engine(405, 403) as url:
        told = found(tmp_path, docker_url=url)
    assert {level for level, _ in told.values()} == {"ok"} and len(told) == 3


def test_an_engine_without_a_proxy_fails_and_one_that_shows_too_much_is_warned_of(tmp_path: Path) -> None:
    with engine(404, 404) as url:
        level, words = found(tmp_path, docker_url=url)["docker: only reads"]
    assert level == "fail" and "may start and stop containers" in words
    with engine(403, 404) as url:
        assert found(tmp_path, docker_url=url)["docker: only reads"][0] == "warn"


def test_what_is_away_or_something_else_is_told_with_its_setting(tmp_path: Path, dozzle: Any) -> None:
    for address in (NOBODY, dozzle[1]):
        level, words = found(tmp_path, docker_url=address)["docker: answers"]
        assert level == "fail" and "WAYPOST_DOCKER_URL" in words
    level, words = found(tmp_path, dozzle_url=NOBODY)["dozzle: answers"]
    assert level == "fail" and "WAYPOST_DOZZLE_URL" in words


def test_a_dozzle_that_lets_waypost_in_and_nobody_else_is_well(tmp_path: Path, dozzle: Any, login: Path) -> None:
    dozzle[0].quiet()
    told = found(tmp_path, dozzle_url=dozzle[1], dozzle_auth=f"file:{login}")
    assert {level for level, _ in told.values()} == {"ok"} and len(told) == 3
    assert "10.7.3" in told["dozzle: answers"][1]


def test_a_dozzle_that_is_open_old_or_without_mcp_is_warned_of(tmp_path: Path, dozzle: Any) -> None:
    dozzle[0].quiet()
    dozzle[0].open, dozzle[0].mcp = True, "off"
    told = found(tmp_path, dozzle_url=dozzle[1])
    assert (told["dozzle: access"][0], told["dozzle: MCP"][0]) == ("warn", "warn")
    assert "DOZZLE_ENABLE_MCP" in told["dozzle: MCP"][1]
    dozzle[0].version = "v10.5.3"
    assert "Update Dozzle" in found(tmp_path, dozzle_url=dozzle[1])["dozzle: MCP"][1]


@pytest.mark.parametrize("version", ["v11.1.0", "head"])
def test_a_dozzle_whose_pages_nobody_knows_fails_where_its_mcp_server_is_off(
    tmp_path: Path, dozzle: Any, version: str
) -> None:
    dozzle[0].quiet()
    dozzle[0].open, dozzle[0].version = True, version
    assert found(tmp_path, dozzle_url=dozzle[1])["dozzle: MCP"][0] == "ok"
    dozzle[0].mcp = "off"
    level, words = found(tmp_path, dozzle_url=dozzle[1])["dozzle: MCP"]
    assert level == "fail" and "only pages before 11 are known" in words and "WAYPOST_DOCKER_URL" in words


def test_authorities_that_are_none_are_told_of(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("pudding")
    told = found(tmp_path, docker_url="https://docker:2376", ca_file=str(tmp_path / "ca.pem"))
    assert told["containers"][0] == "fail" and "WAYPOST_CA_FILE" in told["containers"][1]


def test_a_wrong_password_is_told_and_not_repeated(tmp_path: Path, dozzle: Any, login: Path) -> None:
    dozzle[0].quiet()
    login.write_text("waypost:cAnArY")
    told = found(tmp_path, dozzle_url=dozzle[1], dozzle_auth=f"file:{login}")
    assert told["dozzle: answers"][0] == "fail" and "cAnArY" not in str(told)
