"""A desired repo, and somebody who has cloned it."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.git.store import Store
from tests.reconciler.git.persons import Person, clone, desired


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return desired(tmp_path / "desired.git")


@pytest.fixture
def ada(tmp_path: Path, store: Store) -> Person:
    return clone(store, tmp_path / "people" / "ada", "Ada")


@pytest.fixture
def mirror(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "mirror.git")
