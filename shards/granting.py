"""Whether what a person opens to a token is there: a tool or a shard of ours, or of those declared elsewhere."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from reconciler.setting import ConfigError
from shards.catalogue import GENERATIONS, OURS
from shards.declared import Declared, Watched

TOOLS: Final = frozenset().union(*GENERATIONS)


def unknown(names: Sequence[str], elsewhere: Mapping[str, Declared], *, shards: bool) -> Iterator[str]:
    """A sentence for each name that nothing has. Pure; with `shards` a whole shard can be meant too.

    What a shard elsewhere offers it may offer later, or be away now: any tool of its is let through.
    """
    prefixes = tuple(one.public_prefix for one in elsewhere.values())
    there = TOOLS | {one.public_prefix + tool for one in elsewhere.values() for tool in one.tools}
    whole = OURS | elsewhere.keys()
    for name in names:
        if name in there or name.startswith(prefixes) or (shards and name in whole):
            continue
        yield _said(name, there | whole if shards else there, is_shard=name in whole)


def _said(name: str, there: frozenset[str], *, is_shard: bool) -> str:
    if is_shard:
        return f"'{name}' is a shard and no tool: name the tools of it that are meant"
    close = difflib.get_close_matches(name, sorted(there), n=3)
    meant = f"did you mean {' or '.join(close)}?" if close else "clients list what there is"
    return f"nothing here is called '{name}': {meant}"


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m shards.granting SHARDS_TOML [--shards] NAME...`, for `waypost token`: 0, or 1 and why on stderr."""
    parser = argparse.ArgumentParser(prog="waypost token", description="Is there a tool of that name?")
    parser.add_argument("declared", type=Path)
    parser.add_argument("--shards", action="store_true")
    parser.add_argument("names", nargs="+")
    given = parser.parse_args(arguments)
    try:
        faults = list(unknown(given.names, Watched(given.declared).declared(), shards=given.shards))
    except ConfigError as fault:
        faults = [str(fault)]
    for line in faults:
        print(line, file=sys.stderr)  # noqa: T201 - a person reads it
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
