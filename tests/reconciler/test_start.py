"""What a command imports: nobody waits for a server, a model's protocol or a mail library who wants to see a plan."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler import founding
from reconciler.git.proposals import propose
from reconciler.git.store import Store
from tests.conftest import RunningTraefik

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
    return set(done.stderr.rpartition("\n")[2].split())  # what it tells people comes before


@pytest.fixture
def home(tmp_path: Path) -> Iterator[str]:
    made = founding.create(tmp_path / "home", environ={}, now=now)
    yield str(made.path)


def test_help_and_a_plan_import_no_server_and_nothing_that_they_do_not_use(home: str) -> None:
    for arguments in (["--help"], ["--home", home, "plan"]):
        assert not _imported(*arguments) & (_SERVERS | _HEAVY)


_WITHOUT_A_SERVER = (
    "plan", "drift", "proposals", "show ID --diff", "reject ID", "rollback 1", "reconcile --once", "eject", "doctor",
    "history", "history traefik/http.routers/app", "why traefik/http.routers/app", "explain GET http://app.lab/",
    "check URL --dynamic DIR", "docs", "log verify", "log export", "log rebuild", "log archive", "token create claude",
    "token list", "client-config claude-code", "remote show", "shard new weather PLACE/weather",
    "backup PLACE/home.zip", "restore PLACE/home.zip --check", "restore PLACE/home.zip PLACE/again",
)  # fmt: skip
"""Commands with no word of a person and no server of ours."""

_SAID_BY_OTHERS = (
    "history",
    "history traefik/http.routers/app",
    "why traefik/http.routers/app",
    "proposals",
    "reject ID",
)
_NEEDED = {"eject": {"ruamel"}, "show ID --diff": {"deepdiff"}, "rollback 1": {"deepdiff"}}
_NEEDED |= dict.fromkeys(_SAID_BY_OTHERS, {"detect_secrets"})
"""One writes YAML for people, two say in words in what values differ; what others said is told without its secrets."""


def test_what_looks_at_a_home_or_tends_it_imports_no_server_and_nothing_that_it_does_not_use(
    tmp_path: Path, traefik: RunningTraefik
) -> None:
    chosen = {"DYNAMIC_DIR": str(traefik.directory), "API_URL": traefik.url, "DEADLINE": "5s"}
    settings = {f"WAYPOST_TRAEFIK_{name}": value for name, value in chosen.items()}
    made = founding.create(tmp_path / "home", chosen=settings, environ={}, now=now)
    home, store = str(made.path), Store.open(made.desired_store_path)
    for port in (1, 2):
        head = store.head() or ""
        store.move("refs/heads/main", _proposed(store, head, port), was=head)
        _imported("--home", home, "reconcile", "--once")
    _imported("--home", home, "rollback", "1")
    (waiting,) = store.branches("proposals/").keys() - {"proposals/p1", "proposals/p2"}
    words = {"ID": waiting.partition("/")[2], "PLACE": str(tmp_path), "URL": traefik.url, "DIR": str(traefik.directory)}

    found = {}
    for command in _WITHOUT_A_SERVER:
        arguments = [re.sub("ID|PLACE|URL|DIR", lambda word: words[word[0]], each) for each in command.split()]
        # The HTTP client takes anyio along for its locks; the rest of that stays where it is.
        needless = _imported("--home", home, *arguments) & (_SERVERS | _HEAVY) - {"anyio"} - _NEEDED.get(command, set())
        if needless:
            found[command] = needless
    assert found == {}


def _proposed(store: Store, head: str, port: int) -> str:
    """A commit that wants one route, at that port."""
    services = {"app": {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{port}"}]}}}
    document = {"http": {"routers": {"app": {"rule": "Host(`app.lab`)", "service": "app"}}, "services": services}}
    edits: dict[str, bytes | None] = {"traefik/app.yaml": json.dumps(document).encode()}
    return propose(
        store, parent=head, edits=edits, id=f"p{port}", title="a", body="", trailers={}, author="a <a@b>", at=now()
    )


def now() -> datetime:
    return datetime.now(UTC)


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
