"""What a command imports: nobody waits for a server, a model's protocol or a mail library who wants to see a plan."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler import founding

_SERVERS = {"uvicorn", "starlette", "mcp", "anyio", "apprise", "watchfiles", "apscheduler"}
_HEAVY = {"deepdiff", "detect_secrets", "ruamel"}
_OF_A_HOME = {"pydantic", "pygit2", "yaml", "sqlite_utils", "httpx2", "rich"}
_OF_A_CALL = {"jwt", "detect_secrets", "markdown_it", "apprise", "deepdiff"}
_TOLD = """
import sys
from reconciler.cli import main
try:
    main(sys.argv[1:])
finally:
    sys.stderr.write(" ".join({name.partition(".")[0] for name in sys.modules}))
"""


def _imported(*arguments: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", _TOLD, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 2), done.stderr
    return set(done.stderr.split())


@pytest.fixture
def home(tmp_path: Path) -> Iterator[str]:
    made = founding.create(tmp_path / "home", environ={}, now=lambda: datetime.now(UTC))
    yield str(made.path)


def test_help_and_a_plan_import_no_server_and_nothing_that_they_do_not_use(home: str) -> None:
    for arguments in (["--help"], ["--home", home, "plan"]):
        assert not _imported(*arguments) & (_SERVERS | _HEAVY)


def test_nothing_that_a_home_is_read_with_is_imported_before_there_is_one() -> None:
    for arguments in (["--help"], ["approve", "--help"], ["shard", "new", "--help"]):
        assert not _imported(*arguments) & _OF_A_HOME


def test_a_command_that_is_stopped_imports_nothing_more_on_its_way_out() -> None:
    code = (
        "import sys; from reconciler.cli import main, waypost\n"
        "@waypost.command()\ndef stopped(): raise KeyboardInterrupt\n"
        "try: main(['stopped'])\nfinally: sys.stderr.write(' '.join({n.partition('.')[0] for n in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert not set(done.stderr.split()) & _OF_A_HOME


def test_a_gateway_begins_without_what_only_some_calls_need() -> None:
    code = "import sys, shards.__main__; sys.stderr.write(' '.join({n.partition('.')[0] for n in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stderr.split()) & _OF_A_CALL


def test_what_looks_after_both_processes_of_up_imports_nothing_that_is_not_pythons_own() -> None:
    code = "import sys, reconciler.foreground; sys.stderr.write(' '.join({n.partition('.')[0] for n in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {name for name in done.stderr.split() if not name.startswith("_")} - sys.stdlib_module_names
    assert ours <= {"reconciler", "distutils-precedence"}
