"""`waypost explain`: which router serves a request, and why."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import click
import orjson

from reconciler.cli.group import as_json, session, the_home, waypost
from reconciler.cli.parts import explaining, sessions
from reconciler.cli.printing import print_json, say


@waypost.command()
@click.argument("method", required=False)
@click.argument("url", required=False)
@click.option("-H", "--header", "headers", multiple=True, metavar="'K: V'", help="A header; may be given again.")
@click.option("--at", metavar="TIME-or-REV", help="With our files of a time (UTC) or a revision.")
@click.option("--client-ip", default="127.0.0.1", show_default=True, help="Whom the request comes from.")
@click.option("--entrypoint", default="", metavar="NAME", help="Where it arrives; default: by port and scheme.")
@click.option("--target", default="", metavar="NAME", help="Which Traefik of the home; default: the first.")
@click.option("--config", type=click.Path(path_type=Path), metavar="DIR", help="Files, instead of a home.")
@click.option("--requests", metavar="FILE", help="One JSON request a line; - is standard input.")
@click.option("--entrypoints", "doors", default="", metavar="LIST", help="With --config: web=:80,websecure=:443:tls")
@click.option("--release", default="", metavar="VERSION", help="With --config: of which Traefik; default: the newest.")
@as_json
@click.pass_context
def explain(
    context: click.Context,
    method: str | None,
    url: str | None,
    headers: tuple[str, ...],
    at: str | None,
    client_ip: str,
    entrypoint: str,
    target: str,
    config: Path | None,
    requests: str | None,
    doors: str,
    release: str,
    as_json: bool,
) -> None:
    """Which router serves this request, which others match, and why: METHOD and URL, or many with --requests.

    \b
    Live:     waypost explain GET https://git.lab/admin
    Earlier:  waypost explain GET https://git.lab/admin --at 12
    Offline:  waypost explain --config DIR --requests FILE --entrypoints web=:80,websecure=:443:tls

    A line of --requests is {"method", "url", "headers": {…} or [[name, value], …], "client_ip", "entrypoint"}; in
    place of "url" may stand "target" (the request line's bytes as sent, in UTF-8), "host" (the Host header, null
    for none) and "tls": true or false. "sni" is the server name of the TLS handshake, by default the host. Each
    line gets one JSON line, in order; blank lines get none. A line that is no request gets {"line", "error"}, the
    others are answered all the same, and the exit code is 1.

    --at asks about our own files as the log has them. What other files and providers served then nobody recorded:
    they are taken as they are now, and each answer says so, and which of them it hangs on.

    After the port of an entry point may follow :tls, :default, :redirect=NAME, :middleware=NAME, :trusted=RANGE,
    :insecure and :unsanitized. Without --entrypoints those that routers name are taken: web or http at port 80,
    websecure or https at port 443 with TLS for every router. A request that names no entry point arrives at the
    one with the URL's port, else at the one with the usual port or name.
    """
    _check(method, url, requests, config, at, doors, release)
    with _ground(context, config, doors, release, at, target) as ground:
        for note in ground.notes:
            say(f"waypost: {note}", err=True)
        if requests is not None:
            raise SystemExit(_many(requests, ground))
        _one(ground, explaining.question(method or "", url or "", headers, client_ip, entrypoint), as_json)


def _check(
    method: str | None,
    url: str | None,
    requests: str | None,
    config: Path | None,
    at: str | None,
    doors: str,
    release: str,
) -> None:
    """Options that would do nothing are errors, never a silent yes."""
    if requests is None and not (method and url):
        raise click.UsageError("say METHOD and URL, or --requests FILE")
    if requests is not None and method:
        raise click.UsageError("METHOD and URL stand in FILE already")
    if config is None and (doors or release):
        raise click.UsageError("--entrypoints and --release need --config DIR: a live Traefik tells its own")
    if config is not None and at is not None:
        raise click.UsageError("--at asks the log, and --config asks files: choose one")


@contextmanager
def _ground(
    context: click.Context, config: Path | None, doors: str, release: str, at: str | None, target: str
) -> Iterator[explaining.Ground]:
    if config is not None:
        yield explaining.of_directory(
            config,
            explaining.entry_points(doors) if doors else None,
            explaining.release(release) if release else explaining.NEWEST,
        )
    elif at is not None:
        with session(context) as one:
            ground = explaining.of_past(one.world, one.home, at, target)
        yield ground
    else:
        yield explaining.of_home(the_home(context), target)


def _one(ground: explaining.Ground, question: explaining.Asked, as_json: bool) -> None:
    answer = ground.answer(question)
    if as_json:
        return print_json(ground.as_json(answer))
    say(*explaining.lines(ground, answer, question))
    return None


def _many(name: str, ground: explaining.Ground) -> int:
    """Answer every line of a file; 1 where one of them is no request."""
    worst = 0
    output = sys.stdout.buffer
    with _opened(name) as file:
        try:
            for fine, answer in explaining.answers(file, ground):
                worst = worst if fine else 1
                output.write(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE))
            output.flush()
        except BrokenPipeError:  # whoever reads has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return worst


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    with ExitStack() as stack:
        try:
            file = sys.stdin.buffer if name == "-" else stack.enter_context(Path(name).open("rb"))
        except OSError as error:
            raise sessions.CommandError(f"{name} cannot be read: {error.strerror or error}") from None
        yield file
