"""The tags of blueprints: which may be used, for what, and how they are written. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler.authentik import models
from reconciler.authentik.blueprint import entries, tags
from reconciler.authentik.shape import Fault
from reconciler.document import Path

_REFUSED: Final[Mapping[str, str]] = {
    "!Env": "it would read the environment of authentik, secrets included; write !Context NAME",
    "!File": "it would read a file of authentik's own machine, secrets included; write !Context NAME",
    "!FindObject": "it would read all fields of an object, secrets included; write !Find",
    "!ParseJSON": "what it makes nobody can review; write the value itself",
    "!AtIndex": "what it takes nobody can review; write the value itself",
}
_MODES: Final = ("AND", "NAND", "OR", "NOR", "XOR", "XNOR")


def tag_faults(spec: Mapping[str, Any]) -> Iterator[Fault]:
    """Every tag that is not on the list, is written wrongly, or asks for what is out of reach."""
    known: set[str] = set()
    for entry in entries(spec):
        for path, tag, content in tags(entry.spec, entry.path):
            yield from _faults(path, tag, content)
            if tag == "!KeyOf" and isinstance(content, str) and content not in known:
                yield path, f"no entry above has the id '{content}'"
        known |= {entry.id} - {""}
    for path, tag, content in tags(spec.get("context"), ("context",)):
        yield from _faults(path, tag, content)
        if tag == "!Context":  # under another name nobody could tell any more that it is a secret
            yield path, "!Context has no place here: write it where it is needed"
    for part in ("metadata", "version"):
        for path, tag, _ in tags(spec.get(part), (part,)):
            yield path, f"{tag} has no place here"
    yield from _shown_secrets(spec)


def _faults(path: Path, tag: str, content: Any) -> Iterator[Fault]:
    if tag in _REFUSED:
        yield path, f"{tag} is out of reach: {_REFUSED[tag]}"
    elif tag not in _FORMS:
        yield path, f"there is no tag {tag}; there are {', '.join(sorted(_FORMS))}"
    elif not _FORMS[tag][0](content):
        yield path, f"right would be {tag} {_FORMS[tag][1]}"
    elif tag == "!Find":
        yield from _sought(path, content)


def _sought(path: Path, content: list[Any]) -> Iterator[Fault]:
    model, *conditions = content
    allowed = models.FINDABLE.get(model)
    if allowed is None:
        yield path, f"{model} is not to be looked for: {models.why_refused(model)}"
        return
    for name, _ in conditions:
        if name not in allowed:
            yield path, f"{model} can be found by {' or '.join(sorted(allowed))}, not by '{name}'"


def _is_find(content: Any) -> bool:
    if not isinstance(content, list) or len(content) < 2 or not isinstance(content[0], str):
        return False
    return all(isinstance(one, list) and len(one) == 2 and isinstance(one[0], str) for one in content[1:])


def _is_context(content: Any) -> bool:
    return isinstance(content, str) or _begins_with_text(content, 2)


def _begins_with_text(content: Any, length: int = 0) -> bool:
    is_list = isinstance(content, list) and bool(content) and isinstance(content[0], str)
    return is_list and (not length or len(content) == length)


_FORMS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "!KeyOf": (lambda content: isinstance(content, str), "ID"),
    "!Find": (_is_find, "[MODEL, [FIELD, VALUE]]"),
    "!Context": (_is_context, "NAME, or [NAME, VALUE]"),
    "!Format": (_begins_with_text, "[TEXT, VALUE, …]"),
    "!If": (lambda content: not isinstance(content, list) or len(content) == 3, "[CONDITION, THEN, ELSE]"),
    "!Condition": (lambda content: _begins_with_text(content) and content[0] in _MODES, "[AND, VALUE, …]"),
    "!Enumerate": (
        lambda content: isinstance(content, list) and len(content) == 3 and content[1] in ("SEQ", "MAP"),
        "[VALUES, SEQ or MAP, EACH]",
    ),
    "!Index": (lambda content: isinstance(content, str) and content.isdecimal(), "DEPTH"),
    "!Value": (lambda content: isinstance(content, str) and content.isdecimal(), "DEPTH"),
}


@dataclass(frozen=True)
class Asked:
    """A name that a blueprint asks its context for. `is_secret`: it is asked for by a field that holds a secret."""

    name: str
    path: Path
    has_value: bool  # to fall back to

    @property
    def is_secret(self) -> bool:
        return self.where in models.SECRET_FIELDS

    @property
    def where(self) -> str:
        return str(self.path[-1]) if self.path else ""


def asked_for(spec: Mapping[str, Any]) -> list[Asked]:
    """Every `!Context` of a blueprint's entries, in order."""
    return [
        Asked(str(content[0]) if isinstance(content, list) else str(content), path, isinstance(content, list))
        for entry in entries(spec)
        for path, tag, content in tags(entry.spec, entry.path)
        if tag == "!Context" and _is_context(content)
    ]


def _shown_secrets(spec: Mapping[str, Any]) -> Iterator[Fault]:
    """A name that stands for a secret may stand nowhere else: elsewhere everybody could read what it stands for."""
    asked = asked_for(spec)
    secret = {one.name for one in asked if one.is_secret}
    for one in asked:
        if one.name in secret and not one.is_secret:
            yield one.path, f"'{one.name}' stands for a secret, which would be shown here"
