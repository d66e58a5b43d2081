"""How commands print: plans, outcomes, data. Text for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console

from reconciler.core import account
from reconciler.core.plan import Plan
from reconciler.session import Said, Session


def print_plan(made: Plan, as_json: bool) -> None:
    if as_json:
        return print_json(account.as_json(made))
    console = Console(highlight=False, soft_wrap=True)
    for line in account.lines(made) or ["nothing to do: live is as it should be"]:
        console.print(line, style=_style(line), markup=False)
    if made.changes:
        console.print(f"plan {made.digest[:12]}, short code {made.code}", markup=False)
    return None


_STYLES = {"+": "green", "-": "red", "~": "yellow", "!": "yellow", "x": "red", "<": "cyan"}


def _style(line: str) -> str:
    return "bold" if not line.startswith(" ") else _STYLES.get(line.strip()[:1], "") if line[2:3] != " " else "dim"


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_told(data: dict[str, Any], lines: list[str], as_json: bool) -> None:
    if as_json:
        return print_json(data)
    for line in lines:
        click.echo(line)
    return None


def on_the_way(as_json: bool) -> Callable[[str], None]:
    """Where each step of a longer command is told: not among data for machines."""
    return lambda line: click.echo(line, err=as_json)


def print_said(said: Said, as_json: bool) -> None:
    if as_json:
        print_json({"state": said.state, "said": said.said})
    else:
        click.echo(said.said)
    if said.exit_code:
        raise SystemExit(said.exit_code)


def plan_code(made: Plan) -> int:
    if made.errors and not made.changes:
        return 1
    return 3 if made.held else 2 if made.pending else 0


def report_drift(one: Session, as_json: bool) -> None:
    made = one.plan().plan
    only = Plan(commit=made.commit, drift=made.drift, conflicts=made.conflicts, taken_over=made.taken_over)
    if as_json:
        told = account.as_json(only)
        print_json({name: told[name] for name in ("drift", "conflicts", "taken_over")})
    else:
        for line in account.lines(only) or ["no drift: live is as it was last applied"]:
            click.echo(line)
    raise SystemExit(2 if only.pending else 0)
