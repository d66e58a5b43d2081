"""Ask a system of this house over HTTP: one address, no redirects, never more bytes or seconds than allowed."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import orjson

from reconciler import in_time

LARGEST: Final = 8 << 20
"""Bytes of one answer, unless more are asked for."""

PATIENCE: Final = 10.0
"""Seconds that one answer may take, unless others are asked for."""

_STEP: Final = 5.0
"""Seconds without a byte after which nobody is there."""

_HUNG_UP = (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError)

Query = Sequence[tuple[str, str | int]]
"""Names and values; a name may come twice."""


class AskError(Exception):
    """There is no answer that can be used; the message says why, and where. `retry`: may it be there later?

    `status` is what was answered instead, 0 where nothing was.
    """

    def __init__(self, message: str, *, retry: bool = True, status: int = 0) -> None:
        super().__init__(message)
        self.retry = retry
        self.status = status


@dataclass(frozen=True)
class Reply:
    """What came back, read whole. Names of headers are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises AskError where it is none."""
        try:
            return orjson.loads(self.body)
        except ValueError:
            raise AskError("the answer is no JSON", retry=False) from None


@dataclass(frozen=True)
class Stream:
    """An answer that is read piece by piece, while it comes."""

    status: int
    headers: Mapping[str, str]
    pieces: Iterator[bytes]


class Cut(Exception):
    """The answer is not over, and the allowed bytes or seconds are."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, and how much of an answer is taken: bytes, and seconds for the whole of it.

    After `step` seconds without a byte nobody is there. Of `content` (bytes) and `form` there is at most one.
    """

    path: str
    method: str = "GET"
    query: Query = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    form: Mapping[str, str] | None = None
    largest: int = LARGEST
    seconds: float = PATIENCE
    step: float = _STEP


class Asking:
    """One system, by its address. `name` is what people call it. Safe to use from several threads."""

    def __init__(self, name: str, url: str, ca_file: Path | None = None) -> None:
        """Raises AskError where the authorities in `ca_file` cannot be read."""
        self.name = name
        self.url = url.rstrip("/")
        self._client = httpx2.Client(
            transport=in_time.Transport(_trust(self.url, ca_file)),
            headers={"Accept-Encoding": "identity", "User-Agent": "waypost"},
            timeout=_STEP,
            follow_redirects=False,
            trust_env=False,
        )

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, query: Query = (), headers: Mapping[str, str] | None = None) -> Reply:
        """The whole answer. Raises AskError where there is none, whatever the status."""
        return self.ask(Question(path=path, query=query, headers=headers or {}))

    def post(self, path: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Reply:
        """The whole answer to a form. Raises AskError."""
        return self.ask(Question(method="POST", path=path, headers=headers or {}, form=form))

    def ask(self, question: Question) -> Reply:
        """The whole answer to any question. Raises AskError where there is none, whatever the status."""
        try:
            with self._opened(question) as stream:
                return Reply(stream.status, stream.headers, b"".join(stream.pieces))
        except Cut as cut:
            raise AskError(f"{self.name} at {self.url} {cut}") from None

    @contextmanager
    def stream(
        self,
        path: str,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        *,
        largest: int = LARGEST,
        seconds: float = PATIENCE,
    ) -> Iterator[Stream]:
        """An answer while it comes. Its pieces raise Cut at the limits, and AskError where the connection breaks."""
        question = Question(path=path, query=query, headers=headers or {}, largest=largest, seconds=seconds)
        with self._opened(question) as stream:
            yield stream

    @contextmanager
    def _opened(self, question: Question) -> Iterator[Stream]:
        ends = time.monotonic() + question.seconds
        if not all(value.isascii() and value.isprintable() for value in question.headers.values()):
            raise AskError(
                f"what opens {self.name} at {self.url} to us is more than one line of plain characters", retry=False
            )
        try:
            try:
                response = self._sent(question, ends)
            except _HUNG_UP:
                if question.method != "GET":
                    raise
                response = self._sent(question, ends)  # a kept connection that was closed in this very moment
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as fault:
            raise AskError(f"{self.name} at {self.url} does not answer: {_words(fault)}") from None
        except in_time.TooSlow:
            raise AskError(f"{self.name} at {self.url} answers too slowly") from None
        try:
            found = {name.lower(): value for name, value in response.headers.items()}
            if 300 <= response.status_code < 400:
                raise AskError(
                    f"{self.name} at {self.url} redirects: name the address itself",
                    retry=False,
                    status=response.status_code,
                )
            yield Stream(response.status_code, found, self._pieces(response, question.largest))
        finally:
            response.close()

    def _sent(self, question: Question, ends: float) -> httpx2.Response:
        request = self._client.build_request(
            question.method,
            self.url + question.path,
            params=[(name, str(value)) for name, value in question.query] or None,  # none: the path may bring its own
            headers=dict(question.headers),
            content=question.content,
            data=question.form,
            timeout=min(question.step, question.seconds),
            extensions=in_time.by(ends),
        )
        return self._client.send(request, stream=True)

    def _pieces(self, response: httpx2.Response, largest: int) -> Iterator[bytes]:
        read = 0
        try:
            for piece in response.iter_raw():
                read += len(piece)
                if read > largest:
                    raise Cut(f"answers more than {largest >> 20} MiB")
                yield piece
        except in_time.TooSlow:
            raise Cut("answers too slowly") from None
        except httpx2.TimeoutException:
            raise Cut("says nothing more") from None
        except httpx2.HTTPError as fault:
            raise AskError(f"{self.name} at {self.url} broke off: {_words(fault)}") from None


def _words(fault: Exception) -> str:
    if isinstance(fault, httpx2.TimeoutException):
        return "no answer in time"
    # Of a request that cannot be sent a library quotes the headers, and those hold what opens the system to us.
    plain = isinstance(fault, httpx2.NetworkError | httpx2.RemoteProtocolError | httpx2.DecodingError)
    return (plain and " ".join(str(fault).split())[:200]) or type(fault).__name__


def _trust(url: str, ca_file: Path | None) -> ssl.SSLContext | bool:
    if not url.startswith("https:"):
        return False  # nothing is encrypted, and reading certificates takes its time
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as fault:
        raise AskError(
            f"the authorities in {ca_file} cannot be read: {fault}; see WAYPOST_CA_FILE", retry=False
        ) from None
