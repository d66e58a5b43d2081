"""Forty hand-written routes become ours and theirs again, and nobody on the wire ever notices."""

import contextlib
import http.client
import json
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from reconciler.handover import ejecting, handing_over
from reconciler.session import CommandError
from state import events, views
from state.model import Address

LONGEST = 120.0  # seconds that the request loop may run
BETWEEN = 0.02  # seconds between two rounds of it: whatever Traefik loads, it serves for five times as long at least


def route(name, **more):
    """One route whose answer names it."""
    return (
        f"    {name}: {{rule: Host(`{name}.lab`), service: noop@internal, middlewares: [says-{name}]}}",
        f"    says-{name}: {{headers: {{customResponseHeaders: {{X-Router: {name}}}}}}}",
    )


def yaml_file(*names, comment="by hand"):
    routers, middlewares = zip(*map(route, names), strict=True)
    return "\n".join([f"# {comment}", "http:", "  routers:", *routers, "  middlewares:", *middlewares, ""])


def toml_file(*names):
    parts = [f"# {len(names)} routes from the old days"]
    for name in names:
        parts += [
            f"[http.routers.{name}]",
            f'rule = "Host(`{name}.lab`)"',
            'service = "noop@internal"',
            f'middlewares = ["says-{name}"]',
            f"[http.middlewares.says-{name}.headers.customResponseHeaders]",
            f'X-Router = "{name}"',
        ]
    return "\n".join(parts) + "\n"


SECRET = """http:
  routers:
    guarded: {rule: Host(`guarded.lab`), service: noop@internal, middlewares: [door]}
  middlewares:
    door: {basicAuth: {users: ["ada:$apr1$abcdefgh$abcdefghijklmnopqrstu."]}}
"""
TEMPLATE = """http:
  routers:
{{ range $n := list "t1" }}    {{ $n }}: {rule: Host(`t1.lab`), service: noop@internal}
{{ end }}
"""


def names(prefix, count):
    return [f"{prefix}{number}" for number in range(count)]


ADOPTABLE = {
    **{f"app-{number}.yml": yaml_file(*names(f"app{number}-", 3)) for number in range(6)},
    "old.toml": toml_file(*names("old", 5)),
    "lab/media/films.yaml": yaml_file(*names("film", 6)),
    "lab/zzz.yml": yaml_file("last"),
    "Capital.YML": yaml_file("capital"),
    "zeta.yaml": yaml_file(*names("zeta", 9), comment="read after ours"),
}
STAYING = {
    "secret.yml": (SECRET, "secret"),
    "template.yml": (TEMPLATE, "Go templates"),
    "dashboard.yml": (
        "http: {routers: {board: {rule: Host(`board.lab`), service: api@internal}}}",
        "Traefik's own controls",
    ),
    "twice-a.yml": (yaml_file("twice"), "twice-b.yml"),
    "twice-b.yml": (yaml_file("twice").replace("X-Router: twice", "X-Router: other"), "twice-a.yml"),
    "broken.yml": ("http: {routers: {broken: {rule: Host(`broken.lab`), service: nowhere}}}", "nowhere"),
    ".hidden.yml": (yaml_file("hidden"), "dot"),
}


class Requests(threading.Thread):
    """Asks for every host again and again, over one connection; keeps every answer that is not the first one."""

    def __init__(self, traefik, hosts):
        super().__init__(daemon=True)
        self.traefik = traefik
        self.first = {host: traefik.get(host) for host in hosts}
        self.changed, self.count = [], 0
        self._over = threading.Event()

    def run(self):
        deadline = time.monotonic() + LONGEST
        connection = http.client.HTTPConnection("127.0.0.1", self.traefik.ports["web"], timeout=5)
        with contextlib.closing(connection):
            while not self._over.wait(BETWEEN) and time.monotonic() < deadline:
                for host, answer in self.first.items():
                    now = self._ask(connection, host)
                    self.count += 1
                    if now != answer:
                        self.changed.append((host, answer, now))

    def _ask(self, connection, host):
        connection.request("GET", "/", headers={"Host": host})
        response = connection.getresponse()
        response.read()
        return response.status, response.headers.get("X-Router", "")

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self.join()


def picture(house):
    """Every router, service and middleware as the API shows it, our markers apart."""
    raw = json.loads(urllib.request.urlopen(f"{house.traefik.url}/api/rawdata", timeout=5).read())
    return {
        (section, name): {**spec, "usedBy": sorted(spec.get("usedBy") or [])}
        for section, items in raw.items()
        for name, spec in (items or {}).items()
        if name.endswith("@file") and not name.startswith("waypost-gen-")
    }


def presets(house):
    """What Waypost itself brought along before."""
    return {key for key in picture(house) if key[1].startswith("preset-")}


def write(house, files):
    for name, content in files.items():
        house.traefik.drop(name, content)


def files(house):
    top = house.traefik.directory
    return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file() and "mcp-managed" not in path.parts}


def adopt(house):
    with house.session() as one:
        return handing_over.propose(one, house.traefik.directory)


def approve(house, id):
    with house.session() as one:
        one.merge(one.proposal(id))


def hand_over(house, say=lambda line: None):
    with house.session() as one:
        return handing_over.hand_over(one, house.traefik.directory, say)


def push(house, content):
    """A person's commit on top of what was merged."""
    house.git("pull", "--quiet", "--rebase")
    house.push(content)


def eject(house, say=lambda line: None):
    with house.session() as one:
        return ejecting.eject(one, "", say)


@pytest.fixture
def wild(house):
    """A house whose Traefik serves forty hand-written routes."""
    write(house, ADOPTABLE)
    house.until(lambda: ("routers", "zeta8@file") in picture(house), "the hand-written routes")
    house.until(lambda: ("routers", "film5@file") in picture(house), "the hand-written routes")
    return house


def adopted(house):
    """The same, adopted and proven, the originals still in place."""
    approve(house, adopt(house).record.id)
    assert house.run().state == "applied"
    return house


HOSTS = [f"{name}.lab" for name in (
    *(n for number in range(6) for n in names(f"app{number}-", 3)),
    *names("old", 5), *names("film", 6), "last", "capital", *names("zeta", 9),
)]  # fmt: skip


def test_forty_routes_are_adopted_handed_over_and_given_back_and_no_request_sees_a_difference(wild):
    assert len(HOSTS) == 40
    before = picture(wild)
    assert {spec["status"] for spec in before.values()} == {"enabled"}
    steps = []

    def compare(line):
        steps.append(line)
        assert picture(wild) == before, line

    with Requests(wild.traefik, HOSTS) as loop:
        assert all(answer == (418, host.removesuffix(".lab")) for host, answer in loop.first.items())
        done = adopt(wild)
        assert {one.file for one in done.adoption.adopted} == set(ADOPTABLE)
        compare("proposed")
        approve(wild, done.record.id)
        assert wild.run().state == "applied"
        compare("applied beside the originals")
        assert files(wild) == set(ADOPTABLE)
        assert set(hand_over(wild, compare)) == set(ADOPTABLE)
        assert files(wild) == set()
        assert wild.run().state == "nothing"
        compare("handed over")
        assert set(eject(wild, compare)) >= set(ADOPTABLE)
        compare("ejected")
    assert loop.changed == []
    assert loop.count > 5 * len(HOSTS)
    assert len(steps) > 2 * len(ADOPTABLE)


def test_adopted_files_are_the_same_files_with_their_comments_and_toml_is_converted_and_said_so(wild):
    done = adopted_files(wild)
    assert done["traefik/zeta.yaml"] == ADOPTABLE["zeta.yaml"]
    assert done["traefik/lab/media/films.yaml"] == ADOPTABLE["lab/media/films.yaml"]
    assert "old0:" in done["traefik/old.yaml"]
    assert "traefik/old.toml" not in done


def adopted_files(house):
    proposed = adopt(house)
    assert [one.file for one in proposed.adoption.adopted if one.converted] == ["old.toml"]
    with house.world() as world:
        commit = proposed.record.commit
        return {e.path: world.store.read(e.id).decode() for e in world.store.entries(commit, "traefik")}


def test_what_cannot_be_adopted_stays_where_it_is_and_is_named_with_its_reason(house):
    write(house, {"good.yml": yaml_file("good"), **{name: content for name, (content, _) in STAYING.items()}})
    served = {"good", "guarded", "t1", "board", "twice", "broken", "hidden"}
    house.until(lambda: {("routers", f"{name}@file") for name in served} <= picture(house).keys(), "the routes")
    before = picture(house)
    with Requests(house.traefik, ["good.lab", "guarded.lab", "t1.lab", "twice.lab", "hidden.lab"]) as loop:
        done = adopt(house)
        reasons = {stays.file: stays.reason for stays in done.adoption.staying}
        assert [one.file for one in done.adoption.adopted] == ["good.yml"]
        assert reasons.keys() == STAYING.keys()
        for file, (_, word) in STAYING.items():
            assert word in reasons[file], file
        assert "$apr1$" not in json.dumps(reasons)
        approve(house, done.record.id)
        assert house.run().state == "applied"
        assert hand_over(house) == ("good.yml",)
        assert files(house) == set(STAYING)
        assert picture(house) == before
    assert loop.changed == []


def test_a_file_that_traefik_refuses_is_named_and_nothing_is_handed_over_before_it_is_mended(wild):
    adopted(wild)
    wild.traefik.drop("poison.yml", "http: {routers: {x: {bogus: 1}}}")
    assert "poison.yml" in {stays.file for stays in adopt(wild).adoption.staying}
    with pytest.raises(CommandError, match="poison.yml"):
        hand_over(wild)
    assert files(wild) == {*ADOPTABLE, "poison.yml"}


def test_nothing_is_handed_over_before_it_is_approved_and_proven(wild):
    done = adopt(wild)
    assert hand_over(wild) == ()
    assert files(wild) == set(ADOPTABLE)
    approve(wild, done.record.id)
    assert len(hand_over(wild)) == len(ADOPTABLE)


def test_doing_it_again_does_nothing(wild):
    adopted(wild)
    again = adopt(wild)
    assert (again.record, again.adoption.adopted) == (None, ())
    assert set(again.ready) == set(ADOPTABLE)
    assert len(hand_over(wild)) == len(ADOPTABLE)
    assert hand_over(wild) == ()
    assert len(wild.events(events.OriginalMovedAside)) == len(ADOPTABLE)


def test_an_original_that_says_something_else_by_now_holds_the_plan_and_is_not_moved(wild):
    adopted(wild)
    wild.traefik.drop("app-0.yml", ADOPTABLE["app-0.yml"].replace("X-Router: app0-0", "X-Router: edited"))
    assert "app-0.yml" not in hand_over(wild)
    assert files(wild) == {"app-0.yml"}
    push(wild, {"traefik/more.yaml": yaml_file("app0-x").replace("app0-x", "zeta-x")})
    assert wild.run().state == "applied"
    assert wild.traefik.get("app0-0.lab") == (418, "edited")


def test_a_name_that_another_file_holds_with_other_content_is_still_refused(wild):
    push(wild, {"traefik/app-0.yaml": yaml_file("app0-0").replace("X-Router: app0-0", "X-Router: other")})
    assert wild.run().state == "held"
    assert wild.traefik.get("app0-0.lab") == (418, "app0-0")


def test_on_any_difference_the_original_is_put_back_and_the_rest_stops(house):
    write(house, {"b.yml": yaml_file("b")})
    house.until(lambda: ("routers", "b@file") in picture(house), "the route")
    adopted(house)
    before = picture(house)
    # A template sees what our parser cannot: it holds the same router, with other content, and is read after b.yml.
    shadowing = yaml_file("b").replace("X-Router: b", 'X-Router: {{ "other" }}')
    house.traefik.drop("c.yml", shadowing)
    house.until(lambda: "c.yml" in house.traefik.log, "Traefik's word on the second b")
    with pytest.raises(CommandError, match=r"b\.yml is back"):
        hand_over(house)
    assert files(house) == {"b.yml", "c.yml"}
    house.until(lambda: picture(house) == before, "the picture from before")
    (put_back,) = house.events(events.OriginalPutBack)
    assert put_back.file == "b.yml"
    assert not house.events(events.OriginalMovedAside)


@pytest.mark.parametrize("copied", [False, True])
def test_a_step_that_was_cut_short_between_move_and_event_is_done_again(wild, copied):
    adopted(wild)
    aside = wild.home.path / "originals" / "traefik" / "lab" / "zzz.yml"
    aside.parent.mkdir(parents=True)
    original = wild.traefik.directory / "lab" / "zzz.yml"
    if copied:
        aside.write_bytes(original.read_bytes())
    else:
        original.replace(aside)
    assert len(hand_over(wild)) == len(ADOPTABLE)
    assert aside.read_text() == ADOPTABLE["lab/zzz.yml"]
    assert len(wild.events(events.OriginalPutBack)) == (0 if copied else 1)
    moved = [event.file for event in wild.events(events.OriginalMovedAside)]
    assert sorted(moved) == sorted(ADOPTABLE)


@pytest.mark.soak
def test_a_hand_over_that_is_killed_again_and_again_goes_on_and_nobody_notices(wild):
    adopted(wild)
    before = picture(wild)
    command = [sys.executable, "-m", "reconciler", "--home", str(wild.home.path), "adopt-traefik"]
    with Requests(wild.traefik, HOSTS) as loop:
        for gone in (1, 3, 6):
            process = subprocess.Popen([*command, str(wild.traefik.directory), "--hand-over"])
            wild.until(lambda gone=gone: len(ADOPTABLE) - len(files(wild)) >= gone, "a file moved aside", 60)
            process.kill()
            process.wait()
        hand_over(wild)
        assert picture(wild) == before
    assert loop.changed == []
    assert files(wild) == set()
    kept = wild.home.path / "originals" / "traefik"
    assert {str(p.relative_to(kept)) for p in kept.rglob("*") if p.is_file()} == set(ADOPTABLE)
    with wild.world() as world:
        assert sorted(world.log.view(views.Handover).aside["traefik"].values()) == sorted(ADOPTABLE)


def test_ejecting_gives_originals_back_where_nothing_changed_and_writes_out_what_did(wild):
    adopted(wild)
    hand_over(wild)
    push(wild, {"traefik/app-0.yml": yaml_file(*names("app0-", 3), "fresh", comment="by Git")})
    assert wild.run().state == "applied"
    wild.edit_live('"X-Router": "zeta3"', '"X-Router": "edited"')
    wild.until(lambda: wild.traefik.get("zeta3.lab") == (418, "edited"), "the hand edit")
    before = picture(wild)
    with Requests(wild.traefik, [*HOSTS, "fresh.lab"]) as loop:
        given = eject(wild)
    assert loop.changed == []
    assert picture(wild) == before
    directory = wild.traefik.directory
    assert (directory / "old.toml").read_text() == ADOPTABLE["old.toml"]
    assert "by Git" in (directory / "app-0.yml").read_text()
    assert "edited" in (directory / "zeta.yaml").read_text()
    assert set(given) >= set(ADOPTABLE)
    assert not (directory / "mcp-managed").exists()


def test_an_ejected_target_is_left_alone_until_it_is_adopted_again(wild):
    adopted(wild)
    hand_over(wild)
    eject(wild)
    push(wild, {"traefik/after.yaml": yaml_file("after")})
    assert "traefik: ejected, so it is left alone" in wild.run().said
    assert not (wild.traefik.directory / "mcp-managed").exists()
    assert wild.status("after.lab") == 404
    with pytest.raises(CommandError, match="ejected already"):
        eject(wild)
    (wild.traefik.directory / "app-1.yml").unlink()
    wild.until(lambda: ("routers", "app1-0@file") not in picture(wild), "the deletion")
    before = picture(wild)
    with Requests(wild.traefik, ["after.lab", *HOSTS]) as loop:
        done = adopt(wild)
        wild.run()
        assert not (wild.traefik.directory / "mcp-managed").exists()
        with wild.session() as one:
            plan = one.plan(done.record.id).plan
            assert not plan.held
            assert plan.changes
        approve(wild, done.record.id)
        assert wild.run().state == "applied"
        hand_over(wild)
        assert picture(wild) == before
    assert loop.changed == []
    assert not [f for f in files(wild) if f != "old.toml"]
    with wild.world() as world:
        assert Address.parse("traefik/http.routers/app2-0") in world.log.view(views.Applied).base("traefik")


def test_ejecting_before_any_hand_over_leaves_the_originals_as_they_are(wild):
    adopted(wild)
    eject(wild)
    assert {name: (wild.traefik.directory / name).read_text() for name in ADOPTABLE} == ADOPTABLE


def test_an_eject_that_was_cut_short_goes_on(wild):
    adopted(wild)
    hand_over(wild)
    original = wild.home.path / "originals" / "traefik" / "zeta.yaml"
    original.replace(wild.traefik.directory / "zeta.yaml")
    before = picture(wild)
    assert "zeta.yaml" in eject(wild)
    assert picture(wild) == before
    assert sorted(event.file for event in wild.events(events.OriginalPutBack)) == sorted(ADOPTABLE)


@pytest.mark.soak
def test_an_eject_that_is_killed_again_and_again_goes_on_and_nobody_notices(wild):
    adopted(wild)
    hand_over(wild)
    before = picture(wild)
    command = [sys.executable, "-m", "reconciler", "--home", str(wild.home.path), "eject"]
    with Requests(wild.traefik, HOSTS) as loop:
        for there in (1, 5, len(ADOPTABLE) - 1):
            process = subprocess.Popen(command)
            wild.until(lambda there=there: len(files(wild)) >= there, "a file given back", 60)
            process.kill()
            process.wait()
        wild.run()
        eject(wild)
        assert picture(wild) == before
    assert loop.changed == []
    assert {name: (wild.traefik.directory / name).read_text() for name in ADOPTABLE} == ADOPTABLE
    assert not (wild.traefik.directory / "mcp-managed").exists()


def test_the_directory_must_be_one_that_traefik_watches(house, tmp_path):
    with house.session() as one, pytest.raises(CommandError, match="watched: "):
        handing_over.propose(one, tmp_path)


def test_the_whole_way_on_the_command_line(house, waypost):
    def said(*arguments):
        code, words = waypost(*arguments)
        assert code == 0, words
        return words

    write(house, {"app.yml": yaml_file("app"), "secret.yml": SECRET})
    house.until(lambda: ("routers", "guarded@file") in picture(house), "the routes")
    directory = str(house.traefik.directory)
    told = json.loads(said("adopt-traefik", directory, "--json"))
    assert ([one["file"] for one in told["adopted"]], [one["file"] for one in told["staying"]]) == (
        ["app.yml"],
        ["secret.yml"],
    )
    digest = json.loads(said("show", told["proposal"], "--json"))["plan"]["digest"]
    said("approve", told["proposal"], "--plan", digest)
    assert "--hand-over" in said("adopt-traefik", directory)
    assert "moved aside: app.yml" in said("adopt-traefik", directory, "--hand-over")
    assert files(house) == {"secret.yml"}
    assert "given back: app.yml (the original)" in said("eject")
    assert house.traefik.get("app.lab") == (418, "app")
    assert "traefik: ejected, so it is left alone, whatever main says" in said("plan")
