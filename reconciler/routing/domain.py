"""What requests the decisions about rules speak of: in words, and as languages."""

from __future__ import annotations

import unicodedata
from typing import Final

from reconciler.routing.languages.language import Language, exactly, whole

DOMAIN: Final = f"""\
A "nothing" speaks of every request that a client can send over HTTP/1 to an entry point with Traefik's default options
and that reaches the routers there. Of other options these are followed: sanitizePath (off, paths stay as they come),
aliasHeadersStrategy and underscoreHeadersStrategy (headers that it takes away are not there), and
forwardedHeaders.insecure for what clients say in X-Forwarded headers that Traefik itself does not set.
- host: every value that a Host header can hold (letters, digits and ! $ % & ' ( ) * + , - . : ; = [ ] _ ~), trailing
  dots, addresses in brackets, a port and an empty or absent Host included. Left out: what only a target in absolute
  form can bring, which is other than ASCII and < > ".
- path: every routing path, that is decoded (reserved characters stay as %XX) and cleaned, with any bytes, those that
  are no UTF-8 included; and `*`, for which Go itself answers OPTIONS.
- method: every token but CONNECT, which Traefik answers itself.
- headers and query: any number of values for each name, a header value without control characters and without blanks
  at its ends. What Traefik sets or takes away itself (X-Forwarded-*, X-Real-Ip, Connection, …) is as it sets it for
  a peer that it does not trust.
- client address: every IPv4 and IPv6 address.
- connections, for TCP rules: every server name of letters, digits, - . and _ without a dot at its end, or none; any
  protocols.
Where a rule leans on tables of Unicode (\\pL, or case beyond ASCII), characters that Unicode
{unicodedata.unidata_version} does not assign are left out. Names are taken literally: no CNAME flattening. Rules that
see a request after a middleware has changed it are outside."""

_PLAIN = r"(?:[^/?#%.]|%(?:2[13456789ABCF]|3[ABDF]|40|5[BD]))"
_PART = rf"(?:{_PLAIN}(?:{_PLAIN}|\.)*|\.{_PLAIN}(?:{_PLAIN}|\.)*|\.\.(?:{_PLAIN}|\.)+)"

HOSTS: Final[Language] = whole(r"[a-z0-9!$%&'()*+,\-.:;=\[\]_~]*")
NAMES: Final[Language] = whole(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
PATHS: Final[Language] = whole(rf"(?s)/(?:{_PART}(?:/{_PART})*/?)?")
RAW_PATHS: Final[Language] = whole(rf"(?s)(?:/(?:{_PLAIN}|[./])*)?")
"""What rules see where paths are not cleaned; of a target without a path nothing at all."""
RAW_DECODED_PATHS: Final[Language] = whole(r"(?s)(?:/.*)?")
DECODED_PATHS: Final[Language] = whole(r"(?s)/.*")
"""What rules saw before Traefik 3.4.1: the path with every escape decoded after it was cleaned."""
HEADER_VALUES: Final[Language] = whole(r"(?:[!-~]|[^\x00-\x7f])(?:(?:[\t -~]|[^\x00-\x7f])*(?:[!-~]|[^\x00-\x7f]))?|")
ANYTHING: Final[Language] = whole(r"(?s).*")
TOKENS: Final[Language] = whole(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
STAR: Final[Language] = exactly("*")
TUNNEL: Final[Language] = exactly("CONNECT")
SERVER_NAMES: Final[Language] = whole(r"(?:[a-z0-9\-._]*[a-z0-9\-_])?")
PROTOCOLS: Final[Language] = whole(r"[!-~]{1,255}")
SCHEMES: Final = ("http", "https", "ws", "wss")
