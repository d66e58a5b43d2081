"""authentik's blueprints as desired state: one native file is one resource. What may not stand in one is said here.

A blueprint can read the environment and the files of the authentik that applies it, make accounts and run code.
What Waypost proposes and applies may do none of that: models, fields and tags are those of a list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from reconciler import document
from reconciler.authentik import blueprint, models, shape
from reconciler.authentik.blueprint import KIND, Entry
from reconciler.authentik.shape import Fault, tagged
from reconciler.authentik.tags import tag_faults
from reconciler.core.redact import telling
from reconciler.document import Document, Path
from reconciler.language import Content, Language, Unwritable
from state.model import Spec

_ROOT: Final = ("version", "metadata", "context", "entries")
_ENTRY: Final = ("model", "id", "state", "conditions", "identifiers", "attrs")
_STATES: Final = ("present", "created", "absent")
"""`must_created` can be applied once and never again; authentik applies every blueprint again each hour."""
_METADATA: Final = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string", "minLength": 1}, "labels": {"type": "object"}},
}
_KEY: Final = re.compile(r"[1-9][0-9]*|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Of an object: a number or a UUID, as authentik's own interface tells it."""

_BARE: Final = re.compile(r"\s*((?i:yes|no|on|off))\s*(?:$|[,\]}#])")
"""What stands without quotes and authentik takes for true and false, where most other readers take it for text."""


def reads(path: str) -> bool:
    """Any YAML file of the directory that is not hidden."""
    parts = path.split("/")
    return path.endswith((".yaml", ".yml")) and not any(part.startswith(".") for part in parts)


def parse(file: str, content: bytes) -> Content:
    """One blueprint, named by its file, and everything wrong with it."""
    read = document.read(file, content, tagged=True)
    if read.problems:
        return Content(problems=read.problems)
    text = content.decode("utf-8-sig")
    found = tuple(read.problem(path, _worded(path, words)) for path, words in _faults(read, text))
    if not isinstance(read.value, dict):
        return Content(problems=found)
    return Content(resources=((KIND, file.rpartition("/")[2].rpartition(".")[0], read.value, 1),), problems=found)


_BESIDE: Final = {
    "enabled": "it is switched off in authentik",
    "outdated": "it was told a secret that has another value by now",
    "path": "it comes from a file of authentik's own now",
    "unreadable": "what stands there is no blueprint that can be read",
}
"""What is told of a blueprint in authentik beside what it says, and in words why no file can say that."""


def _written(spec: Spec, heading: str) -> bytes:
    if said := [words for name, words in _BESIDE.items() if name in spec]:
        raise Unwritable("; ".join(said))
    # The words for people need the reader's shape of tags, which no other file needs.
    from reconciler.authentik.page import page

    return page(spec, heading)


LANGUAGE: Final = Language(reads=reads, parse=parse, written=_written)


def _faults(read: Document, text: str) -> Iterator[Fault]:
    if not isinstance(read.value, dict):
        yield (), "right would be a blueprint: a mapping with version and entries"
        return
    yield from _unknown(read.value, _ROOT, (), "a blueprint")
    if read.value.get("version") != 1 or isinstance(read.value.get("version"), bool):
        yield ("version",), "right would be version: 1"
    if "metadata" in read.value:
        yield from shape.faults(read.value["metadata"], _METADATA, ("metadata",))
    yield from _literal_secrets(read.value.get("context"), ("context",))
    yield from _entry_faults(read.value)
    yield from tag_faults(read.value)
    yield from _ambiguous(read, text)


def _worded(path: Path, words: str) -> str:
    field = next((str(part) for part in reversed(path) if isinstance(part, str) and not part.startswith("!")), "")
    return f"{field}: {words}" if field else words


def _unknown(value: Mapping[str, Any], known: tuple[str, ...], at: Path, what: str) -> Iterator[Fault]:
    for key in value:
        if key not in known:
            yield (*at, key), f"{what} has no '{key}'; right would be {', '.join(known)}"


def _entry_faults(spec: Mapping[str, Any]) -> Iterator[Fault]:
    listed = spec.get("entries")
    groups: list[Any] = list(listed.values()) if isinstance(listed, dict) and not tagged(listed) else [listed]
    if not all(isinstance(group, list) for group in groups):
        yield ("entries",), "right would be a list of entries, or lists of them by name"
        return
    found = blueprint.entries(spec)
    if not found or len(found) < sum(map(len, groups)):
        yield ("entries",), "right would be at least one entry, each a mapping with model and identifiers"
    ids: set[str] = set()
    for entry in found:
        if entry.id in ids:
            yield (*entry.path, "id"), f"the id '{entry.id}' is another entry's already"
        ids |= {entry.id} - {""}
        yield from _of_entry(entry)


def _of_entry(entry: Entry) -> Iterator[Fault]:
    at = entry.path
    if "permissions" in entry.spec:
        yield (*at, "permissions"), "permissions are out of reach: who may do what a person decides in authentik"
    yield from _unknown({key: 0 for key in entry.spec if key != "permissions"}, _ENTRY, at, "an entry")
    model = entry.spec.get("model")
    if not isinstance(model, str):
        yield (*at, "model") if "model" in entry.spec else at, "right would be a model, written out"
        return
    if model not in models.ALLOWED:
        yield (*at, "model"), f"{model} is out of reach: {models.why_refused(model)}"
        return
    for key, fits, right in _PARTS:
        if key in entry.spec and not fits(entry.spec[key]):
            yield (*at, key), f"right would be {right}"
            return
    yield from _of_fields(entry)


_PARTS: Final[tuple[tuple[str, Callable[[Any], bool], str], ...]] = (
    ("id", lambda value: isinstance(value, str) and bool(value), "text"),
    ("state", lambda value: value in _STATES, f"one of {', '.join(_STATES)}, written out"),
    ("conditions", lambda value: isinstance(value, list), "a list"),
    ("attrs", lambda value: isinstance(value, dict) and not tagged(value), "a mapping of fields"),
)


def _of_fields(entry: Entry) -> Iterator[Fault]:
    at, schema = entry.path, models.published()[entry.model]
    identifiers = entry.spec.get("identifiers")
    if not isinstance(identifiers, dict) or not identifiers or tagged(identifiers):
        yield (*at, "identifiers"), "right would be at least one field by which the object is known"
        return
    by_key = {**schema, "properties": {**schema["properties"], "pk": {}}}
    yield from shape.faults(identifiers, by_key, (*at, "identifiers"))
    yield from shape.faults(entry.spec.get("attrs", {}), schema, (*at, "attrs"))
    if "pk" in identifiers and not _is_a_key(identifiers["pk"]):
        yield (*at, "identifiers", "pk"), "right would be the key as authentik itself writes it, or the object's name"
    for part in ("identifiers", "attrs"):
        fields = entry.spec.get(part, {})
        for name in fields:
            if (entry.model, name) in models.FORBIDDEN_FIELDS:
                yield (*at, part, name), models.FORBIDDEN_FIELDS[entry.model, name]
        yield from _literal_secrets(fields, (*at, part))


def _is_a_key(value: Any) -> bool:
    """Whether it is written in the one way in which it can be compared: authentik itself takes many (01, true, …)."""
    return isinstance(value, int | str) and not isinstance(value, bool) and bool(_KEY.fullmatch(str(value)))


def _literal_secrets(value: Any, at: Path) -> Iterator[Fault]:
    """Secrets that are written out. Only `!Context NAME`, without a value to fall back to, is a reference."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if is_secret(key) and not _is_reference(inner):
                yield (*at, key), "a secret must not stand in Git: write !Context NAME, and tell the home what NAME is"
            elif not is_secret(key):
                yield from _literal_secrets(inner, (*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _literal_secrets(inner, (*at, index))


def is_secret(field: Any) -> bool:
    """Does a field of this name hold a secret?"""
    name = str(field).lower()
    return name in models.SECRET_FIELDS or telling(name) or name.endswith(("private_key", "secret_key", "access_key"))


def _is_reference(value: Any) -> bool:
    match tagged(value):
        case "!Context", str(name):
            return bool(name)
    return value in (None, "")


def _ambiguous(read: Document, text: str) -> Iterator[Fault]:
    """Words without quotes that authentik's reader takes for something else than a person does."""
    lines = text.split("\n")
    for path, (line, column) in read.places.items():
        rest = lines[line - 1][column - 1 :] if 0 < line <= len(lines) else ""
        found = _BARE.match(rest.partition(":")[2] if path and isinstance(path[-1], str) else rest)
        if found and _at(read.value, path) == found[1]:
            yield path, f'{found[1]} without quotes is read as true or false by some; write true, false or "{found[1]}"'


def _at(value: Any, path: Path) -> Any:
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value
