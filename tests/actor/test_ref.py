"""What points to an actor: which attributes it has, what its messages carry, and when it gives up."""

import io
from math import inf

import anyio
import pytest

from cliffracer import Actor, CallCycle, CallTimeout, call, cast, event, every
from cliffracer.actor.actor import address_of, ref_to
from cliffracer.actor.timers import Timers, running_clock
from cliffracer.envelope import Message, current_message
from cliffracer.observe.logs import make_logger

pytestmark = pytest.mark.anyio


class Inventory(Actor):
    """Has one handler of each kind, and some state."""

    def __init__(self):
        self.stock = {}

    @call
    async def reserve(self, sku: str, qty: int = 1) -> int:
        raise NotImplementedError

    @cast
    async def restock(self, sku: str, *, qty: int) -> None: ...

    @event("orders.{order_id}.cancelled")
    async def on_cancelled(self, order_id: str) -> None: ...

    @every(60.0)
    async def report(self) -> None: ...

    async def helper(self): ...


class Silent(Actor):
    """Has none."""


class Recorder:
    """A host, and the only destination on it: keeps what is sent, and answers 7."""

    call_timeout = 5.0
    draining = False

    def __init__(self):
        self.log = make_logger(stream=io.StringIO())
        self.timers = Timers(running_clock())
        self.sent = []
        self.give_ups = []
        self.addresses = []

    def route(self, address):
        self.addresses.append(address)
        return self

    async def publish(self, subject, value):
        raise NotImplementedError

    async def call(self, message, give_up):
        self.sent.append(message)
        self.give_ups.append(give_up)
        return 7

    async def cast(self, message):
        self.sent.append(message)


class Asker:
    def answer(self, value): ...
    def fail(self, error): ...


@pytest.fixture
async def host():
    return Recorder()


@pytest.fixture
async def inventory(host):
    return ref_to(host, Inventory, None, prefer_local=None)


class in_hand:  # noqa: N801 - reads like `with anyio.fail_after(...)`
    """Stands for the handler that works on a message."""

    def __init__(self, to="orders", *, asked=True, **fields):
        self._message = Message(to, "place", reply_to=Asker() if asked else None, **fields)

    def __enter__(self):
        self._token = current_message.set(self._message)

    def __exit__(self, *exc):
        current_message.reset(self._token)


# What can be reached


async def test_call_sends_a_message_and_returns_the_answer(host, inventory):
    assert await inventory.reserve("A1", 2) == 7
    (message,) = host.sent
    assert (message.to, message.handler, message.args, message.kwargs) == ("inventory", "reserve", ("A1", 2), None)


async def test_cast_sends_a_message_and_returns_nothing(host, inventory):
    assert await inventory.restock("A1", qty=5) is None
    (message,) = host.sent
    assert (message.handler, message.args, message.kwargs) == ("restock", ("A1",), {"qty": 5})
    assert message.deadline == inf


async def test_defaults_are_filled_in_by_the_sender(host, inventory):
    await inventory.reserve("A1")
    assert host.sent[0].args == ("A1", 1)


async def test_arguments_that_do_not_fit_are_refused_before_anything_is_sent(host, inventory):
    with pytest.raises(TypeError, match=r"^reserve\(sku: str, qty: int = 1\) -> int: .*'colour'"):
        await inventory.reserve("A1", colour="red")
    assert host.sent == []


@pytest.mark.parametrize("attribute", ["stock", "helper", "name", "log", "stop", "on_start", "__len__", "nonsense"])
async def test_only_handlers_can_be_reached(inventory, attribute):
    with pytest.raises(AttributeError) as caught:
        getattr(inventory, attribute)
    assert str(caught.value) == (
        f"{attribute!r} is no handler of Inventory: an actor's state is its own. "
        "Add a @call that returns it, or use one of its handlers: reserve, restock."
    )


async def test_actor_without_handlers_says_that_there_are_none(host):
    with pytest.raises(AttributeError, match=r"use one of its handlers: none\.$"):
        ref_to(host, Silent, None, prefer_local=None).anything  # noqa: B018


async def test_event_handler_cannot_be_called_but_published_to(inventory):
    with pytest.raises(AttributeError, match=r"hears events.*Publish to 'orders\.\{order_id\}\.cancelled' instead"):
        inventory.on_cancelled  # noqa: B018


async def test_tick_cannot_be_called(inventory):
    with pytest.raises(AttributeError, match=r"Inventory\.report runs by the clock, it cannot be called"):
        inventory.report  # noqa: B018


@pytest.mark.parametrize("attribute", ["stock", "reserve", "nonsense", "_host"])
async def test_attributes_cannot_be_set(inventory, attribute):
    with pytest.raises(AttributeError) as caught:
        setattr(inventory, attribute, {})
    assert str(caught.value) == (
        f"cannot set {attribute!r} on a ref to Inventory: an actor's state is its own. Add a @cast that sets it."
    )


async def test_ref_and_its_handlers_say_what_they_point_to(host, inventory):
    assert repr(inventory) == "<Ref to Inventory 'inventory'>"
    assert repr(inventory.reserve) == "<call inventory.reserve(sku: str, qty: int = 1) -> int>"
    assert repr(inventory.restock) == "<cast inventory.restock(sku: str, *, qty: int) -> None>"


# Whom it points to


async def test_ref_points_to_the_name_of_the_class_or_to_another(host):
    await ref_to(host, Inventory, "inventory-2", prefer_local=None).reserve("A1")
    assert host.sent[0].to == "inventory-2"
    assert host.addresses[0].name == "inventory-2"


@pytest.mark.parametrize("prefer_local", [None, True, False])
async def test_address_tells_where_to_prefer(host, prefer_local):
    await ref_to(host, Inventory, None, prefer_local=prefer_local).reserve("A1")
    assert host.addresses[0].prefer_local is prefer_local


async def test_way_is_looked_up_for_each_message(host, inventory):
    reserve = inventory.reserve
    await reserve("A1")
    await reserve("A1")
    assert len(host.addresses) == 2


@pytest.mark.parametrize("thing", ["inventory", Inventory(), object, None])
async def test_ref_needs_an_actor_class(host, thing):
    with pytest.raises(TypeError, match=r"ref\(\) takes an actor class"):
        ref_to(host, thing, None, prefer_local=None)


@pytest.mark.parametrize("name", ["", "a.b", "*"])
async def test_ref_needs_a_name_that_is_one(host, name):
    with pytest.raises(ValueError, match="is no actor name"):
        ref_to(host, Inventory, name, prefer_local=None)


def test_address_carries_what_the_class_line_says():
    class Packed(Inventory, wire="msgpack", name="packed"):
        pass

    address = address_of(Packed)
    assert (address.name, address.wire, address.handlers) == ("packed", "msgpack", Packed.__handlers__)


# What a message takes along


async def test_first_message_has_no_correlation_until_somebody_needs_one(host, inventory):
    await inventory.reserve("A1")
    assert (host.sent[0].correlation, host.sent[0].trace, host.sent[0].chain) == ("", None, ())


@pytest.mark.parametrize("send", ["reserve", "restock"])
async def test_message_goes_on_from_the_one_in_hand(host, inventory, send):
    with in_hand(correlation="7f-2b", trace="00-abc-def-01"):
        await (inventory.reserve("A1") if send == "reserve" else inventory.restock("A1", qty=1))
    assert (host.sent[0].correlation, host.sent[0].trace) == ("7f-2b", "00-abc-def-01")


async def test_message_without_correlation_in_hand_begins_one(host, inventory):
    with in_hand():
        await inventory.reserve("A1")
        await inventory.reserve("A1")
    first, second = host.sent
    assert first.correlation == second.correlation != ""


async def test_chain_names_all_who_wait(host, inventory):
    with in_hand(to="orders", chain=("customer",)):
        await inventory.reserve("A1")
    assert host.sent[0].chain == ("customer", "orders")


async def test_whoever_sent_a_cast_does_not_wait(host, inventory):
    with in_hand(to="orders", asked=False, chain=("customer",)):
        await inventory.reserve("A1")
    assert host.sent[0].chain == ("orders",)


async def test_call_back_to_somebody_who_waits_is_a_cycle_and_is_not_sent(host, inventory):
    with in_hand(to="orders", chain=("customer", "inventory")), pytest.raises(CallCycle) as caught:
        await inventory.reserve("A1")
    assert "customer -> inventory -> orders -> inventory would wait for itself" in str(caught.value)
    assert caught.value.target == "inventory.reserve"
    assert host.sent == []


async def test_call_to_oneself_is_a_cycle(host, inventory):
    with in_hand(to="inventory", asked=False), pytest.raises(CallCycle, match="inventory -> inventory"):
        await inventory.reserve("A1")


async def test_cast_to_somebody_who_waits_is_no_cycle(host, inventory):
    with in_hand(to="orders", chain=("inventory",)):
        await inventory.restock("A1", qty=1)
    assert len(host.sent) == 1


# When it gives up; clocks stand still here unless somebody sleeps


async def test_call_without_a_scope_has_the_default_of_the_node(host, inventory):
    now = anyio.current_time()
    await inventory.reserve("A1")
    assert host.sent[0].deadline == pytest.approx(now + 5.0)
    assert host.give_ups == [pytest.approx(now + 5.0)]


async def test_ambient_scope_is_the_deadline_and_ends_the_wait_itself(host, inventory):
    now = anyio.current_time()
    with anyio.fail_after(60.0):
        await inventory.reserve("A1")
    assert host.sent[0].deadline == pytest.approx(now + 60.0)
    assert host.give_ups == [inf]


async def test_deadline_of_the_message_in_hand_is_inherited(host, inventory):
    now = anyio.current_time()
    with in_hand(deadline=now + 20.0):
        await inventory.reserve("A1")
    assert host.sent[0].deadline == pytest.approx(now + 20.0)
    assert host.give_ups == [pytest.approx(now + 20.0)]


async def test_nearer_of_scope_and_inherited_deadline_counts(host, inventory):
    now = anyio.current_time()
    with in_hand(deadline=now + 2.0), anyio.fail_after(3.0):
        await inventory.reserve("A1")
    with in_hand(deadline=now + 3.0), anyio.fail_after(2.0):
        await inventory.reserve("A1")
    assert [message.deadline for message in host.sent] == [pytest.approx(now + 2.0)] * 2
    assert host.give_ups == [pytest.approx(now + 2.0), inf]


async def test_call_after_the_inherited_deadline_is_not_sent(host, inventory):
    now = anyio.current_time()
    with in_hand(deadline=now + 2.0):
        await anyio.sleep(2.5)
        with pytest.raises(CallTimeout, match="it was not sent"):
            await inventory.reserve("A1")
    assert host.sent == []
