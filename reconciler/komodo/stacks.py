"""A stack as Komodo describes it: which fields its configuration has, and what each is where nothing is said. Pure.

Where a field says what Komodo says by itself it is left out, so that a file, what was applied and what Komodo answers
can be compared as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from reconciler.komodo import environment
from reconciler.komodo.shapes import Shape, either, listing, record, switch, text
from state.model import canonical, digest_bytes

NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
STACK, COMPOSE, REQUEST = "stack", "compose", "request"
"""The kinds of resources, each named by the folder of its stack."""

Spec = Mapping[str, Any]


class Field(NamedTuple):
    shape: Shape
    default: Any


_words: Final = listing(text)
_command: Final = record({"path": text, "command": text})
_no_command: Final = {"path": "", "command": ""}
_either_words: Final = either(text, _words)

FIELDS: Final[Mapping[str, Field]] = {
    "server": Field(text, ""),
    "links": Field(_words, []),
    "project_name": Field(text, ""),
    "auto_pull": Field(switch, True),
    "run_build": Field(switch, False),
    "poll_for_updates": Field(switch, False),
    "auto_update": Field(switch, False),
    "auto_update_all_services": Field(switch, False),
    "destroy_before_deploy": Field(switch, False),
    "skip_secret_interp": Field(switch, False),
    "git_provider": Field(text, "github.com"),
    "git_https": Field(switch, True),
    "git_account": Field(text, ""),
    "linked_repo": Field(text, ""),
    "repo": Field(text, ""),
    "branch": Field(text, "main"),
    "commit": Field(text, ""),
    "clone_path": Field(text, ""),
    "reclone": Field(switch, False),
    "webhook_enabled": Field(switch, True),
    "webhook_force_deploy": Field(switch, False),
    "files_on_host": Field(switch, False),
    "run_directory": Field(text, ""),
    "file_paths": Field(_words, []),
    "env_file_path": Field(text, ".env"),
    "additional_env_files": Field(_words, []),
    "send_alerts": Field(switch, True),
    "registry_provider": Field(text, ""),
    "registry_account": Field(text, ""),
    "pre_deploy": Field(_command, _no_command),
    "post_deploy": Field(_command, _no_command),
    "extra_args": Field(_words, []),
    "build_extra_args": Field(_words, []),
    "ignore_services": Field(_words, []),
    "compose_cmd_wrapper": Field(text, ""),
    "environment": Field(_either_words, ""),
}
"""What is looked at of a stack. No file may say `linked_repo`; who sets it by hand in Komodo has changed the origin.
`server` is the name of the server that it runs on."""

_LINES: Final = frozenset({"environment"})
_SAYING: Final = ("pre_deploy", "post_deploy", "compose_cmd_wrapper", "extra_args", "build_extra_args")
HIDDEN: Final = ("file_contents", "webhook_secret", "server_id")
"""What a stack has as well, told otherwise here: its compose file, a secret, the server's own id."""


def normal(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that say more than nothing, in the form in which they are compared; others are not looked at."""
    found = {name: _tidy(name, config[name]) for name in FIELDS if name in config}
    return {name: value for name, value in found.items() if value not in (None, FIELDS[name].default)}


def _tidy(name: str, value: Any) -> Any:
    if name in _LINES:
        return _lines(value)
    if name in ("pre_deploy", "post_deploy") and isinstance(value, Mapping):
        command = str(value.get("command") or "").strip()
        return {"path": str(value.get("path") or ""), "command": command} if command else _no_command
    return value.strip() if isinstance(value, str) else value


def _lines(value: Any) -> str:
    """Variables as text, a line each: they may be written as a list as well."""
    text = "\n".join(map(str, value)) if isinstance(value, list) else str(value or "")
    return "\n".join(line.rstrip() for line in text.strip().split("\n"))


def shown(spec: Spec) -> dict[str, Any]:
    """The same with every secret in its variables and commands covered: what may be kept, compared and told."""
    found = {name: environment.covered_deeply(spec[name]) for name in _SAYING if name in spec}
    if "environment" in spec:
        found["environment"] = environment.covered(spec["environment"])
    return {**spec, **found}


def is_covered(spec: Spec) -> bool:
    """Whether something in it is covered, so that it cannot be written back."""
    return environment.COVERED.encode() in canonical(spec)


def is_pinned(spec: Spec) -> bool:
    """Whether its files come from a repository, at the commit it names."""
    return bool(spec.get("repo"))


def mark(config: Mapping[str, Any]) -> str:
    """A digest of all that Komodo holds of a stack and that a deploy reads; nobody can read a value out of it."""
    return digest_bytes(canonical({name: value for name, value in config.items() if name != "webhook_secret"}))


def for_komodo(spec: Spec, server: str, contents: str) -> dict[str, Any]:
    """The configuration to send: every field that there is, so that nothing of an earlier one stays."""
    fields = {name: spec.get(name, field.default) for name, field in FIELDS.items() if name != "server"}
    return {**fields, "server_id": server, "file_contents": contents}
