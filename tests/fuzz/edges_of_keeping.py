"""What comes back from other places: backups, sealed segments, tokens, notes in Git, locks, another account's clone."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import sqlite3
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import orjson
from pygit2 import Signature
from pygit2.enums import ObjectType

from reconciler import founding, home, tokens
from reconciler.backups import making, restoring
from reconciler.backups.manifest import BackupError
from reconciler.git.ingest import ingest_proposals
from reconciler.git.store import NOTES, Store
from reconciler.locks import Held, lock
from reconciler.ports import Disk
from state import segment_file, segments
from state.errors import LogError
from state.events import TargetLost
from state.log import EventLog
from state.record import Entry
from state.segment_file import Segment
from tests.fuzz import samples
from tests.fuzz.edges_of_log import AT, _damage, _damaged, _filled_log, now
from tests.fuzz.fuzzing import Edge, Take
from tests.fuzz.mutating import DEEP, Mutator, written

# ── backups ──────────────────────────────────────────────────────────────────────────────────────

CHANCE = tuple[str, int]
"""What is done to a backup, and the seed of how: the archive itself is only known where the edge is open."""


def _trick(mutator: Mutator) -> CHANCE:
    kinds = ("bytes", "bytes", "manifest", "manifest", "member", "member", "member", "packing", "settings")
    return mutator.chance.choice(kinds), mutator.chance.getrandbits(32)


@contextlib.contextmanager
def _archives(place: Path) -> Iterator[Take]:
    """`restore --check` of a backup that somebody else had in their hands."""
    whole = _backup(place)
    path = place / "given.zip"

    def take(given: CHANCE) -> bool:
        kind, seed = given
        path.write_bytes(_tricked(whole, kind, Mutator(_chance(seed))))
        restoring.check(path, now=now, tell=lambda line: None)
        return True

    yield take
    path.unlink(missing_ok=True)


def _chance(seed: int) -> Random:
    return Random(seed)


def _backup(place: Path) -> bytes:
    made = founding.create(place / "home", environ={}, now=now)
    (made.path / "targets.toml").write_bytes(samples.TARGETS)
    with contextlib.closing(EventLog.open(made.log_path, now=now)) as log:
        lost = [TargetLost(instance="traefik", reason=f"away {number}") for number in range(6)]
        log.append([Entry(stream="target/traefik", event=event) for event in lost])
        log.seal(3, "to have a segment")
    file = place / "home.zip"
    making.make(home.open(made.path, {}), file, now=now, tell=lambda line: None, check=lambda file, scratch: None)
    return file.read_bytes()


def _tricked(whole: bytes, kind: str, mutator: Mutator) -> bytes:
    if kind == "bytes":
        return mutator.content([whole])
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = orjson.loads(files.pop("manifest.json"))
    if kind == "member":
        name = mutator.chance.choice(sorted(files))
        files[name] = _damaged(files[name], _damage(mutator))
    if kind == "settings":
        name = mutator.chance.choice(("waypost.env", "targets.toml", "tokens.json"))
        files[name] = mutator.content([samples.SETTINGS, samples.TARGETS, written({"tokens": []})])
    for name, content in files.items():  # whoever changes a file changes its digest with it
        manifest["members"][name] = {"size": len(content), "digest": hashlib.sha256(content).hexdigest()}
    said = written(mutator.value(manifest)) if kind == "manifest" else orjson.dumps(manifest)
    return _packed({**files, "manifest.json": said}, mutator if kind == "packing" else None)


def _packed(files: dict[str, bytes], strange: Mutator | None) -> bytes:
    """An archive, its own checksums right; or packed in a way that ours is not."""
    target = io.BytesIO()
    ways = (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_STORED)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFREG | 0o600) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            if strange:
                info.compress_type = strange.chance.choice(ways)
                content += bytes(strange.chance.choice((0, 0, 1 << 20)))
                if strange.chance.random() < 0.2:
                    info.external_attr = strange.chance.getrandbits(32)
                    info.extra = strange.chance.randbytes(strange.chance.randrange(40))
            archive.writestr(info, content)
        if strange and strange.chance.random() < 0.5:
            info = strange.chance.choice(archive.infolist())
            info.file_size = strange.chance.choice((0, 1, 2**31, 2**32 - 2))
    return target.getvalue()


# ── segments ─────────────────────────────────────────────────────────────────────────────────────


def _strange_block(mutator: Mutator) -> tuple[str, Any]:
    """A damaged file, or columns of a wrong shape in a block that unpacks well, and what it mentions."""
    if mutator.chance.random() < 0.4:
        return "file", _damage(mutator)
    return "block", (_changed_block(mutator), mutator.text(["[1, 2, 3]"]).encode("utf-8", "replace").decode())


def _changed_block(mutator: Mutator) -> bytes:
    """Made before anybody counts the seconds: megabytes are packed here."""
    content, roll = _block(), mutator.chance.random()
    changed = written(mutator.value(orjson.loads(content))) if roll < 0.7 else mutator.content([content])
    packed = zlib.compress(changed, 1) if roll < 0.9 else _bomb(100)
    return packed if roll < 0.95 else mutator.content([packed])


@cache
def _block() -> bytes:
    """The columns of the events of a segment, unpacked."""
    with (
        tempfile.TemporaryDirectory() as place,
        contextlib.closing(sqlite3.connect(_sealed(Path(place))[1])) as raw,
    ):
        (content,) = raw.execute("SELECT content FROM blocks").fetchone()
    return zlib.decompress(content)


def _sealed(place: Path) -> tuple[Segment, Path]:
    """A segment with nearly all events of a log, and its file."""
    _filled_log(place / "log.db")
    with contextlib.closing(EventLog.open(place / "log.db", now=now)) as log:
        segment = log.seal(log.head().seq - 1, "to have one")
    return segment, segments.directory(place / "log.db") / segment.file


@contextlib.contextmanager
def _segments(place: Path) -> Iterator[Take]:
    segment, file = _sealed(place)
    file.chmod(0o600)
    whole = file.read_bytes()

    def take(given: tuple[str, Any]) -> bool:
        kind, how = given
        file.write_bytes(_damaged(whole, how) if kind == "file" else whole)
        if kind == "block":
            _put_block(file, *how)
        with segment_file.opened(file.parent, segment) as reader:
            rows = list(segments.all_rows(reader))
            reader.mentioning("traefik/http.routers/gitea")
        return len(rows) == segment.last

    yield take


def _put_block(file: Path, content: bytes, mentions: str) -> None:
    with contextlib.closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("UPDATE blocks SET content = ?", [content])
        raw.execute("UPDATE mentions SET seqs = ?", [mentions])


@cache
def _bomb(megabytes: int) -> bytes:
    """What unpacks to that much of nothing."""
    packing = zlib.compressobj(level=1)
    return b"".join([*(packing.compress(bytes(1 << 20)) for _ in range(megabytes)), packing.flush()])


# ── tokens, locks, notes ─────────────────────────────────────────────────────────────────────────

TOKENS = {
    "version": 1,
    "tokens": [
        {
            "id": "0123456789ab", "name": "claude", "role": "propose", "grants": ["traefik"], "hash": "ab" * 32,
            "made": AT.isoformat(), "expires": AT.isoformat(), "revoked": None,
        }
    ],
}  # fmt: skip


@contextlib.contextmanager
def _keyring(place: Path) -> Iterator[Take]:
    """The file of tokens as somebody left it, and what it opens for whoever presents one."""
    path = place / "tokens.json"

    def take(given: bytes) -> bool:
        path.write_bytes(given)
        known = tokens.Keyring(path, Disk()).tokens()
        tokens.match(known, f"waypost_0123456789ab_{'A' * 43}", AT)
        list(map(str, known))
        return True

    yield take


@contextlib.contextmanager
def _lock_files(place: Path) -> Iterator[Take]:
    path = place / "reconciler.lock"

    def take(given: bytes) -> bool:
        path.write_bytes(given)
        with path.open("rb") as holder:
            fcntl.flock(holder, fcntl.LOCK_EX)
            held = lock(path)
        assert isinstance(held, Held)
        assert held.who + held.when
        return held.pid > 0

    yield take


@contextlib.contextmanager
def _notes(place: Path) -> Iterator[Take]:
    """Anchors of the log in Git: whoever may push to the desired repo may push these."""
    store = Store.create(place / "desired.git")
    odb = store.repository.odb
    who = Signature("Ada", "ada@home", 1_700_000_000, 0)

    def take(given: bytes) -> bool:
        blob = odb.write(int(ObjectType.BLOB), given)
        builder = store.repository.TreeBuilder()
        builder.insert("1f" * 20, blob, 0o100644)
        commit = store.repository.create_commit(None, who, who, "notes", builder.write(), [])
        store.move(NOTES, str(commit), was=store.references(NOTES).get(NOTES))
        return bool(store.anchors())

    yield take


NOTE = b'{"seq": 12, "hash": "' + b"ab" * 32 + b'", "revision": 3}\n'


# ── another account's clone ──────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def _clone(place: Path) -> Iterator[Take]:
    """What the gateway's clone holds, whatever its account wrote there: refs, and objects by their own names."""
    store = Store.create(place / "desired.git")
    who = Signature("Ada", "ada@home", 1_700_000_000, 0)
    empty = store.repository.TreeBuilder().write()
    main = store.repository.create_commit("refs/heads/main", who, who, "begin", empty, [])
    clone = place / "clone.git"
    (clone / "refs" / "heads" / "proposals").mkdir(parents=True)
    _bomb(64)

    def take(given: tuple[int, list[tuple[bytes, bytes]], bytes]) -> bool:
        seed, files, text = given
        mutator = Mutator(_chance(seed))
        leaves = [mode + b"\0" + bytes.fromhex(_loose(clone, b"blob", content)) for mode, content in files]
        folder = b"40000 traefik\0" + bytes.fromhex(_loose(clone, b"tree", b"".join(leaves)))
        tree = _loose(clone, b"tree", folder)
        commit = _loose(clone, b"commit", text % (tree.encode(), str(main).encode()), mutator)
        name = f"p{seed}"
        (clone / "refs" / "heads" / "proposals" / name).write_bytes(mutator.content([f"{commit}\n".encode()]))
        found = ingest_proposals(store, clone)
        (clone / "refs" / "heads" / "proposals" / name).unlink()
        for reason in found.refused.values():
            assert reason
        return name in found.taken

    yield take


PROPOSED = b"tree %s\nparent %s\nauthor a <a@b> 1700000000 +0000\ncommitter a <a@b> 1700000000 +0000\n\nMove it\n"


def _proposed(mutator: Mutator) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    modes = (b"100644 r.yaml", b"100644 r.yaml", b"100755 r.yaml", b"120000 r.yaml", b"100644 ..", b"160000 r.yaml")
    files = [(mutator.chance.choice(modes), mutator.content(samples.FILES))]
    text = PROPOSED
    if mutator.chance.random() < 0.4:
        changed = mutator.content([PROPOSED.replace(b"%s", b"\1")]).replace(b"%", b"%%")
        text = changed.replace(b"\1", b"%s") if changed.count(b"\1") == 2 else PROPOSED
    return mutator.chance.getrandbits(32), files, text


def _loose(clone: Path, kind: bytes, content: bytes, mutator: Mutator | None = None) -> str:
    """Write a loose object; led by chance, one that is not what its name says."""
    whole = kind + b" %d\0" % len(content) + content
    id = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
    path = clone / "objects" / id[:2] / id[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = zlib.compress(whole)
    if mutator and mutator.chance.random() < 0.3:
        packed = mutator.chance.choice((mutator.content([packed]), _bomb(64)))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108  a directory of the same name is not ours to make
    path.write_bytes(packed)
    return id


EDGES = (
    Edge(name="backup", share=40, make=_trick, opened=_archives, family=(BackupError,)),
    Edge(name="sealed segment", share=120, make=_strange_block, opened=_segments, family=(LogError,)),
    Edge(
        name="tokens",
        share=500,
        make=lambda m: m.document([TOKENS], [written(TOKENS), b'{"tokens":' + b"[" * DEEP]),
        opened=_keyring,
        family=(tokens.TokenError,),
    ),
    Edge(
        name="lock file",
        share=300,
        make=lambda m: m.content([b"4711 2026-11-20T12:00:00+00:00\n", b"4711\n"]),
        opened=_lock_files,
    ),
    Edge(name="anchors in Git", share=100, make=lambda m: m.content([NOTE, NOTE * 3]), opened=_notes),
    Edge(name="gateway's clone", share=60, make=_proposed, opened=_clone),
)
