"""`waypost token` and `waypost client-config`: how MCP clients get in."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from reconciler import client_config
from reconciler.cli.group import as_json, session, the_home, waypost
from reconciler.cli.parts import events, homes, policy, sessions, tokens
from reconciler.cli.printing import print_json, say

_lasting = click.option(
    "--expires", default="90d", show_default=True, metavar="TIME", help="How long it works: 12h, 90d, never."
)


@waypost.group()
def token() -> None:
    """Tokens of MCP clients. Once there is one, nobody gets in without.

    \b
    waypost token create claude                      may look and propose
    waypost token create wall-display --role read    may only look
    waypost token create ci --grant traefik          one shard only
    waypost token grant claude traefik_new_tool      also what came with a newer Waypost
    """


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["read", "propose"]), default="propose", show_default=True)
@click.option("--grant", "grants", multiple=True, metavar="WHAT", help="Only this shard or tool; may be given again.")
@_lasting
@as_json
@click.pass_context
def create(
    context: click.Context, name: str, role: tokens.Role, grants: tuple[str, ...], expires: str, as_json: bool
) -> None:
    """Make a token for a client and print it, once: only its hash is kept."""
    with session(context) as one:
        now = one.world.clock.now()
        if tokens.working(one.keyring.tokens(), name, now):
            raise sessions.CommandError(
                f"there is a token '{name}' already: waypost token rotate {name}, or take another name"
            )
        made, raw = tokens.mint(name, role, grants=grants, now=now, lasts=_lasts(expires), chance=one.world.chance)
        _require_known(one, grants, "--shards")
        one.keyring.change(lambda known: [*known, made])
        one.say(_made(made), "tokens", f"token:{made.id}")
    _hand_over(made, raw, as_json)


@token.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that ended too.")
@as_json
@click.pass_context
def list_(context: click.Context, everything: bool, as_json: bool) -> None:
    """Tokens, what they may do, and until when."""
    with session(context) as one:
        now = one.world.clock.now()
        found = [made for made in one.keyring.tokens() if everything or not made.ended(now)]
    if as_json:
        return print_json({"tokens": [{**_told(made), "ended": made.ended(now)} for made in found]})
    for made in found:
        say(f"{made.id}  {made.name:<20}  {made.role:<8}  {_opens(made)}  {_until(made, now)}")
    if not found:
        say("there is no token: whoever can reach the gateway on loopback may call it")
    return None


@token.command()
@click.argument("name")
@_lasting
@click.option("--overlap", default="1d", show_default=True, metavar="TIME", help="How long the old one still works.")
@as_json
@click.pass_context
def rotate(context: click.Context, name: str, expires: str, overlap: str, as_json: bool) -> None:
    """Make a new token in place of one; the old one works a while longer, so that no client is locked out."""
    with session(context) as one:
        now = one.world.clock.now()
        old = _working(one, name, now)
        made, raw = tokens.successor(old[-1], now=now, lasts=_lasts(expires), chance=one.world.chance)
        last = now + (_lasts(overlap) or timedelta())
        one.keyring.change(lambda known: [*tokens.ending(known, name, last), made])
        one.say(_made(made, replaces=old), "tokens", f"token:{made.id}")
    _hand_over(made, raw, as_json)


@token.command()
@click.argument("name")
@click.argument("tools", nargs=-1, required=True, metavar="TOOL...")
@click.option("--reason", default="", help="For the record.")
@click.pass_context
def grant(context: click.Context, name: str, tools: tuple[str, ...], reason: str) -> None:
    """Let a token call more tools of its role, by its name or id: what came with a newer Waypost, for one."""
    with session(context) as one:
        now = one.world.clock.now()
        widened = _working(one, name, now)
        _require_known(one, tools)
        one.keyring.change(lambda known: tokens.granted(known, name, tools, now))
        for made in widened:
            word = events.ToolsGranted(token=made.id, name=made.name, tools=tools, reason=reason or "no reason given")
            one.say(word, "tokens")
    say(f"{name} may call {', '.join(tools)} too, from the next request on")


@token.command()
@click.argument("name")
@click.option("--reason", default="", help="For the record.")
@click.pass_context
def revoke(context: click.Context, name: str, reason: str) -> None:
    """Close a token, by its name or id, from the next request on."""
    with session(context) as one:
        now = one.world.clock.now()
        closing = _working(one, name, now)
        one.keyring.change(lambda known: tokens.revoked(known, name, now))
        for made in closing:
            word = events.TokenRevoked(token=made.id, name=made.name, reason=reason or "no reason given")
            one.say(word, "tokens", f"revoked:{made.id}")
    say(f"revoked: {', '.join(f'{made.name} ({made.id})' for made in closing)}")


def _working(one: sessions.Session, name: str, now: datetime) -> list[tokens.Token]:
    if found := tokens.working(one.keyring.tokens(), name, now):
        return found
    names = sorted({made.name for made in one.keyring.tokens() if not made.ended(now)})
    raise sessions.CommandError(f"no token '{name}' works; there are: {', '.join(names) or 'none'}")


def _require_known(one: sessions.Session, names: tuple[str, ...], *options: str) -> None:
    """What nothing is called opens nothing, neither now nor to whatever comes by that name one day."""
    if not names:
        return
    # The agents' side is never imported from here: it is a process of its own.
    command = [sys.executable, "-m", "shards.granting", str(one.home.path / "shards.toml"), *options, "--", *names]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    if asked.returncode:
        raise sessions.CommandError(asked.stderr.strip())


def _lasts(text: str) -> timedelta | None:
    if text == "never":
        return None
    length = policy.interval(text)
    if length is None:
        raise sessions.CommandError(f"'{text}' is no length of time; write one as 12h or 90d, or never")
    return length


def _made(made: tokens.Token, replaces: Sequence[tokens.Token] = ()) -> events.TokenMade:
    return events.TokenMade(
        token=made.id,
        name=made.name,
        role=made.role,
        grants=made.grants,
        expires=made.expires.isoformat() if made.expires else "",
        replaces=tuple(old.id for old in replaces),
    )


def _told(made: tokens.Token) -> dict[str, Any]:
    return made.model_dump(mode="json", exclude={"hash"})


def _opens(made: tokens.Token) -> str:
    opens = ", ".join((*(made.grants or ("everything",)), *made.also))
    newer = made.knows < tokens.NEWEST_TOOLS
    return f"{opens}, nothing that came later" if newer else opens


def _until(made: tokens.Token, now: datetime) -> str:
    if ended := made.ended(now):
        return ended
    if made.expires is None:
        return "until it is revoked"
    soon = ", soon: waypost token rotate " + made.name if made.ends_soon(now) else ""
    return f"until {made.expires:%Y-%m-%d %H:%M} UTC{soon}"


def _hand_over(made: tokens.Token, raw: str, as_json: bool) -> None:
    if as_json:
        return print_json({**_told(made), "token": raw})
    say(raw)
    ends = f"It ends on {made.expires:%Y-%m-%d}" if made.expires else "It never ends"
    say(f"It is shown this once. {ends}. Clients send it as: Authorization: Bearer TOKEN", err=True)
    say("`waypost client-config CLIENT` shows where it goes.", err=True)
    return None


@waypost.command("client-config")
@click.argument("client", type=click.Choice(list(client_config.CLIENTS)))
@as_json
@click.pass_context
def configure_client(context: click.Context, client: str, as_json: bool) -> None:
    """How to tell an MCP client about this gateway. Tokens go in as references where the client knows any."""
    told = client_config.CLIENTS[client](_gateway(the_home(context)))
    if as_json:
        return print_json(vars(told))
    if told.file:
        say(f"{told.file}:", err=True)
        say(*told.content.split("\n"))
    for number, step in enumerate(told.steps, 1):
        say(f"  {number}. {step}", err=bool(told.file))
    return None


def _gateway(home: homes.Home) -> client_config.Gateway:
    listen = home.settings.listen
    everywhere = listen.host in ("0.0.0.0", "::")
    local = f"http://{replace(listen, host='127.0.0.1') if everywhere else listen}"
    public = home.settings.public_url
    # The program as it was started: a client knows nothing of this shell's environment.
    command = Path(sys.argv[0]).absolute() if Path(sys.argv[0]).name == "waypost" else shutil.which("waypost")
    return client_config.Gateway(
        address=f"{public[0] if public else local}/mcp", command=str(command or "waypost"), home=str(home.path)
    )
