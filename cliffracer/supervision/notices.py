"""The one queue of a supervisor, and what waits in it."""

from collections import deque
from collections.abc import Awaitable, Callable, Container, Iterator
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from cliffracer.actor.waiters import Waiter, wake
from cliffracer.errors import AdminError, NoSupervisor, SpecError, WouldWaitForItself
from cliffracer.exits import Exit
from cliffracer.supervision.process import Process

__all__ = ["Answer", "Exited", "Notice", "NoticeQueue", "Order", "Retry", "StopOrder", "answer_with"]


class Answer(Protocol):
    """Hears how an order went."""

    def answer(self, value: Any) -> None:
        """It was carried out."""
        ...

    def fail(self, error: Exception) -> None:
        """It was not."""
        ...


class Exited(Struct, frozen=True):
    """A child has ended by itself."""

    id: str
    incarnation: int
    process: Process


class Retry(Struct, frozen=True):
    """A restart is to be tried again."""

    id: str


class Order(Struct, frozen=True):
    """Somebody asks for something; `asking` is the path of who does, if it is in the tree."""

    run: Callable[[], Awaitable[Any]]
    answer: Answer
    asking: str = ""


class StopOrder(Struct, frozen=True):
    """The supervisor is to end."""

    reason: Exit


Notice: TypeAlias = Exited | Retry | Order | StopOrder


class NoticeQueue:
    """Notices in the order in which they came; one supervisor takes them out."""

    def __init__(self, new_waiter: Callable[[], Waiter]) -> None:
        self._notices: deque[Notice] = deque()
        self._new_waiter = new_waiter
        self._noticed: Waiter | None = None

    def put(self, notice: Notice) -> None:
        """Put a notice behind what waits."""
        self._notices.append(notice)
        noticed, self._noticed = self._noticed, None
        if noticed is not None:
            wake(noticed)

    async def next(self) -> Notice:
        """Wait until there is a notice, and take the first one out."""
        while not self._notices:
            noticed = self._noticed = self._new_waiter()
            await noticed
        return self._notices.popleft()

    def refuse_orders_of(self, paths: Container[str]) -> None:
        """Refuse the orders that were given by what is at `paths`, or below.

        That is about to be stopped, and would wait for an order that waits behind the stop.
        """
        kept: deque[Notice] = deque()
        for notice in self._notices:
            if isinstance(notice, Order) and any(path in paths for path in _upwards(notice.asking)):
                why = f"{notice.asking!r} is being stopped; what it asked for was not carried out."
                notice.answer.fail(WouldWaitForItself(why))
            else:
                kept.append(notice)
        self._notices = kept

    def refuse_orders(self, why: str) -> None:
        """Empty the queue, and tell who waits for an order in it that it was not carried out."""
        for notice in self._notices:
            if isinstance(notice, Order):
                notice.answer.fail(NoSupervisor(why))
        self._notices.clear()


async def answer_with(run: Callable[[], Awaitable[Any]], answer: Answer, path: str) -> None:
    """Await `run()`, and tell `answer` how it went; what is wrong with an order harms nobody but who gave it."""
    try:
        result = await run()
    except (AdminError, SpecError) as error:
        if path not in str(error):
            error.args = (f"{path!r}: {error}", *error.args[1:])
        answer.fail(error)
    except BaseException:
        answer.fail(NoSupervisor("the supervisor ended before it was done with that."))
        raise
    else:
        answer.answer(result)


def _upwards(path: str) -> Iterator[str]:
    """Yield `path`, and the path of each supervisor above it."""
    while path:
        yield path
        path = path.rpartition("/")[0]
