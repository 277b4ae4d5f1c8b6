"""One of each type that a handler can have, and a tree of actors with them."""
# ruff: noqa: ICN001, PIE796, UP042, PYI061, PLW0108

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import typing
import uuid
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, Optional, TypedDict, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from cliffracer import Actor, DynamicSupervisor, Refusal, Supervisor, call, cast, child, event, every, pool

T = TypeVar("T")
Number = TypeVar("Number", int, float)
UserId = NewType("UserId", int)


class Colour(enum.Enum):
    """What there is in the paint box."""

    RED = "red"
    GREEN = 'g"r\\een'
    ROT = "red"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 10


class Size(enum.StrEnum):
    SMALL = enum.auto()
    LARGE = enum.auto()


class Old(str, enum.Enum):
    A = "a"


class Animal(Struct, tag=True, rename="camel", frozen=True, forbid_unknown_fields=True):
    """An animal.

        An indented line, a "quote", three of them: \"\"\", and a back\\slash.

    The end"
    """

    given_name: str
    legs: int = 4


class Bird(Animal, frozen=True):
    legs: int = 2
    wing_span: Annotated[float, Meta(gt=0, description="In metres.", examples=[1.5])] = 1.0


class Fish(Animal, tag="fishy", frozen=True):
    pass


class Untagged(Fish, tag=False, forbid_unknown_fields=False, frozen=True):
    more: str = "x"


class Named(Struct, tag_field="kind", tag=str.lower):
    b: int


class Kind(Struct, tag_field="kind", tag=6):
    a: int


class OtherKind(Struct, tag_field="kind", tag=7):
    pass


class Numbered(Struct, tag_field="kind", tag=8):
    pass


class Row(Struct, array_like=True):
    id: int
    what: str = ""


class Everything(Struct, kw_only=True, omit_defaults=True, order=True):
    boolean: bool
    integer: Annotated[int, Meta(ge=0, lt=10, multiple_of=2)]
    number: Annotated[float, Meta(gt=-1.5, le=2.5)] = float("inf")
    text: Annotated[str, Meta(pattern="^[a-z]+\\.$", min_length=1, max_length=9, title="A text")] = 'it\'s "a"\n\\'
    data: bytes = b"\x00'"
    anything: Any = None
    nothing: None = None
    moment: Annotated[datetime.datetime, Meta(tz=True)] = datetime.datetime(2024, 2, 29, 1, tzinfo=datetime.UTC)
    day: datetime.date = datetime.date(2024, 2, 29)
    time: datetime.time = datetime.time(12)
    duration: datetime.timedelta = datetime.timedelta(seconds=90)
    price: decimal.Decimal = decimal.Decimal("1.50")
    unique: uuid.UUID = uuid.UUID(int=7)
    user: UserId = UserId(3)
    colour: Colour = Colour.RED
    level: Level | None = Level.HIGH
    size: Optional[Size] = Size.LARGE  # noqa: UP045
    old: Old = Old.A
    animal: Bird | Fish | None = Bird("Tweety", wing_span=0.2)
    kinds: list[Kind | OtherKind | Numbered | int] = []
    word: Literal["a", "b", 1, None] = "a"
    bare: list = []
    pairs: dict[str, list[int]] = {}
    keys: dict[Colour, int] = {}
    ids: typing.Dict[int, typing.List[str]] = {}  # noqa: UP006
    names: set[str] = set()
    frozen: frozenset[int] = frozenset({3, 1})
    pair: tuple[int, str] = (1, "x")
    many: tuple[int, ...] = (1,)
    none: tuple[()] = ()
    sequence: collections.abc.Sequence[int] = ()
    mapping: typing.Mapping[str, int] = field(default_factory=dict)
    typed: list[Colour] = field(default_factory=list[Colour])
    some: typing.AbstractSet[int] | None = None
    raw: msgspec.Raw
    maybe: int | UnsetType = UNSET
    made: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    renamed_made: int = field(default_factory=lambda: 1, name="renamedMade")
    inner: "Point" = field(default_factory=lambda: Point(1, 2))
    options: "Options" = field(default_factory=lambda: Options())
    own: "Options" = field(default_factory=lambda: Options(verbose=True))
    extra: Annotated[int, Meta(extra_json_schema={"x-unit": "kg", "examples": [1, 2]}), "not msgspec's"] = 1
    required_too: int


class Options(Struct):
    verbose: bool = False
    renamed: int = field(default=1, name="re-named")


class Tree(Struct):
    value: int
    children: "list[Tree]" = []
    options: Options = field(default_factory=Options)


class Base(Struct):
    a: int


class Mixed(Base, kw_only=True):
    b: int
    c: int = 1


class Last(Mixed):
    d: int


class HidesModules(Struct):
    datetime: datetime.datetime
    msgspec: int = field(default=1, name="other")
    int: str = ""
    Any: str = ""


class Point(NamedTuple):
    """Where it is."""

    x: int
    y: int = 0


class Plain(typing.NamedTuple):
    a: int
    b: Any


class Movie(TypedDict):
    """A film."""

    title: typing.Required[str]
    year: NotRequired[int]


class Partial(Movie, total=False):
    stars: Annotated[int, Meta(le=5)]


Dashed = TypedDict("Dashed", {"content-type": str, "class": NotRequired[list[Point]]})


@dataclasses.dataclass
class Receipt:
    number: int
    lines: list[str] = dataclasses.field(default_factory=list)
    at: datetime.datetime = dataclasses.field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    colour: Colour = Colour.RED


@dataclasses.dataclass(frozen=True, order=True)
class Signed:
    """By whom."""

    by: str
    note: str = dataclasses.field(default="", kw_only=True)


@dataclasses.dataclass
class LongReceipt(Receipt):
    pages: int = 1


class Page(Struct, Generic[T]):
    """One page of many."""

    items: list[T]
    next: int | None = None


class Both(Struct, Generic[T, Number]):
    one: T
    other: Number


class Animals(Page[Bird]):
    more: bool = False


Bound = TypeVar("Bound", bound=Animal)


class Cages(Struct, Generic[Bound]):
    animals: list[Bound]


class Keyed(TypedDict, Generic[T]):
    value: T
    list: typing.List[T]  # noqa: UP006


class Pair(NamedTuple, Generic[T]):
    first: T
    second: T


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


class NotFed(Refusal):
    """No."""


class NotFedAtAll(NotFed):
    code = "really-not-fed"


class Keeper(Actor):
    """Looks after them."""

    publishes = {"zoo.{animal}.born": Bird | Fish, "zoo.closed": None, "zoo.pages": Page[Movie]}

    @call
    async def everything(self, everything: Everything) -> Everything:
        """Give it back.

        At once.
        """
        return everything

    @call
    async def nothing(self) -> None: ...

    @call
    async def several(
        self,
        tree: Tree,
        point: Point = Point(1),  # noqa: B008
        *,
        movie: Movie,
        partial: Partial | None = None,
        dashed: Dashed | None = None,
        plain: Plain = Plain(1, "x"),  # noqa: B008
        colour: Colour = Colour.GREEN,
        bird: Bird = Bird("Tweety"),  # noqa: B008
    ) -> dict[str, Row | None]:
        raise NotFed

    @call
    async def only_position(self, a: int, b: UserId = UserId(2), /, c: UserId | None = UserId(3)) -> list[int]:
        return [a, b, c]

    @call
    async def generics(
        self, page: Page[int], pages: Page[Page[Colour]], both: Both[str, int], box: Box[str], keyed: Keyed[int]
    ) -> Animals: ...

    @call
    async def more_generics(self, pair: Pair[int], cages: Cages[Bird]) -> Page[Any]: ...

    @call
    async def structs(self, mixed: Mixed, last: Last, untagged: Untagged, hides: HidesModules) -> list[Base]: ...

    @call(concurrent=True)
    async def dataclasses(self, receipt: Receipt, signed: Signed, long: LongReceipt) -> tuple[Receipt, ...]: ...

    @cast
    async def drop(self, row: Annotated[Row, Meta(description="The row.")], user: UserId) -> None: ...

    @event("zoo.{animal}.born")
    async def on_born(self, animal: str, born: Bird | Fish) -> None: ...

    @event("zoo.*.fed", to="all")
    async def on_fed(self) -> None: ...

    @event("zoo.{animal}.died")
    async def on_died(self, animal: str, of: Named) -> None: ...

    @event("zoo.>", to="all")
    async def on_all(self, value: Any) -> None: ...

    @every(60.0)
    async def clean(self) -> None: ...


class Head(Keeper, name="boss", wire="msgpack"):
    publishes = {"zoo.open": str}

    @call
    async def nothing(self) -> None:
        """Rest."""

    @call
    async def list(self) -> list[str]: ...

    @call
    async def call(self, number: int) -> typing.List[int]: ...  # noqa: UP006


class Mixin:
    @call
    async def mixed_in(self, at: datetime.date = datetime.date(2024, 1, 1)) -> datetime.date: ...


class Assistant(Mixin, Actor):
    pass


class Guest(Actor):
    @call
    async def look(self) -> int: ...

    @event("guests.{name}")
    async def on_guest(self, name: str, payload: bytes) -> None: ...


class Idle(Actor):
    """Offers nothing."""


zoo = Supervisor(
    "zoo",
    child(Keeper),
    child(Head),
    Supervisor("more", pool(Assistant, size=2), child(Idle)),
    child(Guest).replace(name="ada"),
    child(Guest).replace(name="joe"),
    DynamicSupervisor("guests"),
)
