"""FastMCP in front of the work, in its own environment: `serving_fastmcp.py mount PORT`, or `proxy PORT ADDRESS`."""

import sys

from fastmcp import FastMCP

way, port, *more = sys.argv[1:]

sums = FastMCP("sums")


@sums.tool
async def add(one: int, other: int) -> dict[str, int]:
    """Add two numbers."""
    return {"total": one + other}


if way == "mount":
    front = FastMCP("front")
    front.mount(sums, namespace="sums")
else:
    from fastmcp.server import create_proxy

    front = create_proxy(more[0], name="front")

front.run(transport="http", host="127.0.0.1", port=int(port), show_banner=False, stateless_http=True, log_level="error")
