"""What installs: every package, every starter file, every library declared, pinned and used; commands that run."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from reconciler import founding

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONSTRAINTS = (ROOT / "constraints.txt").read_text().splitlines()
PACKAGES = ("state", "reconciler", "shards")

IMPORTED_AS = {
    "markdown-it-py": "markdown_it",
    "google-re2": "re2",
    "pyyaml": "yaml",
    "ruamel-yaml": "ruamel",
    "sqlite-utils": "sqlite_utils",
    "detect-secrets": "detect_secrets",
    "pyjwt": "jwt",
}
"""Where the name of a library to install is not the name to import."""

USED_BUT_NOT_IMPORTED = {
    "pysqlite3": "sqlite-utils prefers it where it is installed",
    "jinja2": "for the pages",
}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required(lines: list[str]) -> dict[str, str]:
    """Normal name -> whole requirement."""
    return {normal(re.match(r"[\w.-]+", line)[0]): line for line in lines}


DEPENDENCIES = required(PROJECT["project"]["dependencies"])
EXTRAS = {name: required(lines) for name, lines in PROJECT["project"]["optional-dependencies"].items()}
PINS = required([line for line in CONSTRAINTS if line and not line.startswith("#")])


@functools.cache
def imported() -> frozenset[str]:
    found = set()
    for path in (
        path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "template" not in path.parts
    ):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return frozenset(found - set(sys.stdlib_module_names) - set(PACKAGES) - {"desired"})


def test_every_package_there_is_gets_installed():
    there = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in (*PACKAGES, "desired")
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert there == set(PROJECT["tool"]["setuptools"]["packages"])


def test_every_starter_file_gets_installed():
    # Setuptools passes over names that begin with a dot.
    assert PROJECT["tool"]["setuptools"]["package-data"] == {
        "desired": ["**/*"],
        "reconciler": ["authentik/*.json"],
        "shards": ["template/*"],
    }
    assert not [path for path in founding.starter_files() if "/." in f"/{path}"]
    assert {"README.md", "waypost.yaml"} <= set(founding.starter_files())


def test_every_library_that_is_imported_is_declared():
    declared = {IMPORTED_AS.get(name, name.replace("-", "_")) for name in DEPENDENCIES}
    # Each comes with a declared one and is part of its public interface.
    companions = {"mcp_types", "anyio"}
    assert imported() - companions <= declared


def test_every_library_that_is_declared_is_used():
    used = imported()
    idle = {name for name in DEPENDENCIES if IMPORTED_AS.get(name, name.replace("-", "_")) not in used}
    assert idle <= set(USED_BUT_NOT_IMPORTED)


@pytest.mark.parametrize("name", sorted({*DEPENDENCIES, *EXTRAS["traefik"], *EXTRAS["dev"]}))
def test_every_declared_library_is_pinned(name):
    assert re.search(r"==\d", PINS[name])


def test_constraints_are_versions_and_name_no_address():
    for line in CONSTRAINTS:
        assert re.fullmatch(r"[a-z0-9-]+==[\w.!+]+( ; [\w\s.'<>=!]+)?", line), line


def test_what_has_no_wheel_for_aarch64_is_asked_for_on_x86_64_only():
    assert "platform_machine == 'x86_64'" in DEPENDENCIES["pysqlite3"]
    assert "platform_machine == 'x86_64'" in PINS["pysqlite3"]


def test_what_is_pinned_is_what_runs_here():
    for name in sorted({*DEPENDENCIES, *EXTRAS["dev"]} - {"uv", "pysqlite3"}):
        assert metadata.version(name) == re.search(r"==([^\s;]+)", PINS[name])[1], name


def test_the_command_is_there():
    command = Path(sys.executable).with_name("waypost")
    told = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert PROJECT["project"]["version"] in told.stdout


def test_the_changelog_knows_the_version():
    assert f"## {PROJECT['project']['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_licence_is_in_place():
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("script", [".ci/run", ".ci/install"])
def test_scripts_are_executable_strict_and_well_formed(script):
    path = ROOT / script
    assert os.access(path, os.X_OK)
    assert "\nset -euo pipefail\n" in path.read_text()
    subprocess.run(["bash", "-n", path], check=True)


def test_every_goal_of_make_is_explained():
    help_text = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    makefile = (ROOT / "Makefile").read_text()
    goals = re.search(r"\.PHONY: (.*)", makefile)[1].split()
    assert {line.split()[0] for line in help_text.splitlines()} == set(goals)


def test_ci_forbids_skips_and_checks_everything():
    text = (ROOT / ".ci/run").read_text()
    assert 'FORBID_SKIPS="$forbid" make test' in text
    assert "make lint types contracts" in text


def test_the_long_tests_forbid_skips_and_tell_their_figures(tmp_path):
    makefile = (ROOT / "Makefile").read_text()
    (command,) = re.findall(r"^soak: .*\n\t@(.*)", makefile, re.MULTILINE)
    assert command.startswith("FORBID_SKIPS=$${FORBID_SKIPS-1} ")
    (tmp_path / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = soak\n")
    (tmp_path / "test_long.py").write_text(
        "import pytest\n"
        "@pytest.mark.soak\ndef test_a_loop(): print('killed 7 times')\n"
        "@pytest.mark.soak\n@pytest.mark.parametrize('part', [0, 1, 2])\n"
        "def test_parts(record_property, part): record_property('counted', {'schedules': 600, 'deaths': part})\n"
        "def test_a_short_one(): print('nothing worth telling')\n"
        "@pytest.mark.soak\ndef test_without_its_tool(): pytest.skip('no tool')\n"
    )
    ran = [sys.executable, "-m", "pytest", "--numprocesses", "2", "-p", "no:cacheprovider"]
    environment = {**os.environ, "FORBID_SKIPS": "1"}
    done = subprocess.run(ran, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "1 failed, 5 passed" in done.stdout
    told = done.stdout.partition("= figures =")[2]
    assert "test_long.py::test_a_loop\n  killed 7 times\n" in told
    assert "test_long.py::test_parts\n  1,800 schedules, 3 deaths\n" in told
    assert "worth telling" not in told
