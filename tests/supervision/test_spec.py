"""A tree is data: it can be printed, compared and checked, and what is wrong with it says what to write."""

import functools
from math import inf, nan

import pytest

from cliffracer import Actor, ChildSpec, Mailbox, SpecError, Supervisor, child
from cliffracer.actor.actor import ActorStart
from cliffracer.supervision.spec import FunctionStart, worst_stop_time


class Inventory(Actor, restart="transient", shutdown=10.0, start_timeout=2.0, mailbox=Mailbox(256)):
    def __init__(self, stock, *, strict=False):
        self.stock = stock


class Orders(Actor):
    pass


async def poll_prices(url, *, seconds=1.0): ...


class Callable:
    async def __call__(self): ...


# What a child is


def test_child_takes_its_options_from_the_class_line():
    assert child(Inventory, {"A1": 10}) == ChildSpec(
        id="inventory",
        start=ActorStart(Inventory, ({"A1": 10},), {}),
        restart="transient",
        shutdown=10.0,
        start_timeout=2.0,
        name="inventory",
        mailbox=Mailbox(256),
    )


def test_child_of_a_plain_actor_is_permanent_with_five_seconds_to_stop():
    spec = child(Orders)
    assert (spec.id, spec.restart, spec.shutdown, spec.mailbox) == ("orders", "permanent", 5.0, Mailbox(1000))


def test_async_function_is_a_child_without_name_and_mailbox():
    assert child(poll_prices, "http://x", seconds=2.0) == ChildSpec(
        id="poll_prices", start=FunctionStart(poll_prices, ("http://x",), {"seconds": 2.0})
    )


def test_supervisor_is_a_child_with_all_the_time_it_needs_to_stop():
    tree = Supervisor("part", child(Orders))
    spec = child(tree)
    assert spec == ChildSpec(id="part", start=tree, shutdown="infinity")
    assert Supervisor("whole", tree) == Supervisor("whole", spec)


def test_partial_of_an_async_function_is_a_child_too():
    assert child(functools.partial(poll_prices, "http://x")).restart == "permanent"


def test_describing_a_child_makes_no_object():
    class Explosive(Actor):
        def __init__(self):
            raise AssertionError

    assert child(Explosive).id == "explosive"


# What a child is not


@pytest.mark.parametrize(
    ("make", "problem", "fix"),
    [
        (lambda: child(Actor), "Actor itself has no handlers", "write a subclass"),
        (lambda: child(Orders()), "got an object of Orders: each incarnation needs a fresh one", "child(YourActor"),
        (lambda: child(poll_prices("http://x")), "got the coroutine 'poll_prices'", "child(an_async_function"),
        (lambda: child(print), "and not <built-in function print>", "child(YourActor"),
        (lambda: child(lambda: None), "takes an actor class, an async function or a Supervisor", "child(YourActor"),
        (lambda: child(int), "and not <class 'int'>", "child(YourActor"),
        (lambda: child(Supervisor), "takes an actor class, an async function or a Supervisor", "Supervisor(...)"),
        (lambda: child("orders"), "and not 'orders'", "child(YourActor"),
        (lambda: child(None), "and not None", "child(YourActor"),
        (lambda: child(Callable()), "takes an actor class, an async function", "child(an_async_function"),
        (lambda: child(Supervisor("part"), 1), "takes no further arguments", "use .replace(...)"),
        (lambda: child(Supervisor("part"), restart="temporary"), "takes no further arguments", "use .replace(...)"),
        (lambda: child(Inventory), "missing a required argument: 'stock'", "Inventory(stock, *, strict=False)"),
        (lambda: child(Inventory, {}, True), "too many positional arguments", "Inventory(stock, *, strict=False)"),
        (lambda: child(Inventory, {}, colour=1), "unexpected keyword argument 'colour'", "Inventory(stock, *,"),
        (lambda: child(Orders, 1), "too many positional arguments", "Orders()"),
        (lambda: child(poll_prices), "missing a required argument: 'url'", "poll_prices(url, *, seconds=1.0)"),
    ],
)
def test_what_is_no_child_is_refused(make, problem, fix):
    with pytest.raises(SpecError) as caught:
        make()
    assert "child(" in caught.value.problem
    assert problem in caught.value.problem
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("item", "problem", "fix"),
    [
        (Orders, "Supervisor('root'): Orders is a class", "write child(Orders, ...)"),
        (poll_prices, "is no child", "child(an_async_function, arguments...)"),
        ([child(Orders)], "is no child", "child(YourActor, arguments...)"),
        ("orders", "'orders' is no child", "child(YourActor, arguments...)"),
        (None, "None is no child", "child(YourActor, arguments...)"),
    ],
)
def test_supervisor_takes_nothing_but_children(item, problem, fix):
    with pytest.raises(SpecError) as caught:
        Supervisor("root", item)
    assert problem in caught.value.problem
    assert fix in caught.value.fix


def test_coroutine_among_the_children_is_refused_and_leaves_no_warning_behind():
    # pytest turns "coroutine was never awaited" into a failure.
    with pytest.raises(SpecError):
        Supervisor("root", poll_prices("http://x"))


# Options


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("restart", "temporary"),
        ("shutdown", 0),
        ("shutdown", 2.5),
        ("shutdown", "infinity"),
        ("shutdown", "brutal_kill"),
        ("start_timeout", 0.5),
        ("start_timeout", None),
        ("mailbox", Mailbox(7, "drop_old")),
        ("id", "other"),
    ],
)
def test_replace_changes_one_option_and_leaves_the_rest(option, value):
    before = child(Inventory, {})
    after = before.replace(**{option: value})
    assert getattr(after, option) == value
    assert after.replace(**{option: getattr(before, option)}) == before
    assert before == child(Inventory, {})


def test_new_name_is_the_new_id_too():
    spec = child(Orders).replace(name="orders-2")
    assert (spec.id, spec.name) == ("orders-2", "orders-2")


def test_id_can_be_given_beside_the_name():
    spec = child(Orders).replace(name="orders-2", id="second")
    assert (spec.id, spec.name) == ("second", "orders-2")


def test_new_id_leaves_the_name_alone():
    assert child(Orders).replace(id="second").name == "orders"


WRONG = [
    ({"restrat": "transient"}, "unknown option 'restrat'", "use one of id, restart, shutdown, start_timeout, name"),
    ({"start": Orders}, "unknown option 'start'", "use one of id, restart"),
    ({"restart": "always"}, "restart='always'", "'permanent', 'transient' or 'temporary'"),
    ({"restart": None}, "restart=None", "'permanent', 'transient' or 'temporary'"),
    ({"shutdown": -1}, "shutdown=-1", "seconds (0 or more), 'infinity' or 'brutal_kill'"),
    ({"shutdown": inf}, "shutdown=inf", "seconds (0 or more), 'infinity' or 'brutal_kill'"),
    ({"shutdown": nan}, "shutdown=nan", "seconds (0 or more), 'infinity' or 'brutal_kill'"),
    ({"shutdown": True}, "shutdown=True", "seconds (0 or more), 'infinity' or 'brutal_kill'"),
    ({"shutdown": "soon"}, "shutdown='soon'", "seconds (0 or more), 'infinity' or 'brutal_kill'"),
    ({"shutdown": None}, "shutdown=None", "seconds (0 or more), 'infinity' or 'brutal_kill'"),
    ({"start_timeout": 0}, "start_timeout=0", "seconds above zero, or None"),
    ({"start_timeout": -1.0}, "start_timeout=-1.0", "seconds above zero, or None"),
    ({"start_timeout": inf}, "start_timeout=inf", "seconds above zero, or None"),
    ({"start_timeout": "1"}, "start_timeout='1'", "seconds above zero, or None"),
    ({"id": ""}, "child ''", "1 to 64 letters, digits, '_' and '-'"),
    ({"id": "a.b"}, "child 'a.b'", "1 to 64 letters, digits, '_' and '-'"),
    ({"id": 7}, "child 7", "1 to 64 letters, digits, '_' and '-'"),
    ({"name": "a b"}, "'a b'", "1 to 64 letters, digits, '_' and '-'"),
    ({"name": None}, "None", "1 to 64 letters, digits, '_' and '-'"),
    ({"mailbox": 256}, "mailbox=256", "mailbox=Mailbox(256)"),
    ({"mailbox": None}, "mailbox=None", "mailbox=Mailbox(256)"),
]


@pytest.mark.parametrize(("changes", "problem", "fix"), WRONG)
def test_wrong_option_of_a_child_is_refused(changes, problem, fix):
    with pytest.raises(SpecError) as caught:
        child(Orders).replace(**changes)
    assert caught.value.problem.startswith("child ")
    assert problem in caught.value.problem
    assert fix in caught.value.fix


@pytest.mark.parametrize("spec", [child(poll_prices, "http://x"), child(Supervisor("part"))])
@pytest.mark.parametrize("changes", [{"name": "a"}, {"mailbox": Mailbox()}])
def test_only_actors_have_a_name_and_a_mailbox(spec, changes):
    with pytest.raises(SpecError, match="only actors have a name and a mailbox") as caught:
        spec.replace(**changes)
    assert "use id=" in caught.value.fix


# Supervisors


def test_supervisor_has_elixirs_defaults():
    tree = Supervisor("root")
    assert (tree.strategy, tree.max_restarts, tree.max_seconds, tree.children) == ("one_for_one", 3, 5.0, ())


@pytest.mark.parametrize("options", [{"max_restarts": 0}, {"max_seconds": 1}, {"max_seconds": 0.5}])
def test_supervisor_takes_what_makes_sense(options):
    tree = Supervisor("root", **options)
    assert {key: getattr(tree, key) for key in options} == options


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_strategies_are_otps(strategy):
    assert Supervisor("root", strategy=strategy).strategy == strategy


@pytest.mark.parametrize(
    ("id", "options", "problem", "fix"),
    [
        ("", {}, "Supervisor(''): that is no id", "1 to 64 letters"),
        ("a.b", {}, "that is no id", "1 to 64 letters"),
        (7, {}, "that is no id", "1 to 64 letters"),
        ("root", {"strategy": "one_for_some"}, "strategy='one_for_some'", "'one_for_one', 'one_for_all', 'rest"),
        ("root", {"strategy": None}, "strategy=None", "'one_for_one', 'one_for_all', 'rest"),
        ("root", {"max_restarts": -1}, "max_restarts=-1", "a whole number, 0 or more"),
        ("root", {"max_restarts": 1.5}, "max_restarts=1.5", "a whole number, 0 or more"),
        ("root", {"max_restarts": True}, "max_restarts=True", "a whole number, 0 or more"),
        ("root", {"max_seconds": 0}, "max_seconds=0", "a number of seconds above zero"),
        ("root", {"max_seconds": -5.0}, "max_seconds=-5.0", "a number of seconds above zero"),
        ("root", {"max_seconds": inf}, "max_seconds=inf", "a number of seconds above zero"),
        ("root", {"max_seconds": "5"}, "max_seconds='5'", "a number of seconds above zero"),
    ],
)
def test_wrong_option_of_a_supervisor_is_refused(id, options, problem, fix):
    with pytest.raises(SpecError) as caught:
        Supervisor(id, **options)
    assert caught.value.problem.startswith(f"Supervisor({id!r})")
    assert problem in caught.value.problem
    assert fix in caught.value.fix


def test_two_children_cannot_share_an_id():
    with pytest.raises(SpecError, match="two children have the id 'orders'") as caught:
        Supervisor("root", child(Orders), child(Orders).replace(name="orders-2", id="orders"))
    assert "replace(id='...')" in caught.value.fix


def test_children_of_two_supervisors_can_share_an_id():
    part = Supervisor("part", child(poll_prices, "http://x"))
    assert Supervisor("root", child(poll_prices, "http://y"), part).children[0].id == part.children[0].id


def test_two_actors_cannot_share_a_name_wherever_they_are_in_the_tree():
    part = Supervisor("part", Supervisor("deep", child(Orders)))
    with pytest.raises(SpecError, match="two actors have the name 'orders'") as caught:
        Supervisor("root", child(Orders).replace(id="other"), part)
    assert "replace(name='...')" in caught.value.fix


# A tree is data


def tree():
    return Supervisor(
        "shop",
        child(Inventory, {"A1": 10}),
        Supervisor("back", child(Orders), child(poll_prices, "http://x"), strategy="one_for_all"),
        child(Orders).replace(name="orders-2"),
        max_restarts=5,
    )


def test_trees_of_the_same_content_are_equal():
    assert tree() == tree()


def test_trees_that_differ_anywhere_are_not_equal():
    assert tree() != Supervisor("shop", *tree().children, max_restarts=6)
    assert tree() != Supervisor("shop", *tree().children[:2], max_restarts=5)
    assert tree() != Supervisor("shop", *reversed(tree().children), max_restarts=5)
    assert child(Inventory, {"A1": 10}) != child(Inventory, {"A1": 11})


def test_tree_cannot_be_changed():
    with pytest.raises(AttributeError):
        tree().max_restarts = 7
    with pytest.raises(AttributeError):
        child(Orders).restart = "temporary"


def test_tree_prints_what_is_in_it():
    text = repr(tree())
    assert text.startswith("Supervisor('shop', ChildSpec(id='inventory'")
    assert "Supervisor('back'" in text
    assert text.endswith("strategy='one_for_one', max_restarts=5, max_seconds=5.0)")


def test_actors_of_a_tree_come_in_start_order_and_functions_are_none():
    assert [spec.name for spec in tree().actors()] == ["inventory", "orders", "orders-2"]


# How long stopping takes


def test_stopping_takes_at_worst_the_sum_of_all():
    assert worst_stop_time(tree()) == 10.0 + (5.0 + 5.0) + 5.0


def test_stopping_nothing_takes_no_time():
    assert worst_stop_time(Supervisor("root")) == 0.0
    assert worst_stop_time(Supervisor("root", child(Orders).replace(shutdown="brutal_kill"))) == 0.0


def test_child_that_may_take_for_ever_makes_it_for_ever():
    patient = Supervisor("part", child(Orders).replace(shutdown="infinity"))
    assert worst_stop_time(Supervisor("root", patient)) == inf


def test_supervisor_that_is_killed_after_a_time_takes_no_longer():
    patient = Supervisor("part", child(Orders).replace(shutdown="infinity"))
    assert worst_stop_time(Supervisor("root", child(patient).replace(shutdown=2.0))) == 2.0
