"""The story of a question about yesterday: what served this request before that change?"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from click.testing import CliRunner

from reconciler.cli import waypost
from tests.stories.conftest import House


def _file(rule: str) -> dict[str, Any]:
    return {"http": {"routers": {"wiki": {"rule": rule, "service": "noop@internal"}}}}


def _asked(house: House, url: str, *options: str) -> dict[str, Any]:
    arguments = ["--home", str(house.home.path), "explain", "GET", url, "--json", *options]
    result = CliRunner().invoke(waypost, arguments)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_request_is_explained_as_it_is_and_as_it_was(house: House) -> None:
    house.push({"traefik/wiki.yaml": _file("Host(`wiki.lab`)")})
    house.run()
    house.push({"traefik/wiki.yaml": _file("Host(`pages.lab`)")})
    house.run()
    assert _asked(house, "http://wiki.lab/")["status"] == 404
    assert _asked(house, "http://pages.lab/")["router"] == "wiki"
    assert _asked(house, "http://wiki.lab/", "--at", "2")["router"] == "wiki"
    assert _asked(house, "http://pages.lab/", "--at", "2")["status"] == 404
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert _asked(house, "http://pages.lab/", "--at", later)["router"] == "wiki"
