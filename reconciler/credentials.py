"""Whether what opens other systems to us still does, and until when; as far as those systems say."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from reconciler.asking import AskError
from reconciler.config import Settings
from reconciler.core.target import TargetError
from reconciler.gitea.address import repository_in
from reconciler.gitea.api import Gitea, GiteaError
from reconciler.setting import ConfigError, Secret, SecretAway, secrets_in
from reconciler.tokens import EXPIRES_SOON
from state import events
from state.expiring import Expiring

_LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC).timestamp()


class Credential(NamedTuple):
    """One credential, by the name of its setting: when it ends (None: never, or nobody knows), what is wrong now.

    `unsure`: who could tell is away. `undated`: why a system that gives its keys an end does not tell that of this one.
    `what` ends is the credential itself, or one that may be it.
    """

    name: str
    ends: datetime | None = None
    fault: str = ""
    unsure: bool = False
    undated: str = ""
    what: str = "it"


def looked_at(settings: Settings, gitea: Gitea | None, now: datetime) -> Iterator[Credential]:
    """Every credential that the settings name, and what can be said of it now."""
    for secret in dict.fromkeys(secrets_in(settings)):
        yield _of_itself(secret)
    yield from _of_vault(settings, now)
    for system in settings.systems:
        at, held = _At(system.url, settings.ca_file), system.secrets
        komodo = system.kind == "komodo"
        yield _of_komodo(at, held["key"], held["secret"]) if komodo else _of_authentik(at, held["token"], now)
    if gitea:
        token = settings.gitea_token or settings.git_token
        yield _of_gitea(gitea, token.setting if token else "WAYPOST_GITEA_TOKEN")
    yield from _of_the_gateway(settings, now)


class _At(NamedTuple):
    url: str
    ca_file: Path | None


def _of_the_gateway(settings: Settings, now: datetime) -> Iterator[Credential]:
    """What the gateway reads with, where it is known here. It cannot tell itself: it writes to no log."""
    ca_file = settings.ca_file
    for url, held in _looked_with(settings):
        key, secret, token = (held.get(f"read_{name}") for name in ("key", "secret", "token"))
        if url and key and secret:
            yield _of_komodo(_At(url, ca_file), key, secret)
        if url and token:
            yield _of_authentik(_At(url, ca_file), token, now)
    if settings.gitea_url and settings.gitea_read_token:
        yield _of_gitea_reading(_At(settings.gitea_url, ca_file), settings.gitea_read_token, settings)
    if settings.dozzle_url and settings.dozzle_auth:
        yield _of_dozzle(_At(settings.dozzle_url, ca_file), settings.dozzle_auth)


def _looked_with(settings: Settings) -> Iterator[tuple[str | None, Mapping[str, Secret | None]]]:
    """Every Komodo and authentik with what it is read with; the default ones have settings of their own for that."""
    yield settings.komodo_url, {"read_key": settings.komodo_read_key, "read_secret": settings.komodo_read_secret}
    yield settings.authentik_url, {"read_token": settings.authentik_read_token}
    yield from ((one.url, one.secrets) for one in settings.systems if one.name != one.kind)


def _of_itself(secret: Secret) -> Credential:
    """Whether its reference leads anywhere, and what it says of itself: signed tokens carry their own end."""
    try:
        return Credential(secret.setting, _end_in(secret.reveal()))
    except SecretAway:
        return Credential(secret.setting, unsure=True)
    except ConfigError as fault:
        return Credential(secret.setting, fault=str(fault))


def _end_in(token: str) -> datetime | None:
    parts = token.split(".")
    if len(parts) != 3 or not token.startswith("eyJ"):
        return None
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return None
    ends = claims.get("exp") if isinstance(claims, dict) else None
    return _moment(ends) if isinstance(ends, int | float) else None


def _of_vault(settings: Settings, now: datetime) -> Iterator[Credential]:
    if settings.vault_url is None or settings.vault_token is None:
        return
    from reconciler.secret_stores import SecretError, Vault, vault

    token = settings.vault_token
    place = Vault(settings.vault_url, token.reveal, settings.vault_namespace, settings.ca_file)
    try:
        left = vault.lifetime(place)
    except ConfigError:
        return  # told already, of itself
    except SecretError as fault:
        said = "" if fault.retry else f"{token.setting} refers to {fault}"
        yield Credential(token.setting, fault=said, unsure=fault.retry)
        return
    yield Credential(token.setting, None if left is None else now + timedelta(seconds=left))


_NO_END_IN_GITEA: Final = "Gitea tells of no token when it ends, and gives its own no end"


def _of_gitea(gitea: Gitea, name: str) -> Credential:
    try:
        gitea.me()
    except GiteaError as fault:
        return Credential(name, fault="" if fault.retry else str(fault), unsure=fault.retry)
    return Credential(name, undated=_NO_END_IN_GITEA)


def _of_gitea_reading(at: _At, token: Secret, settings: Settings) -> Credential:
    """A token that may only read repositories may not ask whose it is: it is asked for what the gateway reads."""
    name, repository = token.setting, repository_in(settings.desired_repo or "")
    if repository is None:
        return Credential(name, undated="WAYPOST_DESIRED_REPO is not in that Gitea, so nothing is read there with it")
    try:
        with contextlib.closing(Gitea(at.url, repository, token=token.reveal, ca_file=at.ca_file)) as gitea:
            gitea.branch(settings.desired_branch)
    except ConfigError:
        return Credential(name, unsure=True)  # told already, of itself
    except GiteaError as fault:
        said = f"Gitea at {at.url} does not let it read {repository}: it needs read:repository there"
        return Credential(name, fault="" if fault.retry else said, unsure=fault.retry)
    return Credential(name, undated=_NO_END_IN_GITEA)


def _of_komodo(at: _At, key: Secret, secret: Secret) -> Credential:
    """Komodo lists the keys of whoever asks, so ours is among them, and when it ends."""
    from reconciler.komodo.api import KomodoApi

    try:
        with contextlib.closing(KomodoApi(at.url, key, secret, ca_file=at.ca_file)) as api:
            ends = {one.key: one.expires for one in api.own_keys()}.get(key.reveal())
    except (TargetError, ConfigError) as fault:
        return _not_told(key.setting, fault)
    if ends is None:
        return Credential(key.setting, undated="Komodo does not name it among the keys of its user")
    return Credential(key.setting, _moment(ends / 1000) if ends else None)


def _of_authentik(at: _At, token: Secret, now: datetime) -> Credential:
    """authentik lists the tokens of whoever asks and not which of them was used: the first that ends may be ours."""
    from reconciler.authentik.api import AuthentikApi

    try:
        with contextlib.closing(AuthentikApi(at.url, token, ca_file=at.ca_file)) as api:
            tokens = api.tokens()
    except (TargetError, ConfigError) as fault:
        return _not_told(token.setting, fault)
    alive = [one for one in tokens if not (one.expiring and one.expires and one.expires < now)]
    if not alive:
        return Credential(token.setting, undated="authentik shows its account no token of its own")
    ends = min((one.expires for one in alive if one.expiring and one.expires), default=None)
    what = "it" if len(alive) == 1 else f"one of the {len(alive)} tokens of its account, maybe this one,"
    return Credential(token.setting, ends, what=what)


def _of_dozzle(at: _At, auth: Secret) -> Credential:
    """A login has no end; a token that is signed says its own, and of any other Dozzle tells nothing."""
    from reconciler.dozzle import Door

    try:
        is_login = ":" in auth.reveal()
        with contextlib.closing(Door(at.url, auth, at.ca_file)) as door:
            token = door.token()  # a login is tried here
    except ConfigError:
        return Credential(auth.setting, unsure=True)  # told already, of itself
    except AskError as fault:
        return Credential(auth.setting, fault="" if fault.retry else str(fault), unsure=fault.retry)
    if is_login or _end_in(token):
        return Credential(auth.setting)
    return Credential(auth.setting, undated="it is a token that does not say when it ends, and Dozzle does not either")


def _not_told(name: str, fault: TargetError | ConfigError) -> Credential:
    """Whether it is accepted the target itself notices: here it only is not known when it ends."""
    if isinstance(fault, ConfigError) or fault.retry:
        return Credential(name, unsure=True)
    return Credential(name, undated=str(fault))


def _moment(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < _LATEST else None


News = events.CredentialFailing | events.CredentialSound | events.CredentialUndated


def news(expiring: Expiring, found: Iterable[Credential], now: datetime) -> Iterator[News]:
    """What is not known yet. Pure. Of several answers about one credential the worst counts."""
    known, answers = expiring.credentials, dict[str, list[Credential]]()
    for one in found:
        answers.setdefault(one.name, []).append(one)
    for name, said in answers.items():
        worst = min(said, key=_rank)
        ends, reason = _judged(worst, now)
        if reason and (name not in known or known[name].ends != ends):
            yield events.CredentialFailing(credential=name, ends=ends, reason=reason)
        undated = next((one.undated for one in said if one.undated), "")
        if undated and undated != expiring.undated.get(name):
            yield events.CredentialUndated(credential=name, reason=undated)
        elif _is_over(name, expiring, said, reason or undated):
            yield events.CredentialSound(credential=name, reason="it is accepted, and does not end soon")
    for name in sorted((known.keys() | expiring.undated.keys()) - answers.keys()):
        yield events.CredentialSound(credential=name, reason="no setting names it any more")


def _is_over(name: str, expiring: Expiring, said: Iterable[Credential], still: str) -> bool:
    told = name in expiring.credentials or name in expiring.undated
    return told and not still and not any(one.unsure for one in said)


def _rank(one: Credential) -> tuple[bool, datetime]:
    return not one.fault, one.ends or datetime.max.replace(tzinfo=UTC)


def _judged(one: Credential, now: datetime) -> tuple[str, str]:
    """When it ends and why that is worth a word; two empty texts where all is well."""
    if one.fault:
        return "", one.fault
    if one.ends and one.ends - now < EXPIRES_SOON:
        return one.ends.isoformat(timespec="minutes"), f"{one.what} ends on {one.ends:%Y-%m-%d %H:%M} UTC"
    return "", ""
