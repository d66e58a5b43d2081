"""Diagnostic lines: a traceback helps whoever reads it, and shows no value of any variable."""

import io
import re

import pytest
import structlog

from reconciler import running
from shards import __main__ as gateway


class Terminal(io.StringIO):
    """Where a person reads: that is where structlog is at its most talkative."""

    def isatty(self):
        return True


@pytest.fixture
def terminal():
    return Terminal()


@pytest.mark.parametrize("configure", [running.log_to_stderr, gateway._log_to_stderr])
def test_a_traceback_names_lines_and_no_values(terminal, configure, monkeypatch):
    monkeypatch.setattr("sys.stderr", terminal)
    configure()
    try:
        password = "-".join(("hunter", "2"))
        raise ValueError(len(password))
    except ValueError:
        structlog.get_logger("some").exception("it went wrong")
    told = terminal.getvalue()
    assert "Traceback" in told
    assert "test_diagnostics.py" in told
    assert "hunter-2" not in told


@pytest.mark.parametrize("configure", [running.log_to_stderr, gateway._log_to_stderr])
def test_what_others_wrote_is_seen_in_it_and_drives_no_terminal(terminal, configure, monkeypatch):
    monkeypatch.setattr("sys.stderr", terminal)
    configure()
    tricks = "\x1b[2J\x9b8m\u202e\r\nall-is-well"
    try:
        raise ValueError(tricks)
    except ValueError:
        structlog.get_logger("some").exception(f"it went wrong: {tricks}", tool=f"a{tricks}")
    told = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())  # colours are ours
    assert not {letter for letter in told if not letter.isprintable()} - {"\n"}
    assert told.count(r"\x1b[2J\x9b8m\u202e\r") == 3
