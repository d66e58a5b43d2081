"""`waypost check URL`: gathers what an audit needs from any running Traefik, changes nothing, needs no home."""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final
from urllib.parse import urldefrag

from reconciler.audit.evidence import SEVERITIES, Directory, Evidence, Finding, together
from reconciler.audit.findings import audit
from reconciler.core.target import TargetError
from reconciler.ports import Disk, SystemClock
from reconciler.setting import ENVIRON, REFERENCE, WEB_ADDRESS, Setting
from reconciler.targets.owned import NAME
from reconciler.targets.shadow import Shadow, ShadowError, find_binary
from reconciler.targets.surroundings import Listing, Surroundings
from reconciler.targets.survey import Survey, Witness
from reconciler.traefik import foreign
from reconciler.traefik.api import ApiError, Runtime, TraefikApi, Version
from state.model import Problem

_MOST_SHOWN: Final = 12  # of one kind, in text
_DOUBLED: Final = "is read first and holds it too"  # a neighbour's name taken twice, which the audit finds itself
_USER: Final = re.compile(r"(error parsing \w*User: )[^;]*")
_USERINFO: Final = re.compile(r"//[^/@\s]*@")
_HEADINGS: Final = {"error": "errors", "warning": "warnings", "info": "notes"}
_OPTIONS: Final = (  # remedies elsewhere name settings; here the same things are said on the command line
    ("Set WAYPOST_TRAEFIK_API_URL.", ""),
    ("Set WAYPOST_TRAEFIK_API_URL to where it leads", "Give the address where it leads"),
    ("set WAYPOST_TRAEFIK_API_URL", "give its address"),
    ("WAYPOST_TRAEFIK_API_URL is its address", "the URL is its address"),
    ("Set WAYPOST_TRAEFIK_API_AUTH to a reference to", "Give --auth env:NAME (or file:/path), a reference to"),
    ("Set WAYPOST_CA_FILE.", "Give --ca a file of PEM certificates."),
    ("WAYPOST_TRAEFIK_DYNAMIC_DIR", "--dynamic"),
)


@dataclass(frozen=True, kw_only=True)
class Report:
    """An audit as made: of which Traefik, from which directory ("" for none), and what it found."""

    url: str
    version: Version
    directory: str
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """2 where something should be looked at, else 0."""
        return 2 if any(finding.severity != "info" for finding in self.findings) else 0


def check(url: str, *, dynamic: Path | None = None, auth: str = "", ca_file: Path | None = None) -> Report:
    """Audit the Traefik whose API is at `url`; with `dynamic` also the directory that it reads.

    `auth` is a reference (env:NAME, file:/path) to `user:password` or to a whole Authorization value.
    Raises TargetError and ConfigError, in words for a person, where no audit can be made.
    """
    address = Setting("URL", WEB_ADDRESS, "", "").read(urldefrag(url).url, "check")
    secret = Setting("--auth", REFERENCE, "", "").read(auth, "check")
    try:
        api = TraefikApi(address, auth=secret.reveal() if secret else "", ca_file=str(ca_file or ""), timeout=5.0)
        with closing(api):
            evidence = _gathered(api, dynamic)
    except TargetError as error:
        raise TargetError(_explained(error)) from None
    return Report(
        url=api.url,
        version=evidence.version,
        directory=evidence.directory.path if evidence.directory else "",
        findings=tuple(audit(evidence)),
    )


def _explained(error: TargetError) -> str:
    message, remedy = str(error), error.remedy
    for setting, words in _OPTIONS:
        remedy = remedy.replace(setting, words)
    if "CERTIFICATE_VERIFY_FAILED" in message:
        remedy = "Give --ca the certificate of the authority that signed it, and the URL with the name that it is for."
    return "\n".join(part for part in (message, remedy) if part)


# ── gathering ──


def _gathered(api: TraefikApi, dynamic: Path | None) -> Evidence:
    witness = Witness(version=api.version(), runtime=api.rawdata(), doors=api.entry_points(), static=_static(api))
    directory = None
    if dynamic is not None:
        witness, directory = _read(api, dynamic.absolute())
    return Evidence(
        version=witness.version,
        runtime=witness.runtime,
        doors=witness.doors,
        static=witness.static,
        directory=directory,
    )


def _static(api: TraefikApi) -> dict[str, Any] | None:
    try:
        return api.support_dump()
    except ApiError:
        return None  # only newer versions have it, and some owners close it


def _read(api: TraefikApi, path: Path) -> tuple[Witness, Directory]:
    surroundings = Surroundings("traefik", path, Disk())
    listing = surroundings.listing()
    with _shadow() as shadow:
        survey = Survey("traefik", surroundings, api, SystemClock(), shadow)
        observed = survey.observe(listing.contents.get(NAME))
        if observed.witness:
            raise TargetError(observed.witness)
        trial = _tried(shadow, listing, survey.witness)
    read = foreign.read_neighbours(Disk(), path, path)  # without a file of ours: here all are somebody's
    return survey.witness, Directory(
        path=str(path),
        files=read.files,
        poison=observed.poison,
        losses=observed.restart_losses,
        faults=_faults(read.problems, listing, observed.poison),
        templated=listing.templated,
        unreadable=listing.unreadable,
        links=tuple(_links(path, listing)),
        linked_folders=tuple(_linked_folders(path)),
        fresh=trial.fresh,
        tried=trial.version,
        untried=trial.excuse,
    )


@dataclass(frozen=True)
class _Trial:
    """What a throw-away Traefik made of the directory, or why none was asked."""

    fresh: Runtime | None = None
    version: str = ""
    excuse: str = ""


def _tried(shadow: Shadow | None, listing: Listing, witness: Witness) -> _Trial:
    if shadow is None:
        return _Trial(excuse="there is no traefik program here to try its files in")
    try:
        return _Trial(shadow.examine(listing.contents, witness.doors).runtime, shadow.version())
    except ShadowError as error:
        return _Trial(excuse=str(error))


@contextmanager
def _shadow() -> Iterator[Shadow | None]:
    binary = find_binary(ENVIRON.get("WAYPOST_TRAEFIK_BINARY", ""))
    if binary is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="waypost-check-") as scratch:
        shadow = Shadow(binary, files=Disk(), clock=SystemClock(), workdir=Path(scratch, "shadow"))
        with closing(shadow):
            yield shadow


def _faults(problems: Sequence[Problem], listing: Listing, poison: Mapping[str, str]) -> dict[str, str]:
    """What is wrong inside a file without stopping it, in a sentence each."""
    found: dict[str, list[str]] = {}
    elsewhere = {*poison, *listing.templated, *listing.unreadable}
    for problem in problems:
        if problem.severity == "warning" and problem.file not in elsewhere and _DOUBLED not in problem.message:
            place = f"line {problem.line}: " if problem.line else ""
            found.setdefault(problem.file, []).append(f"{place}{problem.message}")
    return {file: together(messages) for file, messages in found.items()}


def _links(path: Path, listing: Listing) -> Iterator[str]:
    for name in sorted(listing.contents):
        file = path / name
        if file.is_symlink() and path.resolve() not in file.resolve().parents:
            yield name


def _linked_folders(path: Path) -> Iterator[str]:
    for folder, inner, _ in os.walk(path):
        for name in sorted(inner):
            if Path(folder, name).is_symlink():
                yield str(Path(folder, name).relative_to(path))


# ── printing ──


def as_json(report: Report) -> dict[str, Any]:
    """The whole report as plain data, nothing left out."""
    counts = Counter(finding.severity for finding in report.findings)
    return {
        "url": report.url,
        "version": report.version.version,
        "started": report.version.started,
        "directory": report.directory or None,
        "counts": {severity: counts[severity] for severity in SEVERITIES},
        "findings": [{key: _covered(value) for key, value in asdict(one).items()} for one in report.findings],
    }


def lines(report: Report) -> Iterator[str]:
    """The report for people: a line for each finding, of each kind as many as fit a screen."""
    counts = Counter(finding.severity for finding in report.findings)
    told = ", ".join(_count(counts[severity], severity) for severity in SEVERITIES)
    yield _covered(f"Traefik {report.version.version} at {report.url}: {told if report.findings else 'nothing found'}")
    for severity in SEVERITIES:
        found = [finding for finding in report.findings if finding.severity == severity]
        if found:
            yield f"{_HEADINGS[severity]}"
            yield from _grouped(found)


def _count(number: int, severity: str) -> str:
    heading = _HEADINGS[severity]
    return f"{number} {heading.removesuffix('s') if number == 1 else heading}"


def _grouped(found: Sequence[Finding]) -> Iterator[str]:
    for kind, group in groupby(found, key=lambda finding: finding.kind):
        alike = list(group)
        for finding in alike[:_MOST_SHOWN]:
            tip = f" → {finding.suggestion}" if finding.suggestion else ""
            yield _covered(f"  {kind}: {finding.subject}: {finding.message}{tip}")
        if len(alike) > _MOST_SHOWN:
            yield f"  {kind}: and {len(alike) - _MOST_SHOWN} more ({len(alike)} in all; --json shows every one)"


def _covered(text: str) -> str:
    """One printable line without the passwords that Traefik repeats in its error messages."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    return _USERINFO.sub("//•••@", _USER.sub(r"\1•••", plain))
