"""Cancels an operation at its first checkpoint, then at its second, and so on, until it has none left."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from itertools import count
from typing import Any, Literal, TypeAlias

import anyio
import anyio.lowlevel
import pytest
import trio

__all__ = ["By", "cancel_everywhere", "tasks_living"]

By: TypeAlias = Literal["scope", "task"]
"""How it is cancelled: by the scope around it, as anyio and trio do, again and again until it has gone; or by one
`Task.cancel()`, as asyncio itself does: whoever swallows that has swallowed it for good."""

_MOST = 500  # checkpoints of one operation
_PATIENCE = 10.0  # seconds


class _Steps:
    """Awaits something, counts its steps, and strikes at one of them."""

    def __init__(self, work: Awaitable[Any], strike_at: int, strike: Callable[[], Any]) -> None:
        self._work = work
        self._strike_at = strike_at
        self._strike = strike
        self.taken = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        work = self._work.__await__()
        step: Callable[[], Any] = lambda: work.send(None)  # noqa: E731
        while True:
            try:
                waits_for = step()
            except StopIteration as done:
                return done.value
            self.taken += 1
            if self.taken == self._strike_at:
                self._strike()
            try:
                sent = yield waits_for
            except BaseException as error:
                step = lambda error=error: work.throw(error)  # noqa: E731
            else:
                step = lambda sent=sent: work.send(sent)  # noqa: E731


def tasks_living() -> int:
    """Return how many tasks there are."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return trio.lowlevel.current_statistics().tasks_living


async def cancel_everywhere(
    operation: Callable[[], Coroutine[Any, Any, Any]],
    check: Callable[[], Awaitable[None]],
    *,
    by: By = "scope",
    result: Any = None,
) -> int:
    """Run `operation` again and again, cancelled one checkpoint later each time, until it ends before that.

    After each time the cancellation has come out, or the operation has ended with `result` in spite of it, because all
    that was left to do was shielded; `check` finds nothing wrong; and there are as many tasks as before.

    Args:
        operation: What to cancel; does the same each time.
        check: Fails if something is left behind, or does not work any more. Undoes what was done.
        by: How.
        result: What `operation` returns if it gets that far.

    Returns:
        How often it was cancelled.
    """
    for at in count(1):
        assert at < _MOST, f"not done after {_MOST} checkpoints"
        before = tasks_living()
        with anyio.fail_after(_PATIENCE):
            outcome, taken = await (_by_scope if by == "scope" else _by_task)(operation, at)
        assert outcome in ("cancelled", result), f"cancelled at checkpoint {at} it ended with {outcome!r}"
        try:
            with anyio.fail_after(_PATIENCE):
                await check()
            await _wait_for_tasks(before)
        except BaseException as error:
            error.add_note(f"after a cancellation by {by} at checkpoint {at} of {taken}; outcome: {outcome!r}")
            raise
        if taken < at:
            assert outcome == result, f"not cancelled at all it ended with {outcome!r}"
            return at - 1
    raise AssertionError


async def _by_scope(operation: Callable[[], Coroutine[Any, Any, Any]], at: int) -> tuple[Any, int]:
    outcome: Any = "cancelled"
    with anyio.CancelScope() as scope:
        steps = _Steps(operation(), at, scope.cancel)
        outcome = await steps
    assert scope.cancelled_caught == (outcome == "cancelled"), "it was cancelled and did not say so"
    return outcome, steps.taken


async def _by_task(operation: Callable[[], Coroutine[Any, Any, Any]], at: int) -> tuple[Any, int]:
    async def run() -> Any:
        return await steps

    task = asyncio.create_task(run())
    steps = _Steps(operation(), at, task.cancel)  # before the task's first step
    await asyncio.wait({task})
    return "cancelled" if task.cancelled() else task.result(), steps.taken


async def _wait_for_tasks(expected: int) -> None:
    """Give what is about to end the time to do so."""
    with anyio.move_on_after(_PATIENCE):
        while tasks_living() > expected:
            await anyio.sleep(0.01)
    if tasks_living() > expected:
        names: list[str] = []
        if (backend := anyio.lowlevel.current_token().backend_class.__name__) != "TrioBackend":
            names = [repr(task) for task in asyncio.all_tasks()]
        pytest.fail(f"{tasks_living()} tasks on {backend}, and not {expected}: {names}")
