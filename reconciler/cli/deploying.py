"""Commands of a deployment: make a home, run it, examine it, watch the demo."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path

import click

from reconciler.cli.group import as_json, named, the_home, the_place, waypost
from reconciler.cli.parts import check_up, examining, foreground, founding, running
from reconciler.cli.parts import demo as story
from reconciler.cli.printing import print_json, say


@waypost.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--traefik-dir", type=click.Path(path_type=Path), help="The directory that your Traefik watches.")
@click.option("--traefik-api", metavar="URL", help="Your Traefik's API, for example http://127.0.0.1:8080.")
@click.option("--desired-repo", metavar="REPO", help="A repository elsewhere; default: one inside the home.")
@click.option("--new-log", is_flag=True, help="Start a new event log although there was one that is lost.")
@click.pass_context
def init(
    context: click.Context,
    directory: Path | None,
    traefik_dir: Path | None,
    traefik_api: str | None,
    desired_repo: str | None,
    new_log: bool,
) -> None:
    """Make a home: desired repo, event log, and a settings file with every setting explained."""
    wanted = {
        "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(traefik_dir.absolute()) if traefik_dir else None,
        "WAYPOST_TRAEFIK_API_URL": traefik_api,
        "WAYPOST_DESIRED_REPO": desired_repo,
    }
    chosen = {name: value for name, value in wanted.items() if value}
    place = directory or the_place(context)
    home = founding.create(place, chosen=chosen, now=_now, new_log=new_log)
    say(f"This is a Waypost home now: {home.path}")
    say(f"  settings, each explained:  {home.settings_path}")
    say(f"  desired state:             git clone {shlex.quote(str(home.desired_source))}")
    command = f"waypost{named(home.path)}"
    if not home.settings.places:
        say(f"  next: set WAYPOST_TRAEFIK_DYNAMIC_DIR in the settings, then: {command} doctor, {command} up")
    else:
        say(f"  next: {command} doctor, then: {command} up")


@waypost.command()
@click.option("--keep", is_flag=True, help="Leave everything running at the end, with addresses to try.")
@click.pass_context
def demo(context: click.Context, keep: bool) -> None:
    """The whole story in under a minute, with real parts: propose, plan, approve, live, drift, revert, history."""
    raise SystemExit(story.tell(keep=keep, say=lambda text: say(*text.split("\n"))))


@waypost.command()
@click.pass_context
def up(context: click.Context) -> None:
    """Gateway and reconciler in the foreground, as two processes. Ctrl-C stops both."""
    foreground.become(the_home(context))


@waypost.command("serve-reconciler")
@click.pass_context
def serve_reconciler(context: click.Context) -> None:
    """The reconciler alone, for compose."""
    running.serve_reconciler(the_home(context), say=lambda line: say(line, err=True))


@waypost.command("serve-gateway")
@click.option("--stdio", is_flag=True, help="For one local client that starts it: over standard input and output.")
@click.pass_context
def serve_gateway(context: click.Context, stdio: bool) -> None:
    """The gateway alone, for compose: the one MCP endpoint."""
    running.serve_gateway(the_place(context), stdio=stdio)


@waypost.command()
@click.option("--probe", is_flag=True, help="Also write a marker, and see whether Traefik notices it.")
@click.option("--alert", is_flag=True, help="Also send a message to every alert channel, and see whether it takes it.")
@click.option("--docs", is_flag=True, help="Also see whether the official documentation can be read from here.")
@as_json
@click.pass_context
def doctor(context: click.Context, probe: bool, alert: bool, docs: bool, as_json: bool) -> None:
    """Test every part of this deployment as it is, and say what to do about each failure."""
    found = []
    with examining.deployment(the_home(context), probe=probe, tell=alert, fetch=docs) as deployment:
        for finding in check_up.examine(deployment):
            found.append(finding)
            if not as_json:
                say(f"{finding.level:<4}  {finding.check}: {finding.found}")
                if finding.remedy:
                    say(f"      → {finding.remedy}")
    worst = check_up.worst(found)
    if as_json:
        print_json({"worst": worst, "findings": [vars(finding) for finding in found]})
    raise SystemExit({"ok": 0, "warn": 0, "fail": 1}[worst])


def _now() -> datetime:
    return datetime.now(UTC)
