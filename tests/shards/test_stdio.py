"""The gateway for one local client that starts it, over standard input and output."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
from mcp import Client, StdioServerParameters

from reconciler import founding
from tests.shards.serving import ERAS


@pytest.mark.parametrize("era", ERAS)
def test_a_local_client_lists_and_calls_tools_without_an_address_or_a_token(tmp_path: Path, era: str) -> None:
    home = founding.create(tmp_path / "home", chosen={}, environ={}, now=lambda: datetime.now(UTC))
    command = ["-m", "reconciler", "--home", str(home.path), "serve-gateway", "--stdio"]

    async def ask() -> tuple[set[str], bool | None]:
        async with Client(StdioServerParameters(command=sys.executable, args=command), mode=era) as client:
            listed = await client.list_tools()
            answer = await client.call_tool("gateway_status", {})
            return {tool.name for tool in listed.tools}, answer.is_error

    names, failed = anyio.run(ask)
    assert {"traefik_create_route", "gateway_status"} <= names
    assert not failed
