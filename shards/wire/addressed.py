"""Pages that need no token: a web page elsewhere must not read them by a name that it has brought to lead here."""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shards import errors
from shards.kit import Refused

Page = Callable[[Request], Awaitable[Response]]

_HOST: Final = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<name>[^:\[\]@/?#\s]+))(?::\d{1,5})?")
_SHORT: Final = re.compile(r"[A-Za-z0-9_-]+")

_STRANGE_HOST: Final = Refused(
    errors.STRANGE_HOST.code, f"{errors.STRANGE_HOST} An IP address or a name without a dot works without that."
)

_logger = logging.getLogger("waypost.gateway")


def guarded(page: Page, known: TransportSecuritySettings) -> Page:
    """The page, for who names us as MCP clients may, or in a way that no DNS of a stranger can bring about."""

    async def answer(request: Request) -> Response:
        hosts, origins = request.headers.getlist("host"), request.headers.getlist("origin")
        if len(hosts) != 1 or not (_is_among(hosts[0], known.allowed_hosts) or _is_nobody_elses(hosts[0])):
            return _refused(request, 421, _STRANGE_HOST)
        if not all(_is_among(origin, known.allowed_origins) for origin in origins):
            return _refused(request, 403, errors.STRANGE_ORIGIN)
        return await page(request)

    return answer


def _is_among(value: str, allowed: Sequence[str]) -> bool:
    """Whether it is allowed; `:*` at the end stands for any port."""
    return value in allowed or any(value.startswith(one[:-1]) for one in allowed if one.endswith(":*"))


def _is_nobody_elses(host: str) -> bool:
    """An address leads where it says, and a name without a dot is given by the network that one is in: Prometheus
    knows a container by such a name."""
    found = _HOST.fullmatch(host)
    if not found:
        return False
    try:
        ipaddress.ip_address(found["six"] or found["name"])
    except ValueError:
        return bool(found["name"] and _SHORT.fullmatch(found["name"]))
    return True


def _refused(request: Request, status: int, refusal: Refused) -> Response:
    _logger.warning("%s is not told: %s", request.url.path, refusal.code)
    return JSONResponse({"message": str(refusal), **errors.data(refusal)}, status)
