"""The work over standard input and output, for mcp-proxy, in whose environment it runs."""

from mcp.server.fastmcp import FastMCP

sums = FastMCP("sums", log_level="ERROR")


@sums.tool()
async def add(one: int, other: int) -> dict[str, int]:
    """Add two numbers."""
    return {"total": one + other}


sums.run()
