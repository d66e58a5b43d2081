"""Secrets in a Vault or an OpenBao: the second version of its key-value engine, read over HTTP."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import httpx2
import orjson

from reconciler import in_time
from reconciler.secret_stores.errors import SecretError
from reconciler.secret_stores.places import Keyed

if TYPE_CHECKING:
    from reconciler.secret_stores import Vault

_TIMEOUT: Final = 5.0  # seconds without a byte
_PATIENCE: Final = 10.0  # seconds for a whole answer
_MOST: Final = 1 << 20  # bytes


def read(place: Keyed, vault: Vault) -> str:
    """The newest version of one value. Raises SecretError."""
    mount, _, path = place.path.partition("/")
    data = _asked(vault, f"/v1/{quote(mount, safe='')}/data/{quote(path)}", f"vault:{place}")
    # The engine's second version nests: its envelope, and in there the secret's own keys.
    value = _inside(_inside(data, "data"), "data").get(place.key)
    if isinstance(value, str) and value:
        return value
    raise SecretError(f"vault:{place}: there is no text under that key: see `vault kv get`")


def lifetime(vault: Vault) -> int | None:
    """Seconds until the token ends; None for one that never does. Raises SecretError where it is not accepted."""
    left = _inside(_asked(vault, "/v1/auth/token/lookup-self", "its token"), "data").get("ttl")
    return left if isinstance(left, int) and left > 0 else None


def _asked(vault: Vault, path: str, what: str) -> dict[str, Any]:
    headers = {"X-Vault-Token": vault.token(), "X-Vault-Request": "true"}
    if vault.namespace:
        headers["X-Vault-Namespace"] = vault.namespace
    try:
        with (
            httpx2.Client(
                transport=in_time.Transport(_trust(vault)),
                timeout=_TIMEOUT,
                follow_redirects=False,
                trust_env=False,
                headers=headers,
            ) as client,
            client.stream("GET", vault.url + path, extensions=in_time.by(time.monotonic() + _PATIENCE)) as response,
        ):
            status, body = response.status_code, _body(response, what)
    except in_time.TooSlow:
        raise SecretError(f"{what}, and its Vault answers too slowly", retry=True) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as fault:
        why = "no answer in time" if isinstance(fault, httpx2.TimeoutException) else type(fault).__name__
        raise SecretError(f"{what}, and the Vault at {vault.url} does not answer ({why})", retry=True) from None
    if status != 200:
        raise _refusal(status, what, vault.url)
    return _json(body, what)


def _body(response: httpx2.Response, what: str) -> bytes:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > _MOST:
            raise SecretError(f"{what}, and its Vault answers with more than {_MOST >> 20} MiB")
    return bytes(body)


def _refusal(status: int, what: str, url: str) -> SecretError:
    said = {
        403: "refuses that token: it needs read on that path; see WAYPOST_VAULT_TOKEN",
        404: "has nothing there: is that the mount, and is it version 2 of the engine?",
        503: "is sealed or in maintenance",
    }.get(status, f"answers with status {status}")
    return SecretError(f"{what}, and the Vault at {url} {said}", retry=status == 429 or status >= 500)


def _json(body: bytes, what: str) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    if isinstance(found, dict):
        return found
    raise SecretError(f"{what}, and its Vault does not answer as a Vault does", retry=True)


def _inside(data: dict[str, Any], key: str) -> dict[str, Any]:
    inner = data.get(key)
    return inner if isinstance(inner, dict) else {}


def _trust(vault: Vault) -> ssl.SSLContext | bool:
    if not vault.url.startswith("https:"):
        return False
    return ssl.create_default_context(cafile=vault.ca_file)
