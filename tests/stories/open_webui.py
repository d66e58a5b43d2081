"""Runs elsewhere, in the environment of Open WebUI's MCP client: does what it does with a server.

It is told what to do in JSON on standard input, and tells what it saw on standard output.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from contextlib import AsyncExitStack
from typing import Any

from mcp import ClientSession


async def _connected(stack: AsyncExitStack, url: str, headers: dict[str, str]) -> Any:
    """The two ends of a connection, as each line of the SDK makes them."""
    transport = importlib.import_module("mcp.client.streamable_http")
    if hasattr(transport, "streamablehttp_client"):
        return await stack.enter_async_context(transport.streamablehttp_client(url, headers=headers))
    client = importlib.import_module("httpx2").AsyncClient(headers=headers, timeout=30)
    http = await stack.enter_async_context(client)
    return await stack.enter_async_context(transport.streamable_http_client(url, http_client=http))


async def _did(asked: dict[str, Any]) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        headers = {"Authorization": f"Bearer {asked['token']}"}
        read, write, *_ = await _connected(stack, asked["url"], headers)
        session = await stack.enter_async_context(ClientSession(read, write))
        await session.initialize()
        listed = await session.list_tools()
        answer = (await session.call_tool(asked["tool"], asked["arguments"])).model_dump(mode="json", by_alias=True)
        return {
            "tools": [tool.name for tool in listed.tools],
            "said": answer["content"][0]["text"],
            "failed": bool(answer["isError"]),
        }


if __name__ == "__main__":
    json.dump(asyncio.run(_did(json.load(sys.stdin))), sys.stdout)
