"""The compose file as Komodo keeps it: written from what was reviewed, and read back. Pure.

It is kept as a value, not as text, for three reasons: a plan shows which field changes, secrets in what somebody typed
into Komodo can be covered by their names, and what was reviewed means the same to whoever reads it when it runs. It is
written as JSON, which is YAML, under a comment that says from which commit it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from reconciler import document
from reconciler.komodo import environment
from reconciler.komodo.shapes import Path
from state.model import Problem, Spec, canonical, digest_bytes

UNREADABLE: Final = "unreadable"
_OURS: Final = "# Written by Waypost: "
_DEFINED: Final = ("volumes", "networks", "configs", "secrets")
_TELLING: Final = ("build", "logging", "pre_start", "post_start", "pre_stop", "develop", "provider")
_MERGING: Final = ("anchor '&", "alias '*", "merge key '<<' found")


def written(spec: Spec, source: str) -> str:
    """The text to deploy; `source` says for people where it came from."""
    head = f"{_OURS}{' '.join(source.split())}. What is changed here by hand is drift.\n"
    return head + orjson.dumps(spec, option=orjson.OPT_INDENT_2).decode() + "\n"


def is_ours(text: str) -> bool:
    """Whether it says of itself that it was written here."""
    return text.startswith(_OURS)


def read(file: str, content: bytes) -> document.Document:
    """A compose file, aliases and merges written out; what could not be read exactly is a problem, never a guess."""
    strict = document.read(file, content)
    if not any(problem.message.startswith(_MERGING) for problem in strict.problems):
        return strict
    merged = document.read(file, content, trusting=True)
    rest = tuple(one for one in strict.problems if not one.message.startswith((*_MERGING, "'<<' stands here twice")))
    known = {(one.line, one.column) for one in rest}
    more = tuple(_as_error(one) for one in merged.problems if (one.line, one.column) not in known)
    return document.Document(file, merged.value, merged.places, (*rest, *more))


def _as_error(problem: Problem) -> Problem:
    return Problem(message=problem.message, file=problem.file, line=problem.line, column=problem.column)


def understood(text: str) -> Spec:
    """What Komodo keeps, secrets covered; of what nobody can read only its digest."""
    value = exactly(text)
    return {UNREADABLE: digest_bytes(text.encode("utf-8", "replace"))} if value is None else shown(value)


def exactly(text: str) -> Spec | None:
    """The same with whatever stands in it, to be compared and not to be kept; None where nobody can read it."""
    found = read("compose.yaml", text.encode("utf-8", "replace"))
    return None if found.problems or not isinstance(found.value, dict) else found.value


def is_filled_in(spec: Spec) -> bool:
    """Whether Komodo puts something in its place before it is deployed, so that it is otherwise afterwards."""
    return b"[[" in canonical(spec)


def shown(spec: Spec) -> Spec:
    """The same with every string covered that may hold a secret: variables, commands, contents, options, extensions."""
    if not isinstance(spec, Mapping):
        return spec
    found = {key: environment.covered_deeply(item) if str(key).startswith("x-") else item for key, item in spec.items()}
    for section, shown_as in (("services", _service), *((name, _defined) for name in _DEFINED)):
        if isinstance(found.get(section), Mapping):
            found[section] = {name: shown_as(item) for name, item in found[section].items()}
    return found


def _defined(item: Any) -> Any:
    """A volume, a network, a config or a secret: what it holds and how it is made, not what it is called."""
    return _covering(item, ("content", "driver_opts", "labels")) if isinstance(item, Mapping) else item


def _covering(item: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {
        key: environment.covered_deeply(value) if key in names or str(key).startswith("x-") else value
        for key, value in item.items()
    }


def _service(service: Any) -> Any:
    if not isinstance(service, Mapping):
        return service
    covered = {
        key: environment.covered_table(service[key])
        for key in ("environment", "labels", "annotations")
        if key in service
    }
    said = {key: _words(service[key]) for key in ("command", "entrypoint", "healthcheck") if key in service}
    return {**_covering(service, _TELLING), **covered, **said}


def _words(value: Any) -> Any:
    """Commands, however they are written, with the secrets that stand in them covered."""
    if isinstance(value, str):
        return environment.covered_words(value)
    if isinstance(value, list):
        return environment.covered_arguments(value)
    return {key: _words(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def literal_secrets(spec: Any, path: Path = ()) -> list[tuple[Path, str]]:
    """Where a variable of a service holds a secret itself, and its name."""
    found: list[tuple[Path, str]] = []
    services = spec.get("services") if isinstance(spec, Mapping) else None
    for name, service in (services if isinstance(services, Mapping) else {}).items():
        at = ("services", name, "environment")
        variables = service.get("environment") if isinstance(service, Mapping) else None
        if isinstance(variables, Mapping):
            found += [((*at, key), key) for key, item in variables.items() if environment.is_literal_secret(key, item)]
        elif isinstance(variables, list):
            pairs = [(index, *str(item).partition("=")[::2]) for index, item in enumerate(variables)]
            found += [((*at, index), key) for index, key, item in pairs if environment.is_literal_secret(key, item)]
    return found
