"""The command line: parse, call, print. Exit codes: 0 fine, 1 error, 2 changes or drift pending, 3 refused."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from reconciler import config, founding, telling
from reconciler import home as homes
from reconciler.config import ConfigError
from reconciler.core import account
from reconciler.core.plan import Plan
from reconciler.core.target import TargetError
from reconciler.git.store import GitError
from reconciler.home import Home, HomeError
from reconciler.session import CommandError, Said, Session, opened
from state import events, views
from state.errors import LogError
from state.model import Address

EXPECTED = (CommandError, ConfigError, HomeError, GitError, LogError, TargetError, OSError, ValueError)
"""What can go wrong and is explained by its own words; anything else is a fault of ours."""


class Commands(click.Group):
    """Commands in the order of a first evening, every known failure one clear message."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EXPECTED as error:
            for line in str(error).splitlines() or [type(error).__name__]:
                click.echo(f"waypost: {line}", err=True)
            raise SystemExit(getattr(error, "exit_code", 1)) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--home", type=click.Path(path_type=Path), envvar="WAYPOST_HOME", help="The home; default: here, or ~/waypost."
)
@click.version_option(package_name="waypost")
@click.pass_context
def waypost(context: click.Context, home: Path | None) -> None:
    """Keep a homelab the way its Git repository says: a model proposes, a person approves, every change is proven.

    \b
    First evening:   waypost init, then waypost up, then connect an MCP client to http://127.0.0.1:9100/mcp
    Reviewing:       waypost proposals, waypost show ID, waypost approve ID
    Looking:         waypost plan, waypost drift, waypost history, waypost why RESOURCE
    Undoing:         git revert in any clone, or waypost rollback REVISION

    \b
    Exit codes: 0 fine or nothing to do, 1 error, 2 changes or drift pending, 3 refused or in conflict.
    """
    context.obj = home


as_json = click.option("--json", "as_json", is_flag=True, help="Print data for machines.")


def the_home(context: click.Context) -> Home:
    return homes.open(context.obj or config.locate(os.environ))


@contextmanager
def session(context: click.Context) -> Iterator[Session]:
    with opened(the_home(context)) as one:
        yield one


# ── running ──────────────────────────────────────────────────────────────────────────────────────


@waypost.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--traefik-dir", type=click.Path(path_type=Path), help="The directory that your Traefik watches.")
@click.option("--traefik-api", metavar="URL", help="Your Traefik's API, for example http://127.0.0.1:8080.")
@click.option("--desired-repo", metavar="REPO", help="A repository elsewhere; default: one inside the home.")
@click.pass_context
def init(
    context: click.Context,
    directory: Path | None,
    traefik_dir: Path | None,
    traefik_api: str | None,
    desired_repo: str | None,
) -> None:
    """Make a home: desired repo, event log, and a settings file with every setting explained."""
    wanted = {
        "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(traefik_dir.absolute()) if traefik_dir else None,
        "WAYPOST_TRAEFIK_API_URL": traefik_api,
        "WAYPOST_DESIRED_REPO": desired_repo,
    }
    chosen = {name: value for name, value in wanted.items() if value}
    place = directory or context.obj or config.locate(os.environ)
    home = founding.create(place, chosen=chosen, now=_now)
    click.echo(f"This is a Waypost home now: {home.path}")
    click.echo(f"  settings, each explained:  {home.settings_path}")
    click.echo(f"  desired state:             git clone {home.desired_source}")
    if not home.settings.places:
        click.echo("  next: set WAYPOST_TRAEFIK_DYNAMIC_DIR in the settings, then: waypost doctor, waypost up")
    else:
        click.echo("  next: waypost doctor, then: waypost up")


@waypost.command()
@click.option("--keep", is_flag=True, help="Leave everything running at the end, with addresses to try.")
@click.pass_context
def demo(context: click.Context, keep: bool) -> None:
    """The whole story in under a minute, with real parts: propose, plan, approve, live, drift, revert, history."""
    from reconciler import demo as story

    raise SystemExit(story.tell(keep=keep, say=click.echo))


@waypost.command()
@click.pass_context
def up(context: click.Context) -> None:
    """Gateway and reconciler in the foreground, as two processes. Ctrl-C stops both."""
    from reconciler import running

    raise SystemExit(running.up(the_home(context), say=lambda line: click.echo(line, err=True)))


@waypost.command("serve-reconciler")
@click.pass_context
def serve_reconciler(context: click.Context) -> None:
    """The reconciler alone, for compose."""
    from reconciler import running

    running.serve_reconciler(the_home(context), say=lambda line: click.echo(line, err=True))


@waypost.command("serve-gateway")
@click.pass_context
def serve_gateway(context: click.Context) -> None:
    """The gateway alone, for compose: the one MCP endpoint."""
    from reconciler import running

    running.serve_gateway(context.obj or config.locate(os.environ))


@waypost.command()
@click.option("--probe", is_flag=True, help="Also write a marker, and see whether Traefik notices it.")
@as_json
@click.pass_context
def doctor(context: click.Context, probe: bool, as_json: bool) -> None:
    """Test every part of this deployment as it is, and say what to do about each failure."""
    from reconciler import doctor as check_up
    from reconciler import examining

    found = []
    with examining.deployment(the_home(context), probe=probe) as deployment:
        for finding in check_up.examine(deployment):
            found.append(finding)
            if not as_json:
                click.echo(f"{finding.level:<4}  {finding.check}: {finding.found}")
                if finding.remedy:
                    click.echo(f"      → {finding.remedy}")
    worst = check_up.worst(found)
    if as_json:
        _print_json({"worst": worst, "findings": [vars(finding) for finding in found]})
    raise SystemExit({"ok": 0, "warn": 0, "fail": 1}[worst])


# ── looking and passing ──────────────────────────────────────────────────────────────────────────


@waypost.command()
@click.option("--ref", default="", help="A branch, commit or proposal id; default: main.")
@as_json
@click.pass_context
def plan(context: click.Context, ref: str, as_json: bool) -> None:
    """Dry run: what would change, what drifted, what conflicts, what is refused. Changes nothing."""
    with session(context) as one:
        made = one.plan(ref).plan
        _print_plan(made, as_json)
        raise SystemExit(_plan_code(made))


@waypost.command()
@click.option("--once", is_flag=True, help="One pass (the default; `waypost up` keeps passing).")
@as_json
@click.pass_context
def reconcile(context: click.Context, once: bool, as_json: bool) -> None:
    """One pass now: make live what main says, as far as nothing speaks against it."""
    with session(context) as one:
        _print_said(one.run_pass(), as_json)


@waypost.command()
@click.argument("url")
@click.option("--dynamic", type=click.Path(path_type=Path), metavar="DIR", help="The directory that it reads.")
@click.option("--auth", default="", metavar="REF", help="env:NAME or file:/path of user:password or a Bearer value.")
@click.option("--ca", type=click.Path(path_type=Path), metavar="FILE", help="The authority of its certificate.")
@as_json
def check(url: str, dynamic: Path | None, auth: str, ca: Path | None, as_json: bool) -> None:
    """Audit any running Traefik by its API's URL; needs no home, changes nothing. Exit code 2: look at something."""
    from reconciler import checking

    report = checking.check(url, dynamic=dynamic, auth=auth, ca_file=ca)
    if as_json:
        _print_json(checking.as_json(report))
    else:
        click.echo("\n".join(checking.lines(report)))
    raise SystemExit(report.exit_code)


# ── reviewing ────────────────────────────────────────────────────────────────────────────────────


@waypost.command()
@click.option("--all", "everything", is_flag=True, help="Settled ones too.")
@as_json
@click.pass_context
def proposals(context: click.Context, everything: bool, as_json: bool) -> None:
    """What waits for a person."""
    with session(context) as one:
        found = [telling.proposal(item) for item in one.proposals() if everything or item.status == "open"]
    if as_json:
        return _print_json({"proposals": found})
    for item in found:
        click.echo(f"{item['id']}  {item['status']:<10}  {item['title']}  (by {item['client']}, {item['made_at']})")
    if not found:
        click.echo("nothing waits for review")
    return None


@waypost.command()
@click.argument("id")
@as_json
@click.pass_context
def show(context: click.Context, id: str, as_json: bool) -> None:
    """One proposal with its plan."""
    with session(context) as one:
        record = one.proposal(id)
        made = one.plan(record.id).plan
    if as_json:
        return _print_json({**telling.proposal(record), "plan": account.as_json(made)})
    click.echo(f"proposal {record.id} ({record.status}): {record.title}\nby {record.client} with {record.tool}")
    _print_plan(made, False)
    return None


@waypost.command()
@click.argument("id")
@click.option("--plan", "digest", default="", metavar="DIGEST", help="The plan you mean, by its digest.")
@click.pass_context
def approve(context: click.Context, id: str, digest: str) -> None:
    """Put a proposal on main, or consent to a held commit of main by the digest of its plan.

    On a terminal it shows the plan and asks for its short code. Elsewhere it needs --plan DIGEST and the
    setting WAYPOST_APPROVE_WITHOUT_TERMINAL.
    """
    with session(context) as one:
        record = one.find(id)
        if record and record.status != "open":
            raise CommandError(f"proposal {record.id} is {record.status} already: {record.reason}")
        made = one.plan(record.id if record else _on_main(one, id)).plan
        _refuse_broken(made)
        _print_plan(made, False)
        _confirm(one, made, digest)
        one.consent(made, record.id if record else "", "approved on the command line")
        if record:
            click.echo(f"on main as {one.merge(record)[:12]}")
        _print_said(one.run_pass(), False)


@waypost.command()
@click.argument("id")
@click.option("--reason", default="rejected on the command line")
@click.pass_context
def reject(context: click.Context, id: str, reason: str) -> None:
    """Turn a proposal down."""
    with session(context) as one:
        record = one.proposal(id)
        one.say(events.ProposalRejected(proposal=record.id, reason=reason), f"proposal/{record.id}")
        one.run_pass()
        click.echo(f"rejected {record.id}: {record.title}")


# ── history ──────────────────────────────────────────────────────────────────────────────────────


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
        return _print_json({"events": found})
    for event in found:
        click.echo(f"{event['seq']:>6}  {event['at']}  {event['actor']:<16}  {event['said']}")
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
        return _print_json(found)
    for line in telling.why_lines(found):
        click.echo(line)
    return None


@waypost.command()
@click.argument("revision", required=False, type=int)
@click.option("--approve", "now", is_flag=True, help="Merge it at once.")
@click.pass_context
def rollback(context: click.Context, revision: int | None, now: bool) -> None:
    """Propose the state of an earlier REVISION again (its policy excepted). Without one: list revisions."""
    from reconciler import rolling_back

    with session(context) as one:
        if revision is None:
            for number, made in one.world.log.view(views.Revisions).by_number.items():
                click.echo(f"{number:>5}  {made.commit[:12]}  {made.at:%Y-%m-%d %H:%M}")
            return
        record = rolling_back.propose(one, revision)
        click.echo(f"proposal {record.id}: {record.title}")
    if now:
        context.invoke(approve, id=record.id, digest="")
    else:
        context.invoke(show, id=record.id, as_json=False)


@waypost.command()
@click.option("--adopt", metavar="RESOURCE", help="Propose what is live as desired.")
@click.option("--heal", metavar="RESOURCE", help="Put back what was last applied; 'all' for everything.")
@click.option("--accept", metavar="RESOURCE", help="Leave it so, until a date.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]), help="With --accept.")
@click.option("--reason", default="")
@as_json
@click.pass_context
def drift(
    context: click.Context,
    adopt: str | None,
    heal: str | None,
    accept: str | None,
    until: datetime | None,
    reason: str,
    as_json: bool,
) -> None:
    """What is live and was not asked for; and the three answers to it."""
    from reconciler import drifting

    with session(context) as one:
        if (accept is None) != (until is None):
            raise CommandError("--accept needs --until DATE, and --until needs --accept RESOURCE")
        if adopt:
            record = drifting.adopt(one, Address.parse(adopt))
            click.echo(f"proposal {record.id}: {record.title}\nreview it with: waypost show {record.id}")
        elif heal:
            drifting.heal(one, None if heal == "all" else Address.parse(heal), reason)
            _print_said(one.run_pass(), as_json)
        elif accept and until:
            drifting.accept(one, Address.parse(accept), until.replace(tzinfo=UTC), reason)
            one.run_pass()
            click.echo(f"{accept} stays as it is until {until:%Y-%m-%d}")
        else:
            _report_drift(one, as_json)


# ── somebody's Traefik becomes ours, and theirs again ────────────────────────────────────────────


@waypost.command("adopt-traefik")
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--hand-over", "now", is_flag=True, help="Move aside what our file serves by now, each step proven.")
@as_json
@click.pass_context
def adopt_traefik(context: click.Context, directory: Path, now: bool, as_json: bool) -> None:
    """Take over a directory of hand-written files: first a proposal of them all, then, approved, the hand-over."""
    from reconciler import handing_over

    with session(context) as one:
        if now:
            handing_over.hand_over(one, directory, _on_the_way(as_json))
            told = handing_over.tell_left(one, directory)
        else:
            told = handing_over.tell_proposed(handing_over.propose(one, directory), directory)
        _print_told(*told, as_json)


@waypost.command()
@click.argument("target", default="")
@as_json
@click.pass_context
def eject(context: click.Context, target: str, as_json: bool) -> None:
    """Give native files back and step out of a TARGET; nothing changes on the wire."""
    from reconciler import ejecting

    with session(context) as one:
        files = ejecting.eject(one, target, _on_the_way(as_json))
        _print_told(*ejecting.tell(files), as_json)


# ── the log ──────────────────────────────────────────────────────────────────────────────────────


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
        _print_json({k: getattr(result, k) for k in ("ok", "events", "broken", "reason", "lost_tail")})
    else:
        click.echo(f"{result.events} events, chain and anchors hold" if result.ok else f"broken: {result.reason}")
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
            raise CommandError(f"a reconciler (process {one.running}) holds this home: stop it first")
        one.world.log.rebuild()
        click.echo("every view was dropped and folded again")


# ── printing ─────────────────────────────────────────────────────────────────────────────────────


def _print_plan(made: Plan, as_json: bool) -> None:
    if as_json:
        return _print_json(account.as_json(made))
    console = Console(highlight=False, soft_wrap=True)
    for line in account.lines(made) or ["nothing to do: live is as it should be"]:
        console.print(line, style=_style(line), markup=False)
    if made.changes:
        console.print(f"plan {made.digest[:12]}, short code {made.code}", markup=False)
    return None


_STYLES = {"+": "green", "-": "red", "~": "yellow", "!": "yellow", "x": "red", "<": "cyan"}


def _style(line: str) -> str:
    return "bold" if not line.startswith(" ") else _STYLES.get(line.strip()[:1], "") if line[2:3] != " " else "dim"


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def _print_told(data: dict[str, Any], lines: list[str], as_json: bool) -> None:
    if as_json:
        return _print_json(data)
    for line in lines:
        click.echo(line)
    return None


def _on_the_way(as_json: bool) -> Callable[[str], None]:
    """Where each step of a longer command is told: not among data for machines."""
    return lambda line: click.echo(line, err=as_json)


def _print_said(said: Said, as_json: bool) -> None:
    if as_json:
        _print_json({"state": said.state, "said": said.said})
    else:
        click.echo(said.said)
    if said.exit_code:
        raise SystemExit(said.exit_code)


def _plan_code(made: Plan) -> int:
    if made.errors and not made.changes:
        return 1
    return 3 if made.held else 2 if made.pending else 0


def _report_drift(one: Session, as_json: bool) -> None:
    made = one.plan().plan
    if as_json:
        _print_json({"drift": account.as_json(made)["drift"], "conflicts": account.as_json(made)["conflicts"]})
    else:
        only = Plan(commit=made.commit, drift=made.drift, conflicts=made.conflicts)
        for line in account.lines(only) or ["no drift: live is as it was last applied"]:
            click.echo(line)
    raise SystemExit(2 if made.open_drift or made.conflicts else 0)


# ── approving ────────────────────────────────────────────────────────────────────────────────────


def _on_main(one: Session, text: str) -> str:
    commit = one.world.store.resolve(text)
    if commit != one.head():
        raise CommandError(f"'{text}' is neither a proposal nor the head of main ({one.head()[:12]})")
    return commit


def _refuse_broken(made: Plan) -> None:
    if made.errors or made.conflicts:
        _print_plan(made, False)
        raise CommandError(f"this cannot be approved: it is {made.held}", exit_code=3)


def _confirm(one: Session, made: Plan, digest: str) -> None:
    if digest:
        if len(digest) < 6 or not made.digest.startswith(digest):
            raise CommandError(f"the plan is {made.digest[:12]} now, not {digest[:12]}: look at it again", exit_code=3)
        if sys.stdin.isatty() or one.home.settings.approve_without_terminal:
            return
        raise CommandError(
            "approving without a terminal is off; WAYPOST_APPROVE_WITHOUT_TERMINAL=true in waypost.env allows it", 3
        )
    if not sys.stdin.isatty():
        raise CommandError(f"there is no terminal to ask on: say --plan {made.digest[:12]}", exit_code=3)
    if click.prompt(f"type {made.code} to approve", default="", show_default=False).strip() != made.code:
        raise CommandError("not approved", exit_code=3)


def _now() -> datetime:
    return datetime.now(UTC)


def main(arguments: list[str] | None = None) -> None:
    """The console script."""
    try:
        waypost(args=arguments, prog_name="waypost", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        raise SystemExit(1) from None
    except (KeyboardInterrupt, click.Abort):
        raise SystemExit(130) from None
    except Exception as error:  # the top of this process: whatever it is, a person reads one line
        click.echo(f"waypost: a fault of ours, please report it: {type(error).__name__}: {error}", err=True)
        click.echo(f"waypost: details are in {_kept(error)}", err=True)
        raise SystemExit(1) from None


def _kept(error: Exception) -> str:
    with tempfile.NamedTemporaryFile("w", prefix="waypost-fault-", suffix=".txt", delete=False) as file:
        traceback.print_exception(error, file=file)
    return file.name
