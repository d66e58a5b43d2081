"""waypost.yaml as a value: guards, drift mode per target, schedules, protected resources. Unknown keys are errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from fnmatch import translate
from functools import cache
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from reconciler.core import cron
from state.model import Problem, digest

FILE = "waypost.yaml"

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_INTERVAL = re.compile(r"([1-9][0-9]{0,5})([smhd])")


def interval(text: str) -> timedelta | None:
    """`30s`, `5m`, `2h`, `3d` as a length of time; None for anything else."""
    match = _INTERVAL.fullmatch(text)
    return timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None


def _is_interval(text: str) -> str:
    if interval(text) is None:
        raise ValueError(f"'{text}' is no length of time; write one as 30s, 5m, 2h or 3d")
    return text


def _is_schedule(text: str) -> str:
    if interval(text) is None and (fault := cron.fault(text)):
        raise ValueError(
            f"'{text}' is no schedule: {fault}; write an interval (5m) or five cron fields in UTC (*/5 * * * *)"
        )
    return text


Interval = Annotated[str, AfterValidator(_is_interval)]
Schedule = Annotated[str, AfterValidator(_is_schedule)]
DriftMode = Literal["detect", "heal"]


class _Part(BaseModel):
    # Built at once, whatever others of this process do: its defaults are values, which would build each part apart.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=False)


class Schedules(_Part):
    reconcile: Schedule = "1m"
    drift: Schedule = "5m"
    documentation: Schedule = "1d"
    drift_report: Literal["never"] | Schedule = "0 6 * * mon"


TargetKind = Literal["traefik", "komodo", "authentik"]
DEFAULT_INSTANCES: tuple[TargetKind, ...] = ("traefik", "komodo", "authentik")
"""Each is an instance of that name, kind and directory, declared or not."""


class TargetPolicy(_Part):
    kind: TargetKind = "traefik"
    directory: str = Field(default="traefik", pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$")
    drift: DriftMode = "detect"
    refused: Literal["undo", "leave"] = "undo"

    @model_validator(mode="after")
    def _leaves_only_stacks(self) -> TargetPolicy:
        if self.refused == "leave" and self.kind != "komodo":
            raise ValueError("what was refused can only be left as it is on a Komodo")
        return self


def _with_defaults(targets: Any) -> Any:
    """The default instances stand beside those that are declared, and what is declared of one of them wins."""
    if not isinstance(targets, dict):
        return targets
    known: dict[Any, Any] = {name: {"kind": name, "directory": name} for name in DEFAULT_INSTANCES}
    for name, given in targets.items():
        known[name] = known.get(name, {}) | given if isinstance(given, dict) else given
    return known


class Hostnames(_Part):
    """How many host names may be taken from people without a person having seen that very loss.

    By one plan, together with what went unseen within a day.
    """

    max: int = Field(default=3, ge=0)
    share: float = Field(default=0.5, ge=0, le=1)


class Guards(_Part):
    """`authentication` names middlewares that ask who is there, for those into which nobody here can see.

    `public_entry_points` are those that the internet reaches; while there are none, nobody guards exposure.
    `approvals` is how many people must have said yes to a commit, by the word of the system that it was reviewed in.
    """

    hostnames_removed: Hostnames = Hostnames()
    authentication: tuple[str, ...] = ("*auth*",)
    public_entry_points: tuple[str, ...] = ()
    approvals: int = Field(default=1, ge=1, le=9)


class Proposals(_Part):
    remind_after: Interval = "3d"
    close_after: Interval = "14d"


class BackupPolicy(_Part):
    """Scheduled backups: when, how many are kept, and how old the last good one may be before a person is told."""

    every: Schedule = "1d"
    keep: int = Field(default=14, ge=1)
    alert_after: Interval = "3d"


Severity = Literal["critical", "warning", "info"]


class AlertRoute(_Part):
    """Which alerts go to which channels. What is left empty fits every alert; `*` in a pattern stands for anything."""

    severity: tuple[Severity, ...] = ()
    instances: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    to: tuple[str, ...]


class AlertPolicy(_Part):
    """Who is told of what. An alert goes to the channels of every route that it fits; one that fits none, to all.

    `expected_offline` is by instance or shard how long it may be away before that is told. With `changes` every change
    that was applied and proven is told too.
    """

    remind_after: Interval = "1d"
    changes: bool = False
    expected_offline: Mapping[str, Interval] = Field(default_factory=dict)
    routes: Mapping[str, AlertRoute] = Field(default_factory=dict)


class LogPolicy(_Part):
    """How long events stay in the live log, and how many, before they are sealed; how long mere looks are kept."""

    live: Interval = "90d"
    live_events: int = Field(default=100_000, ge=2_000)
    reads: Interval = "30d"


class Policy(_Part):
    """What a home's owner allows. Read from the last applied revision, never from the commit being judged."""

    version: Literal[1] = 1
    schedules: Schedules = Schedules()
    targets: Annotated[Mapping[str, TargetPolicy], BeforeValidator(_with_defaults)] = Field(
        default_factory=dict, validate_default=True
    )
    guards: Guards = Guards()
    protected: tuple[str, ...] = (
        "*/*/*gitea*",
        "*/*/*forgejo*",
        "*/*/*authentik*",
        "*/*/*traefik*",
        "*/*/*waypost*",
    )
    proposals: Proposals = Proposals()
    backups: BackupPolicy = BackupPolicy()
    alerts: AlertPolicy = AlertPolicy()
    log: LogPolicy = LogPolicy()

    def protects(self, address: str) -> bool:
        """Is this resource held whenever a plan touches it? Spelling it in capitals changes nothing."""
        return bool(_any_of(self.protected).match(address.lower()))

    @property
    def digest(self) -> str:
        return digest(self.model_dump(mode="json"))


@cache
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    # Asked about every resource of a home: one expression for all patterns, made once.
    return re.compile("|".join(translate(pattern.lower()) for pattern in patterns) or r"(?!)")


def parse(
    document: Any, lines: Mapping[tuple[str | int, ...], int] | None = None
) -> tuple[Policy, tuple[Problem, ...]]:
    """The policy in a parsed waypost.yaml, and everything wrong with it (all at once).

    `lines` maps a key's path to its line in the file, for the messages. With problems the default policy
    comes back: the strictest reading of a policy that cannot be read.
    """
    try:
        return Policy.model_validate_json(_json(document or {})), ()
    except ValidationError as error:
        return Policy(), tuple(_problem(fault, lines or {}) for fault in error.errors())


def _json(document: Any) -> bytes:
    # Through JSON, so that a YAML list may stand where the model holds a tuple, yet "3" is no number.
    return orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS)


def _problem(fault: Any, lines: Mapping[tuple[str | int, ...], int]) -> Problem:
    path = tuple(fault["loc"])
    name = ".".join(str(part) for part in path) or "the file"
    if fault["type"] == "extra_forbidden":
        message = f"unknown key '{name}'; a policy that is not understood is not obeyed, so remove or correct it"
    else:
        message = f"{name}: {fault['msg'].removeprefix('Value error, ')} (found {fault['input']!r:.60})"
    return Problem(
        message=message,
        file=FILE,
        line=next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), 0),
    )
