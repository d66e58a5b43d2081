"""Traefik's own API, read only: what it runs, what it has disabled, which generation it serves.

Whatever answers is not trusted: sizes, shapes and redirects are checked, and every failure is an ApiError.
"""

from __future__ import annotations

import base64
import io
import ssl
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

import httpx2
import orjson

from reconciler import in_time
from reconciler.core.target import TargetError
from reconciler.ports import Clock, SystemClock

Json = dict[str, Any]

KINDS: Final = {
    "routers": "http.routers",
    "services": "http.services",
    "middlewares": "http.middlewares",
    "tcpRouters": "tcp.routers",
    "tcpServices": "tcp.services",
    "tcpMiddlewares": "tcp.middlewares",
    "udpRouters": "udp.routers",
    "udpServices": "udp.services",
}
"""Section of /api/rawdata -> the kind of resource that it lists."""

_MOST_BYTES: Final = 64 * 1024 * 1024  # 10,000 routers and as many services are about 7 MB
_MOST_PAGES: Final = 10_000
_PATIENCE: Final = 5.0  # a whole answer may take this many times the time-out of one read
_RAWDATA: Final = "/api/rawdata"
_HUNG_UP: Final = (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError)


class ApiError(TargetError):
    """Traefik's API did not answer, or not in a way that Traefik's API answers."""


_ADDED: Final = frozenset({"status", "error", "usedBy", "using", "serverStatus", "type", "name", "provider"})


class Item(NamedTuple):
    """One router, service or middleware as the API lists it; `spec` is the whole of it."""

    status: str  # "enabled", "warning", "disabled"; "" where the API gives none
    errors: tuple[str, ...]
    spec: Mapping[str, Any]

    @property
    def written(self) -> dict[str, Any]:
        """The spec as its owner wrote it, as far as Traefik tells: without what the API adds."""
        return {key: value for key, value in self.spec.items() if key not in _ADDED}


@dataclass(frozen=True, kw_only=True, slots=True)
class Runtime:
    """All that Traefik runs at one moment: kind -> `name@provider` -> Item."""

    items: Mapping[str, Mapping[str, Item]]

    def of(self, kind: str) -> Mapping[str, Item]:
        return self.items.get(kind, {})


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """`started` changes whenever Traefik restarts."""

    version: str
    started: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EntryPoint:
    """A door of Traefik. `http` holds its options, `address` its port (masked where the API masks it).

    `options` is all that the API says of it.
    """

    name: str
    address: str = ""
    as_default: bool = False
    http: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def udp(self) -> bool:
        return self.address.endswith("/udp")

    @property
    def renames(self) -> bool:
        """Traefik copies a router that uses such an entry point to `<entry point>-<router>`."""
        return bool("tls" in self.http or self.http.get("middlewares") or self.http.get("observability"))


class TraefikApi:
    """A client for the API of one running Traefik.

    `url` is its address with or without `/api`; `auth` is "" or `user:password` or a whole Authorization value
    such as `Bearer …`, or who tells that with every request; `ca_file` replaces the system's authorities; `timeout` is
    seconds for one read.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: str | Callable[[], str] = "",
        ca_file: str = "",
        timeout: float = 2.0,
        clock: Clock | None = None,
    ) -> None:
        self.url = _base(url)
        self._auth = auth
        self._timeout = timeout
        self._clock = clock or SystemClock()
        self._last: tuple[bytes, Runtime] | None = None  # what /api/rawdata answered, and what that says
        self._client = httpx2.Client(
            transport=in_time.Transport(_trust(self.url, ca_file), self._clock.monotonic),
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,  # a proxy from the environment must not sit between us and the witness
        )

    def close(self) -> None:
        self._client.close()

    def version(self) -> Version:
        """Which Traefik answers, and since when it runs."""
        answer = self._object("/api/version")
        return Version(version=_text(answer, "Version", "/api/version"), started=str(answer.get("startDate", "")))

    def overview(self) -> Json:
        """Counts per kind, features, providers; as Traefik gives them."""
        return self._object("/api/overview")

    def entry_points(self) -> tuple[EntryPoint, ...]:
        """Every entry point, in Traefik's order."""
        return tuple(_entry_point(one) for one in self._list("/api/entrypoints")[0])

    def rawdata(self) -> Runtime:
        """Everything that runs, in one answer, of one generation; the very same while the answer is."""
        _, body, _ = self._get(_RAWDATA)
        known = self._last
        if known is None or known[0] != body:
            answer: Json = _decoded(body, _RAWDATA, dict, self.url)
            items = {kind: _items(answer.get(section), section) for section, kind in KINDS.items()}
            known = self._last = body, Runtime(items=items)
        return known[1]

    def routers(self, protocol: str = "http") -> list[Json]:
        """Every router of "http", "tcp" or "udp", all pages."""
        return self._pages(f"/api/{protocol}/routers")

    def services(self, protocol: str = "http") -> list[Json]:
        """Every service of "http", "tcp" or "udp", all pages."""
        return self._pages(f"/api/{protocol}/services")

    def middlewares(self, protocol: str = "http") -> list[Json]:
        """Every middleware of "http" or "tcp", all pages."""
        return self._pages(f"/api/{protocol}/middlewares")

    def middleware(self, name: str) -> Json | None:
        """One HTTP middleware by its qualified name (`x@file`), None where Traefik has none of that name."""
        path = f"/api/http/middlewares/{quote(name, safe='')}"
        status, body, _ = self._get(path, missing_is_fine=True)
        answer: Json = _decoded(body, path, dict, self.url)
        if status == 404:
            return None
        if answer.get("name") != name:
            raise ApiError(f"{self.url}{path} answers with something else than the middleware that was asked for")
        return answer

    def certificates(self) -> list[Json]:
        """The certificates that Traefik holds; empty where this Traefik is too old to list them."""
        status, body, _ = self._get("/api/certificates", missing_is_fine=True)
        if status == 404:
            return []
        answer: list[Json] = _decoded(body, "/api/certificates", list, self.url)
        return _objects(answer, "/api/certificates", self.url)

    def support_dump(self) -> Json | None:
        """Traefik's static configuration (addresses masked), None where this Traefik gives no dump."""
        status, body, _ = self._get("/api/support-dump", missing_is_fine=True)
        if status == 404:
            return None
        return _static_configuration(body, self.url)

    def _object(self, path: str) -> Json:
        _, body, _ = self._get(path)
        answer: Json = _decoded(body, path, dict, self.url)
        return answer

    def _list(self, path: str) -> tuple[list[Json], str]:
        _, body, headers = self._get(path)
        answer: list[Any] = _decoded(body, path, list, self.url)
        return _objects(answer, path, self.url), headers.get("x-next-page", "1")

    def _pages(self, path: str) -> list[Json]:
        found: list[Json] = []
        page = 1
        for _ in range(_MOST_PAGES):
            items, following = self._list(f"{path}?per_page=1000&page={page}")
            found += items
            if len(following) > 18:  # it is no number of a page
                break
            if not following.isdecimal() or int(following) <= page:  # Traefik says 1 on the last page
                return found
            page = int(following)
        raise ApiError(f"{self.url}{path} never comes to a last page")

    def _get(self, path: str, *, missing_is_fine: bool = False) -> tuple[int, bytes, Mapping[str, str]]:
        try:
            status, body, headers = self._asked(path)
        except httpx2.HTTPError as error:
            raise ApiError(
                f"Traefik's API at {self.url} does not answer: {_reason(error)}",
                remedy="See that Traefik runs with its API on (`api.insecure` or a router to api@internal) "
                "and that WAYPOST_TRAEFIK_API_URL is its address as seen from here.",
            ) from None
        except httpx2.InvalidURL as error:
            raise ApiError(f"{self.url} is not an address: {error}", retry=False) from None
        except in_time.TooSlow:
            raise ApiError(f"{self.url}{path} answers too slowly") from None
        if status != 200 and not (status == 404 and missing_is_fine):
            raise _refusal(status, self.url + path, headers)
        return status, body, headers

    def _asked(self, path: str) -> tuple[int, bytes, Mapping[str, str]]:
        """A kept connection that Traefik closes in this moment is no outage: so whoever hangs up is asked again."""
        ends = self._clock.monotonic() + self._timeout * _PATIENCE
        try:
            return self._answer(path, ends)
        except _HUNG_UP:
            return self._answer(path, ends)

    def _answer(self, path: str, ends: float) -> tuple[int, bytes, Mapping[str, str]]:
        auth = _authorization(self._auth() if callable(self._auth) else self._auth)
        with self._client.stream("GET", self.url + path, headers=auth, extensions=in_time.by(ends)) as response:
            return response.status_code, self._body(response, path), response.headers

    def _body(self, response: httpx2.Response, path: str) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > _MOST_BYTES:
                raise ApiError(f"{self.url}{path} answers with more than {_MOST_BYTES >> 20} MiB")
        return bytes(body)


def _base(url: str) -> str:
    plain = url.rstrip("/")
    for suffix in ("/dashboard", "/api"):
        plain = plain.removesuffix(suffix)
    if urlsplit(plain).scheme not in ("http", "https") or not urlsplit(plain).hostname:
        raise ApiError(
            f"'{url}' is not the address of a Traefik API; one looks like http://127.0.0.1:8080",
            retry=False,
            remedy="Set WAYPOST_TRAEFIK_API_URL.",
        )
    return plain


def _authorization(auth: str) -> dict[str, str]:
    if not auth:
        return {}
    if auth.lower().startswith(("bearer ", "basic ")):
        return {"Authorization": auth}
    return {"Authorization": "Basic " + base64.b64encode(auth.encode()).decode()}


def _trust(url: str, ca_file: str) -> ssl.SSLContext | bool:
    if not url.startswith("https:"):
        return False  # no TLS, so nothing to verify: building a context costs 20 ms
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ApiError(
            f"the authorities in {ca_file} cannot be read: {error}", retry=False, remedy="Set WAYPOST_CA_FILE."
        ) from None


def _reason(error: httpx2.HTTPError) -> str:
    if isinstance(error, httpx2.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx2.LocalProtocolError):
        return "what opens it to us cannot be sent: it must be one line of plain characters"  # its words quote it
    return str(error) or type(error).__name__


def _refusal(status: int, address: str, headers: Mapping[str, str]) -> ApiError:
    if status in (401, 403):
        return ApiError(
            f"{address} asks for credentials (status {status})",
            retry=False,
            remedy="Set WAYPOST_TRAEFIK_API_AUTH to a reference to user:password or to a Bearer value.",
        )
    if 300 <= status < 400:
        return ApiError(
            f"{address} redirects to {headers.get('location', 'nowhere')}; Waypost does not follow",
            retry=False,
            remedy="Set WAYPOST_TRAEFIK_API_URL to where it leads, if that is Traefik's API.",
        )
    if status == 404:
        return ApiError(
            f"{address} is not there: what answers is no Traefik API, or the API is off",
            remedy="Turn the API on in Traefik's static configuration, or set WAYPOST_TRAEFIK_API_URL.",
        )
    return ApiError(f"{address} answers with status {status}")


def _decoded(body: bytes, path: str, shape: type, url: str) -> Any:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ApiError(f"{url}{path} answers with something that is not JSON: {_glimpse(body)}") from None
    if not isinstance(answer, shape):
        raise ApiError(f"{url}{path} answers with JSON of another shape than Traefik's: {_glimpse(body)}")
    return answer


def _glimpse(body: bytes) -> str:
    """The start of a wrong answer on one line: enough to recognise a login page, too little to leak much."""
    text = body[:60].decode("utf-8", "replace")
    return repr(text + ("…" if len(body) > 60 else ""))


def _objects(items: list[Any], path: str, url: str) -> list[Json]:
    if not all(isinstance(item, dict) for item in items):
        raise ApiError(f"{url}{path} answers with a list that holds something else than objects")
    return items


def _text(answer: Json, key: str, path: str) -> str:
    value = answer.get(key)
    if not isinstance(value, str):
        raise ApiError(f"{path} answers without '{key}': that is no Traefik API")
    return value


def _entry_point(answer: Json) -> EntryPoint:
    http = answer.get("http")
    return EntryPoint(
        name=_text(answer, "name", "/api/entrypoints"),
        address=str(answer.get("address", "")),
        as_default=answer.get("asDefault") is True,
        http=http if isinstance(http, dict) else {},
        options=answer,
    )


def _items(section: Any, name: str) -> dict[str, Item]:
    if section is None:
        return {}
    if not isinstance(section, dict) or not all(isinstance(one, dict) for one in section.values()):
        raise ApiError(f"{_RAWDATA} answers with a '{name}' of another shape than Traefik's")
    return {qualified: item(spec) for qualified, spec in section.items()}


def item(spec: Json) -> Item:
    """One listed thing as an Item."""
    errors = spec.get("error") or spec.get("err")
    if not errors and type(spec.get("status")) is str:  # nearly all of many thousands
        return Item(spec["status"], (), spec)
    errors = errors or ()
    told = tuple(map(str, errors)) if isinstance(errors, list | tuple) else (str(errors),)
    return Item(str(spec.get("status", "")), told, spec)


def _static_configuration(archive: bytes, url: str) -> Json:
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            for member in tar:
                if member.name.rsplit("/", 1)[-1] == "static-config.json" and member.size < _MOST_BYTES:
                    file = tar.extractfile(member)
                    answer: Json = _decoded(file.read() if file else b"", "/api/support-dump", dict, url)
                    return answer
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ApiError(f"{url}/api/support-dump answers with something that is no archive: {error}") from None
    raise ApiError(f"{url}/api/support-dump holds no static-config.json")
