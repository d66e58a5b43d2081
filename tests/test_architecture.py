"""The shape of the code: who may import whom, what the core may not do, what no file may hold."""

from __future__ import annotations

import ast
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("state", "reconciler", "shards")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TREES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in MODULES}

NEVER_READ = {".git", ".venv", "build"}


def files() -> Iterator[Path]:
    """Every file that is part of the project."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        hidden_by_a_tool = any(part.endswith(("_cache", ".egg-info", "__pycache__", ".hypothesis")) for part in parts)
        if path.is_file() and parts[0] not in NEVER_READ and not hidden_by_a_tool:
            yield path


def check_contracts(directory: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([command, "--no-cache", "--no-logo"], cwd=directory, capture_output=True, text=True)


def test_the_import_contracts_are_kept():
    checked = check_contracts(ROOT)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("shards/own.py", "import state.log", "The gateway can reach"),
        ("shards/kit.py", "from reconciler.git import main", "The gateway can reach"),
        ("reconciler/desired.py", "import reconciler.targets", "The gateway can reach"),
        ("state/model.py", "import reconciler.core", "Faces speak to verbs"),
        ("reconciler/core/plan.py", "import time", "The core and the words of Traefik are pure"),
        ("reconciler/home.py", "import pygit2", "pygit2 (Git) only in its own place"),
    ],
)
def test_a_contract_that_is_broken_is_seen(module, line, contract, tmp_path):
    for name in (*PACKAGES, "pyproject.toml"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path)
    path = tmp_path / module
    path.write_text(f"{path.read_text()}\n{line}\n")
    checked = check_contracts(tmp_path)
    assert checked.returncode != 0
    assert re.search(rf"{re.escape(contract)}[^\n]*(\n[^\n]*)? BROKEN", checked.stdout), checked.stdout


@pytest.mark.parametrize("name", TREES)
def test_every_module_says_what_it_is_for(name):
    empty = not TREES[name].body
    assert empty or ast.get_docstring(TREES[name])


PURE = [
    name
    for name in TREES
    if name.startswith("reconciler/core/")
    or name in ("state/model.py", "state/events.py", "state/views.py")
    or re.fullmatch(r"reconciler/traefik/(kinds|rules|grammar|matchers|render|validate|exposure)\.py", name)
]


@pytest.mark.parametrize("name", PURE)
def test_nothing_pure_looks_at_a_clock_or_opens_a_file(name):
    calls = [node.func for node in ast.walk(TREES[name]) if isinstance(node, ast.Call)]
    used = {call.attr for call in calls if isinstance(call, ast.Attribute)}
    used |= {call.id for call in calls if isinstance(call, ast.Name)}
    assert not used & {"now", "utcnow", "today", "open", "read_text", "read_bytes", "urandom", "input", "print"}


READS_THE_ENVIRONMENT = {
    "reconciler/setting.py": "settings",
    "reconciler/cli/group.py": "where a process begins",
    "reconciler/demo.py": "builds the environment of what it starts",
    "reconciler/session.py": "who sits at the terminal",
    "shards/__main__.py": "where a process begins",
}


def test_the_environment_is_read_where_settings_are_and_where_a_process_begins():
    reading = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and ast.unparse(node.value) == "os"
    }
    assert reading == set(READS_THE_ENVIRONMENT)


CATCHES_EVERYTHING = {
    "reconciler/alerts.py": "the tops of its threads: no plugin and no fault of ours may end all alerts",
    "reconciler/cli/__init__.py": "whatever it is, a person reads one line",
    "reconciler/housekeeping.py": "the top of its thread: a fault of ours must not end all housekeeping",
    "reconciler/serve.py": "a fault of ours must not end all passes",
    "shards/outcome.py": "the top of one call: logged, audited as internal, answered as a refusal",
}


def _swallows_everything(handler: ast.ExceptHandler) -> bool:
    caught = ast.unparse(handler.type) if handler.type else "BaseException"
    raises_again = any(isinstance(node, ast.Raise) for node in handler.body)
    return caught == "Exception" or (caught == "BaseException" and not raises_again)


def test_only_the_top_of_a_process_catches_everything():
    catching = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and _swallows_everything(node)
    }
    assert catching == set(CATCHES_EVERYTHING)


def test_half_of_all_functions_are_shorter_than_ten_lines_and_few_are_long():
    lengths = [
        (node.end_lineno or 0) - node.lineno + 1
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert statistics.median(lengths) < 10
    assert sum(length > 40 for length in lengths) <= len(lengths) / 50


def test_no_file_names_a_package_registry_or_a_place_on_somebodys_machine():
    # Put together here, so that this file does not name them either.
    registries = ["py" + "pi.org", "python" + "hosted.org", "docker" + ".io/", "npm" + "js.org"]
    places = ["/work" + "/main", "/root" + "/", "/home" + "/[a-z]+/(?!.*example)"]
    forbidden = re.compile("|".join(map(re.escape, registries)) + "|" + "|".join(places))
    found = []
    for path in files():
        text = path.read_text("utf-8", "replace")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in forbidden.finditer(text)]
    assert found == []


def test_nothing_is_left_to_do_without_being_an_issue():
    marks = re.compile(r"\b(TO" + "DO|FIX" + "ME|XX" + r"X)\b")
    assert [str(path.relative_to(ROOT)) for path in files() if marks.search(path.read_text("utf-8", "replace"))] == []


def test_tests_are_no_packages_and_no_two_have_one_name():
    tests = list((ROOT / "tests").rglob("*.py"))
    names = [path.name for path in tests if path.name != "conftest.py"]
    assert "__init__.py" not in names
    assert sorted(set(names)) == sorted(names)
