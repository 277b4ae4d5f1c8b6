"""Options, the fixtures `compare` and `compare_laps`, and the tables at the end."""

import importlib.util
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from msgspec import structs
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.costs import costs, costs_table
from benchmarks.environment import environment
from benchmarks.figures import Row, as_json, table
from benchmarks.jobs import Job, Loop, Report
from benchmarks.questions import Question, Side
from cliffracer.transport.server import run_server

LEGEND = (
    "Rates: messages, starts or stops a second, median of the rounds.",
    "Ratios: median of the ratios of each round (lowest-highest); a row of one round has no range and no spread.",
    "Spread: highest less lowest of our rates, by their median. CPU: processor time of one, ours, control, peer.",
)
COSTS_LEGEND = (
    "Costs: less is better; ours:control is how many times the control's.",
    "Growth of a start or a stop: the processor time of one, with ten times as many children; 1.00x is linear time.",
    "Growth with actors: a message's time, as a multiple of itself with 1 actor on the connection.",
)
_ROWS = pytest.StashKey[list[Row]]()

Run = Callable[[Job], Report]
Compare = Callable[[Question, Loop, Run], Row]
RunLaps = Callable[[Job], Sequence[Report]]
CompareLaps = Callable[[Sequence[Question], Loop, RunLaps], list[Row]]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cliffracer benchmarks")
    group.addoption(
        "--json", metavar="PATH", type=Path, help="Write all figures, and on what they were taken, to PATH."
    )
    group.addoption(
        "--profile",
        metavar="DIR",
        type=Path,
        help="One round under cProfile: write where the time of each side went to DIR; the figures mean nothing.",
    )
    group.addoption(
        "--smoke", action="store_true", help="One round of very few messages: shows that it works, no more."
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ROWS] = []
    # Its own table knows only our side, and times are no use without the controls beside them.
    config.option.benchmark_quiet = True


@pytest.fixture(scope="session")
def nats_url() -> Iterator[str]:
    """The URL of a real nats-server of our own, on a free port."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(run_server(0)) as url:
        yield url


@pytest.fixture(scope="session")
def smoke(pytestconfig: pytest.Config) -> bool:
    """Whether this is a smoke run."""
    return bool(pytestconfig.getoption("--smoke"))


class MessageClock:
    """A clock for pytest-benchmark: it shows what the contender's own process measured, per message."""

    def __init__(self) -> None:
        self._now = 0.0

    def read(self) -> float:
        return self._now

    def advance(self, report: Report) -> None:
        self._now += report.seconds / report.count


@pytest.fixture
def clock(request: pytest.FixtureRequest) -> MessageClock:
    """The clock that `benchmark` is to read; requested before it, because it looks for its timer when it is made."""
    clock = MessageClock()
    request.node.add_marker(pytest.mark.benchmark(timer=clock.read))
    return clock


@pytest.fixture
def compare_laps(
    clock: MessageClock, benchmark: BenchmarkFixture, pytestconfig: pytest.Config, smoke: bool
) -> CompareLaps:
    """Return what puts several questions to all sides at once: each run answers all of them, with a report for each."""

    profiles: Path | None = pytestconfig.getoption("--profile")
    if profiles is not None:
        profiles.mkdir(parents=True, exist_ok=True)

    def job(question: Question, loop: Loop, side: Side) -> Job:
        made = _job(question, loop, side, smoke=smoke)
        if profiles is None:
            return made
        name = re.sub("[^a-z0-9]+", "-", f"{question.label} {loop} {side}".lower())
        return structs.replace(made, profile=str(profiles.absolute() / f"{name}.txt"))

    def put(questions: Sequence[Question], loop: Loop, run: RunLaps) -> list[Row]:
        if importlib.util.find_spec("uvloop") is None and loop == "uvloop":
            pytest.skip("uvloop is not installed")
        rows = [Row(question, loop) for question in questions]
        question = questions[0]

        def one_round() -> None:
            turn = len(rows[0].reports["ours"]) % len(question.sides)
            for side in question.sides[turn:] + question.sides[:turn]:
                reports = run(job(question, loop, side))
                for row, report in zip(rows, reports, strict=True):
                    row.reports[side].append(report)
                if side == "ours":
                    clock.advance(reports[0])

        benchmark.pedantic(one_round, rounds=1 if smoke or profiles is not None else question.rounds)
        benchmark.extra_info.update(rows[0].as_dict())
        benchmark.extra_info["further_laps"] = [row.as_dict() for row in rows[1:]]
        pytestconfig.stash[_ROWS].extend(rows)
        return rows

    return put


@pytest.fixture
def compare(compare_laps: CompareLaps) -> Compare:
    """Return what puts a question to all sides, in turns, and takes the figures down."""

    def put(question: Question, loop: Loop, run: Run) -> Row:
        (row,) = compare_laps((question,), loop, lambda job: (run(job),))
        return row

    return put


def _job(question: Question, loop: Loop, side: Side, *, smoke: bool) -> Job:
    contender = getattr(question, side)
    count = min(contender.count, question.smoke_count) if smoke else contender.count
    warmup = max(count // 10, question.callers) if question.warmup is None else question.warmup
    return Job(
        contender=contender.module,
        role=question.role,
        loop=loop,
        warmup=warmup,
        count=count,
        callers=question.callers,
        actors=question.actors,
        one_core=question.one_core,
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash[_ROWS]
    if not rows:
        return
    remark = _remark(config)
    terminalreporter.section(remark or "benchmarks")
    told = costs(rows)
    lines: list[str] = []
    if rates := [row for row in rows if row.question.tells_rate]:
        lines += [*table(rates, judge=not remark), *LEGEND, ""]
    if told:
        lines += [*costs_table(told, judge=not remark), *COSTS_LEGEND, ""]
    for line in lines:
        terminalreporter.write_line(line)
    on = environment()
    versions = ", ".join(f"{name} {version}" for name, version in on["versions"].items())
    terminalreporter.write_line(f"{on['cpu']}, {on['cores']} cores, {on['system']}, {on['python']}; {versions}")
    if (path := config.getoption("--json")) is not None:
        path.write_bytes(as_json(rows, told, remark=remark))
        terminalreporter.write_line(f"All figures: {path}")


def _remark(config: pytest.Config) -> str:
    """Return why the figures of this run mean nothing; nothing if they do."""
    if config.getoption("--smoke"):
        return "SMOKE RUN: figures mean nothing, do not quote them"
    if config.getoption("--profile") is not None:
        return "PROFILED RUN: the profiler slows everybody, and not alike; do not quote these figures"
    return ""
