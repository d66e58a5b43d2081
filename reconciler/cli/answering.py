"""Commands by which a person decides: review, approve, reject, roll back, answer drift, take over and step out."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from reconciler.cli.group import as_json, session, waypost
from reconciler.cli.parts import (
    account,
    drifting,
    ejecting,
    events,
    handing_over,
    log_errors,
    plans,
    rolling_back,
    sessions,
    telling,
    views,
)
from reconciler.cli.printing import on_the_way, print_json, print_plan, print_said, print_told, report_drift, say
from state.model import Address
from state.review import ProposalRecord


@waypost.command()
@click.option("--all", "everything", is_flag=True, help="Settled ones too.")
@as_json
@click.pass_context
def proposals(context: click.Context, everything: bool, as_json: bool) -> None:
    """What waits for a person."""
    with session(context) as one:
        found = [telling.proposal(item) for item in one.proposals() if everything or item.status == "open"]
    if as_json:
        return print_json({"proposals": found})
    for item in found:
        say(f"{item['id']}  {item['status']:<10}  {item['title']}  (by {item['client']}, {item['made_at']})")
    if not found:
        say("nothing waits for review")
    return None


@waypost.command()
@click.argument("id")
@click.option("--diff", is_flag=True, help="Also how each file changes.")
@as_json
@click.pass_context
def show(context: click.Context, id: str, diff: bool, as_json: bool) -> None:
    """One proposal: its commit, its files, its plan."""
    with session(context) as one:
        record = one.proposal(id)
        made = one.plan(record.id).plan
        lines = telling.commit_lines(one.world, record, diff=diff)
        if as_json:
            return print_json({**telling.proposal(record), "plan": account.as_json(made), "told": lines})
        say(f"proposal {record.id} ({record.status}): {record.title}", f"by {record.client} with {record.tool}", *lines)
        _show_plan(one, record, made)
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
        one.require_switched_on("approved")
        record = one.meant(id)
        if record:
            _refuse_settled(record)
        made = one.plan(record.id if record else _on_main(one, id)).plan
        _refuse_broken(made)
        _show_plan(one, record, made)
        _confirm(one, made, digest)
        landing = one.prepare(record) if record else ""  # a conflict must leave no consent behind
        one.consent(made, record.id if record else "", "approved on the command line")
        if landing:
            say(f"on main as {one.land(landing, record)[:12]}")
        print_said(one.run_pass(), False)


@waypost.command()
@click.argument("id")
@click.option("--reason", default="rejected on the command line")
@click.pass_context
def reject(context: click.Context, id: str, reason: str) -> None:
    """Turn a proposal down."""
    with session(context) as one:
        one.require_switched_on("rejected")
        record = one.proposal(id)
        _refuse_settled(record)
        one.say(events.ProposalRejected(proposal=record.id, reason=reason), f"proposal/{record.id}")
        one.run_pass()
        _refuse_settled(one.proposal(record.id), but="rejected")  # somebody may have settled it first
        say(f"rejected {record.id}: {record.title}")


@waypost.command()
@click.argument("revision", required=False, type=int)
@click.option("--approve", "now", is_flag=True, help="Merge it at once.")
@click.pass_context
def rollback(context: click.Context, revision: int | None, now: bool) -> None:
    """Propose the state of an earlier REVISION again (its policy excepted). Without one: list revisions."""
    with session(context) as one:
        if revision is None:
            for number, made in one.world.log.view(views.Revisions).by_number.items():
                say(f"{number:>5}  {made.commit[:12]}  {made.at:%Y-%m-%d %H:%M}")
            return
        record = rolling_back.propose(one, revision)
        say(f"proposal {record.id}: {record.title}")
    if now:
        context.invoke(approve, id=record.id, digest="")
    else:
        context.invoke(show, id=record.id, diff=False, as_json=False)


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
    with session(context) as one:
        if (accept is None) != (until is None):
            raise sessions.CommandError("--accept needs --until DATE, and --until needs --accept RESOURCE")
        if adopt:
            record = drifting.adopt(one, Address.parse(adopt))
            say(f"proposal {record.id}: {record.title}", f"review it with: waypost show {record.id}")
        elif heal:
            drifting.heal(one, None if heal == "all" else Address.parse(heal), reason)
            print_said(one.run_pass(), as_json)
        elif accept and until:
            drifting.accept(one, Address.parse(accept), until.replace(tzinfo=UTC), reason)
            one.run_pass()
            say(f"{accept} stays as it is until {until:%Y-%m-%d}")
        else:
            report_drift(one, as_json)


@waypost.command("adopt-traefik")
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--hand-over", "now", is_flag=True, help="Move aside what our file serves by now, each step proven.")
@as_json
@click.pass_context
def adopt_traefik(context: click.Context, directory: Path, now: bool, as_json: bool) -> None:
    """Take over a directory of hand-written files: first a proposal of them all, then, approved, the hand-over."""
    with session(context) as one:
        if now:
            handing_over.hand_over(one, directory, on_the_way(as_json))
            told = handing_over.tell_left(one, directory)
        else:
            told = handing_over.tell_proposed(handing_over.propose(one, directory), directory)
        print_told(*told, as_json)


@waypost.command()
@click.argument("target", default="")
@as_json
@click.pass_context
def eject(context: click.Context, target: str, as_json: bool) -> None:
    """Give native files back and step out of a TARGET; nothing changes on the wire."""
    with session(context) as one:
        files = ejecting.eject(one, target, on_the_way(as_json))
        print_told(*ejecting.tell(files), as_json)


def _on_main(one: sessions.Session, text: str) -> str:
    commit = one.world.store.resolve(text)
    if commit != one.head():
        raise sessions.CommandError(f"'{text}' is neither a proposal nor the head of main ({one.head()[:12]})")
    return commit


def _show_plan(one: sessions.Session, record: ProposalRecord | None, made: plans.Plan) -> None:
    """Print it for a person, and keep in mind that they saw it. (Data for machines is not looked at by anybody.)"""
    print_plan(made, False)
    try:
        if record:
            one.saw(record, made)
    except (sessions.CommandError, log_errors.LogError) as fault:  # looking works all the same
        say(f"waypost: that you saw this plan is not recorded: {fault}", err=True)


def _refuse_settled(record: ProposalRecord, but: str = "") -> None:
    if record.status not in ("open", but):
        raise sessions.CommandError(f"proposal {record.id} is {record.status} already: {record.reason}")


def _refuse_broken(made: plans.Plan) -> None:
    if made.errors or made.conflicts:
        print_plan(made, False)
        raise sessions.CommandError(f"this cannot be approved: it is {made.held}", exit_code=3)


def _confirm(one: sessions.Session, made: plans.Plan, digest: str) -> None:
    if digest:
        if len(digest) < 6 or not made.digest.startswith(digest):
            raise sessions.CommandError(
                f"the plan is {made.digest[:12]} now, not {digest[:12]}: look at it again", exit_code=3
            )
        if sys.stdin.isatty() or one.home.settings.approve_without_terminal:
            return
        raise sessions.CommandError(
            "approving without a terminal is off; WAYPOST_APPROVE_WITHOUT_TERMINAL=true in waypost.env allows it", 3
        )
    if not sys.stdin.isatty():
        raise sessions.CommandError(f"there is no terminal to ask on: say --plan {made.digest[:12]}", exit_code=3)
    if click.prompt(f"type {made.code} to approve", default="", show_default=False).strip() != made.code:
        raise sessions.CommandError("not approved", exit_code=3)
