"""Every module that reads bytes, and the edges that throw inputs at it; or why nobody throws any."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("state", "reconciler", "shards")

READING = frozenset(
    {
        "json.loads", "orjson.loads", "tomllib.loads", "yaml.parse", "yaml.load", "zipfile.ZipFile", "tarfile.open",
        "zlib.decompressobj", "zlib.decompress", "gzip.decompress", "struct.unpack", "datetime.fromisoformat",
        "bytes.fromhex", "urlsplit", "parse_qs", "b64decode", "model_validate", "model_validate_json",
        "validate_json", "TypeAdapter", "from_crontab", "compile", "json", "get_unverified_header", "from_dict",
        "load_der_x509_certificate", "httptools.HttpResponseParser",
    }
)  # fmt: skip
"""Calls by which bytes or text become something else; of a method only its name."""

EDGES: Mapping[str, tuple[str, ...]] = {
    "reconciler/authentik/api.py": ("answer of authentik",),
    "reconciler/backups/archive.py": ("backup",),
    "reconciler/backups/manifest.py": ("backup",),
    "reconciler/certificates/leaf.py": ("certificate of a door",),
    "reconciler/config.py": ("settings", "backup"),
    "reconciler/core/policy.py": ("policy",),
    "reconciler/document.py": ("desired file", "policy", "neighbours' files", "our live file"),
    "reconciler/documentation/fetching.py": ("answer of a documentation site",),
    "reconciler/documentation/indexes.py": ("index of documentation",),
    "reconciler/documentation/ledger.py": ("kept documentation",),
    "reconciler/documentation/shelf.py": ("kept documentation",),
    "reconciler/documentation/sources.py": ("list of watched pages", "answer of a documentation site"),
    "reconciler/edit.py": ("edit of a file",),
    "reconciler/git/ingest.py": ("gateway's clone",),
    "reconciler/git/store.py": ("anchors in Git", "desired commit"),
    "reconciler/git/trees.py": ("desired commit", "gateway's clone"),
    "reconciler/asking.py": ("answer of Gitea", "answer of Komodo", "answer of authentik"),
    "reconciler/credentials.py": ("end of a token",),
    "reconciler/gitea/api.py": ("answer of Gitea",),
    "reconciler/komodo/reading.py": ("answer of Komodo",),
    "reconciler/komodo/requests.py": ("file of a stack",),
    "reconciler/komodo/wire.py": ("answer of Komodo",),
    "reconciler/locks.py": ("lock file",),
    "reconciler/query_client.py": ("answer of the reconciler",),
    "reconciler/routing/asking.py": ("requests as JSON lines",),
    "reconciler/routing/patterns.py": ("regular expression",),
    "reconciler/routing/request.py": ("requests as JSON lines", "request as typed"),
    "reconciler/schedule.py": ("cron line", "policy"),
    "reconciler/secret_stores/vault.py": ("answer of a Vault",),
    "reconciler/setting.py": ("settings",),
    "reconciler/targets/komodo_record.py": ("record of deploys",),
    "reconciler/tokens.py": ("tokens",),
    "reconciler/traefik/api.py": ("answer of Traefik's API",),
    "reconciler/traefik/render.py": ("our live file",),
    "shards/adopting.py": ("what was planned and seen",),
    "shards/authentik_drafts.py": ("arguments of systems' tools",),
    "shards/authentik_live.py": ("what authentik tells",),
    "shards/belongings.py": ("remembered tools",),
    "shards/containers.py": ("answer of Docker", "pages of Dozzle"),
    "shards/declared.py": ("shards.toml",),
    "shards/diagnosing.py": ("arguments of tools",),
    "shards/docker_engine.py": ("answer of Docker", "log stream of Docker"),
    "shards/docker_stream.py": ("log stream of Docker",),
    "shards/dozzle_pages.py": ("pages of Dozzle", "MCP server of Dozzle"),
    "shards/gitea.py": ("what Gitea tells models",),
    "shards/gitea_reading.py": ("what Gitea tells models",),
    "shards/identity_states.py": ("what authentik tells",),
    "shards/kit.py": ("arguments of tools", "arguments of systems' tools"),
    "shards/komodo_deploys.py": ("what Komodo tells models",),
    "shards/komodo_logs.py": ("what Komodo tells models",),
    "shards/oauth.py": ("access token", "answer of an issuer"),
    "shards/proposing.py": ("answer of the reconciler",),
    "shards/reports.py": ("what was planned and seen",),
    "shards/routes.py": ("arguments of tools",),
    "shards/wire/connection.py": ("answer of a shard",),
    "shards/wire/distrust.py": ("answer of a shard",),
    "shards/wire/dozzle.py": ("MCP server of Dozzle",),
    "shards/wire/further.py": ("answer of a shard",),
    "shards/wire/posting.py": ("answer of a shard",),
    "state/codec.py": ("event of the log", "views of events"),
    "state/outbox_file.py": ("rows of an outbox", "damaged outbox"),
    "state/plain.py": ("event of the log",),
    "state/segment_file.py": ("sealed segment", "backup"),
    "state/segments.py": ("damaged log", "backup"),
    "state/tables.py": ("damaged log", "backup"),
    "state/tokens.py": ("views of events",),
    "state/view.py": ("damaged log", "backup"),
}
"""Module -> the edges through which bytes from outside reach it."""

NO_EDGE: Mapping[str, str] = {
    "reconciler/alerting/alertmanager.py": "an address in the settings, read as one before; of answers the status",
    "reconciler/alerting/heartbeat.py": "an address in the settings; whatever it is not is refused in words",
    "reconciler/alerting/ending.py": "moments that our own events hold",
    "reconciler/authentik/models.py": "a file of ours, cut out of what authentik publishes",
    "reconciler/demo.py": "answers of what the demonstration itself has started",
    "reconciler/doctor/containers.py": "of answers the status, and one text that is read as in shards/docker_engine",
    "reconciler/explaining.py": "a moment that a person types; `fromisoformat` raises ValueError and nothing else",
    "reconciler/gitea/address.py": "an address that a person sets; its own tests go through the forms",
    "reconciler/git/remote.py": "an address that a person sets; its own tests go through the forms",
    "reconciler/serve.py": "the host of an address in the settings, which were read as one before",
    "reconciler/targets/shadow.py": "lines of a Traefik that we started ourselves",
    "shards/backends.py": "whatever stands as a backend is asked over the network; its own tests name what is none",
    "shards/gateway.py": "addresses in the settings, which were read as such before",
    "shards/wire/remote.py": "tools out of an answer that the SDK has read; one that is none fails that shard's check",
    "shards/wire/contract.py": "tests: answers of a gateway that they have started",
}
"""Modules that read, and why they have no edge."""


def readers() -> Iterator[str]:
    """Modules in which such a call stands."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
            if any(_reads(ast.unparse(call)) for call in calls):
                yield path.relative_to(ROOT).as_posix()


def _reads(call: str) -> bool:
    return call in READING or ("." in call and call.rpartition(".")[2] in READING and not call.startswith("re."))
