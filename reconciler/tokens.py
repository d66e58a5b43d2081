"""Bearer tokens of MCP clients: made once, kept only as hashes, matched, rotated, revoked."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from reconciler.home import Held, lock
from reconciler.ports import Chance, Files

Role = Literal["read", "propose"]
"""What a client may do at most: look, or also propose. Nobody approves over MCP."""

EXPIRES_SOON: Final = timedelta(days=7)
"""So long before its end a token is warned of."""

MARK: Final = "waypost_"
"""How every token of ours begins."""

NEWEST_TOOLS: Final = 1
"""Which generation of tools a token that is made now opens; `shards/catalogue` says which tools those are."""

_SECRET_BYTES: Final = 32
_RAW: Final = re.compile(r"waypost_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}")
_GRANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")  # a tool elsewhere may well be called getUser


class TokenError(Exception):
    """Tokens cannot be read or changed so; the message says what to do."""


def _a_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"'{text}' is no name for a token: letters, digits, '.', '_', '-' and blanks, 64 at most")
    return text


def _a_grant(text: str) -> str:
    if not _GRANT.fullmatch(text):
        raise ValueError(f"'{text}' is no grant: name a shard (traefik) or a tool (traefik_list_routes)")
    return text


class Token(BaseModel):
    """What is known of one token; its secret is not.

    `grants` narrow it to shards and tools, none: all of its role. Tools that came after generation `knows` stay closed,
    whatever the grants say of their shard, save those that are named: in `grants`, or in `also`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    name: Annotated[str, AfterValidator(_a_name)]
    role: Role
    grants: tuple[Annotated[str, AfterValidator(_a_grant)], ...] = ()
    knows: int = 1  # those of tokens that do not say it are older than the second generation
    also: tuple[Annotated[str, AfterValidator(_a_grant)], ...] = ()
    hash: str = Field(pattern=r"^[0-9a-f]{64}$")  # SHA-256: of 256 random bits no slower hash is needed
    made: AwareDatetime
    expires: AwareDatetime | None = None
    revoked: AwareDatetime | None = None

    def ended(self, now: datetime) -> str:
        """Why it opens nothing any more, "" while it does."""
        if self.revoked:
            return f"the token '{self.name}' was revoked"
        if self.expires and self.expires <= now:
            return f"the token '{self.name}' expired on {self.expires:%Y-%m-%d}"
        return ""

    def ends_soon(self, now: datetime) -> bool:
        """Whether it works still, and not for long."""
        return not self.ended(now) and self.expires is not None and self.expires - now <= EXPIRES_SOON


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    tokens: tuple[Token, ...] = ()

    def as_text(self) -> str:
        """What says nothing stays out: a gateway that runs since before an upgrade knows no newer fields."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        return json.dumps({"version": self.version, **said}, indent=1) + "\n"


# ── deciding ─────────────────────────────────────────────────────────────────────────────────────


def mint(
    name: str,
    role: Role,
    *,
    grants: Sequence[str] = (),
    now: datetime,
    lasts: timedelta | None,
    chance: Chance,
) -> tuple[Token, str]:
    """A new token, and the text that its client presents: it exists here and nowhere else.

    Raises ValueError for a name or a grant that cannot be one.
    """
    id, secret = chance(6).hex(), urlsafe_b64encode(chance(_SECRET_BYTES)).rstrip(b"=").decode()
    token = Token(
        id=id,
        name=_a_name(name),
        role=role,
        grants=tuple(dict.fromkeys(map(_a_grant, grants))),
        knows=NEWEST_TOOLS,
        hash=_hash(secret),
        made=now,
        expires=now + lasts if lasts else None,
    )
    return token, f"{MARK}{id}_{secret}"


def successor(old: Token, *, now: datetime, lasts: timedelta | None, chance: Chance) -> tuple[Token, str]:
    """A new token that opens what another one does, and no more."""
    made, raw = mint(old.name, old.role, grants=old.grants, now=now, lasts=lasts, chance=chance)
    return made.model_copy(update={"knows": old.knows, "also": old.also}), raw


def match(tokens: Sequence[Token], raw: str, now: datetime) -> Token | str:
    """The token that this text is, or why it is none that opens anything. Says nothing of those that it is not."""
    shape = _RAW.fullmatch(raw)
    found = next((token for token in tokens if shape and token.id == shape[1]), None)
    # Compared even where there is none, so that the time tells nobody which ids exist.
    same = hmac.compare_digest(_hash(shape[2] if shape else ""), found.hash if found else "")
    if found is None or not same:
        return "this is no token of this gateway"
    return found.ended(now) or found


def working(tokens: Sequence[Token], name: str, now: datetime) -> list[Token]:
    """Tokens of that name or id that open something."""
    return [token for token in tokens if name in (token.name, token.id) and not token.ended(now)]


def revoked(tokens: Sequence[Token], name: str, now: datetime) -> list[Token]:
    """All tokens, with those of that name or id closed from now on."""
    ending = {token.id for token in working(tokens, name, now)}
    return [token.model_copy(update={"revoked": now}) if token.id in ending else token for token in tokens]


def granted(tokens: Sequence[Token], name: str, tools: Sequence[str], now: datetime) -> list[Token]:
    """All tokens, with those of that name or id opening these tools too. Raises ValueError for what is no grant."""
    more, opened = tuple(map(_a_grant, tools)), {token.id for token in working(tokens, name, now)}
    return [
        token.model_copy(update={"also": tuple(dict.fromkeys((*token.also, *more)))}) if token.id in opened else token
        for token in tokens
    ]


def ending(tokens: Sequence[Token], name: str, at: datetime) -> list[Token]:
    """All tokens, with those of that name or id closed from `at` on, where they would work longer than that."""
    return [
        token.model_copy(update={"expires": at})
        if name in (token.name, token.id) and (token.expires is None or token.expires > at)
        else token
        for token in tokens
    ]


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


# ── keeping ──────────────────────────────────────────────────────────────────────────────────────


class Keyring:
    """The file of tokens. Whoever reads it sees a change at once; none at all is an empty one."""

    def __init__(self, path: Path, files: Files) -> None:
        self._path = path
        self._files = files
        self._seen: tuple[int, int, int] | None = None
        self._tokens: tuple[Token, ...] = ()

    def tokens(self) -> tuple[Token, ...]:
        """All of them, ended ones too. Raises TokenError where the file cannot be read: then nobody comes in."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise TokenError(f"{self._path} cannot be read: {error.strerror}") from error
        seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        if seen != self._seen:
            self._tokens, self._seen = self._read(), seen
        return self._tokens

    def change(self, decide: Callable[[Sequence[Token]], Sequence[Token]]) -> None:
        """Replace the tokens by what `decide` makes of them, whole and durable. Raises TokenError."""
        with self._alone():
            kept = _Kept(tokens=tuple(decide(self.tokens())))
            staged = self._path.with_suffix(".next")
            try:
                # The gateway, an account of the same group, reads it; nobody else does.
                self._files.write(staged, kept.as_text().encode(), mode=0o640)
                self._files.replace(staged, self._path)
            except OSError as error:
                raise TokenError(f"{self._path} cannot be written: {error.strerror}") from error

    def _read(self) -> tuple[Token, ...]:
        try:
            return _Kept.model_validate_json(self._files.read(self._path) or b"").tokens
        except OSError as error:
            raise TokenError(f"{self._path} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            fault = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, fault["loc"]))
            raise TokenError(f"{self._path} is damaged ({where}: {fault['msg']}): restore it or remove it") from None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            held = lock(self._path.with_suffix(".lock"))
        except OSError as error:
            raise TokenError(f"{self._path} cannot be written: {error.strerror}") from error
        if isinstance(held, Held):
            raise TokenError(f"process {held.pid or 'unknown'} is changing {self._path}: try again")
        with held:
            yield
