"""Who commits: any text becomes an identity that Git can store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.git.commits import Identity
from tests.reconciler.git.persons import AT


@pytest.mark.parametrize(
    ("text", "name", "email"),
    [
        ("Ada <ada@example.org>", "Ada", "ada@example.org"),
        ("ada", "ada", "ada@localhost"),
        ("", "unknown", "unknown@localhost"),
        ("<>", "unknown", "unknown@localhost"),
        ("... <.>", "unknown", "unknown@localhost"),
        ("Ada\nLove <a\n@b> x", "Ada Love", "a@bx"),
        ("Ünï Cödé", "Ünï Cödé", "n-C-d@localhost"),
    ],
)
def test_an_identity_is_read_from_any_text(text: str, name: str, email: str) -> None:
    read = Identity.parse(text)
    assert (read.name, read.email) == (name, email)


@given(st.text(max_size=40) | st.text("<>.,:;\"'\\ \n\0\x7f\ud800a", max_size=12))
def test_every_identity_can_be_stored_and_read_back(text: str) -> None:
    read = Identity.parse(text)
    signature = read.signed(AT)
    assert (signature.name, signature.email) == (read.name, read.email)
    assert Identity.parse(str(read)) == read
