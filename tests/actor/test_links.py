"""Links: who is linked falls together, in both directions, and one incarnation's link is no other's."""

import inspect
from collections import defaultdict
from typing import Any

import anyio
import pytest

from cliffracer import (
    Actor,
    ActorCrashed,
    ChildRef,
    Crashed,
    DynamicSupervisor,
    Exit,
    Killed,
    LinkLost,
    Node,
    Normal,
    Shutdown,
    Supervisor,
    SupervisorRef,
    call,
    child,
)

pytestmark = pytest.mark.anyio

Ends = dict[str, list[Exit]]


class Linked(Actor, restart="temporary"):
    """Does with itself whatever it is told, and writes down why it ended."""

    def __init__(self, ends: Ends, partner: str = "") -> None:
        self.ends = ends
        self.partner = partner

    async def on_start(self) -> None:
        if self.partner:
            self.link(self.ref(Linked, self.partner))

    @call
    async def do(self, action: Any) -> Any:
        result = action(self)
        return await result if inspect.isawaitable(result) else result

    @call
    async def crash(self) -> None:
        raise RuntimeError("bug")

    async def on_stop(self, reason: Exit) -> None:
        self.ends[self.name].append(reason)


@pytest.fixture
def ends() -> Ends:
    return defaultdict(list)


def linked(ends: Ends, name: str, partner: str = "", **options: Any):
    return child(Linked, ends, partner).replace(name=name, **options)


def watchers_of(node: Node, target: Any) -> list[Any]:
    process = node._running().find_process(target)
    assert process is not None
    return list(process._watchers or ())


async def crash(node: Node, name: str) -> None:
    with pytest.raises(ActorCrashed):
        await node.ref(Linked, name).crash()
    await anyio.wait_all_tasks_blocked()


async def link(node: Node, name: str, target: Any) -> None:
    await node.ref(Linked, name).do(lambda me: me.link(target))


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")], ids=["the linked one", "the one that linked"])
async def test_crash_of_one_takes_the_other_along_whoever_made_the_link(run_node, lines, ends, first, second):
    async with run_node(linked(ends, "a"), linked(ends, "b")) as node:
        await link(node, "b", node.ref(Linked, "a"))
        await crash(node, first)
    (logged,) = [line for line in lines if line["event"] == "actor_crashed"]
    crashed = Crashed("RuntimeError: bug", logged["incident"])
    assert ends == {first: [crashed], second: [LinkLost(first, crashed)]}


@pytest.mark.parametrize("reason", [Shutdown(), Shutdown("enough"), LinkLost("x", None)], ids=str)
@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")])
async def test_every_end_but_a_normal_one_takes_the_other_along(run_node, ends, reason, first, second):
    async with run_node(linked(ends, "a"), linked(ends, "b")) as node:
        await link(node, "b", node.ref(Linked, "a"))
        await node.stop(node.ref(Linked, first), reason)
        await anyio.wait_all_tasks_blocked()
        assert ends == {first: [reason], second: [LinkLost(first, reason)]}


async def test_killed_one_takes_the_other_along(run_node, ends):
    async with run_node(linked(ends, "a"), linked(ends, "b")) as node:
        await link(node, "b", node.ref(Linked, "a"))
        await node.stop(node.ref(Linked, "a"), Killed())
        await anyio.wait_all_tasks_blocked()
        assert ends == {"b": [LinkLost("a", Killed())]}


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")])
async def test_normal_end_concerns_nobody_else(run_node, ends, first, second):
    async with run_node(linked(ends, "a"), linked(ends, "b")) as node:
        await link(node, "b", node.ref(Linked, "a"))
        await node.stop(node.ref(Linked, first))
        await anyio.sleep(1.0)
        assert ends == {first: [Normal()]}
        assert await node.ref(Linked, second).do(lambda me: me.incarnation) == 1
        assert watchers_of(node, node.ref(Linked, second)) == []


async def test_linked_actor_falls_after_the_message_in_hand(run_node, ends):
    async with run_node(linked(ends, "a"), linked(ends, "b")) as node:
        answers = []

        async def work(me: Linked) -> str:
            await anyio.sleep(1.0)
            return "done"

        async def ask() -> None:
            answers.append(await node.ref(Linked, "b").do(work))

        await link(node, "b", node.ref(Linked, "a"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            await crash(node, "a")
            assert "b" not in ends
        assert answers == ["done"]
        assert [type(reason) for reason in ends["b"]] == [LinkLost]


@pytest.mark.parametrize(
    ("target", "who"),
    [(lambda me: me.ref(Linked, "nobody"), "nobody"), (lambda _: ChildRef("root/nothing"), "root/nothing")],
    ids=["actor", "path"],
)
async def test_link_to_what_does_not_run_lets_the_linker_fall_at_once(run_node, ends, target, who):
    async with run_node(linked(ends, "a")) as node:

        async def link_and_go_on(me: Linked) -> str:
            me.link(target(me))
            await anyio.sleep(1.0)
            return "the message in hand is finished"

        assert await node.ref(Linked, "a").do(link_and_go_on) == "the message in hand is finished"
        await anyio.wait_all_tasks_blocked()
        assert ends == {"a": [LinkLost(who, None)]}


async def test_link_to_what_does_not_run_counts_as_a_crash_for_the_supervisor(run_node, ends, lines):
    part = Supervisor("part", linked(ends, "a", "nobody", restart="transient"), max_restarts=2)
    async with run_node(child(part).replace(restart="temporary")):
        await anyio.sleep(1.0)
    assert ends == {"a": [LinkLost("nobody", None)] * 3}
    (gave_up,) = [line for line in lines if line["event"] == "supervisor_gave_up"]
    assert gave_up["reason"] == "link lost: nobody was gone"


@pytest.mark.parametrize("first", ["a", "b"])
@pytest.mark.parametrize("who_unlinks", ["a", "b"])
async def test_unlinked_actors_fall_alone_whichever_of_the_two_took_the_link_away(run_node, ends, first, who_unlinks):
    async with run_node(linked(ends, "a"), linked(ends, "b")) as node:
        await link(node, "b", node.ref(Linked, "a"))
        other = "a" if who_unlinks == "b" else "b"
        await node.ref(Linked, who_unlinks).do(lambda me: me.unlink(me.ref(Linked, other)))
        assert [watchers_of(node, node.ref(Linked, name)) for name in "ab"] == [[], []]
        await crash(node, first)
        assert list(ends) == [first]


async def test_unlink_of_what_is_not_linked_does_nothing(run_node, ends):
    async with run_node(linked(ends, "a"), linked(ends, "b")) as node:
        await node.ref(Linked, "a").do(lambda me: me.unlink(me.ref(Linked, "b")))
        await node.ref(Linked, "a").do(lambda me: me.unlink(me.ref(Linked, "nobody")))
        await crash(node, "b")
        assert list(ends) == ["b"]


async def test_linking_twice_from_one_side_or_from_both_is_one_link(run_node, ends):
    async with run_node(linked(ends, "a"), linked(ends, "b")) as node:
        for _ in range(3):
            await link(node, "b", node.ref(Linked, "a"))
        assert [len(watchers_of(node, node.ref(Linked, name))) for name in "ab"] == [1, 1]
        await link(node, "a", node.ref(Linked, "b"))
        await crash(node, "a")
        assert [len(ends[name]) for name in "ab"] == [1, 1]


async def test_link_to_a_target_that_was_restarted_meanwhile_is_a_new_one(run_node, ends):
    async with run_node(linked(ends, "a", restart="permanent"), linked(ends, "b")) as node:
        await link(node, "b", node.ref(Linked, "a"))
        await node.stop(node.ref(Linked, "a"))
        assert await node.ref(Linked, "a").do(lambda me: me.incarnation) == 2
        await link(node, "b", node.ref(Linked, "a"))
        await crash(node, "a")
        assert [type(reason) for reason in ends["b"]] == [LinkLost]


async def test_link_to_an_incarnation_that_ended_normally_does_not_reach_the_next_one(run_node, ends):
    async with run_node(linked(ends, "a", restart="permanent"), linked(ends, "b")) as node:
        await link(node, "b", node.ref(Linked, "a"))
        await node.stop(node.ref(Linked, "a"))
        await crash(node, "a")
        assert "b" not in ends
        await crash(node, "b")
        assert await node.ref(Linked, "a").do(lambda me: me.incarnation) == 3


# Restarts


async def test_restarted_linker_links_again_and_the_link_of_the_dead_incarnation_is_gone(run_node, ends):
    children = [linked(ends, "b", restart="permanent"), linked(ends, "a", "b", restart="permanent")]
    async with run_node(*children, max_restarts=100) as node:
        for round_number in range(1, 4):
            await node.stop(node.ref(Linked, "a"))  # normally: "b" stays
            await anyio.wait_all_tasks_blocked()
            assert node.statistics()["a"].incarnation == round_number + 1
            # One link, that of the incarnation that runs.
            assert [len(watchers_of(node, node.ref(Linked, name))) for name in "ab"] == [1, 1]
        assert "b" not in ends
        await crash(node, "b")
        assert [type(reason) for reason in ends["a"]] == [Normal, Normal, Normal, LinkLost]
        await anyio.sleep(1.0)
        assert [len(watchers_of(node, node.ref(Linked, name))) for name in "ab"] == [1, 1]


async def test_crash_of_a_linker_restarts_both_and_in_the_end_they_are_linked_again(run_node, ends):
    children = [linked(ends, "b", restart="permanent"), linked(ends, "a", "b", restart="permanent")]
    async with run_node(*children, max_restarts=100) as node:
        # "a" may link to "b" while that is about to fall, and then falls once more.
        await crash(node, "a")
        await anyio.sleep(1.0)
        assert node.statistics()["b"].incarnation == 2
        before = node.statistics()["a"].incarnation
        assert before in (2, 3)
        assert [len(watchers_of(node, node.ref(Linked, name))) for name in "ab"] == [1, 1]
        await crash(node, "b")
        await anyio.sleep(1.0)
        assert node.statistics()["b"].incarnation == 3
        assert node.statistics()["a"].incarnation == before + 1


async def test_linked_group_costs_one_restart_under_one_for_all(run_node, ends, lines):
    children = [linked(ends, "b", restart="permanent"), linked(ends, "a", "b", restart="permanent")]
    async with run_node(*children, strategy="one_for_all", max_restarts=1) as node:
        await crash(node, "a")
        await anyio.sleep(1.0)
        assert {name: node.statistics()[name].incarnation for name in "ab"} == {"a": 2, "b": 2}
        assert [len(watchers_of(node, node.ref(Linked, name))) for name in "ab"] == [1, 1]
    assert len([line for line in lines if line["event"] == "child_restarting"]) == 1


async def test_link_of_a_dead_incarnation_does_not_end_the_next_one(run_node, ends):
    async with run_node(linked(ends, "a"), linked(ends, "b", restart="permanent")) as node:
        await link(node, "b", node.ref(Linked, "a"))
        await node.stop(node.ref(Linked, "b"))
        assert await node.ref(Linked, "b").do(lambda me: me.incarnation) == 2
        await crash(node, "a")
        await anyio.sleep(1.0)
        assert node.statistics()["b"].incarnation == 2
        assert ends["b"] == [Normal()]


async def test_fall_that_waits_when_the_actor_crashes_does_not_reach_the_next_incarnation(run_node, ends):
    async with run_node(linked(ends, "a"), linked(ends, "b", restart="permanent")) as node:

        async def fall_twice(me: Linked) -> None:
            me.link(me.ref(Linked, "nobody"))
            raise RuntimeError

        with pytest.raises(ActorCrashed):
            await node.ref(Linked, "b").do(fall_twice)
        await anyio.sleep(1.0)
        assert node.statistics()["b"].incarnation == 2


@pytest.mark.parametrize(
    ("reason", "restarted"),
    [(Shutdown(), False), (Shutdown("enough"), False), (Killed(), True), (LinkLost("x", None), True)],
    ids=str,
)
async def test_transient_actor_that_falls_is_restarted_unless_the_end_behind_it_was_clean(
    run_node, ends, reason, restarted
):
    async with run_node(linked(ends, "a"), linked(ends, "b", restart="transient")) as node:
        await link(node, "b", node.ref(Linked, "a"))
        await node.stop(node.ref(Linked, "a"), reason)
        await anyio.wait_all_tasks_blocked()
        assert ends["b"] == [LinkLost("a", reason)]
        assert (node.statistics()["b"].incarnation == 2) is restarted
        assert (node._running().find_process(node.ref(Linked, "b")) is not None) is restarted


async def test_chain_of_three_falls_with_the_whole_story(run_node, ends, lines):
    async with run_node(*(linked(ends, name) for name in "abc")) as node:
        await link(node, "a", node.ref(Linked, "b"))
        await link(node, "b", node.ref(Linked, "c"))
        await crash(node, "c")
        crashed = ends["c"][0]
        assert ends["b"] == [LinkLost("c", crashed)]
        assert ends["a"] == [LinkLost("b", LinkLost("c", crashed))]
    ended = {line["child"]: line["incident"] for line in lines if line["event"] == "child_ended"}
    assert isinstance(crashed, Crashed)
    assert ended == dict.fromkeys("abc", crashed.incident)


async def test_ring_of_links_falls_once_all_around(run_node, ends):
    names = "abcde"
    async with run_node(*(linked(ends, name) for name in names)) as node:
        for name, next_name in zip(names, names[1:] + names[0], strict=True):
            await link(node, name, node.ref(Linked, next_name))
        await crash(node, "c")
        await anyio.sleep(1.0)
    assert {name: len(reasons) for name, reasons in ends.items()} == dict.fromkeys(names, 1)


# Functions and supervisors


async def idle() -> None:
    await anyio.sleep_forever()


async def broken() -> None:
    await anyio.sleep(1.0)
    raise OSError("gone")


async def test_actor_falls_with_the_function_it_is_linked_to(run_node, ends, lines):
    async with run_node(linked(ends, "a"), child(broken).replace(restart="temporary")) as node:
        await link(node, "a", ChildRef("broken"))
        await anyio.sleep(2.0)
        (logged,) = [line for line in lines if line["event"] == "child_crashed"]
        assert ends == {"a": [LinkLost("broken", Crashed("OSError: gone", logged["incident"]))]}


async def test_function_falls_with_the_actor_that_is_linked_to_it(run_node, ends, lines):
    async with run_node(linked(ends, "a"), child(idle)) as node:
        await link(node, "a", ChildRef("idle"))
        await crash(node, "a")
        (restarting,) = [line for line in lines if line["event"] == "child_restarting"]
        assert restarting["child"] == "idle"
        assert restarting["reason"] == str(LinkLost("a", ends["a"][0]))


@pytest.mark.parametrize(
    "part", [Supervisor("part", child(idle)), DynamicSupervisor("part")], ids=["static", "dynamic"]
)
async def test_supervisor_does_not_fall_for_a_link_and_who_is_linked_to_it_does(run_node, ends, part):
    async with run_node(linked(ends, "a"), linked(ends, "b"), part) as node:
        supervisor = node.ref(SupervisorRef, "part")
        for name in "ab":
            await link(node, name, supervisor)
        await crash(node, "a")
        await anyio.sleep(1.0)
        assert (await supervisor.count_children()).specs == 1
        assert "b" not in ends
        await node.stop(supervisor, Shutdown("enough"))
        await anyio.wait_all_tasks_blocked()
        assert ends["b"] == [LinkLost("part", Shutdown("enough"))]


async def test_ended_linker_leaves_nothing_behind_at_what_does_not_fall(run_node, ends):
    async with run_node(linked(ends, "a"), DynamicSupervisor("part")) as node:
        supervisor = node.ref(SupervisorRef, "part")
        await link(node, "a", supervisor)
        assert len(watchers_of(node, supervisor)) == 1
        await crash(node, "a")
        assert watchers_of(node, supervisor) == []


async def test_linked_actors_stop_quietly_with_their_node(run_node, ends, lines):
    async with run_node(linked(ends, "a"), linked(ends, "b", "a"), linked(ends, "c", "a")):
        pass
    assert {name: len(reasons) for name, reasons in ends.items()} == dict.fromkeys("abc", 1)
    assert [line for line in lines if line["level"] in ("warning", "error")] == []
