"""`python -m tests.stories.published PORT …`: Waypost as it is, but that documentation is published on this machine.

What a house watches stands at public addresses only, and no test goes there.
"""

from __future__ import annotations

import sys

from reconciler import cli
from reconciler.documentation import fetching
from tests.reconciler.documentation.recorded import Site


def main() -> None:
    port, *arguments = sys.argv[1:]
    fetching.Reach = lambda: Site({}, int(port)).reach  # type: ignore[assignment, misc]
    cli.main(arguments)


if __name__ == "__main__":
    main()
