"""Traefik's dynamic configuration as resources: one file taken apart, and put together again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from operator import itemgetter
from typing import Any

from reconciler.traefik import decoder
from reconciler.traefik.fields import KINDS, KNOWN_VERSION, Free, Many, Record, Scalar, Shape, Table
from state.model import Address, Spec, digest

Path = tuple[str | int, ...]
Named = tuple[str, str]
"""Kind and name: ("http.routers", "gitea")."""

SECTIONS: Mapping[str, tuple[str, ...]] = {
    section: tuple(kind.split(".")[1] for kind in KINDS if kind.startswith(section + "."))
    for section in ("http", "tcp", "udp", "tls")
}
CERTIFICATES = "tls.certificates"
LONGEST_NAME = 200
_LONGEST_KEY = 256
_DEEPEST = 40  # below a resource; with its section, group and name this stays under what a file may nest


@dataclass(frozen=True)
class Fault:
    """What is wrong with a document, and where: the path of keys as the file writes them."""

    path: Path
    message: str


@dataclass(frozen=True)
class Shaped:
    """A document taken apart. `resources` keep whatever could be read, also where there are faults."""

    resources: Mapping[Named, Spec] = field(default_factory=dict)
    paths: Mapping[Named, Path] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


class ShapeError(ValueError):
    """A document is not Traefik dynamic configuration; `faults` says everything that is wrong."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{dotted(fault.path)}: {fault.message}" for fault in self.faults))


def split(document: Any) -> dict[Named, Spec]:
    """The resources of one document (JSON-plain). Raises ShapeError with every fault at once."""
    shaped = examine(document)
    if shaped.faults:
        raise ShapeError(shaped.faults)
    return dict(shaped.resources)


def join(resources: Mapping[Named, Spec] | Mapping[Address, Spec]) -> dict[str, Any]:
    """The document that holds exactly these resources, in one fixed order, without an empty section."""
    by_kind: dict[str, dict[str, Spec]] = {}
    for key, spec in resources.items():
        kind, name = _named(key)
        by_kind.setdefault(kind, {})[name] = spec
    document: dict[str, Any] = {}
    for kind in KINDS:
        if members := dict(sorted(by_kind.get(kind, {}).items(), key=itemgetter(0))):
            section, group = kind.split(".")
            holder = document.setdefault(section, {})
            holder[group] = list(members.values()) if kind == CERTIFICATES else members
    return document


def _named(key: Named | Address) -> Named:
    return (key.kind, key.name) if isinstance(key, Address) else key


def certificate_name(spec: Any) -> str:
    """The name of an entry of `tls.certificates`: its certFile, or a digest where that is the certificate itself."""
    file = spec.get("certFile") if isinstance(spec, dict) else None
    if isinstance(file, str) and file and len(file) <= LONGEST_NAME and file.isprintable():
        return file
    return f"sha256-{digest(file)[:32]}"


def dotted(path: Path) -> str:
    """A path as a person reads it: http.routers.gitea.tls.domains[0]."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def check(kind: str, name: str, spec: Spec) -> tuple[Spec, tuple[Fault, ...]]:
    """One resource by itself: the spec in its one form (field names as documented), and what is wrong with it."""
    if kind not in KINDS:
        return spec, (Fault((), f"no such kind; there are {', '.join(KINDS)}"),)
    examiner = _Examiner()
    examiner.name((), kind, name)
    examiner.carried((), spec)
    if examiner.faults:
        return spec, tuple(examiner.faults)
    return examiner.resource((), KINDS[kind], spec), tuple(examiner.faults)


def examine(document: Any) -> Shaped:
    """The resources of one document and everything that is wrong with it. Never raises."""
    if document is None:
        return Shaped()
    if not isinstance(document, dict):
        return Shaped(faults=(Fault((), "expected sections: http, tcp, udp, tls"),))
    examiner = _Examiner()
    for key, content in document.items():
        if not key.startswith("x-"):
            examiner.root(key, content)
    return Shaped(examiner.resources, examiner.paths, tuple(examiner.faults))


class _Examiner:
    """Walks a document along the field tables, collecting resources and faults."""

    def __init__(self) -> None:
        self.resources: dict[Named, Spec] = {}
        self.paths: dict[Named, Path] = {}
        self.faults: list[Fault] = []
        self._met: set[str] = set()

    def fault(self, path: Path, message: str) -> None:
        self.faults.append(Fault(path, message))

    # ── sections ──

    def root(self, key: str, content: Any) -> None:
        section = _folded(key, SECTIONS)
        if section is None:
            words = f"no section of Traefik; there are {', '.join(SECTIONS)}, and x-… for your own notes"
            self.fault((key,), words)
        elif not self.first((key,), section):
            return
        elif content is None:
            return  # Traefik takes `http:` with nothing below for nothing
        elif not isinstance(content, dict):
            self.fault((key,), f"expected {', '.join(SECTIONS[section])} below")
        elif not content:
            self.fault((key,), "an empty section makes Traefik reject its whole directory; remove it")
        else:
            for group, members in content.items():
                self.group((key, group), section, group, members)

    def first(self, path: Path, what: str) -> bool:
        """Whether a section is met for the first time: `http:` and `HTTP:` are one, and a file may hold it once."""
        if what in self._met:
            self.fault(path, f"'{what}' stands here twice; keep one of them")
            return False
        self._met.add(what)
        return True

    def group(self, path: Path, section: str, key: str, members: Any) -> None:
        group = _folded(key, SECTIONS[section])
        if group is None:
            words = f"nothing that '{section}' has; it has {', '.join(SECTIONS[section])}"
            self.fault(path, words)
        elif not self.first(path, f"{section}.{group}"):
            return
        elif f"{section}.{group}" == CERTIFICATES:
            self.certificates(path, members)
        elif not isinstance(members, dict):
            self.fault(path, f"expected {group} by name" if members is not None else _EMPTY)
        elif not members:
            self.fault(path, _EMPTY)
        else:
            for name, spec in members.items():
                self.member((*path, name), f"{section}.{group}", name, spec)

    def certificates(self, path: Path, entries: Any) -> None:
        if not isinstance(entries, list) or not entries:
            self.fault(path, "expected a list of certificates" if entries else _EMPTY)
            return
        for index, spec in enumerate(entries):
            self.member((*path, index), CERTIFICATES, certificate_name(_refolded(spec)), spec)

    def member(self, path: Path, kind: str, name: str, spec: Any) -> None:
        self.name(path, kind, name)
        plain = self.resource(path, KINDS[kind], spec)
        if (kind, name) in self.resources:
            self.fault(path, f"'{name}' is in {kind} twice; keep one of them")
        self.resources[kind, name], self.paths[kind, name] = plain, path

    def name(self, path: Path, kind: str, name: str) -> None:
        if not name or not name.isprintable() or len(name) > LONGEST_NAME:
            self.fault(path, f"a name needs 1 to {LONGEST_NAME} printable characters")
        elif kind != CERTIFICATES and "@" in name:
            self.fault(path, f"'@' in the name '{name}': Traefik would take it for another provider's")

    def resource(self, path: Path, shape: Record, spec: Any) -> Spec:
        """A whole resource may be `{}` for Traefik (it is only useless), so only its inside is held to the rules."""
        if not isinstance(spec, dict):
            words = "says nothing; write its fields or remove it" if spec is None else "expected fields below"
            self.fault(path, words)
            return spec
        return self.fields(path, shape, spec)

    # ── the inside of a resource ──

    def value(self, path: Path, shape: Shape, value: Any) -> Any:
        match shape:
            case Record():
                return self.record(path, shape, value)
            case Many():
                return self.many(path, shape, value)
            case Table():
                return self.table(path, shape, value)
            case Scalar():
                self.scalar(path, shape.takes, value)
            case Free():
                self.free(path, value)
        return value

    def record(self, path: Path, shape: Record, value: Any) -> Any:
        if shape.may_be_empty and value is True:
            return {}  # Traefik reads `tls: true` as `tls: {}`
        if not isinstance(value, dict):
            words = f"expected fields below: {_some(shape.fields)}" if shape.fields else "expected {}"
            self.fault(path, words)
            return value
        plain = self.fields(path, shape, value)
        if not plain and not shape.may_be_empty:
            self.fault(path, f"{_EMPTY}, or give it a field: {_some(shape.fields)}")
        return plain

    def fields(self, path: Path, shape: Record, value: Mapping[str, Any]) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for key, content in value.items():
            name = shape.by_folded_name.get(key.casefold()) if isinstance(key, str) else None
            if name is None:
                self.unknown((*path, key), shape)
                plain[key] = content
            elif name in plain:
                self.fault((*path, key), f"'{name}' stands here twice; keep one of them")
            elif content is not None:  # Traefik takes `field:` with nothing for not written
                plain[name] = self.value((*path, key), shape.fields[name], content)
        return plain

    def unknown(self, path: Path, shape: Record) -> None:
        near = _nearest(str(path[-1]), shape.fields)
        hint = f"did you mean {near}?" if near else f"there are {_some(shape.fields)}"
        self.fault(path, f"no such field in Traefik {KNOWN_VERSION}, it would reject its whole directory; {hint}")

    def many(self, path: Path, shape: Many, value: Any) -> Any:
        if not isinstance(value, list):
            if isinstance(value, (dict, bool)) or not isinstance(shape.item, Scalar):
                self.fault(path, "expected a list")
                return value
            value = [part.strip() for part in str(value).split(",")]  # Traefik takes "web,foo" for a list
        return [self.entry((*path, index), shape.item, item) for index, item in enumerate(value)]

    def entry(self, path: Path, shape: Shape, item: Any) -> Any:
        if not isinstance(shape, Record):
            return self.value(path, shape, item)
        if isinstance(item, dict):
            return self.fields(path, shape, item)
        self.fault(path, f"expected fields: {_some(shape.fields)}")
        return item

    def table(self, path: Path, shape: Table, value: Any) -> Any:
        if not isinstance(value, dict) or not value:
            self.fault(path, _EMPTY if not value else "expected keys and values below")
            return value
        plain = {
            key: self.value((*path, key), shape.item, content) for key, content in value.items() if content is not None
        }
        if not plain:
            self.fault(path, _EMPTY)
        return plain

    def scalar(self, path: Path, takes: str, value: Any) -> None:
        if isinstance(value, (dict, list)) or value is None:
            self.fault(path, f"expected {_WORDS[takes]}, not {_NAMES[type(value)]}")
        elif not decoder.fits(takes, value):
            self.fault(path, f"expected {_WORDS[takes]}, not '{str(value)[:60]}'")

    def free(self, path: Path, value: Any) -> None:
        for key, inner in value.items() if isinstance(value, dict) else ():
            self.free((*path, key), inner)
        for index, inner in enumerate(value if isinstance(value, list) else ()):
            if inner is None or isinstance(inner, list):
                self.fault((*path, index), f"Traefik's lists cannot hold {'nothing' if inner is None else 'lists'}")
            self.free((*path, index), inner)

    def carried(self, path: Path, value: Any) -> None:
        """Everything in it can be written to a file: a model's JSON can hold what no UTF-8 can, or nest endlessly."""
        if len(path) > _DEEPEST:
            self.fault(path[:8], f"nested deeper than {_DEEPEST} levels")
        elif isinstance(value, dict):
            for key, content in value.items():
                self.key((*path, key), key)
                self.carried((*path, key), content)
        elif isinstance(value, list):
            for index, content in enumerate(value):
                self.carried((*path, index), content)
        elif isinstance(value, str) and not _carried(value):
            self.fault(path, _UNCARRIED)

    def key(self, path: Path, key: Any) -> None:
        if not isinstance(key, str) or not _carried(key) or len(key.encode()) > _LONGEST_KEY:
            self.fault(path[:-1], f"a key must be text of at most {_LONGEST_KEY} bytes")


_EMPTY = "empty, and that makes Traefik reject its whole directory; remove it"
_UNCARRIED = "contains a character that no file can carry (a lone surrogate)"
_WORDS = {
    "text": "text",
    "number": "a whole number",
    "switch": "true or false",
    "duration": "a duration like 30s, 1h30m or 10 (seconds)",
}
_NAMES: Mapping[type, str] = {dict: "fields", list: "a list", type(None): "nothing"}


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:8]) + (", …" if len(listed) > 8 else "")


def _carried(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _folded(key: Any, names: Iterable[str]) -> str | None:
    """The name as documented, whatever case the file writes it in."""
    return next((name for name in names if isinstance(key, str) and name.casefold() == key.casefold()), None)


def _refolded(spec: Any) -> Any:
    folded = KINDS[CERTIFICATES].by_folded_name
    if not isinstance(spec, dict):
        return spec
    return {folded.get(str(key).casefold(), key): value for key, value in spec.items()}


def _nearest(key: str, names: Iterable[str]) -> str | None:
    folded = {name.casefold(): name for name in names}
    near = get_close_matches(key.casefold(), folded, n=1)
    return folded[near[0]] if near else None


_SUFFIXES = (".yml", ".yaml", ".toml")


def is_loaded(name: str) -> bool:
    """Does Traefik load a file of this name? Hidden ones too."""
    return name.lower().endswith(_SUFFIXES)
