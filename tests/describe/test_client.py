"""The module of stubs: its schemas are those of the original, and type checkers like it."""

import dataclasses
import enum
import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Union
from zoneinfo import ZoneInfo

import msgspec
import pytest
from msgspec import Struct

from cliffracer import Actor, DefinitionError, Supervisor, call, child, event
from cliffracer.describe.client import client_of
from tests.describe.zoo import Idle, zoo

ROOT = Path(__file__).parents[2]
SHOP, QUICKSTART = ROOT / "examples/shop.py", ROOT / "examples/quickstart.py"


def run(*command):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache")}
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def dump(path):
    return json.loads(run(sys.executable, "-W", "error", str(ROOT / "tests/describe/dump.py"), str(path)))


@pytest.fixture
def client(tmp_path):
    """Write the client of a tree in a file, and return its path."""

    def write(path, tree, *also):
        target = tmp_path / "client.py"
        options = [word for name in also for word in ("--also", name)]
        run(str(Path(sys.executable).with_name("cliffracer")), "client", f"{path}:{tree}", "-o", str(target), *options)
        return target

    return write


def without_events(described):
    """What is heard, and what ticks, is no handler of a stub: a caller cannot reach it."""
    shown = set(described["handlers"])
    return {**described, "docs": {name: doc for name, doc in described["docs"].items() if name in shown}}


@pytest.mark.parametrize(
    ("path", "tree", "also", "missing"),
    [
        (ROOT / "tests/describe/zoo.py", "zoo", (), {"Idle"}),
        (SHOP, "shop", ("Cart", "Prices"), set()),
        (SHOP, "shop", (), {"Cart", "Prices"}),
        (QUICKSTART, "app", (), {"Customer"}),
    ],
    ids=["zoo", "shop and more", "shop", "quickstart"],
)
def test_schemas_names_documentation_and_refusals_of_the_stubs_are_those_of_the_original(
    client, path, tree, also, missing
):
    original, stubs = dump(path), dump(client(path, tree, *also))
    assert set(original["actors"]) - set(stubs["actors"]) == missing
    for name, described in stubs["actors"].items():
        assert described == without_events(original["actors"][name]), name
    assert stubs["refusals"] == original["refusals"]


@pytest.mark.system  # mypy and pyright are there where all of [dev] is
@pytest.mark.parametrize(
    ("path", "tree"), [(ROOT / "tests/describe/zoo.py", "zoo"), (SHOP, "shop"), (QUICKSTART, "app")]
)
def test_stubs_are_right_for_strict_type_checkers(client, path, tree, tmp_path):
    written = client(path, tree)
    run(sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, str(written))
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict", "include": ["client.py"]}')
    run(sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--project", str(tmp_path))


@pytest.mark.system
def test_wrong_call_through_the_stubs_is_an_error_of_the_type_checker(client, tmp_path):
    client(QUICKSTART, "app")
    caller = tmp_path / "caller.py"
    caller.write_text(
        "from client import Inventory\n"
        "from cliffracer import Node\n\n"
        "async def main(node: Node) -> None:\n"
        "    left: int = await node.ref(Inventory).reserve('A1', 2)\n"
        "    await node.ref(Inventory).reserve('A1', 'two')  # type: ignore[arg-type]\n"
        "    lost: str = await node.ref(Inventory).reserve('A1', 2)  # type: ignore[assignment]\n"
        "    await node.ref(Inventory).steal()  # type: ignore[attr-defined]\n"
    )
    environment = {**os.environ, "MYPYPATH": f"{tmp_path}:{ROOT}", "MYPY_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, str(caller)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_module_imports_nothing_but_cliffracer_msgspec_and_the_standard_library():
    imported = re.findall(r"^(?:from|import) ([\w]+)", client_of(zoo), re.MULTILINE)
    assert "datetime" in imported
    assert set(imported) <= {"cliffracer", "msgspec", *sys.stdlib_module_names}


def test_stubs_of_stubs_are_the_same_stubs():
    text = client_of(zoo)
    module = sys.modules["stubs_of_the_zoo"] = type(sys)("stubs_of_the_zoo")
    exec(compile(text, "stubs_of_the_zoo.py", "exec"), vars(module))
    again = client_of(Supervisor("zoo", *(child(getattr(module, name)) for name in ("Keeper", "Head", "Assistant"))))

    def classes(source):
        without_comments = re.sub(r"^ *# .*\n(?:\n(?=    @))?|  # .*", "", source, flags=re.MULTILINE)
        return {part.strip() for part in re.split(r"\n\n\n(?=[@\w])", without_comments)[1:]}

    assert len(classes(again)) > 40
    only_heard = {'class Named(Struct, tag="named", tag_field="kind"):\n    b: int'}
    assert classes(again) | only_heard == {part for part in classes(text) if not part.startswith("class Guest(")}


def test_same_tree_gives_the_same_text_in_another_process_too(client):
    path = ROOT / "tests/describe/zoo.py"
    assert client(path, "zoo").read_text() == client(path, "zoo").read_text()


# What is in it, beside the schemas


def test_header_names_what_is_not_known_before_the_tree_runs():
    text = client_of(zoo)
    assert "- zoo/guests: its children are started while it runs" in text


def test_events_that_are_heard_are_comments_and_their_types_are_there():
    text = client_of(zoo)
    assert "# Hears 'zoo.{animal}.died' (Named)" in text
    assert "# Hears 'zoo.*.fed' (nothing with it; every replica)" in text
    assert "class Named(Struct" in text  # only that event has it


def test_other_names_of_a_class_are_told():
    assert "# Runs as ada, joe: node.ref(Guest, 'ada')\nclass Guest(Actor, name=\"guest\"):" in client_of(zoo)


def test_actor_that_offers_nothing_is_left_out():
    assert "Idle" not in client_of(zoo)
    assert client_of(Supervisor("empty", child(Idle))).rstrip().endswith("__all__ = []")


def test_two_types_of_one_name_get_two_names():
    class Order(Struct):
        a: int

    class Shop(Actor):
        @call
        async def one(self, order: Order) -> None: ...

    def another():
        class Order(Struct):
            b: str

        return Order

    other = another()

    class Second(Actor):
        @call
        async def two(self, order: other) -> None: ...

    text = client_of(Supervisor("shop", child(Shop), child(Second)))
    assert "async def one(self, order: Order) -> None" in text
    assert "class Order(Struct):\n    a: int" in text
    assert "async def two(self, order: Order_test_client) -> None" in text
    assert "class Order_test_client(Struct):\n    b: str" in text


def test_two_actor_classes_of_one_name_keep_their_addresses():
    def shop(name):
        class Shop(Actor, name=name):
            @call
            async def look(self) -> int: ...

        return Shop

    text = client_of(Supervisor("shops", child(shop("east")), child(shop("west"))))
    assert 'class Shop(Actor, name="east"):' in text
    assert 'class Shop_test_client(Actor, name="west"):' in text


# What has no words


class Flags(enum.IntFlag):
    A = 1


class Odd:
    """Of no kind that msgspec knows, and yet a default."""

    def __repr__(self):
        return "Odd()"


ODD = Odd()


class WithOdd(Struct):
    anything: Any = ODD


class Zoned(Struct):
    at: datetime = datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))


class Fixed(Struct, array_like=True):
    a: int = msgspec.field(default_factory=lambda: 1)


class HidesItself(Struct):
    other: int
    Fixed: "Union[Fixed, None]" = None  # noqa: UP007


@dataclasses.dataclass
class Initial:
    a: int
    b: dataclasses.InitVar[int]


BadMember = enum.Enum("BadMember", {"a-b": "x"})


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (WithOdd, "uses tests.describe.test_client.WithOdd: the value Odd() cannot be written"),
        (list[WithOdd] | None, "uses tests.describe.test_client.WithOdd: the value Odd()"),
        (Zoned, "Zoned: the value datetime.datetime(2024, 1, 1, 0, 0, tzinfo=zoneinfo.ZoneInfo(key='Europe/Berlin'))"),
        (Fixed, "Fixed: the default of 'a' is made by code of yours, and its place is fixed"),
        (HidesItself, "HidesItself: a field or handler 'Fixed' hides the type of that name"),
        (BadMember, "BadMember: its member 'a-b' is no name"),
    ],
)
def test_what_has_no_words_is_an_error_with_the_handler_and_the_type(kind, problem):
    class Shop(Actor):
        @call
        async def take(self, value: kind) -> None: ...

    with pytest.raises(DefinitionError) as caught:
        client_of(Supervisor("shop", child(Shop)))
    assert re.fullmatch(rf"{re.escape(__file__)}:\d+", caught.value.where)
    assert caught.value.problem.startswith("Shop.take ")
    assert problem in caught.value.problem
    assert "Structs, dataclasses, enums" in caught.value.fix


def test_default_of_a_handler_without_words_is_an_error_with_the_handler():
    class Shop(Actor):
        @call
        async def take(self, value: Any = ODD) -> None: ...

    with pytest.raises(DefinitionError, match=r"Shop\.take: the value Odd\(\) cannot be written"):
        client_of(Supervisor("shop", child(Shop)))


def test_event_and_publication_are_named_in_errors_too():
    class Hears(Actor):
        @event("odd")
        async def on_odd(self, value: WithOdd) -> None: ...

    class Tells(Actor):
        publishes = {"odd": WithOdd}

    with pytest.raises(DefinitionError, match=r"Hears\.on_odd uses"):
        client_of(Supervisor("shop", child(Hears)))
    with pytest.raises(DefinitionError, match=r"Tells\.publishes: 'odd' uses"):
        client_of(Supervisor("shop", child(Tells)))
