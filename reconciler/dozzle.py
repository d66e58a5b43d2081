"""The way into one Dozzle: where it is, which version, and a token that is fetched anew when it has ended."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

from reconciler.asking import LARGEST, AskError, Asking, Query, Question, Reply, Stream
from reconciler.setting import ConfigError, Secret

Version = tuple[int, int, int]

NEWEST: Final[Version] = (9999, 0, 0)
"""Taken to be the version of a build that has no number."""

PAGES_SINCE: Final[Version] = (10, 0, 0)
PAGES_BEFORE: Final[Version] = (11, 0, 0)
"""Whose pages are known here: older and newer ones have other routes. Only the MCP server is a promise."""

_VERSION: Final = re.compile(r"<pre>v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})")
_TOKEN: Final = re.compile(r"\bjwt=([\w.~+/=-]{10,4096})")
_TURNED_AWAY: Final = frozenset({401, 403})


class Door:
    """Asks one Dozzle. `auth` leads to user:password, or to a token; without it Dozzle must ask nobody."""

    def __init__(self, url: str, auth: Secret | None = None, ca_file: Path | None = None) -> None:
        self._asking = Asking("Dozzle", url, ca_file)
        self._auth = auth
        self._token = ""
        self._version: Version | None = None
        self._lock = Lock()

    @property
    def url(self) -> str:
        return self._asking.url

    def close(self) -> None:
        self._asking.close()

    def version(self) -> Version:
        """Asked for once; after a failure again. Raises AskError, as everything here."""
        if self._version is None:
            body = self.get("/api/version").body.decode("utf-8", "replace")
            if "<pre>" not in body:
                raise AskError("what answers at WAYPOST_DOZZLE_URL is no Dozzle", retry=False)
            found = _VERSION.search(body)
            self._version = (int(found[1]), int(found[2]), int(found[3])) if found else NEWEST
        return self._version

    @property
    def known_version(self) -> str:
        """As people write it; "" while nobody asked."""
        return "" if self._version in (None, NEWEST) else ".".join(map(str, self._version or ()))

    def get(self, path: str, query: Query = (), largest: int = LARGEST) -> Reply:
        """The answer, of so many bytes at most, to a question that it accepts."""
        reply = self._get(path, query, largest)
        if reply.status in _TURNED_AWAY and self._auth is not None:
            self.forget()
            reply = self._get(path, query, largest)
        return self._accepted(path, reply)

    def _get(self, path: str, query: Query, largest: int) -> Reply:
        try:
            return self._asking.ask(Question(path=path, query=query, headers=self.headers(), largest=largest))
        except AskError:
            self._version = None  # it may be another one when it is back
            raise

    @contextmanager
    def stream(self, path: str, *, seconds: float) -> Iterator[Stream]:
        """An answer while it comes."""
        for last in (self._auth is None, True):
            with self._asking.stream(path, (), self.headers(), seconds=seconds) as stream:
                if stream.status in _TURNED_AWAY and not last:
                    self.forget()
                    continue
                self._accepted(path, Reply(stream.status, stream.headers, b""))
                yield stream
                return

    def answer_to_nothing(self, path: str) -> int:
        """The status with which an empty question is turned down: 404 where nobody would take one."""
        return self._asking.post(path, {}, self.headers()).status

    def headers(self) -> Mapping[str, str]:
        token = self.token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def token(self) -> str:
        """What opens it; "" where nothing is configured."""
        if self._auth is None:
            return ""
        with self._lock:
            if not self._token:
                self._token = self._fetched(self._revealed(self._auth))
            return self._token

    def forget(self) -> None:
        """The token does not work any more."""
        with self._lock:
            self._token = ""

    def _revealed(self, auth: Secret) -> str:
        try:
            return auth.reveal()
        except ConfigError as fault:
            raise AskError(str(fault), retry=False) from fault

    def _fetched(self, secret: str) -> str:
        user, colon, password = secret.partition(":")
        if not colon:
            return secret
        reply = self._asking.post("/api/token", {"username": user, "password": password})
        found = _TOKEN.search(reply.headers.get("set-cookie", ""))
        if reply.status != 200 or not found:
            raise AskError(
                f"Dozzle does not let this user in (status {reply.status}): see WAYPOST_DOZZLE_AUTH, and that its "
                "provider is `simple`",
                retry=False,
            )
        return found[1]

    def _accepted(self, path: str, reply: Reply) -> Reply:
        if reply.status == 200:
            return reply
        if reply.status in _TURNED_AWAY:
            raise AskError(
                f"Dozzle at {self.url} wants to know who asks (status {reply.status}): see WAYPOST_DOZZLE_AUTH",
                retry=False,
                status=reply.status,
            )
        raise AskError(f"Dozzle at {self.url} answers {path} with status {reply.status}", status=reply.status)
