"""A tree is data: it can be checked, printed, compared and asked how long it may take to stop, and nothing starts."""

from math import inf, nan

import pytest

from cliffracer import Actor, Budget, DynamicSupervisor, SpecError, Supervisor, TaskSupervisor, child
from cliffracer.node.inspect import planned_tree


class Inventory(Actor, restart="transient", shutdown=10.0):
    def __init__(self, stock):
        self.stock = stock


class Orders(Actor):
    pass


async def poll_prices(url): ...


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


WRONG_TREES = [
    ("", {}, "that is no id", "1 to 64 letters"),
    ("a.b", {}, "that is no id", "1 to 64 letters"),
    (7, {}, "that is no id", "1 to 64 letters"),
    ("root", {"max_restarts": -1}, "max_restarts=-1", "a whole number, 0 or more"),
    ("root", {"max_restarts": 1.5}, "max_restarts=1.5", "a whole number, 0 or more"),
    ("root", {"max_restarts": True}, "max_restarts=True", "a whole number, 0 or more"),
    ("root", {"max_seconds": 0}, "max_seconds=0", "a number of seconds above zero"),
    ("root", {"max_seconds": -5.0}, "max_seconds=-5.0", "a number of seconds above zero"),
    ("root", {"max_seconds": inf}, "max_seconds=inf", "a number of seconds above zero"),
    ("root", {"max_seconds": "5"}, "max_seconds='5'", "a number of seconds above zero"),
    ("root", {"auto_shutdown": "always"}, "auto_shutdown='always'", "'never', 'any_significant', 'all_significant'"),
    ("root", {"auto_shutdown": None}, "auto_shutdown=None", "'never', 'any_significant', 'all_significant'"),
]


@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
@pytest.mark.parametrize(("id", "options", "problem", "fix"), WRONG_TREES)
def test_wrong_option_of_a_supervisor_is_refused(kind, id, options, problem, fix):
    with pytest.raises(SpecError) as caught:
        kind(id, **options)
    assert caught.value.problem.startswith(f"{kind.__name__}({id!r})")
    assert problem in caught.value.problem
    assert fix in caught.value.fix


@pytest.mark.parametrize("strategy", ["one_for_some", None, ["one_for_all"]])
def test_strategy_that_otp_does_not_have_is_refused(strategy):
    with pytest.raises(SpecError) as caught:
        Supervisor("root", strategy=strategy)
    assert caught.value.problem == f"Supervisor('root'): strategy={strategy!r}."
    assert caught.value.fix == "use one of 'one_for_one', 'one_for_all', 'rest_for_one'."


@pytest.mark.parametrize("kind", [DynamicSupervisor, TaskSupervisor])
@pytest.mark.parametrize("max_children", [0, -1, 1.5, True, "many", inf])
def test_wrong_number_of_children_is_refused(kind, max_children):
    with pytest.raises(SpecError) as caught:
        kind("some", max_children=max_children)
    assert caught.value.problem == f"{kind.__name__}('some'): max_children={max_children!r}."
    assert caught.value.fix == "use a whole number, 1 or more, or None for no limit."


@pytest.mark.parametrize("shutdown", [-1, nan, "soon", None])
def test_wrong_time_for_the_jobs_of_a_task_supervisor_is_refused(shutdown):
    with pytest.raises(SpecError) as caught:
        TaskSupervisor("jobs", shutdown=shutdown)
    assert "TaskSupervisor('jobs')" in caught.value.problem
    assert f"shutdown={shutdown!r}" in caught.value.problem
    assert caught.value.fix == "use seconds (0 or more), 'infinity' or 'brutal_kill'."


@pytest.mark.parametrize("id", ["", "a.b", None])
def test_task_supervisor_needs_an_id_like_any_other(id):
    with pytest.raises(SpecError, match=r"TaskSupervisor\(.*that is no id"):
        TaskSupervisor(id)


def test_dynamic_supervisor_has_elixirs_defaults():
    tree = DynamicSupervisor("some")
    assert (tree.max_children, tree.max_restarts, tree.max_seconds, tree.auto_shutdown) == (None, 3, 5.0, "never")


# A child in its place


def test_significant_child_is_refused_where_its_end_would_mean_nothing():
    with pytest.raises(SpecError) as caught:
        Supervisor("root", child(Orders).replace(restart="transient", significant=True))
    assert caught.value.problem == (
        "child 'orders' of Supervisor('root'): significant=True, and auto_shutdown='never': its end would mean nothing."
    )
    assert caught.value.fix == "write Supervisor('root', ..., auto_shutdown='any_significant'), or drop significant."


@pytest.mark.parametrize("automatic", ["any_significant", "all_significant"])
def test_significant_child_is_taken_where_its_end_means_something(automatic):
    spec = child(Orders).replace(restart="transient", significant=True)
    assert Supervisor("root", spec, child(Inventory, {}), auto_shutdown=automatic).children[0] == spec


def test_budget_of_a_static_child_is_refused():
    with pytest.raises(SpecError, match="a budget of its own is for the children of a DynamicSupervisor") as caught:
        Supervisor("root", child(Orders).replace(budget=Budget(3, 5.0)))
    assert caught.value.fix == "put the child under a supervisor of its own, with max_restarts and max_seconds."


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


def test_dynamic_supervisors_are_data_too():
    assert DynamicSupervisor("some", max_children=3) == DynamicSupervisor("some", max_children=3)
    assert DynamicSupervisor("some", max_children=3) != DynamicSupervisor("some", max_children=4)
    assert TaskSupervisor("jobs", shutdown=1.0) != TaskSupervisor("jobs")
    for supervisor in (DynamicSupervisor("some"), TaskSupervisor("jobs")):
        with pytest.raises(AttributeError):
            supervisor.max_children = 7


def test_tree_prints_how_it_shuts_down_only_if_it_does():
    assert "auto_shutdown" not in repr(Supervisor("root"))
    assert repr(Supervisor("root", auto_shutdown="any_significant")).endswith(", auto_shutdown='any_significant')")


def test_tree_prints_what_is_in_it():
    text = repr(tree())
    assert text.startswith("Supervisor('shop', ChildSpec(id='inventory'")
    assert "Supervisor('back'" in text
    assert text.endswith("strategy='one_for_one', max_restarts=5, max_seconds=5.0)")


def test_actors_of_a_tree_come_in_start_order_and_functions_are_none():
    assert [spec.name for spec in tree().actors()] == ["inventory", "orders", "orders-2"]


# How long stopping takes


def worst_stop_time(tree):
    return planned_tree(tree).shutdown_seconds()


def test_stopping_takes_at_worst_the_sum_of_all():
    assert worst_stop_time(tree()) == 10.0 + (5.0 + 5.0) + 5.0


def test_stopping_nothing_takes_no_time():
    assert worst_stop_time(Supervisor("root")) == 0.0
    assert worst_stop_time(Supervisor("root", child(Orders).replace(shutdown="brutal_kill"))) == 0.0


def test_child_that_may_take_for_ever_makes_it_for_ever():
    patient = Supervisor("part", child(Orders).replace(shutdown="infinity"))
    assert worst_stop_time(Supervisor("root", patient)) == inf


def test_supervisor_whose_workers_are_killed_after_a_time_takes_no_longer():
    patient = Supervisor("part", child(Orders).replace(shutdown="infinity"))
    assert worst_stop_time(Supervisor("root", child(patient).replace(shutdown=2.0))) == 2.0


@pytest.mark.parametrize(("shutdown", "seconds"), [(2.0, 2.0 + 15.0), ("brutal_kill", 15.0)])
def test_supervisors_below_one_that_is_killed_stop_in_order_and_have_their_time(shutdown, seconds):
    deep = Supervisor("deep", child(Orders), child(Inventory, {}))
    other = Supervisor("other", child(Orders).replace(name="orders-2"))
    part = Supervisor("part", deep, other, child(Orders).replace(name="orders-3"))
    assert worst_stop_time(Supervisor("root", child(part).replace(shutdown=shutdown))) == seconds
