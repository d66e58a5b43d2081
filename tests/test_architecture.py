"""The shape of the code: who may import whom, what the core may not do, what no file may hold."""

from __future__ import annotations

import ast
import os
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

NEVER_READ = {".git", ".venv", "build"}


def _of_a_tool(name: str) -> bool:
    return name.endswith(("_cache", ".egg-info", "__pycache__", ".hypothesis"))


def files() -> Iterator[Path]:
    """Every file that is part of the project."""
    for place, directories, names in os.walk(ROOT):
        never = NEVER_READ if Path(place) == ROOT else set()
        directories[:] = [name for name in directories if name not in never and not _of_a_tool(name)]
        yield from (Path(place, name) for name in sorted(names) if name not in never)


def check_contracts(directory: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([command, "--no-cache", "--no-logo"], cwd=directory, capture_output=True, text=True)


def test_the_import_contracts_are_kept():
    checked = check_contracts(ROOT)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    """Every module of the product by its path, parsed."""
    modules = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in modules}


@pytest.fixture(scope="module")
def nodes(trees: dict[str, ast.Module]) -> dict[str, list[ast.AST]]:
    """Everything that is written in each module, walked through once: there are half a million."""
    return {name: list(ast.walk(tree)) for name, tree in trees.items()}


BREAKING = {
    "shards/own.py": ("import state.log", "The gateway can reach"),
    "shards/kit.py": ("from reconciler.git import main", "The gateway can reach"),
    "reconciler/desired.py": ("import reconciler.targets", "The gateway can reach"),
    "state/model.py": ("import reconciler.core", "Faces speak to verbs"),
    "reconciler/core/plan.py": ("import time", "The core and the words of Traefik are pure"),
    "reconciler/home.py": ("import pygit2", "pygit2 (Git) only in its own place"),
}


def test_a_contract_that_is_broken_is_seen(tmp_path):
    for name in (*PACKAGES, "pyproject.toml"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path)
    for module, (line, _) in BREAKING.items():
        path = tmp_path / module
        path.write_text(f"{path.read_text()}\n{line}\n")
    checked = check_contracts(tmp_path)
    assert checked.returncode != 0
    verdicts, told = checked.stdout.split("Broken contracts")
    for module, (line, contract) in BREAKING.items():
        assert re.search(rf"{re.escape(contract)}[^\n]*(\n[^\n]*)? BROKEN", verdicts), checked.stdout
        importing = module.removesuffix(".py").replace("/", ".")
        imported = line.replace("from ", "").replace(" import ", ".").removeprefix("import ")
        assert re.search(rf"{re.escape(importing)} -> {re.escape(imported)} ", told), told


def test_every_module_says_what_it_is_for(trees):
    assert [name for name, tree in trees.items() if tree.body and not ast.get_docstring(tree)] == []


def _is_pure(name: str) -> bool:
    return (
        name.startswith("reconciler/core/")
        or name in ("state/model.py", "state/events.py", "state/views.py")
        or bool(re.fullmatch(r"reconciler/traefik/(kinds|rules|grammar|matchers|render|validate|exposure)\.py", name))
    )


def test_nothing_pure_looks_at_a_clock_or_opens_a_file(nodes):
    looking = {"now", "utcnow", "today", "open", "read_text", "read_bytes", "urandom", "input", "print"}
    pure = {name: written for name, written in nodes.items() if _is_pure(name)}
    assert len(pure) > 10
    for name, written in pure.items():
        calls = [node.func for node in written if isinstance(node, ast.Call)]
        used = {call.attr for call in calls if isinstance(call, ast.Attribute)}
        used |= {call.id for call in calls if isinstance(call, ast.Name)}
        assert not used & looking, name


READS_THE_ENVIRONMENT = {
    "reconciler/setting.py": "settings",
    "reconciler/cli/group.py": "where a process begins",
    "reconciler/demo.py": "builds the environment of what it starts",
    "reconciler/session.py": "who sits at the terminal",
    "shards/__main__.py": "where a process begins",
}


def test_the_environment_is_read_where_settings_are_and_where_a_process_begins(nodes):
    reading = {
        name
        for name, written in nodes.items()
        for node in written
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and ast.unparse(node.value) == "os"
    }
    assert reading == set(READS_THE_ENVIRONMENT)


CATCHES_EVERYTHING = {
    "reconciler/alerting/receivers.py": "the tops of its threads: no channel's plugin may end all alerts",
    "reconciler/alerts.py": "the top of its thread: no fault of ours may end all alerts",
    "reconciler/cli/__init__.py": "whatever it is, a person reads one line",
    "reconciler/housekeeping.py": "the top of its thread: a fault of ours must not end all housekeeping",
    "reconciler/serve.py": "a fault of ours must not end all passes",
    "shards/outcome.py": "the top of one call: logged, audited as internal, answered as a refusal",
}


def _swallows_everything(handler: ast.ExceptHandler) -> bool:
    caught = ast.unparse(handler.type) if handler.type else "BaseException"
    raises_again = any(isinstance(node, ast.Raise) for node in handler.body)
    return caught == "Exception" or (caught == "BaseException" and not raises_again)


def test_only_the_top_of_a_process_catches_everything(nodes):
    catching = {
        name
        for name, written in nodes.items()
        for node in written
        if isinstance(node, ast.ExceptHandler) and _swallows_everything(node)
    }
    assert catching == set(CATCHES_EVERYTHING)


def test_commands_print_in_one_place_where_no_text_of_others_drives_the_terminal(nodes):
    printing = {
        name
        for name, written in nodes.items()
        for node in written
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in ("click.echo", "click.secho", "click.echo_via_pager")
    }
    assert printing == {"reconciler/cli/printing.py"}


def test_half_of_all_functions_are_shorter_than_ten_lines_and_few_are_long(nodes):
    lengths = [
        (node.end_lineno or 0) - node.lineno + 1
        for written in nodes.values()
        for node in written
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert statistics.median(lengths) < 10
    assert sum(length > 40 for length in lengths) <= len(lengths) / 50


def test_no_file_names_a_package_registry_or_a_place_on_somebodys_machine():
    # Put together here, so that this file does not name them either.
    registries = ["py" + "pi.org", "python" + "hosted.org", "docker" + ".io/", "npm" + "js.org"]
    places = ["/work" + "/main", "/root" + "/", "/home" + "/[a-z]+/(?!.*example)"]
    forbidden = re.compile("|".join(map(re.escape, registries)) + "|" + "|".join(places))
    suspicious = (*registries, *places[:2], "/home" + "/")
    assert _found(forbidden, suspicious) == []


def test_nothing_is_left_to_do_without_being_an_issue():
    words = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
    assert _found(re.compile(rf"\b({'|'.join(words)})\b"), words) == []


def _found(forbidden: re.Pattern[str], suspicious: tuple[str, ...]) -> list[str]:
    """Where it stands. Only files that hold one of the suspicious words are read closely: there are megabytes."""
    return [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files()
        for text in (path.read_text("utf-8", "replace"),)
        if any(word in text for word in suspicious)
        for match in forbidden.finditer(text)
    ]


def test_tests_are_no_packages_and_no_two_have_one_name():
    tests = list((ROOT / "tests").rglob("*.py"))
    names = [path.name for path in tests if path.name != "conftest.py"]
    assert "__init__.py" not in names
    assert sorted(set(names)) == sorted(names)
