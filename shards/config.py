"""What the gateway must know of a home: places and switches, and not one credential."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path

from reconciler import config
from reconciler.documentation.fetching import Reach
from reconciler.gitea.address import repository_in
from shards.authentik_live import AuthentikAt
from shards.declared import FILE, Discovery, Listed, Watched
from shards.gitea_reading import GiteaAt
from shards.komodo_at import KomodoAt
from shards.limits import Bounds
from shards.log_sources import LogsAt
from shards.oauth import Issuer
from state.sparing import dataclass

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
    gitea: GiteaAt = field(default_factory=GiteaAt)  # where people review
    logs: LogsAt = field(default_factory=LogsAt)  # who tells about containers
    komodo: tuple[KomodoAt, ...] = ()  # who runs stacks: every instance there is
    authentik: tuple[AuthentikAt, ...] = ()  # who signs people in: the same

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
    settings = config.load(environ, home, writes=False)
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
        komodo=tuple(_komodos(settings)),
        authentik=tuple(_authentiks(settings)),
        gitea=_gitea(settings),
        logs=LogsAt(
            dozzle_url=settings.dozzle_url or "", dozzle_auth=settings.dozzle_auth, docker_url=settings.docker_url or ""
        ),
    )


def _komodos(settings: config.Settings) -> Iterator[KomodoAt]:
    if settings.komodo_url:
        yield KomodoAt(url=settings.komodo_url, key=settings.komodo_read_key, secret=settings.komodo_read_secret)
    for one in _further(settings, "komodo"):
        key, secret = one.secrets.get("read_key"), one.secrets.get("read_secret")
        yield KomodoAt(instance=one.name, url=one.url, key=key, secret=secret)


def _authentiks(settings: config.Settings) -> Iterator[AuthentikAt]:
    if settings.authentik_url:
        yield AuthentikAt(url=settings.authentik_url, token=settings.authentik_read_token)
    for one in _further(settings, "authentik"):
        yield AuthentikAt(instance=one.name, url=one.url, token=one.secrets.get("read_token"))


def _further(settings: config.Settings, kind: str) -> Iterator[config.System]:
    """Those of targets.toml: the default one is described by settings of its own, also where nothing writes to it."""
    return (one for one in settings.systems if one.kind == kind and one.name != kind)


def _gitea(settings: config.Settings) -> GiteaAt:
    repository = repository_in(settings.desired_repo or "")
    if settings.gitea_url is None or repository is None:
        return GiteaAt()
    return GiteaAt(
        url=settings.gitea_url,
        repository=str(repository),
        token=settings.gitea_read_token,
        ca_file=settings.ca_file,
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
