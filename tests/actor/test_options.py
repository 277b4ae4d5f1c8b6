"""What the class line of an actor may say, and what is refused there."""

import linecache
import re

import pytest

from cliffracer import Actor, Backoff, DefinitionError, Mailbox, child
from cliffracer.actor.options import ActorOptions


def define(class_name="Orders", **options):
    return type(class_name, (Actor,), {}, **options)


def test_plain_actor_is_permanent_has_five_seconds_to_stop_and_room_for_a_thousand_messages():
    class Inventory(Actor):
        pass

    assert Inventory.__options__ == ActorOptions(
        name="inventory",
        restart="permanent",
        shutdown=5.0,
        start_timeout=None,
        significant=False,
        backoff=None,
        mailbox=Mailbox(1000, "drop_new"),
        wire="json",
    )


def test_class_line_sets_every_option():
    class Orders(
        Actor,
        name="orders-2",
        restart="transient",
        shutdown="infinity",
        start_timeout=2.5,
        significant=True,
        backoff=Backoff(initial=0.5, maximum=10.0),
        mailbox=Mailbox(256, "drop_old"),
        wire="msgpack",
    ):
        pass

    assert Orders.__options__ == ActorOptions(
        name="orders-2",
        restart="transient",
        shutdown="infinity",
        start_timeout=2.5,
        significant=True,
        backoff=Backoff(initial=0.5, maximum=10.0),
        mailbox=Mailbox(256, "drop_old"),
        wire="msgpack",
    )


@pytest.mark.parametrize(
    ("class_name", "name"),
    [("Orders", "orders"), ("OrderBook", "order_book"), ("HTTPGate", "http_gate"), ("_Private", "private")],
)
def test_actor_is_named_after_its_class(class_name, name):
    assert define(class_name).__options__.name == name


@pytest.mark.parametrize("shutdown", [0, 0.5, 10, "infinity", "brutal_kill"])
def test_shutdown_is_seconds_or_a_word(shutdown):
    assert define(shutdown=shutdown).__options__.shutdown == shutdown


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_restart_is_one_of_otps_three_words(restart):
    assert define(restart=restart).__options__.restart == restart


def test_options_are_inherited():
    class Base(Actor, restart="transient", shutdown=1.0, backoff=Backoff(), mailbox=Mailbox(7), wire="msgpack"):
        pass

    class Derived(Base, shutdown=2.0):
        pass

    options = Derived.__options__
    assert (options.restart, options.shutdown, options.backoff) == ("transient", 2.0, Backoff())
    assert (options.mailbox, options.wire) == (Mailbox(7), "msgpack")


def test_name_is_not_inherited():
    class Base(Actor, name="boss"):
        pass

    class Derived(Base):
        pass

    assert Derived.__options__.name == "derived"


def test_options_of_a_subclass_do_not_change_those_of_its_base():
    class Base(Actor):
        pass

    class Derived(Base, restart="temporary"):
        pass

    assert (Base.__options__.restart, Derived.__options__.restart) == ("permanent", "temporary")


def test_unknown_option_is_refused_and_the_known_ones_are_listed():
    with pytest.raises(DefinitionError) as caught:
        define(restrat="transient")
    assert "class Orders: unknown option 'restrat'" in caught.value.problem
    assert caught.value.fix == (
        "use one of backoff, mailbox, name, restart, shutdown, significant, start_timeout, wire."
    )


@pytest.mark.parametrize(
    "options",
    [
        {"restart": "always"},
        {"restart": None},
        {"shutdown": "soon"},
        {"shutdown": None},
        {"shutdown": True},
        {"start_timeout": "1"},
        {"mailbox": 256},
        {"mailbox": None},
        {"significant": 1},
        {"significant": "yes"},
        {"backoff": 5.0},
        {"backoff": "slow"},
        {"wire": "xml"},
    ],
)
def test_wrong_value_is_refused_and_the_right_ones_are_told(options):
    (option,) = options
    with pytest.raises(DefinitionError) as caught:
        define(**options)
    assert caught.value.problem.startswith("class Orders: ")
    assert f"`$.{option}`" in caught.value.problem
    assert option in caught.value.fix


@pytest.mark.parametrize("name", ["", "a.b", "a b", "größe", "x" * 65, 7])
def test_name_that_is_no_token_is_refused(name):
    with pytest.raises(DefinitionError) as caught:
        define(name=name)
    assert f"{name!r} is no actor name" in caught.value.problem
    assert "class Orders(Actor, name='...')" in caught.value.fix


def test_class_name_that_makes_no_actor_name_needs_another():
    with pytest.raises(DefinitionError, match="'größe' is no actor name"):
        define("Größe")
    assert define("Größe", name="size").__options__.name == "size"


@pytest.mark.parametrize("options", [{"shutdown": -1.0}, {"shutdown": float("nan")}, {"start_timeout": 0}])
def test_number_that_makes_no_sense_is_refused_before_anything_starts(options):
    # By the class line, or by child(): either is a ValueError or TypeError that says so, before a tree can run.
    with pytest.raises((TypeError, ValueError), match=re.escape(next(iter(options)))):
        child(define(**options))


def test_error_in_the_class_line_shows_that_line():
    with pytest.raises(DefinitionError) as caught:

        class Orders(Actor, restart="always"):
            pass

    path, _, line = caught.value.where.rpartition(":")
    assert path == __file__
    assert linecache.getline(path, int(line)).strip() == 'class Orders(Actor, restart="always"):'


@pytest.mark.parametrize("capacity", [0, -1, 1.5, True, "many"])
def test_mailbox_holds_a_whole_number_of_messages(capacity):
    with pytest.raises(ValueError, match="whole number of messages"):
        Mailbox(capacity)


def test_mailbox_that_is_full_drops_by_one_of_two_rules():
    with pytest.raises(ValueError, match="'drop_new' or 'drop_old', not 'drop_all'"):
        Mailbox(10, "drop_all")


def test_mailbox_is_a_value():
    assert Mailbox(7) == Mailbox(7, "drop_new")
    with pytest.raises(AttributeError):
        Mailbox(7).capacity = 8


def test_class_body_may_not_hide_what_an_actor_has():
    with pytest.raises(DefinitionError, match=r"Shop\.name hides Actor\.name"):

        class Shop(Actor):
            name = "shop"  # type: ignore[assignment]

    with pytest.raises(DefinitionError, match=r"Other\.ref hides Actor\.ref"):

        class Other(Actor):
            def ref(self): ...


def test_hooks_that_could_not_be_awaited_are_refused():
    with pytest.raises(DefinitionError, match=r"write 'async def on_stop\(self, reason: Exit\) -> None"):

        class Shop(Actor):
            async def on_stop(self): ...

    with pytest.raises(DefinitionError, match=r"write 'async def on_start\(self\) -> None"):

        class Other(Actor):
            def on_start(self): ...


@pytest.mark.parametrize("answers", [[ValueError], ValueError, (ValueError, "x"), (BaseException,)])
def test_answers_are_a_tuple_of_exception_classes(answers):
    with pytest.raises(DefinitionError, match="use a tuple of exception classes"):
        type("Shop", (Actor,), {"answers": answers, "__module__": __name__})


@pytest.mark.parametrize(
    "options", [{"start_timeout": 0.0}, {"start_timeout": -1.0}, {"shutdown": -1.0}, {"shutdown": float("inf")}]
)
def test_times_on_the_class_line_are_checked_like_those_of_a_child(options):
    with pytest.raises(DefinitionError, match=next(iter(options))):

        class Shop(Actor, **options):
            pass


def test_options_of_the_class_line_are_those_of_the_child():
    class Orders(Actor, restart="transient", significant=True, backoff=Backoff(initial=2.0)):
        pass

    spec = child(Orders)
    assert (spec.significant, spec.backoff, spec.budget) == (True, Backoff(initial=2.0), None)


def test_significant_actor_that_never_ends_is_refused():
    with pytest.raises(DefinitionError) as caught:
        define(significant=True)
    assert caught.value.problem == (
        "class Orders: significant=True, and restart='permanent': it never ends, for it is restarted."
    )
    assert caught.value.fix == "write restart='transient' or restart='temporary'."


def test_significance_is_inherited_and_must_make_sense_there_too():
    class Base(Actor, restart="transient", significant=True):
        pass

    with pytest.raises(DefinitionError, match="it never ends"):

        class Derived(Base, restart="permanent"):
            pass


def test_budget_is_no_option_of_a_class_since_it_is_for_dynamic_children_alone():
    with pytest.raises(DefinitionError, match="unknown option 'budget'"):
        define(budget=None)
