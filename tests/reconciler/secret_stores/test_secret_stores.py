"""One way to every secret: env, file, SOPS, Vault; read when it is used, remembered for a moment, told to nobody."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.secret_stores import REMEMBERED, SecretError, SecretStore, Vault, sops
from reconciler.secret_stores import vault as vaults
from reconciler.setting import REFERENCE, ConfigError, Secret, SecretAway, resolving, secrets_in
from tests import dripping
from tests.reconciler.secret_stores.vault import FakeVault, serving

SECRET = "cAnArY-of-the-store"


@dataclass
class Ticks:
    passed: float = 0.0

    def __call__(self) -> float:
        return self.passed


@pytest.fixture
def encrypted(tmp_path: Path) -> Path:
    """A file as SOPS would have written it; the stub beside it knows what is in it."""
    path = tmp_path / "secrets.yaml"
    path.write_text("token: ENC[AES256_GCM,data:w==,type:str]\n")
    return path


def program(directory: Path, lines: str) -> dict[str, str]:
    """An environment whose `sops` does this: `path` and `key` are what it is asked for."""
    stub = directory / "bin" / "sops"
    stub.parent.mkdir(exist_ok=True)
    stub.write_text(
        f"#!{sys.executable}\nimport os, sys, time\n"
        "assert sys.argv[1:3] == ['--decrypt', '--extract'] and len(sys.argv) == 5\n"
        f"key, path = sys.argv[3:]\n{lines}\n"
    )
    stub.chmod(0o755)
    return {"PATH": str(stub.parent), "HOME": str(directory)}


# ── SOPS ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_value_of_an_encrypted_file_is_read(tmp_path: Path, encrypted: Path) -> None:
    environ = program(tmp_path, f"assert key == '[\"alerts\"][0][\"token\"]', key\nprint('{SECRET}')")
    assert SecretStore(environ).get(f"sops:{encrypted}#alerts.0.token") == SECRET


@pytest.mark.parametrize(
    "does, said",
    [
        ("sys.exit(128)", "none of its keys is here"),
        ("sys.exit(91)", "it holds no such key"),
        ("sys.exit(51)", "changed without sops"),
        (f"print('{SECRET}', file=sys.stderr); sys.exit(1)", "ends with status 1"),
        (f"print('{SECRET}'); sys.exit(1)", "ends with status 1"),
        ("print()", "which is empty"),
        ("sys.stdout.buffer.write(b'\\xff\\xfe')", "not UTF-8"),
        (f"[os.write(1, b'{SECRET}' * 100) for _ in range(1000)]; time.sleep(60)", "larger than 64 KiB"),
    ],
)
def test_whatever_goes_wrong_is_said_without_what_it_printed(
    tmp_path: Path, encrypted: Path, does: str, said: str
) -> None:
    with pytest.raises(SecretError, match=said) as fault:
        SecretStore(program(tmp_path, does)).get(f"sops:{encrypted}#token")
    assert SECRET not in str(fault.value) and str(encrypted) in str(fault.value)


def test_one_that_does_not_end_is_ended(tmp_path: Path, encrypted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sops, "PATIENCE", 0.2)
    with pytest.raises(SecretError, match="does not end"):
        SecretStore(program(tmp_path, "os.spawnl(os.P_WAIT, '/bin/sleep', 'sleep', '60')")).get(
            f"sops:{encrypted}#token"
        )


def test_without_the_program_it_is_said_what_to_install(tmp_path: Path, encrypted: Path) -> None:
    with pytest.raises(SecretError, match="no program `sops` on PATH"):
        SecretStore({"PATH": str(tmp_path)}).get(f"sops:{encrypted}#token")


# ── Vault ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def vault() -> Iterator[FakeVault]:
    with serving(FakeVault({"house/alerts/ntfy": {"token": SECRET, "number": 7}}, token="right")) as fake:
        yield fake


def store(vault: FakeVault, ticks: Ticks | None = None, token: str = "right") -> SecretStore:
    return SecretStore({}, Vault(vault.url, lambda: token, namespace="lab"), ticks or Ticks())


def test_a_value_is_read_with_the_token_and_in_the_namespace(vault: FakeVault) -> None:
    assert store(vault).get("vault:house/alerts/ntfy#token") == SECRET
    assert vault.asked == ["/v1/house/data/alerts/ntfy"] and vault.namespaces == ["lab"]


@pytest.mark.parametrize(
    "reference, said",
    [
        ("vault:house/alerts/none#token", "has nothing there"),
        ("vault:house/alerts/ntfy#other", "no text under that key"),
        ("vault:house/alerts/ntfy#number", "no text under that key"),
        ("vault:house/../sys/seal#x", "is no reference"),
        ("vault:house#token", "is no reference"),
    ],
)
def test_what_is_not_there_is_said(vault: FakeVault, reference: str, said: str) -> None:
    with pytest.raises(SecretError, match=said):
        store(vault).get(reference)


def test_a_token_that_is_refused_is_said_without_it(vault: FakeVault) -> None:
    with pytest.raises(SecretError, match="refuses that token") as fault:
        store(vault, token="wrong-token").get("vault:house/alerts/ntfy#token")
    assert "wrong-token" not in str(fault.value)


def test_without_an_address_the_settings_are_named() -> None:
    with pytest.raises(SecretError, match="WAYPOST_VAULT_URL"):
        SecretStore({}).get("vault:house/alerts/ntfy#token")


def test_a_secret_that_was_rotated_counts_after_a_moment(vault: FakeVault) -> None:
    ticks = Ticks()
    one = store(vault, ticks)
    assert one.get("vault:house/alerts/ntfy#token") == SECRET
    vault.secrets["house/alerts/ntfy"] = {"token": "rotated"}
    ticks.passed = REMEMBERED - 1
    assert one.get("vault:house/alerts/ntfy#token") == SECRET and len(vault.asked) == 1
    ticks.passed = REMEMBERED + 1
    assert one.get("vault:house/alerts/ntfy#token") == "rotated"


def test_an_outage_of_an_hour_is_bridged_and_a_refusal_is_not(vault: FakeVault) -> None:
    ticks = Ticks()
    one = store(vault, ticks)
    one.get("vault:house/alerts/ntfy#token")
    vault.status, ticks.passed = 503, 3000
    assert one.get("vault:house/alerts/ntfy#token") == SECRET
    asked = len(vault.asked)
    ticks.passed += 1
    assert one.get("vault:house/alerts/ntfy#token") == SECRET and len(vault.asked) == asked
    ticks.passed = 4000
    with pytest.raises(SecretError, match="sealed") as fault:
        one.get("vault:house/alerts/ntfy#token")
    assert fault.value.retry
    vault.status, ticks.passed = 403, 5000
    with pytest.raises(SecretError, match="refuses"):
        one.get("vault:house/alerts/ntfy#token")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data": 1}', b'{"data": {"data": null}}', b"x" * (2 << 20)])
def test_another_server_in_its_place_is_no_crash(vault: FakeVault, body: bytes) -> None:
    vault.body = body
    with pytest.raises(SecretError):
        store(vault).get("vault:house/alerts/ntfy#token")


# ── one interface ────────────────────────────────────────────────────────────────────────────────


def test_every_kind_of_reference_is_one_setting(tmp_path: Path, encrypted: Path, vault: FakeVault) -> None:
    (tmp_path / "kept").write_text(f"{SECRET}\n")
    environ = {**program(tmp_path, f"print('{SECRET}')"), "KEPT": SECRET}
    one = SecretStore(environ, Vault(vault.url, lambda: "right"))
    for text in ("env:KEPT", f"file:{tmp_path}/kept", f"sops:{encrypted}#a.b", "vault:house/alerts/ntfy#token"):
        secret = resolving(REFERENCE.parse(text), one)
        assert secret.reveal() == SECRET and SECRET not in repr(secret) and SECRET not in repr(one)


@pytest.mark.parametrize("text", [SECRET, "sops:relative.yaml#a", "sops:/a.yaml", "vault:a#b", "vault:a/b", "exec:ls"])
def test_anything_else_is_no_reference(text: str) -> None:
    with pytest.raises(ValueError):
        REFERENCE.parse(text)


def test_who_is_only_away_is_told_from_who_says_no(vault: FakeVault) -> None:
    secret = resolving(Secret("vault:house/alerts/ntfy#token", "WAYPOST_GIT_TOKEN"), store(vault))
    vault.status = 500
    with pytest.raises(SecretAway, match="WAYPOST_GIT_TOKEN refers to vault:"):
        secret.reveal()
    vault.status = 404
    other = resolving(Secret("vault:house/alerts/other#token", "WAYPOST_GIT_TOKEN"), store(vault))
    with pytest.raises(ConfigError) as fault:
        other.reveal()
    assert not isinstance(fault.value, SecretAway)


def test_another_environment_changes_nothing_of_where_the_vault_is(vault: FakeVault) -> None:
    secret = resolving(Secret("vault:house/alerts/ntfy#token", "WAYPOST_GIT_TOKEN"), store(vault))
    assert secret.reveal({"KEPT": "x"}) == SECRET


def test_every_secret_of_a_value_is_found() -> None:
    nested = (Secret("env:A"), {"key": Secret("env:B")}, "text", None)
    assert [one.reference for one in secrets_in(nested)] == ["env:A", "env:B"]


def test_a_file_that_is_rewritten_counts_at_once(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("first")
    one = SecretStore(os.environ)
    assert one.get(f"file:{tmp_path}/kept") == "first"
    (tmp_path / "kept").write_text("second")
    assert one.get(f"file:{tmp_path}/kept") == "second"


@pytest.mark.parametrize("begin", dripping.PARTS.values(), ids=dripping.PARTS)
def test_one_that_answers_letter_by_letter_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, begin: bytes) -> None:
    monkeypatch.setattr(vaults, "_PATIENCE", 0.2)
    with dripping.dripping(begin) as peer, pytest.raises(SecretError, match="too slowly") as fault:
        SecretStore({}, Vault(peer.url, lambda: "right")).get("vault:kv/waypost#token")
    assert (fault.value.retry, peer.outlasted) == (True, 0)
