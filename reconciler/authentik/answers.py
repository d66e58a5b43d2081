"""What comes of asking an authentik, as values: a blueprint that it keeps, what it has against one, or no answer."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from reconciler.core.target import TargetError


class AuthentikError(TargetError):
    """authentik did not do what was asked of it; the message says what to do. `retry`: may it work later by itself?"""


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Instance(_Read):
    """A blueprint as authentik keeps it.

    `last_applied_hash` is of the content that was applied last with success; `last_applied` moves whenever anything
    about the instance is saved, a failed application included. `status` is that of the last application.
    """

    pk: str
    name: str
    path: str = ""
    content: str = Field(default="", repr=False)
    context: dict[str, Any] = Field(default={}, repr=False)  # it may hold secrets
    enabled: bool = True
    status: str = "unknown"
    last_applied: str = ""
    last_applied_hash: str = ""


class Token(_Read):
    """A token of an account, without what it is: authentik tells that only to who asks for it by name."""

    identifier: str
    expiring: bool = True
    expires: AwareDatetime | None = None


class Rejection(_Read):
    """What authentik has against a blueprint, in its own words."""

    messages: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(self.messages)
