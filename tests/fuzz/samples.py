"""What real bytes look like: the starter repo, our own golden lines, and all that Traefik's files and API may hold."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).parents[2]

HAND_WRITTEN = b"""\
# Everything below was written by hand.
http:
  services:   # services first, on purpose
    grafana:
      loadBalancer:
        servers:
          - url: http://10.0.0.5:3000  # the box in the cellar
        healthCheck: {path: /health, interval: 10s}
  routers:
    grafana:
      service: grafana   # see above
      rule: Host(`grafana.example.org`) && PathPrefix(`/dash`)
      middlewares: [compress, "auth@file"]
      entryPoints:
      - web
      - 'websecure'
      tls:
        certResolver: home
        domains: [{main: example.org, sans: ["*.example.org"]}]
      priority: 10
  middlewares:
    compress:
      compress: {}
    auth:
      forwardAuth: {address: "http://auth:9091/api", trustForwardHeader: true}
x-notes: |
  said by hand
    and indented
"""

DOCUMENT: dict[str, Any] = {
    "http": {
        "routers": {
            "a": {
                "rule": "Host(`a.lab`) && PathPrefix(`/api`)", "service": "a", "middlewares": ["auth", "chain@file"],
                "entryPoints": ["web", "websecure"], "priority": 7,
                "tls": {"certResolver": "home", "options": "strict", "domains": [{"main": "a.lab", "sans": ["b.lab"]}]},
            },
            "b": {"rule": "HostRegexp(`^[a-z]+\\.lab$`) || (Method(`GET`) && !Header(`X-A`, `b`))", "service": "mixed"},
            "c": {"rule": "ClientIP(`10.0.0.0/8`) && Query(`k`, `v`)", "service": "noop@internal", "parentRefs": ["a"]},
        },
        "services": {
            "a": {
                "loadBalancer": {
                    "servers": [{"url": "http://127.0.0.1:9", "weight": 2}], "passHostHeader": True,
                    "sticky": {"cookie": {"name": "s", "secure": True, "maxAge": 5}}, "serversTransport": "own",
                    "healthCheck": {"path": "/h", "interval": "10s", "timeout": "3s", "headers": {"X": "y"}},
                    "responseForwarding": {"flushInterval": "100ms"},
                }
            },
            "mixed": {"weighted": {"services": [{"name": "a", "weight": 3}, {"name": "copy"}]}},
            "copy": {"mirroring": {"service": "a", "mirrors": [{"name": "spare", "percent": 10}]}},
            "spare": {"failover": {"service": "a", "fallback": "mixed"}},
        },
        "middlewares": {
            "auth": {"basicAuth": {"users": ["ada:$2y$05$abc"], "realm": "home", "removeHeader": True}},
            "forward": {"forwardAuth": {"address": "https://auth.lab", "authResponseHeaders": ["X-User"]}},
            "chain": {"chain": {"middlewares": ["auth", "strip", "limit"]}},
            "strip": {"stripPrefix": {"prefixes": ["/api"]}},
            "limit": {"rateLimit": {"average": 10, "burst": 20, "period": "1s"}},
            "list": {"ipAllowList": {"sourceRange": ["127.0.0.1/32", "::1"], "ipStrategy": {"depth": 1}}},
            "headers": {"headers": {"customRequestHeaders": {"X-A": ""}, "stsSeconds": 60, "frameDeny": True}},
            "away": {"redirectRegex": {"regex": "^http://(.*)", "replacement": "https://${1}", "permanent": True}},
            "scheme": {"redirectScheme": {"scheme": "https", "port": "443"}},
            "errors": {"errors": {"status": ["500-599"], "service": "a", "query": "/{status}.html"}},
            "replace": {"replacePathRegex": {"regex": "^/x/(.*)", "replacement": "/$1"}},
            "retry": {"retry": {"attempts": 4, "initialInterval": "100ms"}},
        },
        "serversTransports": {"own": {"insecureSkipVerify": True, "rootCAs": ["/ca.pem"], "maxIdleConnsPerHost": 5}},
    },
    "tcp": {
        "routers": {"t": {"rule": "HostSNI(`t.lab`)", "service": "t", "tls": {"passthrough": True}}},
        "services": {"t": {"loadBalancer": {"servers": [{"address": "127.0.0.1:9"}]}}},
        "middlewares": {"few": {"inFlightConn": {"amount": 5}}},
        "serversTransports": {"plain": {"dialTimeout": "30s"}},
    },
    "udp": {
        "routers": {"u": {"entryPoints": ["dns"], "service": "u"}},
        "services": {"u": {"loadBalancer": {"servers": [{"address": "127.0.0.1:53"}]}}},
    },
    "tls": {
        "certificates": [{"certFile": "/c.pem", "keyFile": "/k.pem", "stores": ["default"]}],
        "options": {"strict": {"minVersion": "VersionTLS13", "clientAuth": {"clientAuthType": "NoClientCert"}}},
        "stores": {"default": {"defaultCertificate": {"certFile": "/c.pem", "keyFile": "/k.pem"}}},
    },
    "x-waypost": {"note": "about this file", "parameters": {"rate": "/http/middlewares/limit/rateLimit/average"}},
}  # fmt: skip
"""Something of everything that a dynamic file may hold."""

SMALL: dict[str, Any] = {
    "http": {
        "routers": {"a": {"rule": "Host(`a.lab`)", "service": "a"}},
        "services": {"a": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}},
    }
}

TOML = b"""\
# as Traefik users have it
[http.routers.a]
  rule = "Host(`a.lab`)"
  service = "a"
  priority = 1_000
[http.services.a.loadBalancer]
  [[http.services.a.loadBalancer.servers]]
    url = "http://127.0.0.1:9"
[http.middlewares]
  m = { headers = { customRequestHeaders = { X-A = 'b' } } }
[tls.options.strict]
  minVersion = "VersionTLS12"
  cipherSuites = [ "TLS_RSA", ]
"""


def _presets() -> list[bytes]:
    return [path.read_bytes() for path in sorted((ROOT / "desired" / "traefik").rglob("*.yaml"))]


PIECES: tuple[dict[str, Any], ...] = tuple(
    {section: {group: {name: spec}}}
    for section, groups in DOCUMENT.items()
    if section in ("http", "tcp", "udp")
    for group, members in groups.items()
    for name, spec in members.items()
)
"""The same, one thing in a file."""

FILES = (HAND_WRITTEN, json.dumps(SMALL, indent=1).encode(), *_presets())
VALUES = (*PIECES, SMALL, {"tls": DOCUMENT["tls"]}, DOCUMENT)

POLICY = (ROOT / "desired" / "waypost.yaml").read_bytes()
POLICIES = (
    {
        "version": 1,
        "schedules": {"reconcile": "1m", "drift": "*/5 1-3 * JAN-MAR mon,fri"},
        "targets": {
            "traefik": {"kind": "traefik", "directory": "traefik", "drift": "heal"},
            "edge": {"directory": "e"},
        },
        "guards": {
            "hostnames_removed": {"max": 3, "share": 0.5},
            "authentication": ["*auth*", "[a-z]*"],
            "public_entry_points": ["websecure"],
        },
        "protected": ["*/*/*gitea*", "traefik/http.routers/?"],
        "proposals": {"remind_after": "3d", "close_after": "14d"},
    },
)

RULES = (
    "Host(`a.lab`)",
    "Host(`a.lab`) && PathPrefix(`/api`)",
    "(Host(`a.lab`, ) || HostRegexp(`^[a-z0-9-]{1,63}\\.lab$`)) && !(Method(`GET`) && Header(`X-A`, `b`))",
    "PathRegexp(`(?i)^/api/(v[0-9]+|latest)/`) && Query(`k`, `v`) && QueryRegexp(`x`, `^.*$`)",
    'ClientIP("10.0.0.0/8") && HeaderRegexp("X", "\\\\w+\\x41\\u00e9") // a comment\n',
    "/* before */ path(`/a b/%2F/é`)\n&& HOST(`A.LAB`)",
    "!!!(Path(`/`))",
)
TCP_RULES = (
    "HostSNI(`*`)",
    "HostSNI(`t.lab`) && ClientIP(`10.0.0.0/8`, `::1`)",
    "HostSNIRegexp(`^.+\\.lab$`) && !ALPN(`h2`)",
)
PATTERNS = (
    "^[a-z0-9-]{1,63}\\.lab$", "(?i)^/api/(v[0-9]+|latest)/", "(a|b)*c+?d{2,5}", "\\pL\\p{Greek}\\PN[[:alpha:]^x]",
    "(?P<name>a(?:b(?s:.)c))\\z", "\\Qa.b\\E\\x{10FFFF}\\07\\b\\B", "[^\\d\\s-\\x7f]", "(?U)a{0,1000}", "a**", "(|a)*$",
    "a{0,1000}" * 400, "\\pL{1000}",
)  # fmt: skip

REQUESTS = (
    {
        "method": "GET",
        "url": "https://a.lab/api?x=1",
        "headers": {"X-A": "b", "Cookie": ["a", "b"]},
        "client_ip": "::1",
    },
    {"url": "http://[::1]:8080/%2e%2e/a%2Fb;x=1?k=v&k=%zz#f", "entrypoint": "web", "sni": "a.lab"},
    {"target": "/a//b/../c", "host": "a.lab:80", "headers": [["Host", "b"], ["X", "y"]], "tls": True},
    {"target": "*", "method": "OPTIONS", "host": None, "entry_point": "websecure"},
    {"target": "http://b.lab/x", "host": "a.lab", "client_ip": "10.0.0.1"},
)
URLS = ("http://a.lab/api?x=1", "https://user:pw@[fe80::1%25eth0]:443/%2e%2e/é", "a.lab", "//a.lab/x", "http://a.lab:/")

ENTRY_POINTS = [
    {"name": "web", "address": "127.0.0.1:80", "asDefault": True, "http": {"maxHeaderBytes": 1}, "transport": {}},
    {
        "name": "websecure", "address": ":443/tcp",
        "http": {
            "tls": {"certResolver": "home"}, "middlewares": ["auth@file"],
            "redirections": {"entryPoint": {"to": "web"}},
        },
        "forwardedHeaders": {"trustedIPs": ["10.0.0.0/8"], "insecure": False}, "observability": {"accessLogs": True},
    },
    {"name": "dns", "address": ":53/udp", "udp": {"timeout": "3s"}},
]  # fmt: skip
RAWDATA = {
    "routers": {
        "a@file": {
            "entryPoints": ["web"], "service": "a", "rule": "Host(`a.lab`)", "status": "enabled", "using": ["web"],
            "priority": 13, "middlewares": ["auth@file"], "tls": {"options": "default"},
        },
        "websecure-b@docker": {"rule": "HostRegexp(`.*`)", "service": "b@docker", "status": "disabled", "error": ["x"]},
    },
    "services": {
        "a@file": {
            "loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}, "status": "enabled", "usedBy": ["a@file"],
            "serverStatus": {"http://127.0.0.1:9": "UP"},
        }
    },
    "middlewares": {
        "auth@file": {"basicAuth": {"users": ["x"]}, "status": "enabled", "usedBy": ["a@file"], "error": "text"},
        "waypost-gen-1@file": {"headers": {"customResponseHeaders": {"X-Generation": "1"}}, "status": "enabled"},
    },
    "tcpRouters": {"t@file": {"rule": "HostSNI(`*`)", "service": "t", "tls": {"passthrough": True}, "status": "x"}},
    "tcpServices": {"t@file": {"loadBalancer": {"servers": [{"address": "127.0.0.1:9"}]}, "status": "enabled"}},
    "tcpMiddlewares": {}, "udpRouters": {"u@file": {"entryPoints": ["dns"], "service": "u", "status": "enabled"}},
    "udpServices": None,
}  # fmt: skip
VERSION = {"Version": "3.7.15", "Codename": "x", "startDate": "2026-11-20T12:00:00Z", "pilotEnabled": False}
OVERVIEW = {"http": {"routers": {"total": 1, "warnings": 0}}, "features": {"metrics": ""}, "providers": ["File"]}
CERTIFICATES = [{"commonName": "a.lab", "sans": ["a.lab"], "notAfter": "2026-12-01T00:00:00Z", "status": "enabled"}]
STATIC = {
    "entryPoints": {"web": {"address": "xxxx"}},
    "providers": {"precedence": ["file"]},
    "certificatesResolvers": {},
}


def support_dump(static: bytes) -> bytes:
    """What /api/support-dump answers with."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        for name, content in (("version.json", b"{}"), ("static-config.json", static)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


DUMP = support_dump(json.dumps(STATIC).encode())
PLAIN_DUMP = gzip.decompress(DUMP)

GOLDEN: tuple[dict[str, Any], ...] = tuple(
    orjson.loads(line) for line in (ROOT / "tests" / "state" / "golden.jsonl").read_bytes().splitlines() if line
)

SETTINGS = b"""\
# settings of this home
WAYPOST_DESIRED_REPO=
export WAYPOST_LISTEN = "127.0.0.1:9100"
WAYPOST_TRAEFIK_DYNAMIC_DIR=/etc/traefik/dynamic
WAYPOST_TRAEFIK_API_URL='http://127.0.0.1:8080'
WAYPOST_TRAEFIK_API_AUTH=file:/run/secrets/auth
WAYPOST_TRAEFIK_DEADLINE=1.5m
WAYPOST_PUBLIC_URL=https://waypost.example.org http://[::1]:9100
WAYPOST_ALERT_URLS=env:ALERTS ntfy://host/topic
WAYPOST_READ_ONLY=false
WAYPOST_GIT_TOKEN=env:TOKEN
"""
TARGETS = b"""\
[edge]
kind = "traefik"
api_url = "http://10.0.0.1:8080"
dynamic_dir = "/etc/edge"
deadline = "10s"
delivery = "file"
api_auth = "env:EDGE"
"""
MESSAGES = (
    """\
Add the route gitea

Gitea moved to this machine.
Waypost-Request: smuggled

Waypost-Request: 0199-aa
Waypost-Tool: traefik_create_route
Waypost-Client: claude/1.0
""",
    f"a line that took a quarter of a minute\n\nA:{' ' * 20_000}\nB: c",
)
