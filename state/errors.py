"""What can go wrong at the edge where facts are kept. `retry` says whether trying again may help."""

from __future__ import annotations


class LogError(Exception):
    """The log (or an outbox) could not be read or written; the message is for a person."""

    retry = False

    def __init__(self, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.retry = retry


class NewerLogError(LogError):
    """Something was written by a newer Waypost than this one."""


class DiskFault(LogError):
    """The disk failed while we wrote. What it kept is not known: nothing more is written before a new start."""


class DamagedFile(LogError):
    """The file is no longer what SQLite wrote."""


class EmptyFile(LogError):
    """The file is there and holds nothing: its writer is just making it, or never came further."""


class WrongVersion(LogError):
    """A stream moved since the caller looked at it; look again and decide anew."""

    def __init__(self, stream: str, *, expected: int, found: int) -> None:
        super().__init__(f"stream '{stream}' is at version {found}, not {expected}; read it again", retry=True)
        self.stream = stream
        self.expected = expected
        self.found = found


class MalformedEvent(LogError):
    """Bytes that should be an event are not one."""
