"""Diagnostic lines as people read them: no value of a variable in a traceback, and nothing that drives a terminal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, TextIO

import structlog

from reconciler.visible import visible, visible_lines

if TYPE_CHECKING:
    from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger


def for_people(*, colors: bool) -> list[Processor]:
    """What comes last in a line's making."""
    # Not the default's tracebacks: they show local variables, which may hold secrets.
    return [_seen, structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=_traceback)]


def _seen(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    return {name: visible(value) if isinstance(value, str) else value for name, value in line.items()}


def _traceback(where: TextIO, fault: ExcInfo) -> None:
    told = io.StringIO()
    structlog.dev.plain_traceback(told, fault)
    where.write(visible_lines(told.getvalue()))
