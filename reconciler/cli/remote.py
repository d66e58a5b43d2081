"""`waypost remote`: where the desired repo is."""

from __future__ import annotations

import click

from reconciler.cli.group import session, the_home, waypost
from reconciler.cli.parts import moving_out
from reconciler.cli.printing import say


@waypost.group()
def remote() -> None:
    """Where the desired repo is: inside the home, or on a Git server.

    \b
    waypost remote show
    waypost remote set https://git.lab/house/desired.git
    """


@remote.command()
@click.pass_context
def show(context: click.Context) -> None:
    """Say where main comes from."""
    say(the_home(context).desired_source)


@remote.command("set")
@click.argument("address")
@click.pass_context
def set_(context: click.Context, address: str) -> None:
    """Move the embedded desired repo to ADDRESS (an empty repository there), and follow it from then on.

    History, proposals and revisions come along; what was here stays as it is. The token is in WAYPOST_GIT_TOKEN,
    or a key in WAYPOST_GIT_SSH_KEY. Stop `waypost up` first.
    """
    with session(context) as one:
        one.require_switched_on("moved")
    home = the_home(context)
    moved = moving_out.move(home, address)
    say(
        f"main is at {moved.address} now ({moved.commit[:12]}), with {moved.proposals} proposals and "
        f"{moved.revisions} revisions; {home.settings_path} says so",
        f"{home.desired_store_path} stays as it was, and is not read any more",
    )
