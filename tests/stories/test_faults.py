"""Every fault of what Waypost stands on, and the test that brings it about on the real loop beside a real Traefik.

Each of them asserts two things: requests to that Traefik are answered as the last good state says, and what is wrong
is said in words: by the pass, in an event, as an alert, or by `waypost doctor`.

| fault | test |
|---|---|
| the disk of the home is full, and the log's too | test_faults_of_disks::test_a_home_whose_disk_is_full_changes_nothing_says_so_and_goes_on_once_there_is_room |
| the live directory is full, or read-only | test_faults_of_disks::test_a_live_directory_that_is_full_or_read_only_serves_on_and_is_told_once |
| the live directory has no room for the whole file | test_hard_days::test_a_disk_too_full_for_the_whole_file_is_told_once |
| the live directory may not be written at all | test_hard_days::test_a_directory_that_cannot_be_written_at_all_is_told_with_its_reason_once |
| the home is read-only | test_faults_of_disks::test_a_home_that_is_read_only_changes_nothing_and_says_so |
| every flush fails | test_faults_of_disks::test_a_pass_whose_disk_cannot_flush_says_so_and_the_next_one_makes_good |
| any one flush of a pass fails (soak) | test_faults_of_disks::test_whichever_flush_of_a_pass_fails_the_next_pass_makes_good |
| the file stands there, its name is not flushed | test_faults_of_disks::test_a_write_whose_name_the_disk_fails_to_keep_is_served_and_proven_only_once_it_is_kept |
| Traefik's API is down, or answers nonsense | test_faults_of_traefik::test_whatever_answers_instead_of_traefik_what_was_applied_is_served_on_and_the_answer_is_told |
| the API takes calls and never answers | test_faults_of_traefik::test_a_traefik_that_takes_calls_and_never_answers_holds_a_pass_up_for_two_time_outs_only |
| the API fails in the middle of a proof | test_faults_of_traefik::test_a_witness_that_fails_in_the_middle_of_a_proof_undoes_nothing_and_is_waited_for |
| the Git remote is gone | test_remote::test_a_repo_that_is_gone_leaves_everything_live_and_is_told_once_and_comes_back |
| the Git remote is damaged, or empty | test_faults_of_git::test_a_repo_that_is_no_good_any_more_leaves_everything_live_and_is_taken_up_again |
| the Git remote was rewritten | test_faults_of_git::test_another_past_is_held_until_a_person_agrees_and_what_was_applied_is_served_on |
| the clock steps back, and forth | test_faults_of_time::test_a_clock_that_jumps_back_and_forth_loses_no_event_and_holds_nothing_up |
| Traefik hears of no change (NFS) | test_faults_of_time::test_a_traefik_that_hears_of_no_change_is_explained_and_nothing_is_quarantined |
| we hear of no change (NFS) | test_faults_of_time::test_where_no_notice_of_changes_arrives_the_schedule_finds_them_all_the_same |
"""  # noqa: E501 - a table

from __future__ import annotations

import re
from pathlib import Path


def test_the_table_names_tests_that_there_are() -> None:
    named = re.findall(r"\| (\w+)::(\w+) \|", __doc__ or "")
    assert len(named) == (__doc__ or "").count("\n| ") - 1
    for file, test in named:
        assert f"def {test}(" in Path(__file__).with_name(f"{file}.py").read_text(), test
