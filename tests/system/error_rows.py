"""A tree with a handler for each row of the tables in DESIGN 5: `python -m tests.system.error_rows URL`.

`tests/system/test_errors.py` calls it, in this process and in another.
"""

import sys

import anyio

from cliffracer import Actor, Killed, Mailbox, Node, Refusal, Settings, Supervisor, call, cast, child, pool
from tests.system.peers import tell

SECRET = "/srv/secrets/token.txt"
RUNNING: list[Node] = []
STARTS: dict[str, int] = {}


class SoldOut(Refusal):
    """Known to both sides."""


class QuotaExceeded(Refusal):
    """Known to both sides, and made in its own way."""

    def __init__(self, limit: int, *, unit: str) -> None:
        super().__init__(f"at most {limit} {unit}", data={"limit": limit})


class Panic(BaseException):
    """As an extension module raises it: no Exception."""


class Counted(Actor):
    def __init__(self) -> None:
        STARTS[type(self).__name__] = STARTS.get(type(self).__name__, 0) + 1


class Nobody(Actor):
    """Declared, and started nowhere."""

    @call
    async def knock(self) -> None: ...


class Desk(Counted):
    """The table of exceptions in a handler."""

    @call
    async def add(self, number: int) -> int:
        return number + 1

    @call
    async def refuse(self, kind: str) -> None:
        match kind:
            case "known":
                raise SoldOut("A1: 0 left", data={"left": 0, "sizes": [1, 2]})
            case "own constructor":
                raise QuotaExceeded(3, unit="crates")
            case "unknown":
                refusal = Refusal("not in this house", data=[1])
                refusal.code = "house_rule"  # as a class has it that the caller's side does not know
                raise refusal
            case _:
                raise Refusal("no")

    @call
    async def pass_on_a_failure(self) -> None:
        await self.ref(Nobody).knock()

    @call
    async def pass_on_a_refusal(self) -> None:
        await self.ref(Lenient).refuse()

    @call
    async def crash(self) -> None:
        raise FileNotFoundError(2, "No such file or directory", SECRET)

    @call
    async def panic(self) -> None:
        raise Panic(SECRET)

    @call
    async def huge(self) -> str:
        return "x" * (2 * 1024 * 1024)

    @call
    async def text_for(self, number: int) -> str:
        return str(number)


class Lenient(Counted):
    answers = (Refusal, OSError)

    @call
    async def open(self) -> None:
        raise FileNotFoundError(2, "No such file or directory", SECRET)

    @call
    async def refuse(self) -> None:
        raise SoldOut("from afar", data=7)

    @call
    async def crash_on_a_failure(self) -> None:
        await self.ref(Nobody).knock()


class OldDesk(Actor, name="desk"):
    """What another team believes the desk to be."""

    @call
    async def add(self, number: str) -> int: ...
    @call
    async def gone(self) -> None: ...
    @call
    async def text_for(self, number: int) -> int: ...


class Sleeper(Actor, shutdown=0.1):
    @call
    async def sleep(self) -> None:
        await anyio.sleep(600.0)


class Narrow(Sleeper, mailbox=Mailbox(1)):
    """Full with two calls: one in hand, one that waits."""


class Leaver(Sleeper, restart="temporary"):
    """Can be stopped while calls wait."""


class Ring(Actor):
    @call
    async def spin(self) -> None:
        await self.ref(Ring, "ring", prefer_local=False).spin()


class Observer(Actor):
    """Stands beside what the rows are about."""

    @call
    async def starts(self) -> dict[str, int]:
        return STARTS

    @call
    async def load_of(self, name: str) -> tuple[int, int]:
        statistics = RUNNING[-1].statistics()[name]
        return statistics.in_hand, statistics.mailbox.depth

    @cast
    async def end_leaver(self) -> None:
        await self.node.stop(self.ref(Leaver), Killed())


def tree() -> Supervisor:
    children = [child(actor) for actor in (Desk, Lenient, Sleeper, Narrow, Leaver, Observer)]
    return Supervisor("rows", *children, pool(Ring, size=1), max_restarts=1000)


async def serve(url: str) -> None:
    node = Node(tree(), settings=Settings(nats_url=url, log_format="json", call_timeout=30.0, drain_timeout=0.1))
    async with node:
        RUNNING.append(node)
        tell("ready")
        await anyio.to_thread.run_sync(sys.stdin.readline)


if __name__ == "__main__":
    anyio.run(serve, sys.argv[1], backend="asyncio")
