"""on_down: when it runs, and what happens if it fails."""

import inspect
from typing import Any

import anyio
import pytest

from cliffracer import Actor, Crashed, Down, Exit, Killed, Refusal, call, cast, child

pytestmark = pytest.mark.anyio


class Puppet(Actor):
    """Does with itself whatever it is told, and writes down what it hears."""

    def __init__(self, heard: list[Any] | None = None) -> None:
        self.heard = heard if heard is not None else []

    @call
    async def do(self, action: Any) -> Any:
        result = action(self)
        return await result if inspect.isawaitable(result) else result

    @cast
    async def note(self, text: str) -> None:
        self.heard.append(text)

    async def on_down(self, down: Down) -> None:
        self.heard.append(down)


class Watcher(Puppet):
    pass


def puppet(name: str, *args: Any, **options: Any):
    return child(Puppet, *args).replace(name=name, **options)


async def test_down_overtakes_the_messages_that_wait(run_node):
    heard: list[Any] = []
    async with run_node(child(Watcher, heard), puppet("a")) as node:
        watcher = node.ref(Watcher)

        async def be_busy(me: Watcher) -> None:
            me.monitor(me.ref(Puppet, "a"))
            await anyio.sleep(1.0)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watcher.do, be_busy)
            await anyio.wait_all_tasks_blocked()
            for text in "123":
                await watcher.note(text)
            await node.stop(node.ref(Puppet, "a"))
        await anyio.wait_all_tasks_blocked()
    assert isinstance(heard[0], Down)
    assert heard[1:] == ["1", "2", "3"]


async def test_suspended_watcher_hears_a_down_all_the_same(run_node):
    heard: list[Any] = []
    async with run_node(child(Watcher, heard), puppet("a")) as node:
        await node.ref(Watcher).do(lambda me: me.monitor(me.ref(Puppet, "a")))
        await node.suspend(node.ref(Watcher))
        await node.ref(Watcher).note("later")
        await node.stop(node.ref(Puppet, "a"))
        await anyio.wait_all_tasks_blocked()
        assert [type(what) for what in heard] == [Down]


@pytest.mark.parametrize("error", [RuntimeError("bug"), Refusal("no")], ids=["crash", "refusal"])
async def test_exception_in_on_down_crashes_the_watcher(run_node, lines, error):
    ends: list[Exit] = []

    class Clumsy(Puppet):
        async def on_down(self, down: Down) -> None:
            raise error

        async def on_stop(self, reason: Exit) -> None:
            ends.append(reason)

    heard: list[Any] = []
    async with run_node(child(Clumsy, heard), puppet("a")) as node:
        clumsy = node.ref(Clumsy)
        await clumsy.do(lambda me: me.monitor(me.ref(Puppet, "a")))
        await node.suspend(clumsy)
        await clumsy.note("waits")
        await node.stop(node.ref(Puppet, "a"))
        await anyio.wait_all_tasks_blocked()
        assert node.statistics()["clumsy"].incarnation == 2
        assert heard == ["waits"]
        (crashed,) = [line for line in lines if line["event"] == "actor_crashed"]
        assert crashed["during"] == "on_down"
        assert ends == [Crashed(crashed["error"], crashed["incident"])]


async def test_call_in_on_down_has_a_deadline_of_its_own_and_no_caller(run_node):
    heard: list[Any] = []

    class Curious(Puppet):
        async def on_down(self, down: Down) -> None:
            before = anyio.current_time()
            try:
                await self.ref(Puppet, "b").do(lambda _: anyio.sleep_forever())
            except TimeoutError:
                heard.append(round(anyio.current_time() - before, 3))

    async with run_node(child(Curious), puppet("a"), puppet("b", shutdown=0.1)) as node:
        with anyio.fail_after(1.0):
            await node.ref(Curious).do(lambda me: me.monitor(me.ref(Puppet, "a")))
            await node.stop(node.ref(Puppet, "a"))
        await anyio.sleep(10.0)
        assert heard == [5.0]
        await node.stop(node.ref(Puppet, "b"), Killed())
