"""A tree is data: it can be printed, compared and checked, and what is wrong with it says what to write."""

import functools
from math import inf, nan

import pytest

from cliffracer import (
    Actor,
    Backoff,
    Budget,
    ChildSpec,
    DynamicSupervisor,
    Mailbox,
    SpecError,
    Supervisor,
    TaskSupervisor,
    child,
)
from cliffracer.actor.actor import ActorStart
from cliffracer.supervision.spec import FunctionStart, TreeStart


class Inventory(Actor, restart="transient", shutdown=10.0, start_timeout=2.0, mailbox=Mailbox(256)):
    def __init__(self, stock, *, strict=False):
        self.stock = stock


class Orders(Actor):
    pass


async def poll_prices(url, *, seconds=1.0): ...


async def listen(url, *, task_status): ...


def back_office(clerks):
    raise AssertionError


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


@pytest.mark.parametrize("tree", [DynamicSupervisor("part"), TaskSupervisor("part")])
def test_supervisor_of_any_kind_is_a_child(tree):
    assert child(tree) == ChildSpec(id="part", start=tree, shutdown="infinity")
    assert Supervisor("whole", tree).children == (child(tree),)
    assert child(tree).is_supervisor


def test_plain_function_is_a_child_that_makes_a_supervisor_and_is_not_called_yet():
    spec = child(back_office, clerks=3)
    assert spec == ChildSpec(id="back_office", start=TreeStart(back_office, (), {"clerks": 3}), shutdown="infinity")
    assert spec.is_supervisor
    assert not child(poll_prices, "http://x").is_supervisor


def test_partial_of_an_async_function_is_a_child_too():
    assert child(functools.partial(poll_prices, "http://x")).restart == "permanent"


def test_function_that_says_when_it_has_started_is_not_given_its_task_status():
    assert child(listen, "http://x").start == FunctionStart(listen, ("http://x",))


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
        (lambda: child(listen), "missing a required argument: 'url'", "listen(url, *"),
        (lambda: child(listen, "x", task_status=None), "task_status", "leave it out"),
        (lambda: child(back_office), "missing a required argument: 'clerks'", "back_office(clerks)"),
        (lambda: child(back_office, 1, 2), "too many positional arguments", "back_office(clerks)"),
        (lambda: child(7), "and not 7", "child(YourActor"),
        (
            lambda: child(DynamicSupervisor("part"), 1),
            "DynamicSupervisor('part', ...)) takes no further arg",
            "replace",
        ),
        (lambda: child(TaskSupervisor("part"), 1), "TaskSupervisor('part', ...)) takes no", ".replace("),
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
        ([child(Orders)], "the children are in a list", "write Supervisor(id, *children)"),
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
        ("significant", True),
        ("backoff", Backoff(initial=1.0)),
        ("backoff", None),
        ("budget", Budget(3, 60.0)),
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
    (
        {"restrat": "transient"},
        "unknown option 'restrat'",
        "use one of id, restart, shutdown, start_timeout, significant, backoff, budget, name, mailbox.",
    ),
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
    ({"restart": ["transient"]}, "restart=['transient']", "'permanent', 'transient' or 'temporary'"),
    ({"start_timeout": True}, "start_timeout=True", "seconds above zero, or None"),
    ({"significant": 1}, "significant=1", "True or False"),
    ({"significant": None}, "significant=None", "True or False"),
    ({"significant": True}, "significant=True, and restart='permanent'", ".replace(restart='transient', signif"),
    ({"backoff": 5.0}, "backoff=5.0", "backoff=Backoff(...), or None"),
    ({"backoff": Backoff}, "backoff=<class", "backoff=Backoff(...), or None"),
    ({"budget": 3}, "budget=3", "budget=Budget(...), or None"),
    ({"budget": (3, 5.0)}, "budget=(3, 5.0)", "budget=Budget(...), or None"),
]


@pytest.mark.parametrize(("changes", "problem", "fix"), WRONG)
def test_wrong_option_of_a_child_is_refused(changes, problem, fix):
    with pytest.raises(SpecError) as caught:
        child(Orders).replace(**changes)
    assert caught.value.problem.startswith("child ")
    assert problem in caught.value.problem
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    "spec",
    [
        child(poll_prices, "http://x"),
        child(Supervisor("part")),
        child(DynamicSupervisor("part")),
        child(back_office, 1),
    ],
)
@pytest.mark.parametrize("changes", [{"name": "a"}, {"mailbox": Mailbox()}])
def test_only_actors_have_a_name_and_a_mailbox(spec, changes):
    with pytest.raises(SpecError, match="only actors have a name and a mailbox") as caught:
        spec.replace(**changes)
    assert "use id=" in caught.value.fix


@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_significant_child_must_be_one_that_ends(restart):
    assert child(Orders).replace(restart=restart, significant=True).significant


def test_spec_made_by_hand_is_checked_like_any_other():
    with pytest.raises(SpecError, match="child 'x': start=None"):
        ChildSpec(id="x", start=None)
    with pytest.raises(SpecError, match="shutdown='soon'"):
        ChildSpec(id="x", start=FunctionStart(poll_prices), shutdown="soon")


@pytest.mark.parametrize(
    ("values", "problem", "fix"),
    [
        ((-1, 5.0), "Budget: max_restarts=-1", "a whole number, 0 or more"),
        ((1.0, 5.0), "Budget: max_restarts=1.0", "a whole number, 0 or more"),
        ((3, 0), "Budget: max_seconds=0", "a number of seconds above zero"),
        ((3, inf), "Budget: max_seconds=inf", "a number of seconds above zero"),
    ],
)
def test_wrong_budget_is_refused(values, problem, fix):
    with pytest.raises(SpecError) as caught:
        Budget(*values)
    assert problem in caught.value.problem
    assert fix in caught.value.fix


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"initial": 0}, r"Backoff\(initial=...\) takes seconds above zero, not 0"),
        ({"initial": "1"}, r"Backoff\(initial=...\) takes a number, not '1'"),
        ({"initial": True}, r"Backoff\(initial=...\) takes a number, not True"),
        ({"initial": nan}, r"Backoff\(initial=...\) takes a number, not nan"),
        ({"maximum": 0.05}, r"Backoff\(maximum=...\) takes 1.0 s \(initial\) or more, not 0.05"),
        ({"maximum": inf}, r"Backoff\(maximum=...\) takes a number, not inf"),
        ({"factor": 0.5}, r"Backoff\(factor=...\) takes 1 or more, not 0.5"),
        ({"jitter": 1.5}, r"Backoff\(jitter=...\) takes a number from 0 to 1, not 1.5"),
        ({"jitter": -0.1}, r"Backoff\(jitter=...\) takes a number from 0 to 1, not -0.1"),
    ],
)
def test_wrong_backoff_is_refused(values, problem):
    with pytest.raises(ValueError, match=problem):
        Backoff(**values)
