"""The commands as a person types them: what they print, how they end, what they refuse."""

import contextlib
import io
import json
import os

import pytest

from reconciler.cli import main
from reconciler.git.errors import RefMoved
from state import events

ROUTE = {
    "http": {
        "routers": {"hello": {"rule": "Host(`hello.lab`)", "service": "hello"}},
        "services": {"hello": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}},
    }
}


def test_a_proposal_is_listed_shown_approved_by_digest_and_explained(house, waypost):
    id = house.propose({"traefik/hello.yaml": ROUTE}, "Add hello")
    assert id in waypost("proposals")[1]
    told = json.loads(waypost("show", id, "--json")[1])
    assert told["plan"]["changes"][0]["address"] == "traefik/http.routers/hello"
    assert waypost("approve", id, "--plan", "0" * 12)[0] == 3
    code, said = waypost("approve", id, "--plan", told["plan"]["digest"][:12])
    assert code == 0, said
    assert house.status("hello.lab") != 404
    code, said = waypost("why", "traefik/http.routers/hello")
    assert "test by test" in said
    assert "person:" in said


def test_approving_without_a_digest_needs_a_terminal(house, waypost):
    id = house.propose({"traefik/hello.yaml": ROUTE})
    code, said = waypost("approve", id)
    assert code == 3
    assert "--plan" in said


def test_a_conflict_at_approval_leaves_no_consent_behind(house, waypost):
    house.push({"traefik/hello.yaml": ROUTE})
    house.run()
    changed = json.dumps(ROUTE, indent=1).replace("hello.lab", "one.lab")
    id = house.propose({"traefik/hello.yaml": changed})
    digest = json.loads(waypost("show", id, "--json")[1])["plan"]["digest"]
    house.push({"traefik/hello.yaml": json.dumps(ROUTE, indent=1).replace("hello.lab", "two.lab")})
    code, said = waypost("approve", id, "--plan", digest)
    assert code == 3, said
    assert not house.events(events.ConsentGiven)


def other(name):
    return json.dumps(ROUTE).replace("hello", name)


def test_what_came_to_main_while_a_person_said_yes_stays_there(house):
    mine, theirs = (house.propose({f"traefik/{name}.yaml": other(name)}) for name in ("mine", "theirs"))
    with house.session() as one:
        landing = one.prepare(one.proposal(mine))
        first = one.merge(one.proposal(theirs))  # another person was quicker
        with pytest.raises(RefMoved):
            one.land(landing, one.proposal(mine))
        assert one.head() == first
        landing = one.prepare(one.proposal(mine))
        pushed = house.git("fetch", "--quiet", "origin"), house.git("reset", "--quiet", "--hard", "origin/main")
        pushed = house.push({"traefik/pushed.yaml": other("pushed")})
        with pytest.raises(RefMoved):
            one.land(landing, one.proposal(mine))
        assert one.head() == pushed


def test_what_is_on_main_already_leaves_main_where_somebody_moved_it_meanwhile(house):
    id = house.propose({"traefik/hello.yaml": ROUTE})
    with house.session() as one:
        one.merge(one.proposal(id))
        landing = one.prepare(one.proposal(id))
        house.git("pull", "--quiet")
        pushed = house.push({"traefik/pushed.yaml": other("pushed")})
        assert one.land(landing, one.proposal(id)) == pushed == one.head()


def test_what_is_on_main_is_not_said_to_be_rejected(house, waypost):
    id = house.propose({"traefik/hello.yaml": ROUTE})
    with house.session() as one:
        one.merge(one.proposal(id))  # by another person, and no pass saw it yet
    for _ in range(2):
        code, said = waypost("reject", id)
        assert (code, "is approved already" in said, f"rejected {id}" in said) == (1, True, False), said
    assert house.status("hello.lab") != 404


def test_a_proposal_whose_id_begins_as_a_commit_is_called_is_not_taken_for_it(house, waypost):
    commit = house.push({"traefik/hello.yaml": ROUTE})
    id = house.propose({"traefik/other.yaml": other("other")})
    house.git("push", "--quiet", "origin", f"HEAD:refs/heads/{id[0]}")  # a branch of a person's
    assert json.loads(waypost("plan", "--ref", id[0], "--json")[1])["commit"] == commit
    code, said = waypost("approve", id[0], "--plan", json.loads(waypost("plan", "--json")[1])["digest"])
    assert code == 0, said
    assert (house.status("hello.lab"), house.status("other.lab")) == (502, 404)
    assert id in waypost("show", id[0])[1]


def test_adopting_a_hand_edit_makes_a_proposal_but_never_of_a_secret(house, waypost):
    house.push({"traefik/hello.yaml": ROUTE})
    house.run()
    house.edit_live("hello.lab", "edited.lab")
    code, said = waypost("drift", "--adopt", "traefik/http.routers/hello")
    assert code == 0, said
    assert "Adopt traefik/http.routers/hello" in said
    middleware = {"http": {"middlewares": {"m": {"headers": {"customRequestHeaders": {"X-Test": "one"}}}}}}
    house.push({"traefik/m.yaml": middleware})
    house.run()
    text = json.loads(house.live_file.read_text())
    text["http"]["middlewares"]["m"] = {"basicAuth": {"users": ["admin:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/"]}}
    house.live_file.write_text(json.dumps(text))
    code, said = waypost("drift", "--adopt", "traefik/http.middlewares/m")
    assert code == 3
    assert "secret" in said
    assert "$apr1$" not in said


def test_a_branch_moved_backwards_is_told_once_and_consent_ends_it(house, waypost):
    house.push({"traefik/hello.yaml": ROUTE})
    house.run()
    house.git("push", "--quiet", "--force", "origin", "HEAD~1:main")
    for _ in range(3):
        assert house.run().state == "held"
    assert len(house.events(events.HistoryRewritten)) == 1
    assert len(house.events(events.PlanHeld)) == 1
    plan = json.loads(waypost("plan", "--json")[1])
    code, said = waypost("approve", plan["commit"], "--plan", plan["digest"][:12])
    assert code == 0, said
    assert house.status("hello.lab") == 404
    house.git("push", "--quiet", "origin", "HEAD:main")
    assert house.run().state == "applied"
    assert house.status("hello.lab") != 404
    assert len(house.events(events.HistoryRewritten)) == 1


def test_usage_errors_and_unknown_things_are_one_clear_message_with_exit_code_one(waypost):
    for arguments in (["nope"], ["history", "no-address"], ["why", "traefik/http.routers/none"], ["show", "none"]):
        code, said = waypost(*arguments)
        assert code == 1, (arguments, said)
        assert said.strip()


def test_a_home_that_cannot_be_written_can_still_be_looked_at(house, waypost):
    if os.geteuid() == 0:
        lock = house.home.path / "reconciler.lock"
        lock.unlink(missing_ok=True)
        lock.mkdir()  # even root cannot open that for writing
        assert waypost("reconcile")[0] == 1
        return
    house.home.path.chmod(0o550)
    try:
        assert waypost("history")[0] == 0
        code, said = waypost("reconcile")
        assert code == 1
        assert "cannot be written" in said
    finally:
        house.home.path.chmod(0o750)


TRICKS = "\x1b[2J\x1b]0;all is well\x07\x9b8m\u202enwod\u200b\r\nby alice with git\x7f"


def unseen(said):
    return sorted({letter for letter in said if not letter.isprintable()} - set("\t\n"))


def proposed_by_nobody_to_trust(house, id="tricky"):
    """A proposal of who writes Git objects and outboxes as they like."""
    route = {**ROUTE, "http": {**ROUTE["http"], "middlewares": {"m": {"addPrefix": {"prefix": f"/{TRICKS}"}}}}}
    (house.clone / "traefik/tricky.yaml").write_text(f"# \u2066\t\x85\n{json.dumps(route)}")
    house.git("add", "--all")
    house.git("commit", "--quiet", "--message", f"Set {TRICKS}")
    house.git("push", "--quiet", "origin", f"HEAD:refs/heads/proposals/{id}")
    made = events.ProposalMade(
        proposal=id, branch="main", commit=house.git("rev-parse", "HEAD"), parent=house.git("rev-parse", "HEAD~1"),
        title=TRICKS, tool=f"tool{TRICKS}", client=f"client{TRICKS}", resources=(),
    )  # fmt: skip
    with house.session() as one:
        one.say(made, f"proposal/{id}")
    return id


class Terminal(io.StringIO):
    def isatty(self):
        return True


def on_a_terminal(house, *arguments):
    seen = Terminal()
    with contextlib.redirect_stdout(seen), contextlib.redirect_stderr(seen), contextlib.suppress(SystemExit):
        main(["--home", str(house.home.path), *arguments])
    return seen.getvalue()


def test_what_others_wrote_is_seen_and_drives_no_terminal(house, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")  # without colours of our own
    id = proposed_by_nobody_to_trust(house)
    for arguments in (
        ["proposals"], ["show", id], ["show", id, "--diff"], ["plan", "--ref", id], ["approve", id], ["history"],
        ["proposals", "--json"], ["show", id, "--json"], ["history", "--json"], ["show", id + TRICKS],
        ["reject", id, "--reason", TRICKS], ["reject", id], ["history"], ["proposals", "--all"],
    ):  # fmt: skip
        said = on_a_terminal(house, *arguments)
        assert not unseen(said), (arguments, said)
        assert not [line for line in said.splitlines() if line.startswith("by alice")], (arguments, said)
    told = r"\x1b[2J\x1b]0;all is well\x07\x9b8m\u202enwod\u200b\r\nby alice with git\x7f"
    assert f": {told}\nby client{told} with tool{told}\n" in on_a_terminal(house, "show", id)
    assert json.loads(on_a_terminal(house, "show", id, "--json"))["title"] == TRICKS


def test_json_is_json_everywhere(house, waypost):
    house.push({"traefik/hello.yaml": ROUTE})
    house.run()
    for arguments in (
        ["plan"], ["proposals", "--all"], ["history"], ["why", "traefik/http.routers/hello"], ["drift"],
        ["log", "verify"], ["doctor"], ["reconcile"],
    ):  # fmt: skip
        code, said = waypost(*arguments, "--json")
        json.loads(said)


def test_the_log_is_exported_line_by_line_and_rebuilt(waypost):
    code, said = waypost("log", "export")
    assert [json.loads(line)["seq"] for line in said.splitlines()][0] == 1
    assert waypost("log", "rebuild")[0] == 0
    assert waypost("log", "verify")[0] == 0
