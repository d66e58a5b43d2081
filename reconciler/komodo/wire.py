"""How one speaks with Komodo: JSON over POST, bounded, without redirects; every failure in plain words.

What answers is not trusted: sizes are bounded, shapes are checked where they are read (`reading`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import orjson

from reconciler.asking import AskError, Asking, Question
from reconciler.core.target import TargetError
from reconciler.setting import ConfigError

_MOST_BYTES: Final = 16 << 20
_PATIENCE, _STEP = 60.0, 15.0  # seconds for a whole answer, and without a byte of it


_UNKNOWN: Final = re.compile(
    r"did not find any (?:stack|update)\b|no update (?:exists|found)|\b(?:stack|update)\b.{0,80} not found", re.I
)
"""What Komodo itself says of something that it does not know. The status says nothing: a proxy has its own 404."""


class Secret(Protocol):
    """A credential that is asked for with every call, so that a rotated one counts."""

    def reveal(self) -> str: ...


class KomodoError(TargetError):
    """Komodo did not do what was asked; the message says what to do. `missing`: it knows no such thing."""

    def __init__(self, message: str, *, retry: bool = True, remedy: str = "", missing: bool = False) -> None:
        super().__init__(message, retry=retry, remedy=remedy)
        self.missing = missing


class Wire:
    """One Komodo Core. Key and secret are sent to this address only; `only_reads` refuses whatever changes anything."""

    def __init__(
        self,
        url: str,
        key: Secret,
        secret: Secret,
        *,
        ca_file: Path | None = None,
        only_reads: bool = False,
        ask_with: type[Asking] = Asking,
    ) -> None:
        self.url = url.rstrip("/")
        self._key, self._secret = key, secret
        self._only_reads = only_reads
        try:
            self._asking = ask_with("Komodo", self.url, ca_file)
        except AskError as error:
            raise KomodoError(str(error), retry=False) from None

    def close(self) -> None:
        self._asking.close()

    def version(self) -> str:
        """Which Komodo this is; it tells everybody."""
        status, body = self._asked("GET", "/version", None)
        text = body.decode("utf-8", "replace").strip()
        if status != 200 or not text or len(text) > 40 or not text[0].isdigit():
            raise KomodoError(f"{self.url} does not answer as Komodo does (status {status}); see WAYPOST_KOMODO_URL")
        return text

    def call(self, group: Literal["read", "write", "execute"], request: str, params: Mapping[str, Any]) -> Any:
        """What Komodo answers to a request, as JSON. Raises KomodoError."""
        if self._only_reads and group != "read":
            raise KomodoError(f"{request} would change something, and only looking is allowed here", retry=False)
        status, body = self._asked("POST", f"/{group}/{request}", params)
        if status != 200:
            raise self._refusal(request, status, body)
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            raise KomodoError(f"{self.url} answers {request} with no JSON; see WAYPOST_KOMODO_URL") from None

    def _asked(self, method: str, path: str, params: Mapping[str, Any] | None) -> tuple[int, bytes]:
        question = Question(method=method, path=path, largest=_MOST_BYTES, seconds=_PATIENCE, step=_STEP)
        if params is not None:
            headers = {"Content-Type": "application/json", **self._credentials()}
            question = replace(question, content=orjson.dumps(params), headers=headers)
        try:
            reply = self._asking.ask(question)
        except AskError as error:
            raise KomodoError(f"{error}; see WAYPOST_KOMODO_URL", retry=error.retry) from None
        return reply.status, reply.body

    def _credentials(self) -> dict[str, str]:
        try:
            return {"X-Api-Key": self._key.reveal(), "X-Api-Secret": self._secret.reveal()}
        except ConfigError as fault:
            raise KomodoError(f"the key for Komodo cannot be read: {fault}") from None

    def _refusal(self, request: str, status: int, body: bytes) -> KomodoError:
        said = _said(body)
        if status in (401, 403):
            return KomodoError(
                f"Komodo at {self.url} refuses {request} (status {status}){said}: the key must be known and its user "
                "have the right to it; see WAYPOST_KOMODO_KEY and WAYPOST_KOMODO_SECRET",
                retry=False,
            )
        message = f"Komodo at {self.url} answers {request} with status {status}{said}"
        return KomodoError(message, retry=status == 404 or status >= 429, missing=bool(_UNKNOWN.search(said)))


def _said(body: bytes) -> str:
    """What Komodo says of it, on one line and short; "" where it says nothing readable."""
    try:
        message = orjson.loads(body).get("error", "")
    except (orjson.JSONDecodeError, AttributeError):
        return ""
    return f": {' '.join(str(message).split())[:200]}" if message else ""
