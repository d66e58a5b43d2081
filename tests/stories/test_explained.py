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


def _told(house: House, url: str, *options: str) -> str:
    result = CliRunner().invoke(waypost, ["--home", str(house.home.path), "explain", "GET", url, *options])
    assert result.exit_code == 0, result.output
    return result.stdout


def _asked(house: House, url: str, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_told(house, url, "--json", *options))
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
    assert _asked(house, "http://pages.lab/", "--at", datetime.now(UTC).isoformat())["router"] == "wiki"
    later = ["explain", "GET", "http://pages.lab/", "--at", (datetime.now(UTC) + timedelta(days=1)).isoformat()]
    refused = CliRunner().invoke(waypost, ["--home", str(house.home.path), *later])
    assert refused.exit_code == 1 and "is still to come" in refused.output


def test_an_answer_about_the_past_says_what_it_rests_on_and_claims_no_more(house: House) -> None:
    house.push({"traefik/wiki.yaml": _file("Host(`wiki.lab`)")})
    house.run()
    everything = {"rule": "PathPrefix(`/`)", "priority": 1, "service": "noop@internal", "entryPoints": ["web"]}
    house.traefik.drop("theirs.yml", json.dumps({"http": {"routers": {"everything": everything}}}))
    house.until(lambda: house.status("any.lab") == 418, "the neighbour's route")
    ours, theirs = (_asked(house, f"http://{host}.lab/", "--at", "2") for host in ("wiki", "any"))
    assert (ours["router"], theirs["router"]) == ("wiki", "everything")
    assert theirs["rests_on"]["others"] == "as they are now"
    assert theirs["rests_on"]["others_involved"] == ["everything"]
    assert theirs["rests_on"]["ours"].startswith("as our file was at revision 2")
    told = _told(house, "http://any.lab/", "--at", "2")
    assert "this rests on our own file as it was at revision 2" in told
    assert "! nobody recorded whether everything served then" in told
    house.traefik.stop()
    ours, theirs = (_asked(house, f"http://{host}.lab/", "--at", "2") for host in ("wiki", "any"))
    assert (ours["router"], ours["rests_on"]["others"]) == ("wiki", "not considered")
    assert theirs["status"] is None and "what others serve is not known" in theirs["unknown"]
    assert "and on nothing else" in _told(house, "http://wiki.lab/", "--at", "2")
