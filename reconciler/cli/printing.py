"""How commands print: plans, outcomes, data. Text for people, JSON for machines; none of it drives a terminal."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.cli.parts import account, plans, sessions
from reconciler.visible import visible

if TYPE_CHECKING:
    from rich import console as terminal
else:
    from state import lazily

    terminal = lazily.module("rich.console")


def say(*lines: str, err: bool = False) -> None:
    """Print lines for people. Whoever wrote what stands in one: it stays in that line, and every sign of it is seen."""
    for line in lines:
        click.echo(visible(line), err=err)


def print_plan(made: plans.Plan, as_json: bool) -> None:
    if as_json:
        return print_json(account.as_json(made))
    lines = account.lines(made) or ["nothing to do: live is as it should be"]
    if sys.stdout.isatty():
        console = terminal.Console(highlight=False, soft_wrap=True)
        for line in lines:
            console.print(visible(line), style=_style(line), markup=False, emoji=False)
    else:
        say(*lines)
    if made.changes:
        say(f"plan {made.digest[:12]}, short code {made.code}")
    return None


_STYLES = {"+": "green", "-": "red", "~": "yellow", "!": "yellow", "x": "red", "<": "cyan"}


def _style(line: str) -> str:
    return "bold" if not line.startswith(" ") else _STYLES.get(line.strip()[:1], "") if line[2:3] != " " else "dim"


def print_json(value: Any) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    click.echo(
        _MAY_BE_UNSEEN.sub(lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text)
    )


_MAY_BE_UNSEEN: Final = re.compile(r"[^\n\x20-\x7e]")


def print_told(data: dict[str, Any], lines: list[str], as_json: bool) -> None:
    if as_json:
        return print_json(data)
    say(*lines)
    return None


def on_the_way(as_json: bool) -> Callable[[str], None]:
    """Where each step of a longer command is told: not among data for machines."""
    return lambda line: say(line, err=as_json)


def print_said(said: sessions.Said, as_json: bool) -> None:
    if as_json:
        print_json({"state": said.state, "said": said.said})
    else:
        say(said.said)
    if said.exit_code:
        raise SystemExit(said.exit_code)


def plan_code(made: plans.Plan) -> int:
    if made.errors and not made.changes:
        return 1
    return 3 if made.held else 2 if made.pending else 0


def report_drift(one: sessions.Session, as_json: bool) -> None:
    planned = one.plan()
    made = planned.plan
    by = {str(found.address): planned.by.get(found.address, "") for found in (*made.drift, *made.conflicts)}
    only = plans.Plan(commit=made.commit, drift=made.drift, conflicts=made.conflicts, taken_over=made.taken_over)
    if as_json:
        told = account.as_json(only)
        of_each = {
            name: [{**found, "by": by[found["address"]]} for found in told[name]] for name in ("drift", "conflicts")
        }
        print_json({**of_each, "taken_over": told["taken_over"]})
    else:
        say(*account.lines(only) or ["no drift: live is as it was last applied"])
        for address, name in by.items():
            if name:
                say(f"{address} was changed by {name}")
    raise SystemExit(2 if only.pending else 0)
