"""What is told of the containers behind a failing request, whatever of it can be found out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta

import pytest

from reconciler.ports import SystemClock
from shards.container_states import ContainerStates
from shards.knowing import Known, Question
from shards.log_reading import sources
from shards.log_sources import LogsAt
from tests.dozzle.containers_told import Box, House, house

WIKI = Question(host="wiki.lab", router="wiki", backends=("http://wiki:3000",))


@pytest.fixture(scope="module")
def served() -> Iterator[House]:
    with house() as one:
        yield one


def told(served: House, *boxes: Box) -> Known:
    served.containers.quiet()
    served.containers.boxes = list(boxes)
    over = sources(LogsAt(docker_url=served.docker), SystemClock())
    try:
        return ContainerStates(over, SystemClock(), os.urandom).about(WIKI)
    finally:
        over.close()
        assert served.containers.faults == []


def test_one_that_runs_without_a_complaint_is_fine(served: House) -> None:
    box = Box("wiki", health="healthy")
    box.write("200 GET /", "info: saved")
    found = told(served, box)
    assert (found.outcome, found.said, found.cause) == ("fine", "container wiki runs and is healthy", "")
    assert found.details == ("wiki: image gitea/gitea:1.27, Up 3 hours (healthy)",)


def test_complaints_of_the_last_hour_are_told_the_newest_and_no_older_ones(served: House) -> None:
    box = Box("wiki")
    box.write("error: long ago", ago=timedelta(hours=3))
    box.write(*(f"error: number {number}" for number in range(9)), "info: and on it goes")
    found = told(served, box)
    assert found.outcome == "trouble" and found.cause == "" and "its last complaint is of" in found.said
    text = found.details[-1]
    assert "number 8" in text and "number 4" in text and "number 3" not in text and "long ago" not in text
    assert text.startswith("<untrusted-") and "on it goes" not in text


def test_an_unhealthy_one_would_explain_it(served: House) -> None:
    found = told(served, Box("wiki", health="unhealthy"))
    assert (found.outcome, found.cause) == ("trouble", "container wiki runs and is unhealthy")


def test_while_another_one_serves_the_one_that_ended_is_no_cause(served: House) -> None:
    labels = {"com.docker.compose.service": "wiki"}
    found = told(served, Box("wiki-1", state="exited", labels=labels), Box("wiki-2", labels=labels))
    assert (found.outcome, found.cause) == ("trouble", "")
    assert "wiki-1 is exited" in found.said and "wiki-2 runs" in found.said


def test_a_log_that_cannot_be_read_keeps_nothing_else_from_being_told(served: House) -> None:
    box = Box("wiki", state="dead", status="Dead")
    box.write(*(f"line {number}" for number in range(10)))
    served.containers.quiet()
    served.containers.boxes, served.containers.unreadable = [box], True
    over = sources(LogsAt(docker_url=served.docker), SystemClock())
    found = ContainerStates(over, SystemClock(), os.urandom).about(WIKI)
    over.close()
    assert "wiki is dead (Dead)" in found.cause and "the log of wiki is not known" in found.details[-1]


def test_where_none_is_behind_it_that_is_said(served: House) -> None:
    found = told(served, Box("other"))
    assert (found.outcome, found.cause) == ("unknown", "")
    assert found.said == "none of the 1 containers that Docker Engine (API 1.51) knows is behind it"
