"""Asking a repository the same thing for a year holds on to nothing."""

from __future__ import annotations

import gc
import tracemalloc
from datetime import UTC, datetime

from reconciler.git.store import WAYPOST, Store


def test_names_of_references_that_are_asked_for_again_and_again_are_not_kept_each_time(tmp_path):
    store = Store.create(tmp_path / "desired.git")
    who = WAYPOST.signed(datetime(2026, 11, 20, tzinfo=UTC))
    tree = str(store.repository.TreeBuilder().write())
    store.move(
        "refs/heads/main",
        store.write_commit(tree=tree, parents=(), author=who, committer=who, text="Begin\n"),
        was=None,
    )
    store.references("refs/")
    gc.collect()
    tracemalloc.start()
    for _ in range(1_000):
        store.references("refs/")
        store.branches("proposals/none")
    gc.collect()
    ours = tracemalloc.Filter(True, "*/reconciler/git/*")  # other threads of this process hold what they like
    held = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([ours]).traces)
    tracemalloc.stop()
    assert held < 20_000, "a name of a reference takes some 70 bytes"
