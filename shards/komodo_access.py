"""The gateway's way to look at every Komodo: with keys that may only read, and failures as refusals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from reconciler.komodo.reading import Reader
from reconciler.komodo.wire import KomodoError, Wire
from reconciler.setting import Secret
from shards import untrusted
from shards.kit import Refused
from shards.komodo_at import KomodoAt
from shards.resting import Resting

_Answer = TypeVar("_Answer")


class Looking:
    """Asks one Komodo. Safe to use from several threads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def close(self) -> None:
        self._reader.close()

    def ask(self, question: Callable[[Reader], _Answer]) -> _Answer:
        """The answer. Raises Refused where there is none."""
        try:
            return question(self._reader)
        except KomodoError as fault:
            code = "unknown-stack" if fault.missing else "komodo-away"
            raise Refused(code, untrusted.short(f"{fault}.", 500), retry=fault.retry and not fault.missing) from fault


class Komodos:
    """Every Komodo that the gateway may look at, by instance. Safe to use from several threads."""

    def __init__(self, places: Sequence[KomodoAt], ca_file: Path | None = None) -> None:
        self.looking = {
            at.instance: Looking(Reader(_wire(at, at.key, at.secret, ca_file))) for at in places if at.key and at.secret
        }

    def close(self) -> None:
        for one in self.looking.values():
            one.close()

    def of(self, instance: str) -> Looking:
        """Raises Refused for one that may not be looked at, with what a person does about it."""
        if found := self.looking.get(instance):
            return found
        others = f"; it looks at: {', '.join(self.looking)}" if self.looking else ""
        raise Refused(
            "not-configured",
            f"The gateway may not look at the Komodo '{instance}': a person sets {_what_looks(instance)}, of a Komodo "
            f"user that may only read{others}. Proposals are possible without.",
        )

    def version(self, instance: str) -> str:
        """Which Komodo an instance is; "" where it does not say."""
        try:
            return self.of(instance).ask(Reader.version)
        except Refused:
            return ""


def _wire(at: KomodoAt, key: Secret, secret: Secret, ca_file: Path | None) -> Wire:
    return Wire(at.url, key, secret, ca_file=ca_file, only_reads=True, ask_with=Resting)


def _what_looks(instance: str) -> str:
    if instance == "komodo":
        return "WAYPOST_KOMODO_URL, WAYPOST_KOMODO_READ_KEY and WAYPOST_KOMODO_READ_SECRET"
    return f"url, read_key and read_secret of [{instance}] in targets.toml"
