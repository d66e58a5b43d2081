"""What `promtool check metrics` would say of a page, for machines without promtool; and promtool itself where it is."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_RESERVED = ("_total", "_count", "_sum", "_bucket", "_info")
_TYPES = {"counter", "gauge", "histogram", "summary", "untyped", "unknown"}
_NOT_BASE = re.compile(
    r"_(milliseconds|microseconds|nanoseconds|minutes|hours|days|weeks|kilobytes|megabytes|gigabytes|kibibytes|mebibytes|"
    r"gibibytes|bits|percent|celsius_degrees|fahrenheit|ms|us|ns|sec|secs|min|mins|kb|mb|gb|pct)(_|$)"
)


def faults(page: str) -> list[str]:
    """Everything that is not as Prometheus asks metrics to be."""
    families = list(text_string_to_metric_families(page))
    names = [family.name for family in families]
    twice = [f"{name}: told of twice" for name in sorted({one for one in names if names.count(one) > 1})]
    # The parser gives every counter its ending, so what the page itself says is looked at.
    short = [
        f"{name}: a counter that does not end with _total"
        for name in re.findall(r"^# TYPE (\S+) counter$", page, re.MULTILINE)
        if not name.endswith("_total")
    ]
    return [*twice, *short, *(fault for family in families for fault in _of(family))]


def _of(family: Metric) -> Iterator[str]:
    name = family.name
    if not family.documentation:
        yield f"{name}: no help"
    if not _NAME.fullmatch(name):
        yield f"{name}: not in snake case"
    if family.type not in _TYPES - {"untyped", "unknown"}:
        yield f"{name}: no type"
    if family.type != "counter" and name.endswith(_RESERVED):
        yield f"{name}: an ending that is reserved"
    if _TYPES & set(name.split("_")):
        yield f"{name}: its type in its name"
    if _NOT_BASE.search(name):
        yield f"{name}: not in a base unit"
    for label in {label for one in family.samples for label in one.labels}:
        if not _NAME.fullmatch(label) or (label in ("le", "quantile")) != (
            label == "le" and family.type == "histogram"
        ):
            yield f"{name}: label {label}"


def checked(page: str) -> str:
    """What promtool has to say, "" where nothing. Skips where it is missing."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus); its rules were checked without it")
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()
