"""The doctor's look at the dead man's switch: whether its address can be had, and whether a call is heard.

A call is a sign of life, whoever makes it, so none is made unless somebody asked for messages.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.alerting import heartbeat
from reconciler.config import Settings
from reconciler.doctor.finding import Finding, fail, ok
from reconciler.setting import ConfigError

_CHECK = "heartbeat"
_MEND = "Correct WAYPOST_HEARTBEAT_URL, or what it refers to: an address that is called with GET and answers 2xx"


def examine(settings: Settings, *, tell: bool) -> Iterator[Finding]:
    """One finding, where there is such a switch."""
    address = settings.heartbeat_url
    if address is None:
        return
    try:
        is_one = heartbeat.is_address(address.reveal())
    except ConfigError as fault:
        yield fail(_CHECK, str(fault), _MEND)
        return
    if not is_one:
        yield fail(_CHECK, f"{address.setting} refers to what is no web address", _MEND)
    elif not tell:
        yield ok(_CHECK, "it has an address; whether a call is heard, `waypost doctor --alert` tries")
    elif fault_of_call := heartbeat.call(address, settings.ca_file):
        yield fail(_CHECK, f"a call is not heard: {fault_of_call}", _MEND)
    else:
        yield ok(_CHECK, "a call was heard just now")
