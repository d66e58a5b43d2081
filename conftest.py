"""What holds for every test: no network beyond this machine, nobody's own settings, no silent skip in CI."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("waypost", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("waypost")

RESERVED = ("invalid", "test", "example", "example.com", "example.net", "example.org")


class NetworkForbidden(Exception):
    """A test reached for a machine other than this one."""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _refuse(host: str) -> None:
    """A reserved name does not exist, as in the world; anything else is a mistake in the test."""
    if any(host == name or host.endswith(f".{name}") for name in RESERVED):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    raise NetworkForbidden(f"a test may only reach this machine, not {host}")


@pytest.fixture(autouse=True, scope="session")
def loopback_only() -> Iterator[None]:
    """Let sockets of this process reach loopback and unix sockets only."""
    connect, connect_ex, look_up = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def check(address: Any) -> None:
        if isinstance(address, tuple) and not _is_loopback(str(address[0])):
            _refuse(str(address[0]))

    def guarded_connect(self: socket.socket, address: Any) -> None:
        check(address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        check(address)
        return connect_ex(self, address)

    def guarded_look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        # An address needs no looking up, and listening on "any" is not reaching out.
        if name and not _is_loopback(name) and not _is_address(name):
            _refuse(name)
        return look_up(host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket, "getaddrinfo", guarded_look_up)
        yield


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@pytest.fixture(autouse=True, scope="session")
def nobodys_settings() -> Iterator[None]:
    """Take away what the person running the tests has configured for Waypost and for Git."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("WAYPOST_", "GIT_"))]:
            patch.delenv(name)
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
        yield


def _forbid(report: Any) -> None:
    expected_failure = hasattr(report, "wasxfail")
    if os.environ.get("FORBID_SKIPS") and report.skipped and not expected_failure:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"skips are forbidden here (FORBID_SKIPS): {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    report = yield
    _forbid(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    report = yield
    _forbid(report)
    return report


COUNTED = "counted"
"""A property of a test (see `record_property`) that counts something: what its parts counted is added up."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    _tell_figures(terminalreporter)
    _ask_about_size(terminalreporter)


def _tell_figures(terminalreporter: pytest.TerminalReporter) -> None:
    """What the long tests printed: of a test that passed pytest says nothing, and its figures are half of its worth."""
    passed = [report for report in terminalreporter.getreports("passed") if "soak" in report.keywords]
    said = [(report.nodeid, report.capstdout.strip()) for report in passed if report.capstdout.strip()]
    counted = defaultdict[str, Counter[str]](Counter)
    for report in passed:
        for count in (value for name, value in report.user_properties if name == COUNTED):
            counted[report.nodeid.partition("[")[0]].update(count)
    said += [(test, ", ".join(f"{n:,} {what}" for what, n in counts.items())) for test, counts in counted.items()]
    if said:
        terminalreporter.section("figures")
    for test, words in sorted(said):
        terminalreporter.write_line(f"{test}\n  {words.replace(os.linesep, f'{os.linesep}  ')}")


LONG = 400
"""Lines above which a file is worth a question."""


def _ask_about_size(terminalreporter: pytest.TerminalReporter) -> None:
    """Size as a prompt, never as a failure: a limit that must not be crossed becomes one that is raised."""
    for package in ("state", "reconciler", "shards"):
        for path in sorted((Path(__file__).parent / package).rglob("*.py")):
            lines = len(path.read_text("utf-8").splitlines())
            if lines > LONG:
                name = path.relative_to(Path(__file__).parent)
                terminalreporter.write_line(f"{name} has {lines} lines: is it still one idea?")
