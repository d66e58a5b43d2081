"""`make conformance`: the official suite against our gateway, each scenario held to what is written down of it.

The suite runs twice: before a gateway with the shard that it expects, and before one without. What passes both times
although it calls for that shard passes for nothing, and is not counted.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from rich.console import Console
from rich.table import Table

from shards.declared import Declared, Listed
from shards.health import Patience
from tests import plain_http
from tests.conformance import everything, suite
from tests.conformance.suite import Said
from tests.shards.serving import DesiredRepo, gateway_over, served

WRITTEN: Final = Path(__file__).with_name("expected.toml")

Verdict = Literal["passed", "baselined", "not counted", "FAILED"]


@dataclass(frozen=True)
class Expected:
    """What is written down of one course. `scored`: all its scenarios, where the suite does not say which there are;
    `alone`: those that call for no shard; `baseline`: scenario, or scenario:check, -> why it does not pass; `idle`: ->
    why its passing says nothing."""

    scored: frozenset[str]
    alone: frozenset[str]
    baseline: Mapping[str, str]
    idle: Mapping[str, str]


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    scenario: str
    verdict: Verdict
    why: str = ""


def judge(name: str, said: Said, bare: Said, expected: Expected) -> Line:
    """One scenario, as it went with the shard and without (`bare`)."""
    if suite.NOT_RUN in (said, bare):
        return Line(name, "FAILED", "did not run")
    if expected.scored and name not in expected.scored:
        return Line(name, "FAILED", "runs, but is not written down")
    if name in expected.idle and not said.failed:
        return Line(name, "not counted", expected.idle[name])
    if name in expected.baseline:
        reason = expected.baseline[name]
        return (
            Line(name, "baselined", reason) if said.failed else Line(name, "FAILED", "passes now: no longer baselined")
        )
    known = {check.partition(":")[2]: why for check, why in expected.baseline.items() if check.startswith(f"{name}:")}
    if unexpected := said.failed - known.keys():
        return Line(name, "FAILED", ", ".join(sorted(unexpected)))
    if mended := known.keys() - said.failed:
        return Line(name, "FAILED", f"passes now: {', '.join(sorted(mended))}")
    if name not in expected.alone and not bare.failed - known.keys():
        return Line(name, "FAILED", "passes without the shard that it calls for, so it proves nothing")
    return Line(name, "baselined" if known else "passed", "; ".join(sorted(set(known.values()))))


def stale(expected: Expected, names: set[str]) -> list[Line]:
    """What is written down of scenarios that there are not."""
    written = {entry.partition(":")[0] for entry in (*expected.alone, *expected.baseline, *expected.idle)}
    return [Line(name, "FAILED", "written down, but the suite has none of that name") for name in written - names]


def main() -> int:
    suite.install()
    written = {name: _expected(told) for name, told in tomllib.loads(WRITTEN.read_text()).items()}
    full, bare = (_run(written, with_shard=with_shard) for with_shard in (True, False))
    failed, console = 0, Console(width=None if sys.stdout.isatty() else 140)
    for course in suite.COURSES:
        expected, went, without = written[course.name], full[course.name], bare[course.name]
        lines = [judge(name, said, without.get(name, suite.NOT_RUN), expected) for name, said in went.items()]
        lines += stale(expected, set(went))
        console.print(_table(f"{course.name} (suite {course.version})", lines))
        counted = [sum(not said.failed for said in each.values()) for each in (went, without)]
        console.print(f"{counted[0]} scenarios pass; with the shard gone it has to be fewer, and is {counted[1]}\n")
        failed += sum(line.verdict == "FAILED" for line in lines) + (counted[1] >= counted[0])
    return 1 if failed else 0


def _expected(told: Mapping[str, Any]) -> Expected:
    scored, alone = (frozenset(told.get(name, ())) for name in ("scored", "alone"))
    return Expected(scored, alone, told.get("baseline", {}), told.get("idle", {}))


def _run(written: Mapping[str, Expected], *, with_shard: bool) -> dict[str, dict[str, Said]]:
    """Course -> how its scenarios went."""
    with _gateway(with_shard=with_shard) as url:
        return {course.name: suite.run(course, url, written[course.name].scored) for course in suite.COURSES}


@contextlib.contextmanager
def _gateway(*, with_shard: bool) -> Iterator[str]:
    """A gateway as `waypost serve-gateway` builds it; gives the address of its `/mcp`, by a name for loopback."""
    with contextlib.ExitStack() as running:
        home = Path(running.enter_context(tempfile.TemporaryDirectory()))
        declared: tuple[Declared, ...] = ()
        if with_shard:
            there = running.enter_context(served(everything.application()))
            declared = (replace(everything.declared(f"{there}/mcp"), patience=Patience(every=0.5)),)
        waypost = running.enter_context(
            gateway_over(DesiredRepo(home / "desired.git"), home / "gateway", discovery=Listed(declared))
        )
        if with_shard:
            _wait(f"{waypost.url}/health", len(everything.TOOLS))
        yield f"{waypost.url.replace('127.0.0.1', 'localhost')}/mcp"


def _wait(url: str, tools: int) -> None:
    deadline = time.monotonic() + 60
    while plain_http.get(url).json()["shards"].get("everything", {}).get("tools") != tools:
        if time.monotonic() > deadline:
            raise SystemExit("the gateway does not find the shard")
        time.sleep(0.1)


def _table(title: str, lines: list[Line]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in ("scenario", "verdict", "why"):
        table.add_column(column, overflow="fold")
    for line in lines:
        table.add_row(line.scenario, line.verdict, line.why)
    return table


if __name__ == "__main__":
    sys.exit(main())
