"""How Komodo stands in the desired repo: `<stack>/stack.toml`, `<stack>/compose.yaml` and `<stack>/request.yaml`. Pure.

A stack file is Komodo's own, with exactly one `[[stack]]` whose name is its folder's. What only Komodo's syncs read
(`description`, `tags`, `template`, `deploy`) may stand in it and means nothing here. The compose file is a resource of
its own, so that a plan tells which of the two changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from reconciler import document
from reconciler.document import Document
from reconciler.komodo import compose, contents, environment, requests, stacks
from reconciler.komodo.shapes import Fault, listing, matching, record, switch, text
from reconciler.komodo.stacks import COMPOSE, FIELDS, REQUEST, STACK
from reconciler.language import Content, Language
from state.model import Problem, Spec

STACK_FILE, COMPOSE_FILE = "stack.toml", "compose.yaml"
_MISNAMED: Final = frozenset({"compose.yml", "docker-compose.yml", "docker-compose.yaml"})
_KNOWN: Final = frozenset({STACK_FILE, COMPOSE_FILE, requests.FILE, *_MISNAMED})

_name: Final = matching(stacks.NAME, "name of a stack (letters, digits, '.', '_', '-')")
_STACK: Final = record(
    {
        "name": _name, "description": text, "tags": listing(text), "template": switch, "deploy": switch,
        "after": listing(_name), "config": record({name: field.shape for name, field in FIELDS.items()}),
    },
    required=("name",),
)  # fmt: skip

_NOT_HERE: Final = {
    "file_contents": "put the compose file beside it, as compose.yaml",
    "server_id": "name the server in 'server'",
    "swarm": "stacks of a swarm are not deployed from here",
    "swarm_id": "stacks of a swarm are not deployed from here",
    "linked_repo": "name 'repo' and 'commit' themselves, so that what runs is what was reviewed",
    "config_files": "put what the stack needs into its compose file, as 'configs' with 'content'",
    "webhook_secret": "a secret has no place in Git; set it in Komodo",
}
_REPOSITORY: Final = re.compile(r"[\w.-]+(?:/[\w.-]+)+")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


def _reads(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return bool(folder) and "/" not in folder and name in _KNOWN


def _parse(path: str, content: bytes) -> Content:
    file = PurePosixPath(path)
    stack = file.parent.name
    if not re.fullmatch(stacks.NAME, stack):
        return _refused(path, f"'{stack}' can be no name of a stack; use letters, digits, '.', '_' and '-'")
    if file.name in _MISNAMED:
        return _refused(path, f"name it {COMPOSE_FILE}, so that nobody wonders which of several is meant")
    if file.name == STACK_FILE:
        return _stack(path, stack, content)
    return _compose(path, stack, content) if file.name == COMPOSE_FILE else _request(path, stack, content)


def _refused(path: str, message: str) -> Content:
    return Content(problems=(Problem(message=message, file=path),))


# ── stack.toml ───────────────────────────────────────────────────────────────────────────────────


def _stack(path: str, stack: str, content: bytes) -> Content:
    read = document.read(path, content)
    if read.problems:
        return Content(problems=tuple(_placed(problem) for problem in read.problems))
    lines = content.decode("utf-8-sig").split("\n")
    found = list(_stack_faults(read.value, stack))
    problems = tuple(Problem(message=words, file=path, line=_line(lines, where)) for where, words in found)
    if problems:
        return Content(problems=problems)
    declared = read.value["stack"][0]
    return Content(resources=((STACK, stack, _spec(declared), _line(lines, ("name",))),))


def _placed(problem: Problem) -> Problem:
    """TOML's own complaints say where, in words."""
    match = re.search(r"\(at line (\d+), column (\d+)\)", problem.message)
    if not match:
        return problem
    message = problem.message.replace(match[0], "").strip()
    return Problem(message=message, file=problem.file, line=int(match[1]), column=int(match[2]))


def _spec(declared: Mapping[str, Any]) -> Spec:
    after = sorted(set(declared.get("after") or ()))
    return {**stacks.normal(declared.get("config") or {}), **({"after": after} if after else {})}


def _stack_faults(value: Mapping[str, Any], stack: str) -> Iterator[Fault]:
    others = [name for name in value if name != "stack"]
    for name in others:
        yield (name,), f"only [[stack]] belongs here; '{name}' is configured in Komodo"
    declared = value.get("stack")
    if not isinstance(declared, list) or len(declared) != 1:
        yield ("stack",), "right would be exactly one [[stack]]; each stack has a folder of its own"
        return
    config = declared[0].get("config") if isinstance(declared[0], dict) else None
    refused = [name for name in config if name in _NOT_HERE] if isinstance(config, dict) else []
    for name in refused:
        yield (name,), f"'{name}' is not taken here: {_NOT_HERE[name]}"
    found = [fault for fault in _STACK(declared[0], ()) if not fault[0] or fault[0][-1] not in refused]
    yield from found
    if not found and not refused:
        yield from _meaning(declared[0], stack)


def _meaning(declared: Mapping[str, Any], stack: str) -> Iterator[Fault]:
    """What is wrong though every field is what it should be."""
    config = stacks.normal(declared.get("config") or {})
    if declared["name"] != stack:
        yield ("name",), f"the stack is called '{declared['name']}' and its folder '{stack}'; give both one name"
    if stack in declared.get("after", ()):
        yield ("after",), "a stack cannot come after itself"
    if not config.get("server"):
        yield ("server",), "'server' is missing: which server does it run on?"
    if config.get("auto_update"):
        yield ("auto_update",), "Komodo would deploy by itself what no commit asked for; leave auto_update off"
    if config.get("repo"):
        yield from _pinning(config)
    for _, name, value in environment.variables(config.get("environment", "")):
        if environment.is_literal_secret(name, value):
            yield ("environment", name), _literal(name)
    for where in environment.covered_places(declared.get("config") or {}):
        yield where, _COVERED


_COVERED: Final = (
    f"'{environment.COVERED}' covers a secret when it is shown, and is none; keep it among Komodo's variables "
    "and write [[ITS_NAME]]"
)


def _pinning(config: Mapping[str, Any]) -> Iterator[Fault]:
    if not _REPOSITORY.fullmatch(config["repo"]):
        yield ("repo",), "right would be OWNER/NAME, with the server in 'git_provider'"
    if not _COMMIT.fullmatch(config.get("commit", "")):
        yield (
            ("commit",),
            "a stack from a repository is pinned: 'commit' names the 40 digits of the commit that was reviewed",
        )


def _literal(name: str) -> str:
    return f"'{name}' would hold a secret; keep it among Komodo's variables and write [[{name}]]"


def _line(lines: list[str], where: tuple[str | int, ...]) -> int:
    """The line on which the last name of a path is set, from 1: TOML's reader tells no places."""
    for name in reversed([part for part in where if isinstance(part, str)]):
        key = re.compile(rf"""\s*(?:\[+\s*)?(?:[\w-]+\.)*["']?{re.escape(name)}["']?\s*(?:[=\].]|$)""")
        for number, line in enumerate(lines, 1):
            if key.match(line):
                return number
    return 1


# ── compose.yaml and request.yaml ────────────────────────────────────────────────────────────────


def _compose(path: str, stack: str, content: bytes) -> Content:
    read = contents.read(path, content)
    problems = list(read.problems)
    if not problems:
        problems += [_problem(read, where, words) for where, words in compose.faults(read.value)]
        problems += [_problem(read, where, _literal(name)) for where, name in contents.literal_secrets(read.value)]
        problems += [_problem(read, where, _COVERED) for where in environment.covered_places(read.value)]
    resources = () if problems else ((COMPOSE, stack, read.value, 1),)
    return Content(resources=resources, problems=tuple(problems))


def _request(path: str, stack: str, content: bytes) -> Content:
    read = document.read(path, content)
    problems = list(read.problems) or [_problem(read, *fault) for fault in requests.faults(read.value)]
    resources = () if problems else ((REQUEST, stack, read.value, 1),)
    return Content(resources=resources, problems=tuple(problems))


def _problem(read: Document, where: tuple[str | int, ...], message: str) -> Problem:
    dotted = ".".join(map(str, where))
    return read.problem(where, f"{dotted}: {message}" if dotted else message)


LANGUAGE: Final = Language(reads=_reads, parse=_parse)
