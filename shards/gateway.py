"""The gateway of a home, put together: its shards, its audit, its fronts, and who is let in."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import mcp_types as protocol
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from reconciler import tokens
from reconciler.home import Lock
from reconciler.ports import Chance, Clock, Disk, SystemClock
from reconciler.query_client import Away, QueryClient
from reconciler.tokens import Keyring, TokenError
from shards import access, belongings, oauth, offers, systems
from shards.access import Caller
from shards.audit import Audit
from shards.belongings import Shelves
from shards.config import GatewaySettings
from shards.gate import STILL, Admit, App, Gate, Scope, Unable
from shards.health import Turned
from shards.heard import Heard
from shards.kit import Shard
from shards.limits import Limits
from shards.metrics import CONTENT_TYPE, Metrics
from shards.oauth import Issuer, IssuerError
from shards.own import Own
from shards.proposing import Desk
from shards.registry import Registry
from shards.scribe import Scribe
from shards.wire import addressed, announcing, asker, front
from shards.wire.announcing import Announcer, Still, View
from shards.wire.asker import Context
from shards.wire.calling import Bench
from shards.wire.further import Further
from shards.wire.remote import Link, Surroundings
from state.errors import LogError
from state.events import Event, ShardFound, ShardLost, ShardsDeclared
from state.sparing import dataclass

_JUDGED_AT_ONCE: Final = 8
"""Whose access tokens are looked at; of strangers, for whom an issuer may have to be waited, as many more. They must
not take all threads, nor keep those out whose key is known."""

_THREADS_BESIDE: Final = 40
"""Those that are left when every place of every shard here is taken: for the audit, of which one flush is shared by all
who wait, and for what is small."""

_logger = logging.getLogger("waypost.gateway")


@dataclass(frozen=True)
class Parts:
    """A gateway of a home, without a way in yet: what every call needs, and what ends with it."""

    bench: Bench
    reconciler: Heard
    closing: tuple[Callable[[], None], ...]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While this lasts, shards elsewhere are kept; at its end all is closed."""
        places = offers.AT_ONCE * len(self.bench.registry.residents)
        anyio.to_thread.current_default_thread_limiter().total_tokens = places + _THREADS_BESIDE
        async with AsyncExitStack() as stack:
            for close in reversed(self.closing):
                stack.callback(close)
            keeping = asyncio.create_task(self.bench.registry.run(), name="shards elsewhere")
            stack.push_async_callback(_ended, keeping)
            telling = asyncio.create_task(self.bench.announcer.run(), name="announcements")
            stack.push_async_callback(_ended, telling)
            stack.callback(self.bench.announcer.close)
            yield


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def build(
    settings: GatewaySettings,
    *,
    clock: Clock | None = None,
    chance: Chance = os.urandom,
    more: Sequence[Shard] = (),
) -> Starlette:
    """The gateway of a home over HTTP, its clone and outbox made where they are missing; `more` shards in its process.

    Raises GitError or LogError where its own directory cannot be used; an absent desired repo, reconciler or shard
    elsewhere is no reason not to start.
    """
    clock = clock or SystemClock()
    admit = _door(settings, Keyring(settings.tokens, Disk()), clock)
    return application(settings, _assembled(settings, clock, chance, more), admit)


async def serve_stdio(settings: GatewaySettings) -> None:
    """The gateway for the one client that started this process: who may start it may call it. Ends with its input."""
    parts = _assembled(settings, SystemClock(), os.urandom)
    server = _server(parts.bench, lambda _: access.LOCAL)
    view = functools.partial(parts.bench.shown, access.LOCAL, "")
    async with parts.running(), stdio_server() as (read, write), anyio.create_task_group() as telling:

        async def begin(context: Context, _: protocol.NotificationParams) -> None:
            telling.start_soon(announcing.keep_told, parts.bench.announcer, view, context.session)

        telling.start_soon(_leave_when_told)
        server.add_notification_handler("notifications/initialized", protocol.NotificationParams, begin)
        await server.run(read, write, server.create_initialization_options())
        telling.cancel_scope.cancel()


async def _leave_when_told() -> None:
    """End at once: a thread waits for input, and nothing calls it back. What was answered is on the disk by then."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            os._exit(0)


def _assembled(settings: GatewaySettings, clock: Clock, chance: Chance, more: Sequence[Shard] = ()) -> Parts:
    lock = belongings.hold(settings)
    alone = isinstance(lock, Lock)
    store = belongings.clone(settings, alone=alone)
    audit = Audit(belongings.outbox(settings, clock, alone=alone))
    query = QueryClient(settings.reconciler_url, timeout=settings.answer_within)
    desk = Desk(settings, store, audit, query, clock, chance)
    desk.recover()
    limits = Limits(clock, settings.bounds)
    own = Own(desk, version("waypost"), lambda: registry.standings(), limits)
    of_systems, close = systems.shards(settings, desk, clock, chance)
    scribe = Scribe()
    around = Surroundings(
        clock=clock,
        chance=chance,
        tls=functools.partial(_trusted, settings.ca_file),
        tell=scribe.later(functools.partial(_tell, audit)),
    )
    shelves = belongings.Shelves(settings.directory / "shards")
    registry = Registry(
        (*of_systems, *more, own),
        clock,
        settings.discovery,
        connect=lambda shard: Link(shard, shelves.of(shard.name), around),
        tell=scribe.later(functools.partial(_declare, audit, shelves)),
        before=shelves.names(),
    )
    bench = Bench(
        registry=registry,
        audit=audit,
        new_request_id=functools.partial(_request_id, clock, chance),
        limits=limits,
        metrics=Metrics(registry.standings),
        announcer=Announcer(registry.offers),
    )
    letting_go = (lock.close,) if isinstance(lock, Lock) else ()
    return Parts(bench, Heard(query.status), (close, query.close, scribe.close, audit.close, *letting_go))


@functools.cache
def _trusted(ca_file: Path | None) -> ssl.SSLContext:
    """One for all links, made when there is one: it takes tens of milliseconds."""
    return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)


def _declare(audit: Audit, shelves: Shelves, names: tuple[str, ...]) -> None:
    """Other shards run elsewhere than before."""
    _logger.info("shards elsewhere: %s", ", ".join(names) or "none")
    _record(audit, ShardsDeclared(shards=names))
    shelves.keep_only(names)


def _tell(audit: Audit, name: str, turned: Turned) -> None:
    """A shard went down or came back: for the log of this process, and for the event log."""
    kind = ShardLost if turned.state == "down" else ShardFound
    _logger.warning("shard %s is %s: %s", name, turned.state, turned.reason)
    _record(audit, kind(shard=name, reason=turned.reason))


def _record(audit: Audit, event: Event) -> None:
    try:
        audit.tell(event)
    except LogError as fault:
        _logger.error("the audit cannot be written: %s", fault)


def _door(settings: GatewaySettings, keyring: Keyring, clock: Clock) -> Admit:
    """Tokens of ours, and where an issuer is named, its access tokens as well."""
    authority = oauth.Authority(settings.issuer, oauth.over_tls(settings.ca_file), clock) if settings.issuer else None
    open_door = settings.loopback and authority is None
    known_keys, strange_keys = (anyio.CapacityLimiter(_JUDGED_AT_ONCE) for _ in range(2))

    async def admit(authorization: str, host: str) -> Caller | access.TurnedAway:
        raw = access.presented(authorization)
        try:
            if authority and raw and not raw.startswith(tokens.MARK):
                judge = functools.partial(authority.judge, raw)
                room = known_keys if authority.believes(raw) else strange_keys
                return await anyio.to_thread.run_sync(judge, abandon_on_cancel=True, limiter=room)
            known = keyring.tokens()
        except (TokenError, IssuerError) as error:
            raise Unable(str(error)) from error
        return access.admit(known, authorization, host=host, open_door=open_door, now=clock.now())

    return admit


def _request_id(clock: Clock, chance: Chance) -> str:
    """Sorts by time, and nobody can guess the next one."""
    return f"{int(clock.now().timestamp() * 1000):012x}-{chance(8).hex()}"


def application(settings: GatewaySettings, parts: Parts, admit: Admit) -> Starlette:
    """The gateway's addresses: `/mcp` for all shards, `/mcp/<shard>` for one, `/health`, `/metrics`.

    `admit` says who is let in to the first two.
    """
    server = _server(parts.bench, asker.caller)
    pages = {
        "/health": functools.partial(_health, settings, parts),
        "/metrics": functools.partial(_metrics, parts.bench.metrics),
    }
    security = _security(settings)
    routes: list[BaseRoute] = [Route(path, addressed.guarded(page, security)) for path, page in pages.items()]
    issuer = settings.issuer
    gate = Gate(
        _transport(settings, server, parts.bench),
        admit,
        parts.bench.registry.knows,
        challenge=issuer.challenge if issuer else "",
        new_request_id=parts.bench.new_request_id,
    )
    routes += [Route(path, gate) for path in ("/mcp", "/mcp/{shard}")]
    if issuer:
        metadata = addressed.guarded(functools.partial(_metadata, issuer), security)
        routes += [Route(path, metadata) for path in (oauth.METADATA, f"{oauth.METADATA}/{{resource:path}}")]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with parts.running(), server.session_manager.run():
            yield

    application = Starlette(routes=routes, lifespan=lifespan)
    application.state.let_go = parts.bench.announcer.close
    return application


def _server(bench: Bench, who: Callable[[Context], Caller]) -> Server[dict[str, Any]]:
    server = front.server(bench, who)
    Further(bench, who).add_to(server)
    return server


def _transport(settings: GatewaySettings, server: Server[dict[str, Any]], bench: Bench) -> App:
    security = _security(settings)
    # Stateless also for the handshake era: a restart of the gateway loses no session because there is none.
    made = server.streamable_http_app(stateless_http=True, transport_security=security, host=settings.host)
    (route,) = (route for route in made.routes if isinstance(route, Route))

    def who(scope: Scope) -> tuple[str, Callable[[], View], Still]:
        caller = asker.let_in(scope)
        return caller.name, functools.partial(bench.shown, caller, asker.shard(Request(scope))), scope[STILL]

    return announcing.Listening(route.app, bench.announcer, who, security, os.urandom)


async def _health(settings: GatewaySettings, parts: Parts, _: Request) -> Response:
    # A health check must not hang on somebody else's health, nor be worse for it: the reconciler, whose kill switch
    # holds here too, is waited for a moment only, and nobody else is asked.
    registry, heard = parts.bench.registry, await parts.reconciler.now()
    shards = {name: standing.as_json() for name, standing in registry.standings().items()}
    return JSONResponse(
        {
            "status": "ok",
            "version": version("waypost"),
            "read_only": settings.read_only or (not isinstance(heard, Away) and bool(heard.get("read_only"))),
            "reconciler": heard.reason if isinstance(heard, Away) else "up",
            "shards": shards,
            "listeners": len(parts.bench.announcer),
            **({"trouble": registry.trouble} if registry.trouble else {}),
        }
    )


async def _metadata(issuer: Issuer, _: Request) -> Response:
    return JSONResponse(issuer.metadata())


async def _metrics(metrics: Metrics, _: Request) -> Response:
    return Response(metrics.page(), media_type=CONTENT_TYPE)


def _security(settings: GatewaySettings) -> TransportSecuritySettings:
    """Loopback by any port, and exactly the public addresses: a web page elsewhere must not reach us by DNS."""
    names = ["127.0.0.1", "localhost", "[::1]"]
    public = [urlsplit(url) for url in settings.public_urls]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[*names, *(f"{name}:*" for name in names), *(url.netloc for url in public)],
        allowed_origins=[
            *(f"http://{name}{port}" for name in names for port in ("", ":*")),
            *(f"{url.scheme}://{url.netloc}" for url in public),
        ],
    )
