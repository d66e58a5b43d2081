"""Files that people and neighbours write: desired files and commits, policy, our own file edited by hand, settings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pygit2.enums import ObjectType

from reconciler import config, desired, document, edit, explaining, secrets
from reconciler.config import ConfigError
from reconciler.core import policy
from reconciler.edit import EditError
from reconciler.git import message
from reconciler.git.bounds import size_fault
from reconciler.git.errors import GitError
from reconciler.git.store import Store
from reconciler.routing.asking import asked
from reconciler.schedule import trigger
from reconciler.traefik import decoder, foreign, kinds, language, render, validate
from reconciler.traefik.render import Unreadable
from reconciler.traefik.validate import LiveNames
from state.model import Address
from tests.fuzz import samples
from tests.fuzz.fuzzing import Edge, Take, simply
from tests.fuzz.mutating import Mutator, written

NAMES = ("r.yaml", "r.yml", "R.YAML", "r.yaml", "r.toml")
LIVE = LiveNames(entry_points={"web", "websecure"}, names={("http.services", "noop@internal")})
ASKED = asked(written(samples.REQUESTS[0]))


def _file(mutator: Mutator) -> tuple[str, bytes]:
    name = mutator.chance.choice(NAMES)
    if name.endswith("toml"):
        return name, mutator.content([samples.TOML])
    return name, mutator.document(samples.VALUES, samples.FILES)


def _desired_file(given: tuple[str, bytes]) -> bool:
    """Read it; what was read without a problem can be checked, served, and read again."""
    found, problems = language.read_file(*given)
    list(map(str, problems))
    snapshot = {Address("traefik", kind, name): spec for (kind, name), spec in found.items()}
    validate.check(snapshot, live=LIVE)
    if problems:
        return False
    content = render.render(snapshot, marker="waypost-gen-1", provenance={})
    assert b"{{" not in content
    assert render.parse(content)[0] == snapshot
    return True


# ── commits ──────────────────────────────────────────────────────────────────────────────────────

COMMIT = b"""\
tree %s
author Ada <ada@home> 1700000000 +0100
committer Ada <ada@home> 1700000000 +0100

""" + samples.MESSAGES[0].encode()
MODES = (b"100644", b"100644", b"100644", b"100755", b"120000", b"160000", b"100664", b"40000", b"0", b"999999")
PATHS = (b"r.yaml", b"waypost.yaml", b"..", b".git", b"a/b.yaml", b"\xff.yaml", b"x" * 5000 + b".yaml", b"\xe2\x80\x8b")


def _commit(mutator: Mutator) -> tuple[list[tuple[bytes, bytes, bytes]], bytes]:
    """Mode, name and content of the files of a directory; and the text of the commit."""
    files = [
        (mutator.chance.choice(MODES), mutator.content(PATHS).replace(b"\0", b"") or b"x", _file(mutator)[1])
        for _ in range(mutator.chance.choice((1, 1, 2, 3)))
    ]
    return files, mutator.content([COMMIT]) if mutator.chance.random() < 0.3 else COMMIT


@contextlib.contextmanager
def _desired_commits(place: Path) -> Iterator[Take]:
    store = Store.create(place / "desired.git")
    instances = (desired.Instance("traefik"),)

    def keep(kind: ObjectType, content: bytes) -> bytes:
        return bytes.fromhex(str(store.repository.odb.write(kind, content)))

    def take(given: tuple[list[tuple[bytes, bytes, bytes]], bytes]) -> bool:
        files, text = given
        lines = [mode + b" " + name + b"\0" + keep(ObjectType.BLOB, content) for mode, name, content in files]
        traefik = keep(ObjectType.TREE, b"".join(lines))
        root = [b"40000 traefik\0" + traefik, *(line for line in lines if b" waypost.yaml\0" in line)]
        tree = keep(ObjectType.TREE, b"".join(root))
        commit = keep(ObjectType.COMMIT, text.replace(b"%s", tree.hex().encode())).hex()
        found = desired.load(store, commit, instances, cache=desired.Cache(files=10, commits=2))
        list(map(str, [*found.problems, *desired.policy(store, commit)[1]]))
        return not found.problems

    yield take


def _message(text: str) -> bool:
    """What is said in a commit; a title and a body of anybody's smuggle in no trailer of ours."""
    message.requests(text)
    message.subject(text)
    again = message.compose(message.subject(text), text, {message.REQUEST: "ours"})
    assert message.trailers(again) == {message.REQUEST: "ours"}, again
    return bool(message.trailers(text))


# ── policy, live file, neighbours ────────────────────────────────────────────────────────────────


def _policy(content: bytes) -> bool:
    """A policy that is obeyed has times that the clock understands and patterns that can be matched."""
    read = document.read(policy.FILE, content)
    if read.problems:
        return False
    found, problems = policy.parse(read.value, {path: line for path, (line, _) in read.places.items()})
    list(map(str, problems))
    found.protects("traefik/http.routers/gitea")
    assert len(found.digest) == 64
    trigger(found.schedules.reconcile)
    trigger(found.schedules.drift)
    return not problems


def _live_file(content: bytes) -> bool:
    """Our own file as somebody left it: what is read can be compared, and written again."""
    found, _ = render.parse(content)
    render.marker_of(content)
    again = render.render(found, marker="waypost-gen-0", provenance={})
    assert render.parse(again)[0] == found
    return True


OURS = render.render(
    {Address("traefik", kind, name): spec for (kind, name), spec in kinds.split(samples.DOCUMENT).items()},
    marker="waypost-gen-1",
    provenance={"traefik/http.routers/a": {"commit": "1f" * 20, "attempt": "a1"}},
)


def _neighbours(given: list[tuple[str, bytes]]) -> bool:
    contents = {f"{number}{name}": content for number, (name, content) in enumerate(given)}
    found = foreign.neighbours(contents, {})
    list(map(str, found.problems))
    for name, content in contents.items():
        decoder.rejects(document.read(name, content, trusting=True).value)
    return not found.problems


@contextlib.contextmanager
def _directories(place: Path) -> Iterator[Take]:
    """Any dynamic directory, as `waypost explain --config` takes it: who serves a request there?"""

    def take(given: tuple[str, bytes]) -> bool:
        name, content = given
        path = place / name
        path.write_bytes(content)
        try:
            ground = explaining.of_directory(place)
            list(explaining.lines(ground, ground.answer(ASKED), ASKED))
        finally:
            path.unlink()
        return not ground.blind

    yield take


# ── edits, secrets ───────────────────────────────────────────────────────────────────────────────

KINDS = tuple(kinds.split(samples.DOCUMENT).items())


def _edit_input(mutator: Mutator) -> tuple[bytes, str, str, Any]:
    (kind, name), spec = mutator.chance.choice(KINDS)
    if mutator.chance.random() < 0.2:
        name = mutator.text([name])
    return mutator.document(samples.VALUES, samples.FILES), kind, name, mutator.value(spec)


def _edit(given: tuple[bytes, str, str, Any]) -> bool:
    """What was set is there, and nothing else moved (the edit itself sees to that)."""
    text, kind, name, spec = given
    edited = edit.set_resource(text, kind, name, spec, file="r.yaml")
    assert (kind, name) in language.read_file("r.yaml", edited)[0]
    edit.remove_resource(edited, kind, name, file="r.yaml")
    return True


def _secrets(given: tuple[str, bytes]) -> bool:
    if size_fault(given[0], len(given[1])):
        return False  # nobody asks: whoever proposes or adopts a file of that size is refused
    return not secrets.find_secrets(given[0], given[1].decode("utf-8", "replace"))


# ── settings ─────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def _settings(place: Path) -> Iterator[Take]:
    def take(given: tuple[bytes, bytes, dict[str, str]]) -> bool:
        settings, targets, environ = given
        (place / config.SETTINGS_FILE).write_bytes(settings)
        (place / config.TARGETS_FILE).write_bytes(targets)
        config.load(environ, place)
        return True

    yield take


def _settings_input(mutator: Mutator) -> tuple[bytes, bytes, dict[str, str]]:
    environ = {}
    if mutator.chance.random() < 0.3:
        declared = mutator.chance.choice(config.SETTINGS)
        environ[declared.name] = mutator.text([declared.default, "http://127.0.0.1:8080", "15s"]).replace("\0", "")
    plain = mutator.chance.random() < 0.5
    return (
        samples.SETTINGS if plain else mutator.content([samples.SETTINGS]),
        mutator.content([samples.TARGETS]) if plain else samples.TARGETS,
        environ,
    )


EDGES = (
    Edge(name="desired file", share=2000, make=_file, opened=simply(_desired_file)),
    Edge(name="desired commit", share=120, make=_commit, opened=_desired_commits, family=(GitError,)),
    Edge(name="commit message", share=1800, make=lambda m: m.text(samples.MESSAGES), opened=simply(_message)),
    Edge(
        name="policy",
        share=1000,
        make=lambda m: m.document(samples.POLICIES, [samples.POLICY]),
        opened=simply(_policy),
    ),
    Edge(
        name="our live file",
        share=1000,
        make=lambda m: m.document(samples.VALUES, (OURS, *samples.FILES)),
        opened=simply(_live_file),
        family=(Unreadable,),
    ),
    Edge(
        name="neighbours' files",
        share=900,
        make=lambda m: [_file(m) for _ in range(m.chance.choice((1, 1, 2)))],
        opened=simply(_neighbours),
    ),
    Edge(name="any dynamic directory", share=500, make=_file, opened=_directories),
    Edge(name="edit of a file", share=500, make=_edit_input, opened=simply(_edit), family=(EditError,)),
    Edge(name="secret scan", share=150, make=_file, opened=simply(_secrets)),
    Edge(name="settings", share=900, make=_settings_input, opened=_settings, family=(ConfigError,)),
)
