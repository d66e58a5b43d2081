"""Commands that look: plan, reconcile, check, history, why, docs, and the log."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from reconciler.cli.group import as_json, session, the_home, waypost
from reconciler.cli.parts import checking, documented, homes, sessions, telling, upgrading
from reconciler.cli.printing import on_the_way, plan_code, print_json, print_plan, print_said, print_told, say
from state.model import Address


@waypost.command()
@click.option("--ref", default="", help="A branch, commit or proposal id; default: main.")
@click.option("--traefik", "binary", default="", metavar="BINARY", help="What this Traefik would do otherwise instead.")
@click.option(
    "--target", default="", metavar="NAME", help="With --traefik: which Traefik of the home; default: the first."
)
@as_json
@click.pass_context
def plan(context: click.Context, ref: str, binary: str, target: str, as_json: bool) -> None:
    """Dry run: what would change, what drifted, what conflicts, what is refused. Changes nothing.

    With --traefik BINARY: what an upgrade of Traefik to that program would change, its files tried in it.
    """
    if binary:
        if ref:
            raise click.UsageError("--traefik is about what is live, and --ref about a commit: choose one")
        return _upgrade(the_home(context), binary, target, as_json)
    with session(context) as one:
        made = one.plan(ref).plan
        print_plan(made, as_json)
        raise SystemExit(plan_code(made))


def _upgrade(home: homes.Home, binary: str, target: str, as_json: bool) -> None:
    made = upgrading.preview(home, binary, target, on_the_way(as_json=True))
    if as_json:
        print_json(made.as_json())
    else:
        say(*made.lines())
    raise SystemExit(2 if made.differs else 0)


@waypost.command()
@click.option("--once", is_flag=True, help="One pass (the default; `waypost up` keeps passing).")
@as_json
@click.pass_context
def reconcile(context: click.Context, once: bool, as_json: bool) -> None:
    """One pass now: make live what main says, as far as nothing speaks against it."""
    with session(context) as one:
        print_said(one.run_pass(), as_json)


@waypost.command()
@click.argument("url")
@click.option("--dynamic", type=click.Path(path_type=Path), metavar="DIR", help="The directory that it reads.")
@click.option("--auth", default="", metavar="REF", help="env:NAME or file:/path of user:password or a Bearer value.")
@click.option("--ca", type=click.Path(path_type=Path), metavar="FILE", help="The authority of its certificate.")
@as_json
def check(url: str, dynamic: Path | None, auth: str, ca: Path | None, as_json: bool) -> None:
    """Audit any running Traefik by its API's URL; needs no home, changes nothing. Exit code 2: look at something."""
    report = checking.check(url, dynamic=dynamic, auth=auth, ca_file=ca)
    if as_json:
        print_json(checking.as_json(report))
    else:
        say(*checking.lines(report))
    raise SystemExit(report.exit_code)


@waypost.command()
@click.argument("resource", required=False)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@as_json
@click.pass_context
def history(context: click.Context, resource: str | None, limit: int, as_json: bool) -> None:
    """What happened, newest last; to one RESOURCE (traefik/http.routers/NAME) where it is named."""
    with session(context) as one:
        found = telling.history(one.world, Address.parse(resource) if resource else None, limit)
    if as_json:
        return print_json({"events": found})
    for event in found:
        say(f"{event['seq']:>6}  {event['at']}  {event['actor']:<16}  {event['said']}")
    return None


@waypost.command()
@click.argument("resource")
@as_json
@click.pass_context
def why(context: click.Context, resource: str, as_json: bool) -> None:
    """Why a RESOURCE is as it is: request → commit → approval → plan → apply → live digest."""
    with session(context) as one:
        found = telling.why(one.world, Address.parse(resource))
    if as_json:
        return print_json(found)
    say(*telling.why_lines(found))
    return None


@waypost.command()
@click.option("--now", is_flag=True, help="Look at all of them now.")
@click.option("--read", "was_read", is_flag=True, help="You read what changed: the alerts about it end.")
@click.argument("pages", nargs=-1)
@as_json
@click.pass_context
def docs(context: click.Context, now: bool, was_read: bool, pages: tuple[str, ...], as_json: bool) -> None:
    """Watched PAGES of upstream documentation (docs/watch.yaml): when they were read, what changed. 2: news."""
    with session(context) as one:
        watch = documented.Documented(one)
        said = [*(watch.look() if now else ()), *(watch.mark_read(pages) if was_read else ())]
        found = watch.pages(pages)
    print_told({"pages": found, "said": said}, [*said, *documented.lines(found)], as_json)
    raise SystemExit(2 if any(page["news"] for page in found) and not was_read else 0)


@waypost.group()
def log() -> None:
    """The event log: verify, export, rebuild."""


@log.command()
@as_json
@click.pass_context
def verify(context: click.Context, as_json: bool) -> None:
    """Check every event's hash, the chain, and the anchors in Git (which show a lost tail)."""
    with session(context) as one:
        result = one.world.log.verify(telling.anchors(one.world))
    if as_json:
        print_json({k: getattr(result, k) for k in ("ok", "events", "broken", "reason", "lost_tail")})
    else:
        say(f"{result.events} events, chain and anchors hold" if result.ok else f"broken: {result.reason}")
    raise SystemExit(0 if result.ok else 1)


@log.command()
@click.pass_context
def export(context: click.Context) -> None:
    """Every event as a JSON line, oldest first."""
    with session(context) as one:
        for line in one.world.log.export():
            sys.stdout.buffer.write(line.rstrip(b"\n") + b"\n")


@log.command()
@click.pass_context
def rebuild(context: click.Context) -> None:
    """Drop every view and fold the log again."""
    with session(context) as one:
        if one.running:
            raise sessions.CommandError(f"a reconciler (process {one.running}) holds this home: stop it first")
        one.world.log.rebuild()
        say("every view was dropped and folded again")
