"""Safeguards, each taken out: context managers that patch the product in the process that enters them.

Nowhere else: the product has no switch for any of this. What each one is for, and who must notice that it is gone,
stands in mutants.py.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock


@contextlib.contextmanager
def synchronous_normal() -> Iterator[None]:
    yield from _synchronous("NORMAL")


@contextlib.contextmanager
def synchronous_off() -> Iterator[None]:
    yield from _synchronous("OFF")


def _synchronous(level: str) -> Iterator[None]:
    from state import database

    durable = database._make_durable

    def careless(opened: Any, *arguments: Any, **more: Any) -> None:
        durable(opened, *arguments, **more)
        opened.conn.execute(f"PRAGMA synchronous = {level}")

    with mock.patch.object(database, "_make_durable", careless):
        yield


@contextlib.contextmanager
def journal_directory_not_flushed() -> Iterator[None]:
    """A rollback journal with synchronous=FULL: a journal that was removed may come back."""
    with rollback_journal():
        yield from _synchronous("FULL")


@contextlib.contextmanager
def deferred_transactions() -> Iterator[None]:
    """A transaction takes the write lock when it first writes: what it read before may be outdated by then."""
    from state import database

    def begin(transaction: Any) -> None:
        transaction._connection.execute("BEGIN DEFERRED")

    with mock.patch.object(database.immediately, "__enter__", begin):
        yield


@contextlib.contextmanager
def versions_are_not_compared() -> Iterator[None]:
    from state.log import EventLog

    with mock.patch.object(EventLog, "_require_versions", lambda *_: None):
        yield


@contextlib.contextmanager
def outbox_answers_before_it_is_durable() -> Iterator[None]:
    """What is put into an outbox is written with the next thing that is."""
    from state.outbox import Outbox

    put_all, waiting = Outbox.put_all, list[Any]()

    def put(outbox: Outbox, entries: Any) -> list[str]:
        for held in waiting:
            put_all(outbox, held)
        named = [dataclasses.replace(entry, key=entry.key or os.urandom(16).hex()) for entry in entries]
        waiting[:] = [named]
        return [entry.key for entry in named]

    with mock.patch.object(Outbox, "put_all", put):
        yield


@contextlib.contextmanager
def small_wal() -> Iterator[None]:
    """No safeguard: a write-ahead log that is moved to the file every few appends, to have that in a short record."""
    from state import database

    with mock.patch.object(database, "WAL_PAGES", 12):
        yield


@contextlib.contextmanager
def rollback_journal() -> Iterator[None]:
    """No safeguard: what a machine does whose SQLite has the WAL-reset bug."""
    from state import database

    with mock.patch.object(database, "degradation", lambda version: "as on a machine with an old SQLite"):
        yield


# ── our file ─────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def file_not_flushed() -> Iterator[None]:
    from reconciler.ports import Disk

    def write(disk: Disk, path: Path, content: bytes, mode: int = 0o644) -> None:
        path.write_bytes(content)

    with mock.patch.object(Disk, "write", write):
        yield


@contextlib.contextmanager
def directory_not_flushed() -> Iterator[None]:
    from reconciler.ports import Disk

    with mock.patch.object(Disk, "flush_directory", staticmethod(lambda directory: None)):
        yield


@contextlib.contextmanager
def one_file_a_route() -> Iterator[None]:
    """Each part of a plan in a file of its own, every one of them staged, flushed and renamed with care."""
    from reconciler.targets.owned import OwnedFile

    place = OwnedFile.place

    def placed(owned: OwnedFile, content: bytes) -> str:
        folder, whole = owned.path, json.loads(content)
        try:
            for name, part in whole.items():
                owned.path = folder.with_name(f"{name}.yml")
                place(owned, json.dumps({name: part}).encode())
        finally:
            owned.path = folder
        return ""

    with mock.patch.object(OwnedFile, "place", placed):
        yield


@contextlib.contextmanager
def staged_where_traefik_reads() -> Iterator[None]:
    from reconciler.targets import owned

    made = owned.OwnedFile.__init__

    def make(one: Any, *arguments: Any, **more: Any) -> None:
        made(one, *arguments, **more)
        one._stage = one.path.with_name("waypost.next.yml")

    with mock.patch.object(owned.OwnedFile, "__init__", make):
        yield


@contextlib.contextmanager
def written_in_place() -> Iterator[None]:
    from reconciler.targets.owned import OwnedFile

    with mock.patch.object(OwnedFile, "place", lambda owned, content: owned._files.write(owned.path, content)):
        yield


@contextlib.contextmanager
def nothing_kept_for_undo() -> Iterator[None]:
    from reconciler.targets.owned import OwnedFile

    with mock.patch.object(OwnedFile, "keep", lambda owned, content: None):
        yield


@contextlib.contextmanager
def no_write_lock() -> Iterator[None]:
    from reconciler.targets.owned import DirectoryLock

    with mock.patch.object(DirectoryLock, "take", lambda lock: None):
        yield


# ── Git and the home ─────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def objects_not_flushed() -> Iterator[None]:
    import pygit2

    from reconciler.git import draft, store

    store._tame_library()
    pygit2.settings.enable_fsync_gitdir(False)
    try:
        with mock.patch.object(draft, "_at_once", lambda pool, flushing, those: None):
            yield
    finally:
        pygit2.settings.enable_fsync_gitdir(True)


@contextlib.contextmanager
def new_directories_not_flushed() -> Iterator[None]:
    """As libgit2 leaves it: objects and references are flushed, the names of directories made for them are not."""
    from reconciler.git.names import Names

    with mock.patch.object(Names, "settle", lambda names, reference: None):
        yield


@contextlib.contextmanager
def stale_locks_stay() -> Iterator[None]:
    from reconciler.git.store import Store

    with mock.patch.object(Store, "sweep_stale_locks", lambda store: []):
        yield


@contextlib.contextmanager
def a_repository_is_made_in_its_place() -> Iterator[None]:
    """And made again at every start, as libgit2 allows."""
    from reconciler.git import making
    from reconciler.git.store import Store

    def create(cls: type[Store], path: Any, branch: str = "main") -> Store:
        making._make(Path(path), branch)
        return Store.open(path)

    with mock.patch.object(Store, "create", classmethod(create)):
        yield


@contextlib.contextmanager
def nobody_holds_a_lock() -> Iterator[None]:
    """The lock of a home, and that of a target's directory, are had by whoever asks."""
    from reconciler import locks

    with mock.patch.object(locks, "_taken", lambda descriptor: True):
        yield


@contextlib.contextmanager
def no_anchor() -> Iterator[None]:
    from reconciler.git.store import Store

    with mock.patch.object(Store, "anchor", lambda *_, **__: None):
        yield


@contextlib.contextmanager
def links_are_not_checked() -> Iterator[None]:
    """Every event is as its own hash says; what it follows is not asked."""
    from state import chain

    with mock.patch.object(chain._Check, "_wrong_place", lambda check, row: ""):
        yield


# ── what is put away ─────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def segment_directory_not_flushed() -> Iterator[None]:
    from state import segments

    with mock.patch.object(segments, "flush", lambda path: None):
        yield


@contextlib.contextmanager
def segment_not_flushed() -> Iterator[None]:
    """Neither its bytes nor its name."""
    from state import database, segment_file

    with (
        mock.patch.object(segment_file, "flush", lambda path: None),
        mock.patch.object(database, "flush", lambda path: None),
    ):
        yield


@contextlib.contextmanager
def backup_name_not_flushed() -> Iterator[None]:
    from reconciler import housekeeping
    from reconciler.backups import making

    with (
        mock.patch.object(making.database, "flush", lambda path: None),
        mock.patch.object(housekeeping, "flush", lambda path: None),
    ):
        yield


@contextlib.contextmanager
def backup_not_flushed() -> Iterator[None]:
    from reconciler.backups import archive

    with mock.patch.object(archive.os, "fsync", lambda descriptor: None):
        yield


# ── what people and other programs are asked ─────────────────────────────────────────────────────


@contextlib.contextmanager
def no_throw_away_traefik() -> Iterator[None]:
    """Whatever is wanted is fine, and so is whatever is there."""
    from reconciler.targets import shadow
    from reconciler.traefik.api import Runtime

    fine = shadow.ShadowVerdict(loaded=True, poison={}, runtime=Runtime(items={}))
    with mock.patch.object(shadow.Shadow, "examine", lambda *_: fine):
        yield


@contextlib.contextmanager
def restarts_are_not_compared() -> Iterator[None]:
    """What runs is never held against what a fresh Traefik would make of the same directory."""
    from reconciler.targets.survey import Survey

    with mock.patch.object(Survey, "_losses", lambda *_: ()):
        yield


@contextlib.contextmanager
def any_webhook_counts() -> Iterator[None]:
    from reconciler.gitea import webhook

    with mock.patch.object(webhook, "signed", lambda body, signature, secrets: any(secrets)):
        yield


@contextlib.contextmanager
def everybody_is_vouched_for() -> Iterator[None]:
    """What a commit says of itself is taken for what a system of review says."""
    from state import approvals

    with mock.patch.object(approvals, "_is_vouched_for", bool):
        yield


@contextlib.contextmanager
def what_was_cut_off_was_read() -> Iterator[None]:
    from reconciler.gitea import pages

    bounded = pages._bounded
    with mock.patch.object(pages, "_bounded", lambda text: bounded(text)._replace(whole=True)):
        yield


# ── who may do what, and what may be said ────────────────────────────────────────────────────────


@contextlib.contextmanager
def secrets_of_tokens_are_not_compared() -> Iterator[None]:
    """Whoever knows which tokens there are has them: `waypost token list` shows that much."""
    from reconciler import tokens

    def match(known: Any, raw: str, now: Any) -> Any:
        found = next((one for one in known if one.id in raw), None)
        return "this is no token of this gateway" if found is None else found.ended(now) or found

    with mock.patch.object(tokens, "match", match):
        yield


@contextlib.contextmanager
def grants_narrow_nothing() -> Iterator[None]:
    """The role alone counts."""
    from shards.access import Caller

    def may(caller: Caller, shard: str, tool: str, *, writes: bool, since: int = 0) -> bool:
        return caller.has_role_for(writes=writes)

    with mock.patch.object(Caller, "may", may):
        yield


@contextlib.contextmanager
def any_host_at_the_gateway() -> Iterator[None]:
    """A web page from anywhere reaches it by a name of its own."""
    from mcp.server.transport_security import TransportSecuritySettings

    from shards import gateway

    careless = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    with mock.patch.object(gateway, "_security", lambda settings: careless):
        yield


@contextlib.contextmanager
def any_host_at_the_reconciler() -> Iterator[None]:
    from reconciler import web

    with mock.patch.object(web, "TrustedHostMiddleware", lambda app, allowed_hosts: app):
        yield


@contextlib.contextmanager
def calls_are_not_counted() -> Iterator[None]:
    from shards.limits import Limits

    with mock.patch.object(Limits, "_draw", lambda limits, client, tool, *, writes: None):
        yield


@contextlib.contextmanager
def arguments_are_kept_as_they_come() -> Iterator[None]:
    from shards import audit

    with mock.patch.object(audit, "redacted", lambda arguments: arguments):
        yield


@contextlib.contextmanager
def no_scan_before_the_commit() -> Iterator[None]:
    from shards.drafting import Draft

    with mock.patch.object(Draft, "_secrets", lambda draft, intent: iter(())):
        yield


@contextlib.contextmanager
def templates_are_text() -> Iterator[None]:
    from reconciler import document

    with mock.patch.object(document, "_templates", lambda file, text: iter(())):
        yield


@contextlib.contextmanager
def templates_are_written_into_files() -> Iterator[None]:
    from reconciler import edit

    with mock.patch.object(edit, "_carried", lambda kind, name, spec: ""):
        yield


@contextlib.contextmanager
def braces_are_rendered_as_they_come() -> Iterator[None]:
    from reconciler.traefik import render

    with mock.patch.object(render, "escape", lambda content: content):
        yield


@contextlib.contextmanager
def the_policy_is_a_file_like_others() -> Iterator[None]:
    from reconciler.git import bounds

    with mock.patch.object(bounds, "POLICY", ""):  # no name is empty that is not refused anyway
        yield


@contextlib.contextmanager
def a_rollback_takes_the_policy_along() -> Iterator[None]:
    from reconciler.git import proposals

    revert_to = proposals.revert_to

    def revert(*arguments: Any, **named: Any) -> str:
        return revert_to(*arguments, **{**named, "keep_paths": (), "roots": None})

    with mock.patch.object(proposals, "revert_to", revert):
        yield


@contextlib.contextmanager
def an_outbox_may_say_anything() -> Iterator[None]:
    """Whatever a gateway writes down is taken for what it may say: a person's consent, say."""
    from state import events, intake

    entry, everything = intake._entry, frozenset(events.EVENTS.values())
    with mock.patch.object(intake, "_entry", lambda raw, source, allowed: entry(raw, source, everything)):
        yield


@contextlib.contextmanager
def what_others_wrote_is_not_marked() -> Iterator[None]:
    """Cleaned and cut, and handed on like words of ours."""
    from shards import untrusted

    def bare(text: str, source: str, chance: Any, most: int = untrusted.MOST) -> str:
        return untrusted.clean(text)[-most:]

    with mock.patch.object(untrusted, "wrapped", bare):
        yield


@contextlib.contextmanager
def revisions_are_not_kept() -> Iterator[None]:
    """Their commits live as long as a branch leads to them."""
    from reconciler.git.store import Store

    with mock.patch.object(Store, "keep", lambda store, revision, commit: None):
        yield


@contextlib.contextmanager
def a_restored_log_is_not_read() -> Iterator[None]:
    """Neither its hashes nor its anchors: it opens, and that is taken for good."""
    from reconciler.backups import checking

    with mock.patch.object(checking, "_log", lambda log, manifest, store, tell: log.head().seq):
        yield


@contextlib.contextmanager
def restored_revisions_are_not_looked_for() -> Iterator[None]:
    from reconciler.backups import checking

    with mock.patch.object(checking, "_revisions", lambda log, store: 0):
        yield


@contextlib.contextmanager
def the_switch_is_off_for_models() -> Iterator[None]:
    from shards.proposing import Desk

    with mock.patch.object(Desk, "_refuse_read_only", lambda desk: None):
        yield


@contextlib.contextmanager
def the_switch_is_off_for_the_reconciler() -> Iterator[None]:
    """Whatever the settings say."""
    from reconciler.world import World

    with mock.patch.object(World, "read_only", property(lambda world: False, lambda world, switched: None)):
        yield


@contextlib.contextmanager
def nothing_waits_along() -> Iterator[None]:
    """What needs a part that waits is planned without it."""
    from reconciler import planning

    with mock.patch.object(planning, "whole", lambda plan, waits, errors: (plan, dict(waits))):
        yield


@contextlib.contextmanager
def an_exchange_has_no_end() -> Iterator[None]:
    """Each read has a limit of its own, as the library gives it, and all of them together have none."""
    from reconciler import in_time

    with mock.patch.object(in_time._Watch, "left", lambda watch, timeout: timeout):
        yield
