"""authentik's own interface, as far as blueprints need it: instances, their application, and the objects they make.

What answers is not trusted: sizes and shapes are checked, redirects refused, and every failure is an AuthentikError.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from reconciler.asking import AskError, Asking, Question
from reconciler.authentik import models
from reconciler.authentik.answers import AuthentikError, Instance, Rejection, Token
from reconciler.setting import ConfigError, Secret

_MOST_BYTES: Final = 16 << 20
_MOST_PAGES: Final = 100
_PAGE: Final = 100
_PATIENCE, _STEP = 50.0, 10.0  # seconds for a whole answer, and without a byte of it
_MOST_WORDS: Final = 400  # characters of what authentik says

_Answer = TypeVar("_Answer")
Json = dict[str, Any]


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Pagination(_Read):
    next: float = Field(default=0, ge=0, le=1_000_000, allow_inf_nan=False)


class _Page(_Read):
    pagination: _Pagination
    results: list[Json]


class _Log(_Read):
    event: str = ""
    log_level: str = ""


class _Task(_Read):
    logs: list[_Log] = []


class _Version(_Read):
    version_current: str


class _User(_Read):
    username: str


class _Session(_Read):
    user: _User


@dataclass(frozen=True, kw_only=True)
class _Call:
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    fine: tuple[int, ...] = (200,)


LOOKUPS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    models.APPLICATION: ("/core/applications/", {"slug": "slug", "name": "name"}),
    models.PROXY: ("/providers/proxy/", {"name": "name__iexact"}),
    models.OAUTH2: ("/providers/oauth2/", {"name": "name", "client_id": "client_id"}),
    models.OUTPOST: ("/outposts/instances/", {"name": "name__iexact", "managed": "managed__iexact"}),
    models.FLOW: ("/flows/instances/", {"slug": "slug"}),
    models.BRAND: ("/core/brands/", {"domain": "domain"}),
    **dict.fromkeys(models.STAGES, ("/stages/all/", {"name": "name"})),
}
"""Model -> where its objects are listed, and by which parameter each identifier is asked for."""


class AuthentikApi:
    """A client for one authentik.

    `token` is read with every call, so that a rotated one counts, and sent to this address only.
    """

    def __init__(self, url: str, token: Secret, *, ca_file: Path | None = None) -> None:
        self.url = url.rstrip("/").removesuffix("/api/v3")
        self._token = token
        try:
            self._asking = Asking("authentik", self.url, ca_file)
        except AskError as error:
            raise AuthentikError(str(error), retry=False) from None

    def close(self) -> None:
        self._asking.close()

    def version(self) -> str:
        return self._one(_Call(method="GET", path="/admin/version/"), _Version).version_current

    # ── blueprints ───────────────────────────────────────────────────────────────────────────────

    def instances(self) -> list[Instance]:
        """Every blueprint there is, whoever made it."""
        return [_shaped(one, Instance, self.url) for one in self._pages("/managed/blueprints/", {})]

    def instance(self, pk: str) -> Instance | None:
        """One blueprint as it is now; None where somebody deleted it."""
        call = _Call(method="GET", path=_at(pk), fine=(200, 404))
        status, body = self._asked(call)
        return None if status == 404 else _read(body, Instance, self.url + call.path)

    def create(self, name: str, content: str, context: Mapping[str, Any], *, enabled: bool) -> Instance | Rejection:
        """Keep a blueprint. authentik tries it first, and changes nothing by that. A disabled one is never applied."""
        body = {"name": name, "content": content, "context": dict(context), "enabled": enabled}
        return self._kept(_Call(method="POST", path="/managed/blueprints/", body=body, fine=(201, 400)))

    def change(self, pk: str, **fields: Any) -> Instance | Rejection:
        """Change some fields of a blueprint; new content is tried first, with the context that the instance has."""
        return self._kept(_Call(method="PATCH", path=_at(pk), body=fields, fine=(200, 400)))

    def delete(self, pk: str) -> None:
        """Forget a blueprint; what it made stays. One that is gone already is fine."""
        self._asked(_Call(method="DELETE", path=_at(pk), fine=(204, 404)))

    def apply(self, pk: str) -> None:
        """Have a blueprint applied, some time later."""
        self._asked(_Call(method="POST", path=f"{_at(pk)}apply/"))

    def said_of(self, pk: str) -> tuple[str, ...]:
        """What the last task of a blueprint complained of. Nobody may tell: then nothing."""
        query = {"rel_obj_id": pk, "ordering": "-mtime", "page_size": "1"}
        try:
            page = self._one(_Call(method="GET", path=f"/tasks/tasks/?{urlencode(query)}"), _Page)
            tasks = [_shaped(one, _Task, self.url) for one in page.results]
        except AuthentikError:
            return ()
        words = [log.event for task in tasks for log in task.logs if log.log_level in ("warning", "error", "critical")]
        return tuple(_short(one) for one in words[-5:])

    # ── objects ──────────────────────────────────────────────────────────────────────────────────

    def found(self, model: str, identifiers: Mapping[str, Any]) -> Json | None:
        """The object that is known by these, all of which LOOKUPS names; None where there is none."""
        path, asked_by = LOOKUPS[model]
        query = {asked_by[name]: str(value) for name, value in identifiers.items()}
        return next((one for one in self._pages(path, query) if _has(one, identifiers)), None)

    def objects(self, model: str) -> list[Json]:
        """Every object of a model. They may hold secrets: take from them what is needed by name."""
        extra = {"superuser_full_list": "true"} if model == models.APPLICATION else {}
        return list(self._pages(LOOKUPS[model][0], extra))

    def tokens(self) -> list[Token]:
        """The tokens of programs that come in as the account that ours is of. Nobody tells which of them it is."""
        me = self._one(_Call(method="GET", path="/core/users/me/"), _Session).user.username
        found = self._pages("/core/tokens/", {"intent": "api", "user__username": me})
        return [_shaped(one, Token, self.url) for one in found]

    # ── asking ───────────────────────────────────────────────────────────────────────────────────

    def _kept(self, call: _Call) -> Instance | Rejection:
        status, body = self._asked(call)
        return _rejection(body) if status == 400 else _read(body, Instance, self.url + call.path)

    def _one(self, call: _Call, shape: type[_Answer]) -> _Answer:
        return _read(self._asked(call)[1], shape, self.url + call.path)

    def _pages(self, path: str, query: Mapping[str, str]) -> Iterator[Json]:
        number = 1
        for _ in range(_MOST_PAGES):
            asked = urlencode({**query, "page": number, "page_size": _PAGE})
            page = self._one(_Call(method="GET", path=f"{path}?{asked}"), _Page)
            yield from page.results
            if not page.pagination.next > number:
                return
            number = int(page.pagination.next)
        raise AuthentikError(f"authentik at {self.url} lists more than {_MOST_PAGES} pages at {path}")

    def _asked(self, call: _Call) -> tuple[int, bytes]:
        content = None if call.body is None else orjson.dumps(call.body)
        headers = {"Authorization": f"Bearer {self._credential()}", "Accept": "application/json"}
        headers |= {"Content-Type": "application/json"} if content else {}
        question = Question(
            method=call.method,
            path=f"/api/v3{call.path}",
            headers=headers,
            content=content,
            largest=_MOST_BYTES,
            seconds=_PATIENCE,
            step=_STEP,
        )
        try:
            reply = self._asking.ask(question)
        except AskError as error:
            raise AuthentikError(f"{error}; see WAYPOST_AUTHENTIK_URL", retry=error.retry) from None
        if reply.status not in call.fine:
            raise _refusal(call, reply.status, reply.body, self.url)
        return reply.status, reply.body

    def _credential(self) -> str:
        try:
            return self._token.for_header()
        except ConfigError as error:
            raise AuthentikError(str(error), remedy="Mend the reference, or what it refers to.") from None


def _at(pk: str) -> str:
    return f"/managed/blueprints/{quote(pk, safe='')}/"


def _has(one: Json, identifiers: Mapping[str, Any]) -> bool:
    # Some lists are asked without regard to capitals, and a parameter that a server does not know is passed over.
    return all(one.get(name) == value for name, value in identifiers.items())


def _read(body: bytes, shape: type[_Answer], address: str) -> _Answer:
    try:
        return TypeAdapter(shape).validate_json(body)
    except ValidationError as error:
        raise _strange(error, address) from None


def _shaped(value: Json, shape: type[_Answer], address: str) -> _Answer:
    try:
        return TypeAdapter(shape).validate_python(value)
    except ValidationError as error:
        raise _strange(error, address) from None


def _strange(error: ValidationError, address: str) -> AuthentikError:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"])) or "the answer"
    return AuthentikError(f"{address.partition('?')[0]} does not answer as authentik does: {where}: {first['msg']}")


def _rejection(body: bytes) -> Rejection:
    """The messages of a 400: lists of them by field."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = {}
    fields = told.items() if isinstance(told, dict) else ()
    messages = [
        _short(f"{message}" if field in ("content", "non_field_errors") else f"{field}: {message}")
        for field, words in fields
        if field != "code"
        for message in (words if isinstance(words, list) else [words])
    ]
    return Rejection(messages=tuple(messages[:20]) or ("it was refused without a word",))


def _refusal(call: _Call, status: int, body: bytes, url: str) -> AuthentikError:
    asked = f"{call.method} {call.path.partition('?')[0]}"
    if status in (401, 403):
        return AuthentikError(
            f"authentik at {url} refuses {asked} (status {status}{_said(body)}): the token needs an account that may "
            "manage blueprints and see what they make; see WAYPOST_AUTHENTIK_TOKEN",
            retry=False,
        )
    if status == 404:
        return AuthentikError(
            f"{url} does not know {asked}: is that an authentik? See WAYPOST_AUTHENTIK_URL", retry=False
        )
    return AuthentikError(f"authentik at {url} answers {asked} with status {status}{_said(body)}")


def _said(body: bytes) -> str:
    try:
        detail = orjson.loads(body).get("detail", "")
    except (orjson.JSONDecodeError, AttributeError):
        return ""
    return f": {_short(str(detail))}" if detail else ""


def _short(text: str) -> str:
    return " ".join(text.split())[:_MOST_WORDS]
