"""A pass in which nothing moved does not look again; what counts as nothing."""

from reconciler import loop
from state import events
from state.log import Entry

ROUTE = {"http": {"routers": {"one": {"rule": "Host(`one.lab`)", "service": "noop@internal"}}}}
LOOKED = events.ToolCalled(shard="traefik", tool="list_routes", client="a model", outcome="ok", arguments_digest="")


def test_what_models_only_look_at_makes_no_pass_plan_again_but_any_other_news_does(house):
    house.push({"traefik/one.yaml": ROUTE})
    house.run()
    with house.world() as world:
        assert loop.run_pass(world).state == "nothing"
        known = world.recall.quiet
        for _ in range(3):
            world.log.append(Entry(stream="gateway", event=LOOKED))
            assert loop.run_pass(world).state == "nothing"
            assert world.recall.quiet.planned is known.planned
        world.log.append(Entry(stream="home", event=events.PassRecovered(reason="passes work again")))
        assert loop.run_pass(world).state == "nothing"
        assert world.recall.quiet.planned is not known.planned
