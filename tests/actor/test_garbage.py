"""What is done with goes, though the garbage collector does not look into what came over the wire: see `Arrived`."""

import gc
import weakref
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import anyio
import anyio.lowlevel
import pytest

from cliffracer import Actor, CallTimeout, NoActor, Refusal, SupervisorRef, call, cast, child

pytestmark = pytest.mark.anyio


@dataclass
class Parcel:
    """Keeps the context in which it was looked at, as a task does that was started there; and that has the message."""

    sku: str = "A1"

    alive: ClassVar[weakref.WeakSet[Any]] = weakref.WeakSet()

    def __post_init__(self):
        self.alive.add(self)

    __hash__ = object.__hash__


class Depot(Actor):
    @cast
    async def store(self, parcel: Parcel) -> None:
        parcel.context = copy_context()

    @call
    async def store_by_keyword(self, *, parcel: Parcel) -> None:
        parcel.context = copy_context()

    @call
    async def rest(self) -> None:
        await anyio.sleep(1.0)

    @call
    async def fetch(self) -> Parcel:
        parcel = Parcel()
        parcel.context = copy_context()
        return parcel

    @call
    async def refuse(self, parcel: Parcel) -> None:
        raise Refusal("no room")


@pytest.fixture
async def node(run_node):
    Parcel.alive.clear()
    async with run_node(child(Depot)) as node:
        yield node


@pytest.fixture
def stop(node):
    return partial(node.ref(SupervisorRef, "root").terminate_child, "depot")


@pytest.fixture(params=["in this process", "over the wire"])
def depot(node, request):
    return node.ref(Depot, prefer_local=request.param == "in this process")


async def assert_gone():
    for _ in range(3):
        await anyio.lowlevel.checkpoint()  # the loop itself holds on to what it has just woken us with
    gc.collect()
    assert not Parcel.alive


async def test_argument_that_keeps_the_context_of_its_handler(depot):
    await depot.store(Parcel())
    await depot.store_by_keyword(parcel=Parcel())
    await assert_gone()


async def test_result_that_keeps_the_context_of_its_handler(depot):
    await depot.fetch()
    await assert_gone()


async def test_argument_that_keeps_the_error_over_it(depot):
    # The error has a traceback, that the frame of who called, and that the message with its arguments.
    parcel = Parcel()
    with pytest.raises(Refusal) as caught:
        await depot.refuse(parcel)
    parcel.context = caught.value
    del parcel, caught
    await assert_gone()


async def test_argument_of_a_call_that_finds_nobody(depot, stop):
    await stop()
    parcel = Parcel()
    with pytest.raises(NoActor) as caught:
        await depot.refuse(parcel)
    parcel.context = caught.value
    del parcel, caught
    await assert_gone()


async def test_argument_of_a_call_that_was_given_up_in_the_mailbox(depot):
    parcel = Parcel()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(depot.rest)
        await anyio.sleep(0.1)
        with pytest.raises((CallTimeout, TimeoutError)) as caught, anyio.fail_after(0.5):
            await depot.refuse(parcel)
    parcel.context = caught.value
    del parcel, caught
    await depot.fetch()
    await assert_gone()


async def test_embedded_node_leaves_the_collector_alone(run_node):
    before = gc.get_freeze_count()
    async with run_node(child(Depot)):
        assert gc.get_freeze_count() == before
