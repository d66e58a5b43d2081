"""Every setting, declared once: what it is called, what it means, what it is unless somebody chooses."""

from __future__ import annotations

import difflib
import re
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from reconciler import setting
from reconciler.setting import ENVIRON, ConfigError, Kind, Listen, Secret, Setting

__all__ = [
    "ENVIRON",
    "SETTINGS",
    "ConfigError",
    "Listen",
    "Place",
    "Secret",
    "Settings",
    "explained",
    "load",
    "locate",
    "table",
    "value",
]

SETTINGS_FILE = "waypost.env"
TARGETS_FILE = "targets.toml"


def _setting(name: str, kind: Kind, default: str, explanation: str) -> Any:
    """A field of Settings whose declaration travels with it."""
    declared = Setting(name, kind, default, explanation)
    return field(default=kind.parse(default), metadata={"setting": declared})


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one target instance is and how it is reached. Its desired directory and drift mode are policy."""

    name: str
    kind: str
    api_url: str
    dynamic_dir: Path
    delivery: str
    binary: Path | None
    entry_points: tuple[setting.Reached, ...]
    api_auth: Secret | None
    deadline: float  # seconds


@dataclass(frozen=True, kw_only=True)
class System:
    """Where a target instance is that is written to through an interface of its own, and with which credentials.

    `secrets` are by what the system calls them (`key`, `secret`, `token`), those that the gateway looks with by the
    same names after `read_`; `deadline` is seconds. `context` is what its files may name: secrets by the names that
    they have there.
    """

    name: str
    kind: str
    url: str
    secrets: Mapping[str, Secret]
    deadline: float
    context: tuple[Secret, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything a deployment chooses, read once. Paths are absolute, times are seconds."""

    home: Path
    places: tuple[Place, ...] = ()  # Traefiks: the default instance first, then targets.toml in its order
    systems: tuple[System, ...] = ()  # all other targets, in the same order

    desired_repo: str | None = _setting(
        "WAYPOST_DESIRED_REPO", setting.REPOSITORY, "",
        "The Git repository of desired state: a path or an address. Empty: the repository inside the home "
        "(desired.git), which is all a single machine needs.",
    )  # fmt: skip
    desired_branch: str = _setting(
        "WAYPOST_DESIRED_BRANCH", setting.BRANCH, "main",
        "The branch that is what should be.",
    )  # fmt: skip
    git_token: Secret | None = _setting(
        "WAYPOST_GIT_TOKEN", setting.REFERENCE, "",
        "Reference to the token for a desired repository behind https. Only the reconciler needs it.",
    )  # fmt: skip
    git_ssh_key: Path | None = _setting(
        "WAYPOST_GIT_SSH_KEY", setting.PATH, "",
        "Private key file for a desired repository behind ssh. Empty: the ssh agent of the account.",
    )  # fmt: skip
    gitea_url: str | None = _setting(
        "WAYPOST_GITEA_URL", setting.OPTIONAL_WEB_ADDRESS, "",
        "The Gitea or Forgejo that holds the desired repository: proposals become pull requests there. Empty: they "
        "are branches, and people merge as they like.",
    )  # fmt: skip
    gitea_token: Secret | None = _setting(
        "WAYPOST_GITEA_TOKEN", setting.REFERENCE, "",
        "Reference to the token for its API (write:repository, write:issue, read:user). Empty: that of "
        "WAYPOST_GIT_TOKEN.",
    )  # fmt: skip
    gitea_person_token: Secret | None = _setting(
        "WAYPOST_GITEA_PERSON_TOKEN", setting.REFERENCE, "",
        "Reference to your own token (write:repository), for your own shell: `waypost approve` then merges the pull "
        "request in your name, as a click there would. Empty: it pushes to main with the reconciler's rights.",
    )  # fmt: skip
    gitea_read_token: Secret | None = _setting(
        "WAYPOST_GITEA_READ_TOKEN", setting.REFERENCE, "",
        "Reference to the token of an account that may only read (read:repository): what the gateway looks with.",
    )  # fmt: skip
    webhook_secrets: tuple[Secret, ...] = _setting(
        "WAYPOST_WEBHOOK_SECRETS", setting.several(setting.REFERENCE), "",
        "References to the secret of Gitea's webhook, which calls /webhooks/gitea after a push; the old and the new "
        "one while it is rotated. Empty: no webhook is taken, and main is looked at on schedule.",
    )  # fmt: skip
    listen: Listen = _setting(
        "WAYPOST_LISTEN", setting.LISTEN, "127.0.0.1:9100",
        "Where the gateway listens for models. Anything but loopback is open to the network it is on.",
    )  # fmt: skip
    reconciler_listen: Listen = _setting(
        "WAYPOST_RECONCILER_LISTEN", setting.LISTEN, "127.0.0.1:9101",
        "Where the reconciler listens for people, webhooks and the gateway's questions.",
    )  # fmt: skip
    reconciler_url: str | None = _setting(
        "WAYPOST_RECONCILER_URL", setting.OPTIONAL_WEB_ADDRESS, "",
        "Where the gateway finds the reconciler. Empty: where WAYPOST_RECONCILER_LISTEN says.",
    )  # fmt: skip
    public_url: tuple[str, ...] = _setting(
        "WAYPOST_PUBLIC_URL", setting.several(setting.ORIGIN), "",
        "The addresses by which clients may call the gateway from elsewhere; any other host name is turned "
        "away. Loopback always works. What needs no token (/health, /metrics, and where clients find the issuer) "
        "answers to IP addresses and names without a dot as well, which no DNS of a stranger gives; /mcp does not.",
    )  # fmt: skip
    traefik_dynamic_dir: Path | None = _setting(
        "WAYPOST_TRAEFIK_DYNAMIC_DIR", setting.PATH, "",
        "The directory that Traefik's file provider watches. Waypost owns mcp-managed/ inside it and touches "
        "nothing else. Empty: no Traefik is managed yet.",
    )  # fmt: skip
    traefik_api_url: str = _setting(
        "WAYPOST_TRAEFIK_API_URL", setting.WEB_ADDRESS, "http://127.0.0.1:8080",
        "Traefik's API, which proves every apply. Reading is enough.",
    )  # fmt: skip
    traefik_api_auth: Secret | None = _setting(
        "WAYPOST_TRAEFIK_API_AUTH", setting.REFERENCE, "",
        "Reference to user:password where that API asks for them.",
    )  # fmt: skip
    traefik_entry_points: tuple[setting.Reached, ...] = _setting(
        "WAYPOST_TRAEFIK_ENTRY_POINTS", setting.several(setting.REACHED), "",
        "Where visitors reach Traefik's entry points, as seen from the gateway, for looking at the certificates shown "
        "there. Of those not named: the machine of Traefik's API, with the port that the entry point listens on.",
    )  # fmt: skip
    traefik_delivery: str = _setting(
        "WAYPOST_TRAEFIK_DELIVERY",
        setting.choice("file", later={"http": "this version delivers by file only"}),
        "file",
        "How Traefik gets its configuration: file writes into the directory above.",
    )  # fmt: skip
    traefik_binary: Path | None = _setting(
        "WAYPOST_TRAEFIK_BINARY", setting.PATH, "",
        "A traefik program for checking candidates before they go live. Empty: the one installed beside "
        "Waypost or found on PATH; without any, plans say what could not be checked.",
    )  # fmt: skip
    traefik_deadline: float = _setting(
        "WAYPOST_TRAEFIK_DEADLINE", setting.DURATION, "15s",
        "How long Traefik may take to serve what was written before the verdict is made without it. Several "
        "times Traefik's own providersThrottleDuration.",
    )  # fmt: skip
    komodo_url: str | None = _setting(
        "WAYPOST_KOMODO_URL", setting.OPTIONAL_WEB_ADDRESS, "",
        "The Komodo Core that deploys the stacks of komodo/. Empty: nothing is deployed.",
    )  # fmt: skip
    komodo_key: Secret | None = _setting(
        "WAYPOST_KOMODO_KEY", setting.REFERENCE, "",
        "Reference to the API key of Waypost's own Komodo user, which may execute the stacks it manages and no more.",
    )  # fmt: skip
    komodo_secret: Secret | None = _setting(
        "WAYPOST_KOMODO_SECRET", setting.REFERENCE, "",
        "Reference to the secret of that key.",
    )  # fmt: skip
    komodo_deadline: float = _setting(
        "WAYPOST_KOMODO_DEADLINE", setting.DURATION, "2m",
        "How long a pass waits for one deploy, images to pull included. A longer one goes on meanwhile, and the next "
        "pass asks again; routes of other commits do not wait for it.",
    )  # fmt: skip
    komodo_read_key: Secret | None = _setting(
        "WAYPOST_KOMODO_READ_KEY", setting.REFERENCE, "",
        "Reference to the API key of a Komodo user that may only read: what the gateway looks with.",
    )  # fmt: skip
    komodo_read_secret: Secret | None = _setting(
        "WAYPOST_KOMODO_READ_SECRET", setting.REFERENCE, "",
        "Reference to the secret of that key.",
    )  # fmt: skip
    authentik_url: str | None = _setting(
        "WAYPOST_AUTHENTIK_URL", setting.OPTIONAL_WEB_ADDRESS, "",
        "The authentik that the blueprints of authentik/ are applied to. Empty: none are.",
    )  # fmt: skip
    authentik_token: Secret | None = _setting(
        "WAYPOST_AUTHENTIK_TOKEN", setting.REFERENCE, "",
        "Reference to the API token of Waypost's own service account there, which may manage blueprints.",
    )  # fmt: skip
    authentik_deadline: float = _setting(
        "WAYPOST_AUTHENTIK_DEADLINE", setting.DURATION, "60s",
        "How long authentik may take to apply a blueprint before the verdict is made without it.",
    )  # fmt: skip
    authentik_context: tuple[Secret, ...] = _setting(
        "WAYPOST_AUTHENTIK_CONTEXT", setting.several(setting.NAMED_REFERENCE), "",
        "What `!Context NAME` stands for in blueprints: secrets that authentik alone is told.",
    )  # fmt: skip
    authentik_read_token: Secret | None = _setting(
        "WAYPOST_AUTHENTIK_READ_TOKEN", setting.REFERENCE, "",
        "Reference to the API token of an account that may only look: what the gateway uses.",
    )  # fmt: skip
    dozzle_url: str | None = _setting(
        "WAYPOST_DOZZLE_URL", setting.OPTIONAL_WEB_ADDRESS, "",
        "Dozzle, through which the gateway reads logs and how containers are. Empty: those are read from "
        "WAYPOST_DOCKER_URL, where that is set.",
    )  # fmt: skip
    dozzle_auth: Secret | None = _setting(
        "WAYPOST_DOZZLE_AUTH", setting.REFERENCE, "",
        "Reference to user:password of a Dozzle user without roles, or to a token of it. Empty: Dozzle asks nobody, "
        "which it should.",
    )  # fmt: skip
    docker_url: str | None = _setting(
        "WAYPOST_DOCKER_URL", setting.OPTIONAL_WEB_ADDRESS, "",
        "The Docker Engine behind a socket proxy that lets only reads through (compose.yaml brings one): where there "
        "is no Dozzle, or it is away. Never the Engine itself.",
    )  # fmt: skip
    oauth_issuer: str | None = _setting(
        "WAYPOST_OAUTH_ISSUER", setting.ISSUER, "",
        "The OpenID Connect issuer whose access tokens open the gateway, as `iss` has it; scopes waypost:read and "
        "waypost:propose are the roles, with :NAME behind them for one shard or tool. Empty: only tokens of "
        "Waypost do.",
    )  # fmt: skip
    oauth_audience: tuple[str, ...] = _setting(
        "WAYPOST_OAUTH_AUDIENCE", setting.several(setting.WORD), "",
        "What `aud` must hold in those tokens, for one the client id at the issuer. Empty: the public address and "
        "/mcp.",
    )  # fmt: skip
    reads_per_minute: int = _setting(
        "WAYPOST_READS_PER_MINUTE", setting.COUNT, "1200",
        "How often one client may call one tool that reads. Short bursts of a twelfth of that are fine at any time.",
    )  # fmt: skip
    writes_per_minute: int = _setting(
        "WAYPOST_WRITES_PER_MINUTE", setting.COUNT, "30",
        "The same of tools that propose.",
    )  # fmt: skip
    calls_at_once: int = _setting(
        "WAYPOST_CALLS_AT_ONCE", setting.COUNT, "8",
        "How many calls of one client may run at the same time.",
    )  # fmt: skip
    proposals_per_day: int = _setting(
        "WAYPOST_PROPOSALS_PER_DAY", setting.COUNT, "200",
        "How many proposals one client may make a day (UTC). A person has to read them.",
    )  # fmt: skip
    ca_file: Path | None = _setting(
        "WAYPOST_CA_FILE", setting.PATH, "",
        "Certificates (PEM) to trust in all outgoing TLS, Git included. Empty: those of the system.",
    )  # fmt: skip
    alert_urls: tuple[Secret, ...] = _setting(
        "WAYPOST_ALERT_URLS", setting.several(setting.ALERT_ADDRESS), "",
        "Where alerts go: Apprise addresses, or better references to them, since most contain a token. One may have a "
        "name in front (phone=env:NTFY) by which `alerts` in waypost.yaml sends it only what it is for.",
    )  # fmt: skip
    alertmanager_url: str | None = _setting(
        "WAYPOST_ALERTMANAGER_URL", setting.OPTIONAL_WEB_ADDRESS, "",
        "A Prometheus Alertmanager that is told of alerts too, as the channel `alertmanager`.",
    )  # fmt: skip
    alertmanager_auth: Secret | None = _setting(
        "WAYPOST_ALERTMANAGER_AUTH", setting.REFERENCE, "",
        "Reference to user:password where it asks for them.",
    )  # fmt: skip
    heartbeat_url: Secret | None = _setting(
        "WAYPOST_HEARTBEAT_URL", setting.SECRET_ADDRESS, "",
        "An address that is called after each good pass, so that somebody else notices when there are none any more "
        "(a dead man's switch). Whoever knows it can keep the switch quiet, so better a reference to it.",
    )  # fmt: skip
    vault_url: str | None = _setting(
        "WAYPOST_VAULT_URL", setting.OPTIONAL_WEB_ADDRESS, "",
        "The Vault or OpenBao that references like vault:mount/path#key lead to (KV version 2).",
    )  # fmt: skip
    vault_token: Secret | None = _setting(
        "WAYPOST_VAULT_TOKEN", setting.REFERENCE_HERE, "",
        "Reference (env: or file:) to the token that may read them.",
    )  # fmt: skip
    vault_namespace: str = _setting(
        "WAYPOST_VAULT_NAMESPACE", setting.OPTIONAL_WORD, "",
        "The namespace there, where namespaces are used.",
    )  # fmt: skip
    backup_dir: Path | None = _setting(
        "WAYPOST_BACKUP_DIR", setting.PATH, "",
        "Where scheduled backups go, best on another disk; how often and how many the policy says. Empty: none "
        "are made on schedule.",
    )  # fmt: skip
    approve_without_terminal: bool = _setting(
        "WAYPOST_APPROVE_WITHOUT_TERMINAL", setting.BOOLEAN, "false",
        "Whether `waypost approve --plan DIGEST` works where nobody sits at a terminal (scripts, CI).",
    )  # fmt: skip
    read_only: bool = _setting(
        "WAYPOST_READ_ONLY", setting.BOOLEAN, "false",
        "The kill switch: nothing is proposed, approved, published or applied. Reads, plans and drift reports go on.",
    )  # fmt: skip

    @property
    def query_url(self) -> str:
        """Where the gateway asks the reconciler."""
        if self.reconciler_url:
            return self.reconciler_url
        wildcard = {"0.0.0.0": "127.0.0.1", "::": "::1"}
        listen = self.reconciler_listen
        return f"http://{Listen(wildcard.get(listen.host, listen.host), listen.port)}"


HOME_SETTING = Setting(
    "WAYPOST_HOME", Kind("an absolute path", lambda text: setting.PATH.parse(text)), "",
    "The home this file lies in. Only the environment can set it.",
)  # fmt: skip

SETTINGS: tuple[Setting, ...] = tuple(
    spec.metadata["setting"] for spec in fields(Settings) if "setting" in spec.metadata
)
"""Every setting that waypost.env may hold, in the order a person meets them."""

_BY_NAME = {declared.name: declared for declared in SETTINGS}


def value(settings: Settings, name: str) -> Any:
    """What a setting is, by the name that people know."""
    return getattr(settings, _BY_NAME[name].field)


def locate(environ: Mapping[str, str] = ENVIRON, directory: Path | None = None) -> Path:
    """The home meant: WAYPOST_HOME, else the working directory if it is one, else `waypost` in the user's own."""
    if named := environ.get(HOME_SETTING.name, ""):
        path: Path = HOME_SETTING.read(named, "environment")
        return path
    here = directory or Path.cwd()
    return here if (here / SETTINGS_FILE).is_file() else Path.home() / "waypost"


def load(
    environ: Mapping[str, str], home: Path, chosen_now: Mapping[str, str] | None = None, *, writes: bool = True
) -> Settings:
    """The settings of a home: its waypost.env and targets.toml, with the environment winning.

    `chosen_now` wins over both: what a person is about to choose. The gateway, which never `writes` to a target, has
    not all that it takes to do so. Raises ConfigError with every fault there is.
    """
    faults: list[str] = []
    written = _read_file(home / SETTINGS_FILE, faults)
    named = {name: ("environment", text) for name, text in environ.items() if name.startswith("WAYPOST_")}
    named |= {name: ("what you chose", text) for name, text in (chosen_now or {}).items()}
    chosen = {**written, **{name: entry for name, entry in named.items() if entry[1].strip()}}
    chosen.pop(HOME_SETTING.name, None)
    values = _values(chosen, faults)
    tables = _read_tables(home / TARGETS_FILE, faults)
    _refuse_unknown({**written, **named}, _referenced(chosen, tables), faults)
    extra = [_instance(name, content, home / TARGETS_FILE, faults) for name, content in tables.items()]
    _refuse_missing_files(values, chosen, faults)
    settings = Settings(home=home, **values)
    found = [*_defaults(settings, faults if writes else []), *extra]
    if faults:
        raise ConfigError(*faults)
    places = tuple(one for one in found if isinstance(one, Place))
    settings = replace(settings, places=places, systems=tuple(one for one in found if isinstance(one, System)))
    return setting.resolving(settings, setting.store_of(settings, environ))


def _values(chosen: Mapping[str, tuple[str, str]], faults: list[str]) -> dict[str, Any]:
    values = {}
    for name, (place, text) in chosen.items():
        if (declared := _BY_NAME.get(name)) and text.strip():
            try:
                values[declared.field] = declared.read(text, place)
            except ConfigError as fault:
                faults.extend(fault.faults)
    return values


_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<text>.*)")


def _read_file(path: Path, faults: list[str]) -> dict[str, tuple[str, str]]:
    """Name -> (where it stands, text as written)."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as fault:
        faults.append(f"{path}: cannot be read: {getattr(fault, 'strerror', '') or 'it is not UTF-8 text'}")
        return {}
    found: dict[str, tuple[str, str]] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            _read_line(f"{path}:{number}", line.strip(), found, faults)
    return found


def _read_line(place: str, line: str, found: dict[str, tuple[str, str]], faults: list[str]) -> None:
    match = _LINE.fullmatch(line)
    if not match:
        faults.append(f"{place}: this line is not a setting; one looks like WAYPOST_READ_ONLY=false")
    elif match["name"] in found:
        faults.append(f"{place}: {match['name']} stands there a second time, after {found[match['name']][0]}")
    elif match["name"] == HOME_SETTING.name:
        faults.append(f"{place}: WAYPOST_HOME says where this file is, so only the environment can set it")
    else:
        found[match["name"]] = (place, _unquoted(match["text"]))


def _unquoted(text: str) -> str:
    quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def _referenced(chosen: Mapping[str, tuple[str, str]], tables: Mapping[str, Any]) -> set[str]:
    """Environment variables that hold secrets some setting refers to: they may be called anything."""
    texts = [text for _, text in chosen.values()]
    texts += [str(value) for table in tables.values() if isinstance(table, dict) for value in table.values()]
    return {found for text in texts for found in re.findall(r"(?:^|[\s=])env:([A-Za-z_]\w*)", text)}


def _refuse_unknown(named: Mapping[str, tuple[str, str]], known: set[str], faults: list[str]) -> None:
    for name, (place, _) in named.items():
        if name not in _BY_NAME and name not in known and name != HOME_SETTING.name:
            faults.append(f"{place}: {name} is not a setting; {_nearest(name, _BY_NAME)}")


def _nearest(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else "there are: " + ", ".join(names)


def _refuse_missing_files(values: Mapping[str, Any], chosen: Mapping[str, tuple[str, str]], faults: list[str]) -> None:
    for name in ("WAYPOST_CA_FILE", "WAYPOST_TRAEFIK_BINARY"):
        path = values.get(_BY_NAME[name].field)
        if path is not None and not path.is_file():
            faults.append(f"{chosen[name][0]}: {name} is '{path}'; right would be a file that exists, or nothing")


# ── further instances ────────────────────────────────────────────────────────────────────────────

_KEYS: Mapping[str, Mapping[str, Setting]] = {
    kind: {name: _BY_NAME[f"WAYPOST_{kind.upper()}_{name.upper()}"] for name in names}
    for kind, names in {
        "traefik": ("api_url", "dynamic_dir", "delivery", "binary", "entry_points", "api_auth", "deadline"),
        "komodo": ("url", "key", "secret", "deadline", "read_key", "read_secret"),
        "authentik": ("url", "token", "deadline", "context", "read_token"),
    }.items()
}
"""What describes an instance of a kind: the keys of its table, and the settings of the default instance."""

_REQUIRED = {"traefik": ("api_url", "dynamic_dir"), "komodo": ("url", "key", "secret"), "authentik": ("url", "token")}
_DECIDES = {"traefik": "dynamic_dir", "komodo": "url", "authentik": "url"}
_INSTANCE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def _defaults(settings: Settings, faults: list[str]) -> Iterator[Place | System]:
    """The instances that the environment describes: of each kind the one whose place is told."""
    for kind, keys in _KEYS.items():
        values = {name: getattr(settings, declared.field) for name, declared in keys.items()}
        if not values[_DECIDES[kind]]:
            continue
        missing = [keys[name] for name in _REQUIRED[kind] if not values[name]]
        faults += [
            f"{one.name} is missing, and {keys[_DECIDES[kind]].name} is set; {one.kind.words}" for one in missing
        ]
        if not missing:
            yield _described(kind, kind, values)


def _described(name: str, kind: str, values: Mapping[str, Any]) -> Place | System:
    if kind == "traefik":
        return Place(name=name, kind=kind, **values)
    secrets = {key: value for key, value in values.items() if isinstance(value, Secret)}
    if name != kind:  # messages name what a person has to mend
        secrets = {key: replace(one, setting=f"{key} of [{name}] in {TARGETS_FILE}") for key, one in secrets.items()}
    told = {"url": values["url"], "deadline": values["deadline"], "context": values.get("context", ())}
    return System(name=name, kind=kind, secrets=secrets, **told)


def _read_tables(path: Path, faults: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as fault:
        faults.append(f"{path}: cannot be read: {fault}")
        return {}


def _instance(name: str, content: Any, path: Path, faults: list[str]) -> Place | System | None:
    """The instance that one table describes, or None with its faults told."""
    place, before, kinds = f"{path}: [{name}]", len(faults), " or ".join(f"'{kind}'" for kind in _KEYS)
    if not _INSTANCE_NAME.fullmatch(name) or name in _KEYS:
        faults.append(f"{place}: an instance has a name of its own, of a-z, 0-9 and '-' ({kinds} are the default ones)")
    if not isinstance(content, dict):
        faults.append(f"{place}: right would be a table with kind, and where the system is")
        return None
    kind = str(content.get("kind", ""))
    if kind not in _KEYS:
        faults.append(f"{place}: kind is '{kind}'; right would be {kinds}")
        return None
    for required in _REQUIRED[kind]:
        if not content.get(required):
            faults.append(f"{place}: {required} is missing; right would be {_KEYS[kind][required].kind.words}")
    values = _place_values(place, content, _KEYS[kind], faults)
    return _described(name, kind, values) if len(faults) == before else None


def _place_values(
    place: str, content: Mapping[str, Any], keys: Mapping[str, Setting], faults: list[str]
) -> dict[str, Any]:
    values = {name: declared.kind.parse(declared.default) for name, declared in keys.items()}
    for key, text in content.items():
        if key == "kind":
            continue
        if key not in keys:
            faults.append(f"{place}: '{key}' is not a key; {_nearest(key, ['kind', *keys])}")
            continue
        try:
            values[key] = keys[key].read(str(text), f"{place} {key}")
        except ConfigError as fault:
            faults.extend(fault.faults)
    return values


# ── the same declarations, for people ────────────────────────────────────────────────────────────


def explained(chosen: Mapping[str, str]) -> str:
    """The text of waypost.env: every setting with its explanation, the chosen ones set, the others shown."""
    blocks = [
        "# Settings of this home. A line that starts with # is a comment: remove the # to choose.\n"
        "# An environment variable of the same name wins over this file. Secrets are references\n"
        "# (env:NAME, file:/path), never values. `waypost doctor` tests what stands here.\n"
    ]
    for declared in SETTINGS:
        lines = textwrap.wrap(f"{declared.explanation} Right is {declared.kind.words}.", 98)
        text = "".join(f"# {line}\n" for line in lines)
        picked = chosen.get(declared.name)
        value = f"#{declared.name}={declared.default}" if picked is None else f"{declared.name}={picked}"
        blocks.append(f"{text}{value}\n")
    return "\n".join(blocks)


def table() -> str:
    """The settings as a Markdown table, for README."""
    rows = ["| setting | unless chosen | what it is |", "|---|---|---|"]
    for declared in SETTINGS:
        default = f"`{declared.default}`" if declared.default else "–"
        rows.append(f"| `{declared.name}` | {default} | {declared.explanation} |")
    return "\n".join(rows) + "\n"
