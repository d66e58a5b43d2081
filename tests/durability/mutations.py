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
def a_failed_flush_is_tried_again() -> Iterator[None]:
    """A log that met a fault of the disk takes the next event as if nothing had been."""
    from state import storage

    with mock.patch.object(storage._Stating, "_end", storage._Reading._end):
        yield


@contextlib.contextmanager
def every_sqlite_keeps_a_write_ahead_log() -> Iterator[None]:
    from state import database

    durable = database._make_durable
    with mock.patch.object(database, "_make_durable", lambda *those, wal: durable(*those, wal=True)):
        yield


@contextlib.contextmanager
def events_are_read_only_as_they_are_written_now() -> Iterator[None]:
    """What an older event does not say yet stands for nothing."""
    from state import codec

    with mock.patch.object(codec, "_default", lambda of: None):
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


@contextlib.contextmanager
def a_home_may_be_anywhere() -> Iterator[None]:
    from reconciler import home

    with mock.patch.object(home, "NETWORK_FILE_SYSTEMS", frozenset()):
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


@contextlib.contextmanager
def a_backup_is_good_unread() -> Iterator[None]:
    from reconciler.backups import making

    make = making.make

    def made(*those: Any, check: Any, **more: Any) -> Any:
        return make(*those, check=lambda file, place: None, **more)

    with mock.patch.object(making, "make", made):
        yield


@contextlib.contextmanager
def a_segment_that_is_gone_is_left_out_of_a_backup() -> Iterator[None]:
    from reconciler.backups import making
    from state import segments
    from state.log import EventLog

    whole, known = making._Making._log, EventLog.segments

    def there(one: Any) -> Any:
        place = segments.directory(one._home.log_path)
        with mock.patch.object(
            EventLog, "segments", lambda log: [each for each in known(log) if (place / each.file).exists()]
        ):
            return whole(one)

    with mock.patch.object(making._Making, "_log", there):
        yield


@contextlib.contextmanager
def a_segment_may_be_called_anything() -> Iterator[None]:
    """Also what leads to a file elsewhere."""
    from state import segments

    with mock.patch.object(segments, "_named", lambda file: file):
        yield


@contextlib.contextmanager
def restored_views_are_not_folded() -> Iterator[None]:
    from reconciler.backups import checking

    with mock.patch.object(checking, "_views", lambda log: 0):
        yield


@contextlib.contextmanager
def nobody_hears_that_no_backup_is_made() -> Iterator[None]:
    from reconciler import housekeeping

    with mock.patch.object(housekeeping, "notice_overdue", lambda *_: None):
        yield


@contextlib.contextmanager
def every_backup_is_kept() -> Iterator[None]:
    from reconciler import housekeeping

    with mock.patch.object(housekeeping, "_thin", lambda *_: None):
        yield


@contextlib.contextmanager
def reads_are_kept_for_ever() -> Iterator[None]:
    from state.log import EventLog

    with mock.patch.object(EventLog, "forget_reads", lambda *_: None):
        yield


@contextlib.contextmanager
def the_clock_is_always_right() -> Iterator[None]:
    from reconciler.schedule import Steady

    with mock.patch.object(Steady, "__call__", lambda steady: True):
        yield


@contextlib.contextmanager
def what_is_old_goes_by_whatever_clock() -> Iterator[None]:
    from reconciler import housekeeping

    tidy = housekeeping.tidy
    with mock.patch.object(housekeeping, "tidy", lambda world, policy, by_age=True: tidy(world, policy, by_age=True)):
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


@contextlib.contextmanager
def all_has_its_turn_at_once() -> Iterator[None]:
    from reconciler.core import order

    with mock.patch.object(order, "position", lambda kind, want, live=None: 0):
        yield


@contextlib.contextmanager
def what_goes_has_the_turn_of_what_comes() -> Iterator[None]:
    from reconciler.core import order

    with mock.patch.object(order, "position", lambda kind, want, live=None: order.KINDS.index(kind)):
        yield


# ── what is decided ──────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def small_losses_do_not_add_up() -> Iterator[None]:
    from state.lately import Lately

    with mock.patch.object(Lately, "before", lambda *_: {}):
        yield


@contextlib.contextmanager
def an_agreement_is_never_used_up() -> Iterator[None]:
    from state.grants import Grant

    with mock.patch.object(Grant, "without", lambda grant, *_: grant):
        yield


@contextlib.contextmanager
def a_yes_is_to_the_words_of_a_loss() -> Iterator[None]:
    """Whatever causes it."""
    from reconciler.core.plan import Loss

    def key(loss: Loss) -> str:
        return f"{loss.guard} {loss.address} {loss.lost}"

    with mock.patch.object(Loss, "key", property(key)):
        yield


@contextlib.contextmanager
def what_opens_is_no_loss() -> Iterator[None]:
    from reconciler.core import guard

    with mock.patch.object(guard, "_opened", lambda effects: iter(())):
        yield


@contextlib.contextmanager
def other_ways_to_a_service_are_not_looked_for() -> Iterator[None]:
    """What only those let in could reach may get an open way beside the one that asks who is there."""
    from reconciler.traefik.laid_open import LaidOpen

    with mock.patch.object(LaidOpen, "among", lambda *_: iter(())):
        yield


@contextlib.contextmanager
def one_yes_is_enough() -> Iterator[None]:
    """However many the policy asks for."""
    from reconciler import planning

    with mock.patch.object(planning, "_approved_by_few", lambda *_: iter(())):
        yield


@contextlib.contextmanager
def our_own_account_is_a_person() -> Iterator[None]:
    """Whoever has the token of it."""
    from reconciler.gitea.api import Gitea, User

    merge_of = Gitea.merge_of

    def merged(gitea: Gitea, commit: str, branch: str) -> Any:
        with mock.patch.object(Gitea, "me", lambda gitea: User(login="somebody-else")):
            return merge_of(gitea, commit, branch)

    with mock.patch.object(Gitea, "merge_of", merged):
        yield


@contextlib.contextmanager
def compose_files_may_give_all() -> Iterator[None]:
    from reconciler.komodo import consequences

    with mock.patch.object(consequences, "_of_the_host", lambda *_: iter(())):
        yield


@contextlib.contextmanager
def a_field_that_nobody_knows_gives_nothing() -> Iterator[None]:
    from reconciler.komodo import powers

    with mock.patch.object(powers, "_UNKNOWN", powers.free):
        yield


@contextlib.contextmanager
def what_leaves_a_blueprint_is_forgotten() -> Iterator[None]:
    from reconciler.authentik.keeping import Keeper

    with mock.patch.object(Keeper, "_note_removals", lambda *_: None):
        yield


@contextlib.contextmanager
def what_drifted_is_told_with_its_values() -> Iterator[None]:
    from reconciler import watching

    found = watching._found

    def told(difference: Any, by: str) -> Any:
        return dataclasses.replace(found(difference, by), fields=(json.dumps(difference.live, default=str),))

    with mock.patch.object(watching, "_found", told):
        yield


# ── what comes in, and what goes out ─────────────────────────────────────────────────────────────


@contextlib.contextmanager
def as_much_as_came_is_all() -> Iterator[None]:
    """Of an answer of any system that is too large, or too slow, the beginning is taken for the whole."""
    from reconciler.asking import Asking, Cut

    pieces = Asking._pieces

    def taken(*those: Any) -> Iterator[bytes]:
        with contextlib.suppress(Cut):
            yield from pieces(*those)

    with mock.patch.object(Asking, "_pieces", taken):
        yield


@contextlib.contextmanager
def traefik_answers_as_much_as_it_likes() -> Iterator[None]:
    from reconciler.traefik.api import TraefikApi

    with mock.patch.object(TraefikApi, "_body", lambda api, response, path: response.read()):
        yield


@contextlib.contextmanager
def the_pages_that_were_read_are_all() -> Iterator[None]:
    from reconciler.traefik.api import ApiError, TraefikApi

    pages = TraefikApi._pages

    def read(api: TraefikApi, path: str) -> Any:
        try:
            return pages(api, path)
        except ApiError as error:
            if "last page" in str(error):
                return []
            raise

    with mock.patch.object(TraefikApi, "_pages", read):
        yield


@contextlib.contextmanager
def aliases_are_followed() -> Iterator[None]:
    """And tags passed over, and merges made, in our own files as in those of others."""
    from reconciler import document

    made = document._Reader.__init__

    def make(reader: Any, file: str, trusting: bool, ends: bool, tagged: bool) -> None:
        made(reader, file, True, ends, tagged)

    with mock.patch.object(document._Reader, "__init__", make):
        yield


@contextlib.contextmanager
def aliases_may_expand_to_anything() -> Iterator[None]:
    from reconciler import document

    with mock.patch.object(document, "_expanded", lambda value: 0):
        yield


@contextlib.contextmanager
def the_last_of_two_keys_counts() -> Iterator[None]:
    from reconciler import document

    report = document._Reader._report

    def told(reader: Any, message: str, *rest: Any, **more: Any) -> None:
        if "stands here twice" not in message:
            report(reader, message, *rest, **more)

    with mock.patch.object(document._Reader, "_report", told):
        yield


@contextlib.contextmanager
def files_of_any_size_are_read() -> Iterator[None]:
    from reconciler import document

    decode = document._decode
    with mock.patch.object(document, "_decode", lambda file, content, most: decode(file, content, len(content))):
        yield


@contextlib.contextmanager
def anybody_publishes_documentation() -> Iterator[None]:
    from reconciler.documentation import sources

    with mock.patch.object(sources, "source_of", lambda address, among: next(iter(among))):
        yield


@contextlib.contextmanager
def documentation_may_be_at_home() -> Iterator[None]:
    """Any address is one of the world outside."""
    from reconciler.documentation import fetching

    with mock.patch.object(fetching, "_meant", lambda address: []):
        yield


@contextlib.contextmanager
def the_same_words_anew_are_news() -> Iterator[None]:
    from reconciler.documentation import comparing

    with mock.patch.object(comparing, "_same_words", lambda one, other: False):
        yield


@contextlib.contextmanager
def nothing_is_a_secret() -> Iterator[None]:
    """Neither by its place nor by its form: what Traefik's API shows is handed on."""
    from reconciler.core import redact

    class Nothing:
        def sub(self, _: Any, text: str) -> str:
            return text

        def search(self, _: str) -> None: ...

    with mock.patch.object(redact, "_is_secret", lambda at: False), mock.patch.object(redact, "_IN_TEXT", Nothing()):
        yield


@contextlib.contextmanager
def lines_of_logs_are_shown_as_they_are() -> Iterator[None]:
    from shards import masking

    with (
        mock.patch.object(masking, "without_named", lambda text: text),
        mock.patch.object(masking, "_without_known", lambda lines: lines),
    ):
        yield


@contextlib.contextmanager
def what_is_left_out_is_not_told() -> Iterator[None]:
    """Of a log: the reader takes what is there for all of it."""
    from shards import dozzle

    logs = dozzle.Logs
    with mock.patch.object(dozzle, "Logs", lambda **told: logs(**{**told, "left_out": []})):
        yield


@contextlib.contextmanager
def text_of_others_keeps_its_tricks() -> Iterator[None]:
    from shards import untrusted

    with mock.patch.object(untrusted, "clean", lambda text: text):
        yield


@contextlib.contextmanager
def text_of_others_has_no_end() -> Iterator[None]:
    from shards import untrusted

    real = untrusted.wrapped

    def wrapped(text: str, source: str, chance: Any, most: int = untrusted.MOST) -> str:
        return real(text, source, chance, len(text))

    with mock.patch.object(untrusted, "wrapped", wrapped):
        yield


@contextlib.contextmanager
def a_terminal_obeys_what_others_wrote() -> Iterator[None]:
    from reconciler import visible

    with mock.patch.object(visible, "_seen", lambda letter: letter):
        yield


@contextlib.contextmanager
def an_answer_needs_no_audit() -> Iterator[None]:
    """What cannot be recorded is answered all the same."""
    from shards.audit import Audit
    from state.errors import LogError

    put = Audit._put

    def tried(audit: Audit, entries: Any) -> None:
        with contextlib.suppress(LogError):
            put(audit, entries)

    with mock.patch.object(Audit, "_put", tried):
        yield


@contextlib.contextmanager
def calls_are_recorded_after_their_answers() -> Iterator[None]:
    import threading

    from shards.audit import Audit

    note = Audit.note

    def later(*those: Any) -> None:
        waiting = threading.Timer(1, note, those)
        waiting.daemon = True
        waiting.start()

    with mock.patch.object(Audit, "note", later):
        yield


@contextlib.contextmanager
def calls_elsewhere_are_recorded_after_their_answers() -> Iterator[None]:
    import asyncio

    from shards.audit import Audit

    noted, left = Audit.noted, set[Any]()

    async def later(*those: Any) -> None:
        left.add(asyncio.create_task(noted(*those)))

    with mock.patch.object(Audit, "noted", later):
        yield


@contextlib.contextmanager
def any_page_at_the_gateway() -> Iterator[None]:
    """By one of its own names, from a page of somebody else's."""
    from mcp.server.transport_security import TransportSecurityMiddleware

    with mock.patch.object(TransportSecurityMiddleware, "_validate_origin", lambda guard, origin: True):
        yield


@contextlib.contextmanager
def proposals_are_not_counted() -> Iterator[None]:
    from shards.limits import Limits

    with mock.patch.object(Limits, "_require_quota", lambda *_: None):
        yield


@contextlib.contextmanager
def any_number_of_calls_at_once() -> Iterator[None]:
    from shards.limits import Limits

    with mock.patch.object(Limits, "_require_room", lambda *_: None):
        yield


@contextlib.contextmanager
def answers_of_any_length() -> Iterator[None]:
    from shards import outcome

    with mock.patch.object(outcome, "LARGEST", 1 << 40):
        yield


@contextlib.contextmanager
def later_tools_are_open() -> Iterator[None]:
    """A token opens what came after it."""
    from shards.access import Caller

    may = Caller.may

    def knowing_all(caller: Caller, shard: str, tool: str, *, writes: bool, since: int = 0) -> bool:
        return may(caller, shard, tool, writes=writes)

    with mock.patch.object(Caller, "may", knowing_all):
        yield


@contextlib.contextmanager
def who_was_let_in_stays() -> Iterator[None]:
    """Whatever has become of the token."""
    from shards.gate import Gate

    async def always(*_: Any) -> bool:
        return True

    with mock.patch.object(Gate, "_would_be_let_in", always):
        yield


@contextlib.contextmanager
def nobody_is_told_of_new_tools() -> Iterator[None]:
    from shards.wire.announcing import Announcer

    with mock.patch.object(Announcer, "look", lambda announcer: None):
        yield


@contextlib.contextmanager
def a_shard_is_taken_at_its_word() -> Iterator[None]:
    """What it claims about its tools is handed on."""
    from shards.wire import distrust

    with mock.patch.object(
        distrust, "listing", lambda prefix, tool: tool.model_copy(update={"name": prefix + tool.name})
    ):
        yield


@contextlib.contextmanager
def a_shard_may_answer_anything() -> Iterator[None]:
    from shards.wire import distrust

    with mock.patch.object(distrust, "answer", lambda shard, tool, result: result):
        yield


@contextlib.contextmanager
def a_failing_shard_is_called_on_and_on() -> Iterator[None]:
    from shards.health import Breaker

    with mock.patch.object(Breaker, "failed", lambda breaker, now: None):
        yield


@contextlib.contextmanager
def the_gateway_is_beside_what_writes() -> Iterator[None]:
    """No patch of ours: compose.yaml, as it would be with one network more."""
    import yaml

    load = yaml.safe_load

    def wider(text: Any) -> Any:
        read = load(text)
        if isinstance(read, dict) and "gateway" in read.get("services", {}):
            read["services"]["gateway"]["networks"] += read["services"]["gitea"]["networks"]
        return read

    with mock.patch.object(yaml, "safe_load", wider):
        yield
