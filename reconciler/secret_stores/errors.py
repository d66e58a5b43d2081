"""The one family of errors of all secret stores."""

from __future__ import annotations


class SecretError(Exception):
    """A secret cannot be had; the message says why and what to do, and never holds any of it.

    `retry`: its store did not answer, and may later.
    """

    def __init__(self, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.retry = retry
