"""All that was written below a directory, to be searched for what must not stand there."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from pathlib import Path


def written_below(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Every file, and what Git packed into it."""
    for path in directory.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            yield str(path), data
            if "objects" in path.parts:
                with contextlib.suppress(zlib.error):
                    yield f"{path} (unpacked)", zlib.decompress(data)
