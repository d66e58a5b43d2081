"""What the gateway must know of a home: places and switches, and not one credential."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reconciler import config
from reconciler.documentation.fetching import Reach
from shards.declared import FILE, Discovery, Listed, Watched
from shards.limits import Bounds
from shards.oauth import Issuer

CLONE = "clone.git"
OUTBOX = "outbox.db"


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """Everything the gateway is told.

    `directory` is its own (clone and outbox); `source` the repository whose main it follows, always a local
    one: of a remote desired repo the reconciler keeps a mirror, so that the gateway needs no credentials.
    """

    directory: Path
    source: Path
    branch: str = "main"
    host: str = "127.0.0.1"
    port: int = 9100
    reconciler_url: str = "http://127.0.0.1:9101"
    public_urls: tuple[str, ...] = ()
    read_only: bool = False
    bounds: Bounds = field(default_factory=Bounds)  # what one client may ask for
    answer_within: float = 5.0  # seconds that the reconciler may take for a plan
    issuer: Issuer | None = None  # whose access tokens are believed
    ca_file: Path | None = None  # whom to trust when a shard elsewhere is asked over TLS
    discovery: Discovery = field(default_factory=Listed)  # which shards run elsewhere
    documentation: Reach = field(default_factory=Reach)  # whose documentation is read, and how far that may go

    @property
    def clone(self) -> Path:
        return self.directory / CLONE

    @property
    def outbox(self) -> Path:
        return self.directory / OUTBOX

    @property
    def tokens(self) -> Path:
        """Whom people gave a token: in the home, where the gateway only reads."""
        return self.directory.parent / "tokens.json"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the gateway."""
        return config.Listen(self.host, self.port).loopback


def read(home: Path, environ: Mapping[str, str]) -> GatewaySettings:
    """The gateway's part of a home's settings. Raises config.ConfigError with every fault there is."""
    settings = config.load(environ, home)
    return GatewaySettings(
        directory=home / "gateway",
        source=home / ("mirror.git" if settings.desired_repo else "desired.git"),
        branch=settings.desired_branch,
        host=settings.listen.host,
        port=settings.listen.port,
        reconciler_url=settings.query_url,
        public_urls=settings.public_url,
        read_only=settings.read_only,
        bounds=_bounds(settings),
        issuer=_issuer(settings),
        ca_file=settings.ca_file,
        discovery=Watched(home / FILE),
    )


def _issuer(settings: config.Settings) -> Issuer | None:
    if not settings.oauth_issuer:
        return None
    address = settings.public_url[0] if settings.public_url else f"http://{settings.listen}"
    resource = f"{address}/mcp"
    return Issuer(url=settings.oauth_issuer, audiences=settings.oauth_audience or (resource,), resource=resource)


def _bounds(settings: config.Settings) -> Bounds:
    return Bounds(
        reads_rate=settings.reads_per_minute / 60,
        reads_burst=max(1, settings.reads_per_minute // 12),
        writes_rate=settings.writes_per_minute / 60,
        writes_burst=min(settings.writes_per_minute, 20),
        at_once=settings.calls_at_once,
        proposals_a_day=settings.proposals_per_day,
    )
