"""Who sent a request, and for which shard: what the gate let in, and what a client says of itself."""

from __future__ import annotations

from typing import Any

from mcp.server.context import ServerRequestContext
from starlette.requests import Request

from shards.access import Caller
from shards.gate import CALLER, Scope

_LONGEST_CLIENT = 80

Context = ServerRequestContext[dict[str, Any], Any]


def shard(request: object) -> str:
    """Which shard a request is for, "" for all."""
    return str(request.path_params.get("shard", "")) if isinstance(request, Request) else ""


def client(context: Context, caller: Caller) -> str:
    """Who calls: the token's name, and behind it what the client says it is, which is a claim and no proof.

    The stateless handshake era tells only a user agent.
    """
    params = context.session.client_params
    if params is not None:
        claimed = f"{params.client_info.name}/{params.client_info.version}"
    else:
        request = context.request
        claimed = request.headers.get("user-agent", "") if isinstance(request, Request) else ""
    # Without what would make an address of it: the author of a proposal's commit is called so.
    plain = "".join(character for character in claimed if character.isprintable() and character not in "<>")
    told = plain.strip()[:_LONGEST_CLIENT] or "unknown"
    return f"{caller.name} ({told})" if caller.name else told


def caller(context: Context) -> Caller:
    """Who the gate let in. Whoever came by another way than the gate may do nothing."""
    return let_in(context.request.scope if isinstance(context.request, Request) else {})


def let_in(scope: Scope) -> Caller:
    """Whom the gate let in with a request."""
    found = scope.get(CALLER)
    return found if isinstance(found, Caller) else Caller(name="", role="read", grants=frozenset({""}))
