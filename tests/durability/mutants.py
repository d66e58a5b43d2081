"""Every safeguard taken out, one at a time, and the harness that has to notice. `make mutants` runs this file; words
that a safeguard is called by choose some.

A harness is trusted only where it finds nothing wrong with the product as it is; that is tried first. Safeguards of
decisions (proof, undo, quarantine, the digest before a write) are taken out in the simulation, which has a table of
its own. Ends with 1 where a mutant survives, or where a harness is never content.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).parents[2]))

from reconciler.core.target import TargetError
from reconciler.git.store import Store
from reconciler.locks import Held, Lock, lock, lock_directory
from reconciler.ports import Disk
from reconciler.targets.owned import OwnedFile
from state.chain import Row, seal
from state.errors import LogError, WrongVersion
from state.events import PassFailed
from state.log import EventLog
from state.record import Anchor, Entry
from tests.durability import strace, surviving, trials, warm
from tests.durability.trials import Finding, Judge, judged
from tests.durability.warm import Server, Work, find
from tests.durability.workloads import now
from tests.simulation import weaknesses

MUTATIONS = "tests.durability.mutations:"
WORKLOADS = "tests.durability.workloads:"
LOAD = "tests.durability.workloads:load"


@dataclass(frozen=True)
class Trial:
    """What a harness works with. `mutations` are in force in its processes, and in this one where it judges."""

    server: Server
    place: Path
    mutations: tuple[str, ...]

    @contextlib.contextmanager
    def mutated(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for name in self.mutations:
                stack.enter_context(find(name)())
            yield


Harness = Callable[[Trial], Finding]


# ── harnesses ────────────────────────────────────────────────────────────────────────────────────


def power_loss_of_the_log(trial: Trial) -> Finding:
    recorded = trials.record(trial.server, trial.place, "log", 1, 2, 8, mutations=trial.mutations)
    return trials.power_losses(recorded, surviving.log, 300, seed=1)


def power_loss_of_sealed_events(trial: Trial) -> Finding:
    recorded = trials.record(trial.server, trial.place, "sealing", 1, mutations=trial.mutations)
    return trials.power_losses(recorded, surviving.log, 300, seed=1)


def power_loss_after_a_backup(trial: Trial) -> Finding:
    recorded = trials.record(trial.server, trial.place, "backing_up", prepare="home", mutations=trial.mutations)
    return trials.power_losses(recorded, surviving.backup, 50, seed=1, late=True)


def states_of_our_file(trial: Trial) -> Finding:
    recorded = trials.record(trial.server, trial.place, "apply", mutations=trial.mutations)
    return trials.every_state(recorded, surviving.one_whole_plan)


def power_loss_of_git(trial: Trial) -> Finding:
    recorded = trials.record(trial.server, trial.place, "git", prepare="repository", mutations=trial.mutations)
    return trials.power_losses(recorded, surviving.git, 300, seed=1)


def kills_in_git(trial: Trial) -> Finding:
    return _kills(trial, surviving.git, "git", 1)


def kills_of_a_start(trial: Trial) -> Finding:
    """Who starts opens one repository and makes another, is killed meanwhile, and starts again."""
    return _kills(trial, surviving.start, "start")


def _kills(trial: Trial, judge: Judge, workload: str, *arguments: object) -> Finding:
    start, place, said = (trial.place / name for name in ("start", "place", "said"))
    for directory in (start, place):
        directory.mkdir(parents=True)
    trial.server.do(Work(f"{WORKLOADS}repository", (str(start),)))
    work = Work(WORKLOADS + workload, (str(place), str(said), *arguments), trial.mutations)
    shutil.copytree(start, place, dirs_exist_ok=True)
    points = strace.points(strace.traced(trial.server, work, trial.place / "trace")[0], place)
    for number, point in enumerate(points, start=1):
        shutil.rmtree(place)
        shutil.copytree(start, place)
        said.unlink(missing_ok=True)
        strace.killed(trial.server, work, point)
        lines = tuple(said.read_text().splitlines()) if said.exists() else ()
        with trial.mutated():
            if fault := judged(judge, place, lines):
                return Finding(number, f"{fault} (killed at {point.name} {point.number})")
    return Finding(len(points))


def two_writers_of_one_log(trial: Trial) -> Finding:
    """Somebody appends between what a transaction reads and what it writes, unless that took the write lock at once."""
    trial.place.mkdir(parents=True)
    path = trial.place / "log.db"
    with (
        contextlib.closing(EventLog.open(path, now=now, create=True)) as first,
        contextlib.closing(EventLog.open(path, now=now)) as second,
        trial.mutated(),
    ):
        second._database.conn.execute("PRAGMA busy_timeout = 0")
        look = first._storage.by_key

        def interrupted(key: str) -> Any:
            found = look(key)
            with contextlib.suppress(LogError):  # it is told to wait
                second.append([_said("meanwhile"), _said("and again")])
            return found

        with mock.patch.object(first._storage, "by_key", interrupted):
            try:
                first.append([replace(_said(text), key=text) for text in ("one", "two")])
            except LogError as refused:
                return Finding(1, f"a writer was refused: {refused}")
    return Finding(1)


def somebody_who_knows_less_than_the_log(trial: Trial) -> Finding:
    """Two decide from the same events; only the first may say what follows, whichever process it is in."""
    trial.place.mkdir(parents=True)
    path = trial.place / "log.db"
    with (
        contextlib.closing(EventLog.open(path, now=now, create=True)) as first,
        contextlib.closing(EventLog.open(path, now=now)) as second,
        trial.mutated(),
    ):
        first.append(_said("known to both"), expected={"home": 0})
        second.append(_said("what follows"), expected={"home": 1})
        for log in (first, second):
            try:
                log.append(_said("what follows, to somebody else"), expected={"home": 1})
            except WrongVersion:
                continue
            return Finding(1, "a decision from outdated knowledge was recorded")
    return Finding(1)


def a_second_process_in_a_home(trial: Trial) -> Finding:
    trial.place.mkdir(parents=True)
    with contextlib.closing(_ours(lock(trial.place / "reconciler.lock"))), trial.mutated():
        second = lock(trial.place / "reconciler.lock")
        return Finding(1, "" if isinstance(second, Held) and second.pid == os.getpid() else "both have the home")


def a_second_home_in_a_directory(trial: Trial) -> Finding:
    trial.place.mkdir(parents=True)
    with contextlib.closing(_ours(lock_directory(trial.place))), trial.mutated():
        second = lock_directory(trial.place)
        return Finding(1, "" if isinstance(second, Held) else "both have the directory")


def _ours(taken: Lock | Held) -> Lock:
    assert isinstance(taken, Lock)
    return taken


def a_second_writer_of_our_file(trial: Trial) -> Finding:
    trial.place.mkdir(parents=True)
    first, second = OwnedFile(trial.place, Disk()), OwnedFile(trial.place, Disk())
    first.lock()
    try:
        with trial.mutated():
            second.lock()
    except TargetError:
        return Finding(1)
    finally:
        first.release()
        second.release()
    return Finding(1, "both write our file")


def a_log_that_lost_its_tail(trial: Trial) -> Finding:
    """A copy from before is put in the place of the log, as a restore does: the chain of it is whole."""
    trial.place.mkdir(parents=True)
    path, store = trial.place / "log.db", _repository(trial)
    with contextlib.closing(EventLog.open(path, now=now, create=True)) as log:
        log.append(_said("before"))
    old = path.read_bytes()
    with contextlib.closing(EventLog.open(path, now=now)) as log, trial.mutated():
        log.append(_said("after"))
        store.anchor(store.head() or "", log.head().seq, log.head().hash, 1)
    path.write_bytes(old)
    with contextlib.closing(EventLog.open(path, now=now)) as log:
        verified = log.verify([Anchor(one.seq, one.hash) for one in store.anchors()])
    return Finding(1, "the loss is not seen" if verified.ok else "")


def a_log_that_was_rewritten(trial: Trial) -> Finding:
    """Somebody with the file in hand changes one event, its hashes with it, and leaves the later ones as they are."""
    trial.place.mkdir(parents=True)
    path = trial.place / "log.db"
    with contextlib.closing(EventLog.open(path, now=now, create=True)) as log:
        log.append([_said("one"), _said("two"), _said("three")])
    with contextlib.closing(sqlite3.connect(path)) as opened:
        for (trigger,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            opened.execute(f"DROP TRIGGER {trigger}")
        row = Row(*opened.execute(f"SELECT {', '.join(Row._fields)} FROM events WHERE seq = 2").fetchone())
        forged = seal(row[:9], b'{"reason":"nothing"}', row.salt or b"", row.prev_hash)
        told = (forged.data, forged.payload_hash, forged.hash)
        opened.execute("UPDATE events SET data = ?, payload_hash = ?, hash = ? WHERE seq = 2", told)
        opened.commit()
    with contextlib.closing(EventLog.open(path, now=now)) as log, trial.mutated():
        verified = log.verify()
    return Finding(1, "the forgery is not seen" if verified.ok else "")


def _tests(name: str, *chosen: str) -> Harness:
    """Tests that are there anyway, in a run of pytest of its own: they fail without the safeguard."""

    def harness(trial: Trial) -> Finding:
        command = [sys.executable, "-m", "pytest", "-p", "tests.durability.taken_out", "--exitfirst", *chosen]
        environment = {**os.environ, "PLANTED": " ".join(trial.mutations), "FORBID_SKIPS": "1"}
        done = subprocess.run(command, cwd=warm.ROOT, env=environment, capture_output=True, text=True, check=False)
        failures = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        assert done.returncode in (0, 1) and bool(failures) == bool(done.returncode), done.stdout + done.stderr
        return Finding(1, "".join(failures))

    harness.__name__ = name
    return harness


_POISON = "tests/reconciler/targets/test_poison.py::test_"
candidates_tried = _tests("candidates_tried", f"{_POISON}a_candidate_that_is_poison_is_found_before_it_is_written")
waiting_along = _tests(
    "waiting_along",
    "tests/stories/test_together.py::test_what_needs_a_part_that_waits_waits_with_it_and_holds_up_no_other",
)
restarts_foreseen = _tests("restarts_foreseen", f"{_POISON}what_a_restart_would_lose_is_named_also_without_poison")
forged_webhooks = _tests("forged_webhooks", "tests/reconciler/gitea/test_gitea_webhook.py")
names_in_commits = _tests(
    "names_in_commits", "tests/stories/test_gitea.py::test_nobody_is_vouched_for_by_a_name_in_a_commit"
)
long_pull_requests = _tests(
    "long_pull_requests", "tests/stories/test_gitea.py::test_what_was_cut_off_in_the_pull_request_nobody_saw"
)
_ACCESS, _PROPOSING = "tests/shards/test_access.py::test_", "tests/shards/test_proposing.py::test_"
_GIT, _BACKUP = "tests/reconciler/git/test_git_", "tests/reconciler/test_backup.py::test_"
_LOGS, _SWITCH = "tests/shards/test_container_states.py::test_", "tests/stories/test_kill_switch.py::test_"
guessed_tokens = _tests(
    "guessed_tokens", "tests/reconciler/test_tokens.py::test_a_token_is_its_secret_and_not_its_name"
)
narrow_tokens = _tests("narrow_tokens", f"{_ACCESS}a_grant_narrows_to_a_shard_or_a_tool")
strange_hosts = _tests(
    "strange_hosts", "tests/shards/test_gateway.py::test_a_strange_host_name_is_turned_away_whatever_it_shows"
)
strange_questions = _tests("strange_questions", "tests/reconciler/gitea/test_gitea_webhook.py")
fast_callers = _tests("fast_callers", "tests/shards/test_limits.py")
audited_arguments = _tests("audited_arguments", "tests/shards/test_audit.py::test_arguments_are_kept_without_secrets")
proposed_secrets = _tests("proposed_secrets", f"{_PROPOSING}a_secret_is_refused_before_the_commit_and_never_repeated")
proposed_templates = _tests("proposed_templates", f"{_PROPOSING}a_template_is_refused")
templates_in_files = _tests(
    "templates_in_files",
    "tests/reconciler/test_document.py::test_go_templates_are_refused_even_in_comments_where_traefik_reads",
)
rendered_templates = _tests("rendered_templates", "tests/reconciler/traefik/test_render.py")
policies_reached_for = _tests("policies_reached_for", f"{_GIT}proposals.py::test_a_tool_may_not_write_there")
policies_rolled_back = _tests("policies_rolled_back", f"{_PROPOSING}a_rollback_leaves_the_policy_as_it_is")
forged_consent = _tests(
    "forged_consent", "tests/state/test_outbox.py::test_what_only_a_person_may_say_no_gateway_gets_into_the_log"
)
words_of_strangers = _tests(
    "words_of_strangers", f"{_LOGS}complaints_of_the_last_hour_are_told_the_newest_and_no_older_ones"
)
forced_pushes = _tests(
    "forced_pushes", f"{_GIT}store.py::test_a_revision_survives_a_forced_push_and_a_garbage_collection"
)
restored_logs = _tests("restored_logs", f"{_BACKUP}a_log_that_was_tampered_with_is_not_good")
restored_tails = _tests("restored_tails", f"{_BACKUP}a_log_that_lost_its_tail_is_not_good")
restored_revisions = _tests("restored_revisions", f"{_BACKUP}a_revision_that_git_forgot_is_not_good")
switched_models = _tests("switched_models", f"{_PROPOSING}read_only_refuses_every_proposal_and_reads_on")
switched_people = _tests(
    "switched_people", f"{_SWITCH}the_switch_of_the_settings_holds_for_every_answer_and_looking_goes_on"
)
switched_passes = _tests(
    "switched_passes", "tests/stories/test_together.py::test_the_kill_switch_stops_a_deploy_that_was_begun"
)
dripping_peers = _tests(
    "dripping_peers",
    "tests/reconciler/test_asking_systems.py::test_whatever_part_of_an_answer_drips_it_is_left_when_its_time_is_over",
    "tests/reconciler/traefik/test_api.py::test_an_answer_that_drips_is_left_when_its_time_is_over",
)

_STATE, _HOME, _HTTP = (
    "tests/state/test_",
    "tests/reconciler/test_home.py::test_",
    "tests/shards/test_gateway.py::test_",
)
_DOCUMENT, _API = "tests/reconciler/test_document.py::test_", "tests/reconciler/traefik/test_api.py::test_"
_ASKING, _DOCS = "tests/reconciler/test_asking_systems.py::test_", "tests/reconciler/documentation/test_"
_GUARDS, _CONDITIONS = "tests/stories/test_guards.py::test_", "tests/reconciler/core/test_guard.py::test_"
_PEOPLE, _ELSEWHERE = "tests/stories/test_gitea.py::test_", "tests/shards/test_elsewhere.py::test_"
_LISTENING, _LYING = (
    "tests/shards/test_announcements.py::test_",
    "tests/shards/misbehaving/test_lies_over_http.py::test_",
)
failing_disks = _tests(
    "failing_disks",
    f"{_STATE}log.py::test_a_log_that_met_a_fault_of_the_disk_takes_nothing_more_though_the_disk_is_well_again",
)
old_sqlites = _tests("old_sqlites", f"{_STATE}database.py::test_a_faulty_sqlite_means_a_rollback_journal_and_a_word")
old_events = _tests("old_events", f"{_STATE}codec.py::test_every_golden_line_is_still_understood")
network_disks = _tests("network_disks", f"{_HOME}whoever_makes_opens_or_restores_a_home_asks_where_it_lies")
unread_backups = _tests("unread_backups", f"{_BACKUP}what_cannot_be_read_back_never_takes_the_place_of_what_was_good")
lost_segments = _tests("lost_segments", f"{_BACKUP}a_segment_that_is_missing_stops_a_backup")
strange_segments = _tests("strange_segments", f"{_BACKUP}a_log_that_names_a_segment_elsewhere_is_not_good")
restored_views = _tests("restored_views", f"{_BACKUP}a_view_that_is_not_what_its_events_say_is_not_good")
overdue_backups = _tests("overdue_backups", f"{_BACKUP}a_home_that_never_had_a_backup_is_alerted_too")
thinned_backups = _tests("thinned_backups", f"{_BACKUP}only_so_many_are_kept_and_others_files_are_left_alone")
forgotten_reads = _tests("forgotten_reads", f"{_BACKUP}what_was_only_looked_at_is_forgotten_after_its_time")
wrong_clocks = _tests(
    "wrong_clocks",
    f"{_BACKUP}a_clock_is_believed_once_it_went_on_like_the_one_that_counts",
    f"{_BACKUP}while_the_clock_is_not_believed_nothing_is_forgotten_or_sealed_for_its_age",
)
answers_of_systems = _tests(
    "answers_of_systems",
    f"{_ASKING}an_answer_without_an_end_is_left",
    f"{_ASKING}an_answer_that_drips_is_left_when_its_time_is_over",
)
answers_of_traefik = _tests(
    "answers_of_traefik",
    f"{_API}a_huge_answer_is_cut_off",
    f"{_API}pages_that_never_end_are_given_up",
)
suspicious_files = _tests(
    "suspicious_files",
    f"{_DOCUMENT}what_could_hide_something_is_refused_with_its_place",
    f"{_DOCUMENT}a_bomb_of_aliases_is_refused_without_expanding_it",
    f"{_DOCUMENT}a_file_too_large_is_not_even_parsed",
)
turns = _tests("turns", "tests/reconciler/core/test_order.py")
small_losses = _tests("small_losses", f"{_GUARDS}hosts_that_go_a_few_at_a_time_add_up")
old_agreements = _tests(
    "old_agreements",
    f"{_STATE}grants.py::test_consent_to_a_head_that_is_a_revision_already_holds_for_one_apply",
)
other_causes = _tests(
    "other_causes", f"{_CONDITIONS}a_yes_is_about_what_causes_the_loss_not_only_about_the_example_that_is_told"
)
open_ways = _tests(
    "open_ways",
    f"{_GUARDS}a_new_open_route_before_one_with_authentication_is_held_and_would_have_opened_it",
    f"{_GUARDS}another_open_way_to_what_asks_who_is_there_is_held",
)
few_approvers = _tests("few_approvers", f"{_PEOPLE}where_the_policy_asks_for_two_one_who_merges_is_not_enough")
approving_accounts = _tests("approving_accounts", f"{_PEOPLE}waypost_itself_is_none_of_those_who_approve")
gifts_of_the_host = _tests("gifts_of_the_host", "tests/reconciler/komodo/test_komodo_consequences.py")
unknown_fields = _tests(
    "unknown_fields",
    "tests/reconciler/komodo/test_komodo_powers.py::test_a_field_that_nobody_here_knows_is_asked_for",
)
orphans = _tests(
    "orphans",
    "tests/reconciler/targets/test_authentik_target.py::test_a_file_that_goes_takes_its_objects_with_it",
)
hand_edits = _tests(
    "hand_edits", "tests/stories/test_the_road.py::test_a_hand_edit_is_reported_once_and_touched_by_nobody"
)
strange_sources = _tests(
    "strange_sources", f"{_DOCS}fetching.py::test_a_redirect_that_leads_out_of_the_sources_is_not_followed"
)
addresses_at_home = _tests(
    "addresses_at_home",
    f"{_DOCS}fetching.py::test_an_official_name_that_resolves_to_a_private_address_is_not_connected_to",
)
other_builds = _tests("other_builds", f"{_DOCS}watching.py::test_what_every_build_changes_is_no_news")
shown_secrets = _tests(
    "shown_secrets", "tests/stories/test_nothing_secret_told.py::test_no_tool_that_reads_tells_a_secret"
)
logged_secrets = _tests("logged_secrets", "tests/shards/test_masking.py::test_a_secret_in_a_line_is_covered")
newest_lines = _tests(
    "newest_lines",
    "tests/shards/test_dozzle_shard.py::test_the_newest_lines_come_in_order_with_output_and_level",
)
long_texts = _tests(
    "long_texts",
    "tests/shards/test_untrusted.py::test_of_a_long_text_the_end_is_kept_and_what_is_left_out_is_told",
)
terminals = _tests(
    "terminals", "tests/stories/test_command_line.py::test_what_others_wrote_is_seen_and_drives_no_terminal"
)
full_disks = _tests("full_disks", f"{_HTTP}no_answer_leaves_when_the_audit_cannot_be_written")
early_answers = _tests("early_answers", f"{_HTTP}every_call_is_audited_before_its_answer")
early_answers_from_elsewhere = _tests(
    "early_answers_from_elsewhere",
    "tests/shards/test_audit.py::test_who_waits_on_the_event_loop_shares_a_flush_too",
)
strange_pages = _tests("strange_pages", f"{_HTTP}a_web_page_from_elsewhere_is_turned_away")
long_answers = _tests("long_answers", "tests/shards/test_limits_over_http.py::test_an_answer_that_is_too_long")
later_tools = _tests(
    "later_tools", f"{_ACCESS}a_tool_that_came_after_a_token_is_closed_to_it_until_it_is_granted_by_name"
)
revoked_tokens = _tests("revoked_tokens", f"{_LISTENING}who_was_let_in_is_asked_for_anew_with_what_they_came_with")
changed_lists = _tests(
    "changed_lists", f"{_LISTENING}who_listens_is_told_as_soon_as_somebody_looks_and_finds_another_list"
)
boasting_shards = _tests("boasting_shards", f"{_ELSEWHERE}what_it_says_about_itself_counts_for_nothing")
flooding_shards = _tests("flooding_shards", f"{_LYING}a_lie_is_a_refusal_and_nobody_else_notices[flood]")
tricky_shards = _tests("tricky_shards", f"{_LYING}what_is_told_without_our_kit_loses_its_tricks_as_well")
failing_shards = _tests(
    "failing_shards",
    f"{_ELSEWHERE}one_that_fails_call_after_call_is_left_in_peace_for_a_while_however_well_its_checks_go",
)
wider_networks = _tests("wider_networks", "tests/test_compose.py::test_of_ours_only_the_reconciler_reaches_what_writes")


def _repository(trial: Trial) -> Store:
    trial.server.do(Work(f"{WORKLOADS}repository", (str(trial.place),)))
    return Store.open(trial.place / "desired.git")


def _said(reason: str) -> Entry:
    return Entry(stream="home", event=PassFailed(reason=reason))


# ── the table ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Mutant:
    """A safeguard, what takes it out (names in mutations.py), and who has to notice."""

    safeguard: str
    mutations: tuple[str, ...]
    harness: Harness


TABLE = (
    Mutant("every commit of the log is flushed (synchronous=NORMAL)", ("synchronous_normal",), power_loss_of_the_log),
    Mutant("anything of the log is flushed (synchronous=OFF)", ("synchronous_off",), power_loss_of_the_log),
    Mutant("the directory of a rollback journal is flushed", ("journal_directory_not_flushed",), power_loss_of_the_log),
    Mutant("an outbox is durable before its answer", ("outbox_answers_before_it_is_durable",), power_loss_of_the_log),
    Mutant("a transaction takes the write lock at once", ("deferred_transactions",), two_writers_of_one_log),
    Mutant("an append says what it knows of", ("versions_are_not_compared",), somebody_who_knows_less_than_the_log),
    Mutant("an event's hash covers the one before", ("links_are_not_checked",), a_log_that_was_rewritten),
    Mutant("the directory of segments is flushed", ("segment_directory_not_flushed",), power_loss_of_sealed_events),
    Mutant("a segment is flushed before rows go", ("segment_not_flushed",), power_loss_of_sealed_events),
    Mutant("the name of a good backup is flushed", ("backup_name_not_flushed",), power_loss_after_a_backup),
    Mutant("a backup is flushed before it is good", ("backup_not_flushed",), power_loss_after_a_backup),
    Mutant("our file is flushed", ("file_not_flushed",), states_of_our_file),
    Mutant("its directory is flushed", ("directory_not_flushed",), states_of_our_file),
    Mutant("one plan is one file", ("one_file_a_route",), states_of_our_file),
    Mutant("our file is renamed into its place", ("written_in_place",), states_of_our_file),
    Mutant("it is staged where Traefik does not read", ("staged_where_traefik_reads",), states_of_our_file),
    Mutant("what stood there is kept before a write", ("nothing_kept_for_undo",), states_of_our_file),
    Mutant("Git's objects and references are flushed", ("objects_not_flushed",), power_loss_of_git),
    Mutant("the names of Git's new directories are flushed", ("new_directories_not_flushed",), power_loss_of_git),
    Mutant("stale Git locks are swept", ("stale_locks_stay",), kills_in_git),
    Mutant("a repository is made beside and renamed", ("a_repository_is_made_in_its_place",), kills_of_a_start),
    Mutant("one reconciler in a home", ("nobody_holds_a_lock",), a_second_process_in_a_home),
    Mutant("one reconciler in a target's directory", ("nobody_holds_a_lock",), a_second_home_in_a_directory),
    Mutant("one writer of our file", ("no_write_lock",), a_second_writer_of_our_file),
    Mutant("the log's head is anchored in Git", ("no_anchor",), a_log_that_lost_its_tail),
    Mutant("a candidate is tried in a throw-away Traefik", ("no_throw_away_traefik",), candidates_tried),
    Mutant("what runs is compared with a fresh start", ("restarts_are_not_compared",), restarts_foreseen),
    Mutant("what needs a part that waits waits too", ("nothing_waits_along",), waiting_along),
    Mutant("a webhook is signed", ("any_webhook_counts",), forged_webhooks),
    Mutant("approvers are vouched for", ("everybody_is_vouched_for",), names_in_commits),
    Mutant("what was cut off in Gitea was not read", ("what_was_cut_off_was_read",), long_pull_requests),
    Mutant("a token is its secret", ("secrets_of_tokens_are_not_compared",), guessed_tokens),
    Mutant("grants narrow what a token opens", ("grants_narrow_nothing",), narrow_tokens),
    Mutant("the gateway answers to its own names", ("any_host_at_the_gateway",), strange_hosts),
    Mutant("so does the reconciler", ("any_host_at_the_reconciler",), strange_questions),
    Mutant("a client calls only so often", ("calls_are_not_counted",), fast_callers),
    Mutant("no secret of an argument is kept", ("arguments_are_kept_as_they_come",), audited_arguments),
    Mutant("secrets are looked for before the commit", ("no_scan_before_the_commit",), proposed_secrets),
    Mutant("no template is taken in", ("templates_are_text",), templates_in_files),
    Mutant(
        "no template is proposed", ("templates_are_text", "templates_are_written_into_files"), proposed_templates
    ),
    Mutant("no template is written", ("braces_are_rendered_as_they_come",), rendered_templates),
    Mutant("no tool writes the policy", ("the_policy_is_a_file_like_others",), policies_reached_for),
    Mutant("no rollback of a tool does either", ("a_rollback_takes_the_policy_along",), policies_rolled_back),
    Mutant("an outbox says only what its writer may", ("an_outbox_may_say_anything",), forged_consent),
    Mutant("what others wrote is marked as such", ("what_others_wrote_is_not_marked",), words_of_strangers),
    Mutant("Git keeps every revision", ("revisions_are_not_kept",), forced_pushes),
    Mutant("a restored log is verified", ("a_restored_log_is_not_read",), restored_logs),
    Mutant("and held against its anchors", ("a_restored_log_is_not_read",), restored_tails),
    Mutant("a restored repository has the revisions", ("restored_revisions_are_not_looked_for",), restored_revisions),
    Mutant("read-only holds for models", ("the_switch_is_off_for_models",), switched_models),
    Mutant("read-only holds for people", ("the_switch_is_off_for_the_reconciler",), switched_people),
    Mutant("read-only holds for passes", ("the_switch_is_off_for_the_reconciler",), switched_passes),
    Mutant("an exchange is over in time", ("an_exchange_has_no_end",), dripping_peers),
    Mutant("a log that met a fault of the disk is over", ("a_failed_flush_is_tried_again",), failing_disks),
    Mutant("a faulty SQLite has a rollback journal", ("every_sqlite_keeps_a_write_ahead_log",), old_sqlites),
    Mutant("old events are read", ("events_are_read_only_as_they_are_written_now",), old_events),
    Mutant("no home is on a network disk", ("a_home_may_be_anywhere",), network_disks),
    Mutant("a backup is read back before it counts", ("a_backup_is_good_unread",), unread_backups),
    Mutant("a backup has all segments", ("a_segment_that_is_gone_is_left_out_of_a_backup",), lost_segments),
    Mutant("a restored segment is one of the log's own", ("a_segment_may_be_called_anything",), strange_segments),
    Mutant("a restored view is folded anew", ("restored_views_are_not_folded",), restored_views),
    Mutant("an overdue backup is told", ("nobody_hears_that_no_backup_is_made",), overdue_backups),
    Mutant("old backups go", ("every_backup_is_kept",), thinned_backups),
    Mutant("reads are forgotten after their time", ("reads_are_kept_for_ever",), forgotten_reads),
    Mutant("a clock that jumped is not believed", ("the_clock_is_always_right",), wrong_clocks),
    Mutant("nothing goes for its age by such a clock", ("what_is_old_goes_by_whatever_clock",), wrong_clocks),
    Mutant("an answer of a system has bounds", ("as_much_as_came_is_all",), answers_of_systems),
    Mutant("an answer of Traefik's API has a size", ("traefik_answers_as_much_as_it_likes",), answers_of_traefik),
    Mutant("an answer of Traefik's API has a last page", ("the_pages_that_were_read_are_all",), answers_of_traefik),
    Mutant("no alias is followed", ("aliases_are_followed",), suspicious_files),
    Mutant("others' aliases expand to so much only", ("aliases_may_expand_to_anything",), suspicious_files),
    Mutant("no key stands twice", ("the_last_of_two_keys_counts",), suspicious_files),
    Mutant("a file has a largest size", ("files_of_any_size_are_read",), suspicious_files),
    Mutant("what others need comes first", ("all_has_its_turn_at_once",), turns),
    Mutant("what goes, goes last", ("what_goes_has_the_turn_of_what_comes",), turns),
    Mutant("small losses of a day add up", ("small_losses_do_not_add_up",), small_losses),
    Mutant("an agreement ends with its commit", ("an_agreement_is_never_used_up",), old_agreements),
    Mutant("a yes covers what causes a loss", ("a_yes_is_to_the_words_of_a_loss",), other_causes),
    Mutant("what opens is a loss", ("what_opens_is_no_loss",), open_ways),
    Mutant("another open way is a loss", ("other_ways_to_a_service_are_not_looked_for",), open_ways),
    Mutant("as many say yes as the policy asks for", ("one_yes_is_enough",), few_approvers),
    Mutant("our own account is no person", ("our_own_account_is_a_person",), approving_accounts),
    Mutant("a stack gets of its host what is agreed to", ("compose_files_may_give_all",), gifts_of_the_host),
    Mutant("what nobody here knows is agreed to", ("a_field_that_nobody_knows_gives_nothing",), unknown_fields),
    Mutant("what leaves a blueprint is taken away", ("what_leaves_a_blueprint_is_forgotten",), orphans),
    Mutant("drift is told by paths", ("what_drifted_is_told_with_its_values",), hand_edits),
    Mutant("documentation is official", ("anybody_publishes_documentation",), strange_sources),
    Mutant("documentation is outside this house", ("documentation_may_be_at_home",), addresses_at_home),
    Mutant("another build of the same words is no news", ("the_same_words_anew_are_news",), other_builds),
    Mutant("secrets that Traefik shows are covered", ("nothing_is_a_secret",), shown_secrets),
    Mutant("secrets in logs are covered", ("lines_of_logs_are_shown_as_they_are",), logged_secrets),
    Mutant("what is left out of a log is told", ("what_is_left_out_is_not_told",), newest_lines),
    Mutant("what others wrote has no tricks", ("text_of_others_keeps_its_tricks",), tricky_shards),
    Mutant("what others wrote has an end", ("text_of_others_has_no_end",), long_texts),
    Mutant("what others wrote drives no terminal", ("a_terminal_obeys_what_others_wrote",), terminals),
    Mutant("no answer without an audit", ("an_answer_needs_no_audit",), full_disks),
    Mutant("the audit comes before the answer", ("calls_are_recorded_after_their_answers",), early_answers),
    Mutant(
        "the audit comes before an answer from elsewhere",
        ("calls_elsewhere_are_recorded_after_their_answers",),
        early_answers_from_elsewhere,
    ),
    Mutant("no page of others calls the gateway", ("any_page_at_the_gateway",), strange_pages),
    Mutant("a client proposes only so often", ("proposals_are_not_counted",), fast_callers),
    Mutant("a client has so many calls at once", ("any_number_of_calls_at_once",), fast_callers),
    Mutant("an answer has a largest length", ("answers_of_any_length",), long_answers),
    Mutant("a later tool is closed to a token", ("later_tools_are_open",), later_tools),
    Mutant("whose token is revoked hears no more", ("who_was_let_in_stays",), revoked_tokens),
    Mutant("a client hears of new tools", ("nobody_is_told_of_new_tools",), changed_lists),
    Mutant("what a shard claims counts for nothing", ("a_shard_is_taken_at_its_word",), boasting_shards),
    Mutant("what a shard answers is bounded", ("a_shard_may_answer_anything",), flooding_shards),
    Mutant("what a shard answers is clean", ("a_shard_may_answer_anything",), tricky_shards),
    Mutant("a shard that fails is left in peace", ("a_failing_shard_is_called_on_and_on",), failing_shards),
    Mutant("no way from the gateway to what writes", ("the_gateway_is_beside_what_writes",), wider_networks),
)  # fmt: skip


def hunt(mutant: Mutant, server: Server, place: Path, *, mutated: bool = True) -> Finding:
    """What the harness finds with the safeguard taken out; or of the product as it is."""
    names = tuple(MUTATIONS + name for name in mutant.mutations) if mutated else ()
    shutil.rmtree(place, ignore_errors=True)
    return mutant.harness(Trial(server, place, names))


def main(words: Sequence[str]) -> int:
    """All of them, or those of whose safeguard one of these words is said."""
    table = [one for one in TABLE if not words or any(word in one.safeguard for word in words)]
    simulated = [one for one in weaknesses.WEAKNESSES if not words or any(word in one.name for word in words)]
    survived = 0
    with trials.in_memory() as directory, warm.warm(directory / "warm", LOAD) as server:
        content: dict[Harness, Finding] = {}
        for mutant in table:
            started, place = time.monotonic(), directory / "place"
            if mutant.harness not in content:
                content[mutant.harness] = hunt(mutant, server, place, mutated=False)
            sound, found = content[mutant.harness], hunt(mutant, server, place)
            survived += _tell(mutant.safeguard, _words(mutant.harness.__name__), found, started, sound.caught)
    for weakness in simulated:
        started = time.monotonic()
        after, violation = weaknesses.caught(weakness)
        sound = weaknesses.sound(weakness, after) if after else ""
        survived += _tell(weakness.name, "simulation", Finding(after, violation), started, sound)
    print(f"{len(table) + len(simulated)} mutants, {survived} survived")
    return 1 if survived else 0


def _tell(safeguard: str, harness: str, found: Finding, started: float, discontent: str = "") -> bool:
    """A line about one mutant; whether it survived. A harness that is never content proves nothing."""
    survived = bool(discontent) or not found.caught
    verdict = "NO PROOF" if discontent else f"SURVIVED {found.after}" if survived else f"caught after {found.after}"
    reason = f"finds fault with the product itself: {discontent}" if discontent else found.caught
    seconds = time.monotonic() - started
    print(f"{safeguard:<48}  {harness:<28}  {verdict:<18}  {seconds:5.1f} s  {reason[:100]}", flush=True)
    return survived


def _words(name: str) -> str:
    return name.replace("_", " ")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
